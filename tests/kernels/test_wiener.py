"""Posterior mean and variance of noisy patches against the closed form, Gaussian by Gaussian."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.rotation import LANES
from fastgsm.kernels.wiener import WienerBank, posterior_patches
from fastgsm.learning.density import ScaleMixtureDensity
from tests.kernels import naive
from tests.kernels.helpers import (
    DTYPES,
    assert_close,
    assert_same_bits,
    filled,
    mixture,
    pick,
    run,
    samples,
)

NOISE_VARIANCE = 0.3

# Patches, dimension, rank, eigenvectors kept, shapes, scales.
CASES = pick(
    [(1, 1, 1, 1, 1, 1), (5, 4, 4, 4, 1, 3), (LANES + 1, 9, 9, 9, 3, 2), (LANES - 1, 9, 8, 8, 2, 5),
     (300, 9, 9, 4, 2, 3), (300, 9, 8, 5, 1, 4), (LANES, 25, 24, 24, 4, 1), (70, 64, 63, 32, 3, 6)],
    [(3, 4, 4, 4, 1, 2), (5, 5, 4, 2, 2, 1), (LANES + 1, 3, 3, 3, 1, 1)],
)  # fmt: skip


def restore(Y: np.ndarray, bank: WienerBank, variance: bool = True) -> tuple[np.ndarray, ...]:
    noise_variance = Y.dtype.type(NOISE_VARIANCE)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        X = filled(Y.shape, Y.dtype)
        spread = filled(Y.shape if variance else (0, Y.shape[1]), Y.dtype)
        kernel(Y, bank, noise_variance, X, spread)
        return X, spread

    return run(posterior_patches, fill)


def varied(density: ScaleMixtureDensity, kept: int) -> np.ndarray:
    """Eigenvectors to keep of each shape: ``kept``, one more, two more, and so on."""
    return np.minimum(kept + np.arange(len(density.weights)), density.rank)


def flattened(density: ScaleMixtureDensity, kept: int) -> ScaleMixtureDensity:
    """The same density with the mean of its small eigenvalues for each of them."""
    eigenvalues = density.eigenvalues.copy()
    for row, rank in zip(eigenvalues, varied(density, kept), strict=True):
        row[rank:] = row[rank:].mean() if rank < density.rank else 0
    return replace(density, eigenvalues=eigenvalues)


def closed_form(Y: np.ndarray, density: ScaleMixtureDensity, kept: int) -> tuple[np.ndarray, ...]:
    flat = flattened(density, kept)
    projection = density.eigenvectors[0] @ density.eigenvectors[0].T
    return naive.posterior(
        Y.astype(np.float64) @ projection, flat.weights, flat.scales, flat.means,
        flat.covariances, projection, NOISE_VARIANCE,
    )[:2]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_posterior(case: tuple[int, ...], means: bool, dtype: Any) -> None:
    n, d, rank, kept, n_shapes, n_scales = case
    density = mixture(d, n_shapes, n_scales, rank=rank, means=means)
    Y = samples(density, n, dtype)
    X, variance = restore(Y, density.wiener_bank(NOISE_VARIANCE, dtype, varied(density, kept)))
    wanted, wanted_variance = closed_form(Y, density, kept)
    # Negligible responsibilities (below 1e-6) are left out on purpose.
    left_out = 1e-6 * n_shapes * n_scales * np.abs(Y).max() if n_shapes > 1 else 0.0
    if left_out:
        np.testing.assert_allclose(X, wanted, rtol=2e-4, atol=max(left_out, 1e-5))
        np.testing.assert_allclose(
            variance, wanted_variance, rtol=2e-4, atol=10 * max(left_out, 1e-5)
        )
    else:
        assert_close(X, wanted, dtype)
        assert_close(variance, wanted_variance, dtype)
    assert (variance > 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_mixture_of_shapes_in_full_precision(dtype: Any) -> None:
    """Where no responsibility is negligible, K shapes agree as closely as one does."""
    density = mixture(3, 2, 2, means=True)
    density = replace(density, means=density.means * 0.1)
    Y = samples(density, 20, dtype) * dtype(0.3)
    X, variance = restore(Y, density.wiener_bank(NOISE_VARIANCE, dtype))
    wanted, wanted_variance = closed_form(Y, density, 3)
    assert_close(X, wanted, dtype)
    assert_close(variance, wanted_variance, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_variance_is_left_out_on_request(dtype: Any) -> None:
    density = mixture(4, 2, 1)
    Y, bank = samples(density, 6, dtype), density.wiener_bank(NOISE_VARIANCE, dtype)
    X, variance = restore(Y, bank, variance=False)
    assert variance.shape == (0, 4)
    assert_same_bits(X, restore(Y, bank)[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kept", [5, 2])
def test_a_patch_does_not_depend_on_its_place(kept: int, dtype: Any) -> None:
    """Nor on its neighbours: a shape to which no patch of a tile belongs is skipped."""
    density = mixture(5, pick(4, 2), pick(3, 1), means=True)
    # Far apart, so that most patches belong to one shape only.
    density = replace(density, means=density.means * 8)
    n = LANES + pick(40, 3)
    Y = samples(density, n, dtype)
    Y += density.means[np.arange(n) * len(density.means) // n].astype(dtype)
    order = np.random.default_rng(3).permutation(n)
    bank = density.wiener_bank(NOISE_VARIANCE, dtype, varied(density, kept))
    plain, shuffled = restore(Y, bank), restore(Y[order], bank)
    for a, b in zip(plain, shuffled, strict=True):
        assert_same_bits(b, a[order])


@pytest.mark.parametrize("variance", [False, True])
def test_shapes_without_patches_are_passed_over(variance: bool) -> None:
    """A shape too far away to matter changes nothing, whatever its filter."""
    density = mixture(3, 1, 1, means=True)
    far = ScaleMixtureDensity(
        weights=np.array([[0.5], [0.5]]),
        scales=np.ones((2, 1)),
        means=np.concatenate([density.means, density.means + 1000]),
        eigenvalues=np.repeat(density.eigenvalues, 2, axis=0),
        eigenvectors=np.repeat(density.eigenvectors, 2, axis=0),
    )
    alone = replace(far, weights=np.ones((1, 1)), scales=np.ones((1, 1)), means=density.means,
                    eigenvalues=density.eigenvalues, eigenvectors=density.eigenvectors)  # fmt: skip
    Y = samples(density, 4, np.float64)
    with_far = restore(Y, far.wiener_bank(NOISE_VARIANCE, np.float64), variance)
    without = restore(Y, alone.wiener_bank(NOISE_VARIANCE, np.float64), variance)
    for a, b in zip(with_far, without, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
