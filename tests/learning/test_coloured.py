"""A mixture seen through noise that is correlated between pixels, against the closed form."""

from __future__ import annotations

import numpy as np
import pytest

from fastgsm.kernels.nonlocal_mvn import LEAST_VARIANCE
from fastgsm.kernels.wiener import posterior_patches
from fastgsm.learning.coloured import ColouredDensity
from tests.kernels import naive
from tests.kernels.helpers import mixture, samples

VARIANCE = 0.3


def correlated(d: int) -> np.ndarray:
    """Return the covariance of noise whose correlation falls with the distance."""
    distances = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    return 0.7**distances * np.sqrt(np.outer(np.arange(1, d + 1), np.arange(1, d + 1)))


@pytest.mark.parametrize(
    ("d", "rank", "n_shapes", "n_scales"), [(4, 4, 1, 3), (9, 8, 3, 2), (25, 24, 2, 1)]
)
def test_the_posterior_mean_is_the_closed_form(
    d: int, rank: int, n_shapes: int, n_scales: int
) -> None:
    density = mixture(d, n_shapes, n_scales, rank=rank)
    noise = correlated(d)
    basis = density.support().basis
    inside = basis @ basis.T @ noise @ basis @ basis.T
    Y = samples(density, 50, np.float64)
    X = np.empty_like(Y)
    bank = ColouredDensity.of(density, noise).wiener_bank(VARIANCE, np.float64)
    posterior_patches(Y, bank, VARIANCE, X, np.empty((0, d)))
    covariances = density.covariances
    wanted, _, _ = naive.posterior(
        Y, density.weights, density.scales, density.means, covariances, inside, VARIANCE
    )
    # Kernels leave out responsibilities that are nearly 0.
    np.testing.assert_allclose(X, wanted, atol=1e-5)


def test_traces_are_the_errors_that_filters_leave() -> None:
    density = mixture(9, 2, 2, rank=8)
    noise = correlated(9)
    basis = density.support().basis
    inside = basis @ basis.T @ noise @ basis @ basis.T
    bank = ColouredDensity.of(density, noise).wiener_bank(VARIANCE, np.float64)
    outside = np.trace(noise) - np.trace(inside)
    for k in range(2):
        for j in range(2):
            signal = density.scales[k, j] * density.covariances[k]
            gain = signal @ np.linalg.pinv(signal + VARIANCE * inside, rcond=1e-9)
            error = np.trace(signal - gain @ signal) / VARIANCE + outside
            assert bank.traces[k, j] == pytest.approx(error, rel=1e-8)


def test_white_noise_gives_the_plain_filters() -> None:
    density = mixture(9, 3, 2, rank=8)
    Y = samples(density, 40, np.float64)
    plain, coloured = np.empty_like(Y), np.empty_like(Y)
    none = np.empty((0, 9))
    posterior_patches(Y, density.wiener_bank(VARIANCE, np.float64), VARIANCE, plain, none)
    bank = ColouredDensity.of(density, np.eye(9)).wiener_bank(VARIANCE, np.float64)
    posterior_patches(Y, bank, VARIANCE, coloured, none)
    np.testing.assert_allclose(coloured, plain, atol=1e-10)
    traces = density.wiener_bank(VARIANCE, np.float64).traces
    np.testing.assert_allclose(bank.traces[:, :2], traces[:, :2])


def test_directions_without_noise_count_as_hardly_noisy() -> None:
    density = mixture(4, 1, 1, means=False)
    singular = np.diag([1.0, 1, 1, 0])
    filled = np.diag([1.0, 1, 1, 0.75 * LEAST_VARIANCE])
    one, other = (
        ColouredDensity.of(density, noise).wiener_bank(VARIANCE, np.float64)
        for noise in (singular, filled)
    )
    np.testing.assert_allclose(one.precisions, other.precisions, rtol=1e-3)
    assert np.isfinite(one.forward).all()
