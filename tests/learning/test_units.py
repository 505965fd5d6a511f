"""The units of features do not matter, and the floor of variances changes nothing silently."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.learning.chunks import Moments
from fastgsm.learning.support import Support, eigh, graded_eigh
from tests.helpers import fit_quietly, heavy_tailed, new_model

UNITS = np.array([1e-6, 1e-2, 1.0, 1e6])


def ages_and_incomes(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return samples with two clear ages, and which of them each sample has."""
    rng = np.random.default_rng(5)
    old = rng.integers(0, 2, n)
    return np.c_[rng.normal(np.where(old, 60, 30), 3), rng.normal(1e5, 5e4, n)], old


def start(units: Any = (1.0, 1.0)) -> dict[str, Any]:
    return {
        "means_init": np.array([[30, 1e5], [60, 1e5]]) * units,
        "covariances_init": [np.diag([9, 25e8]) * np.outer(units, units)] * 2,
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_normal_distribution_learns_the_covariance_in_any_units(seed: int) -> None:
    X = heavy_tailed(3000, 4, seed) * UNITS
    model = fastgsm.MVN().fit(X)
    error = model.covariances_[0] - np.cov(X.T, bias=True)
    assert np.abs(error / np.outer(UNITS, UNITS)).max() < 1e-3
    narrow = fastgsm.MVN().fit(X.astype(np.float32)).covariances_[0]
    np.testing.assert_allclose(np.diag(narrow), X.var(axis=0), rtol=1e-3)


def fitted(model: Any, X: Any) -> Any:
    """Fit a model, whether or not EM converges, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
        return model.fit(X)


def partly(model: Any, X: Any) -> Any:
    """Fit to half of the samples, then learn from all."""
    return fit_quietly(model, X[::2]).partial_fit(X, step=1.0)


def by_statistics(model: Any, X: Any) -> Any:
    fit_quietly(model, X[::2])
    return model.m_step(model.sufficient_statistics(X))


def on_dask(model: Any, X: Any) -> Any:
    with dask.config.set(scheduler="synchronous"):
        return fitted(model, da.from_array(X, chunks=(1000, -1)))


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "fit": fitted,
    "partial_fit": partly,
    "m_step": by_statistics,
    "Dask": on_dask,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e6])
def test_a_mixture_finds_ages_beside_incomes(way: str, dtype: type, unit: float) -> None:
    X, old = ages_and_incomes()
    units = np.array([1, unit])
    X = (X * units).astype(dtype)
    model = WAYS[way](fastgsm.GMM(2, **start(units)), X)
    assert (model.predict(X) == old).mean() > 0.99
    np.testing.assert_allclose(model.means_[:, 0], [30, 60], atol=0.3)
    np.testing.assert_allclose(np.sqrt(model.covariances_[:, 0, 0]), 3, rtol=0.05)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "ICA"])
def test_the_likelihood_is_that_of_features_in_like_units(name: str, way: str) -> None:
    """An ICA is another model in other units, as its axes are."""
    X = heavy_tailed(2000, 4)
    model = new_model(name, 2, random_state=0, max_iter=1000)
    shapes = np.stack([np.cov(X.T), np.diag(X.var(axis=0))])
    scores = []
    for units in (np.ones(4), UNITS):
        if name == "GMM":
            covariances = shapes * np.outer(units, units)
            model.set_params(means_init=X[:2] * units, covariances_init=covariances)
        scores.append(WAYS[way](model, X * units).score(X * units) + np.log(units).sum())
    assert scores[1] == pytest.approx(scores[0], rel=1e-3 if way in ("fit", "Dask") else 0.02)


def test_no_floor_where_covariances_are_well_conditioned() -> None:
    X = heavy_tailed(3000, 4) * UNITS
    for name in ("MVN", "GSM", "ICA"):
        with_floor, without = (
            new_model(name, 2, reg_covar=reg_covar).fit(X).covariances_ for reg_covar in (1e-6, 0.0)
        )
        np.testing.assert_array_equal(with_floor, without)


# --- warnings where the floor raises something -------------------------------------------------


def nearly_dependent() -> np.ndarray:
    """Three features, the last of which is the sum of the others but for 1e-5."""
    X = np.random.default_rng(0).standard_normal((2000, 3))
    X[:, 2] = X[:, 0] + X[:, 1] + 1e-5 * X[:, 2]
    return X


def far_clusters(dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(0, 1, (500, 2)), rng.normal(1e4, 1, (500, 2))].astype(dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_warning_where_the_floor_raises_a_variance(name: str, way: str) -> None:
    model = new_model(name, 2, random_state=0, max_iter=2, tol=1e9)
    with pytest.warns(UserWarning, match=rf"{name}: the floor of variances, reg_covar = 1e-06 .*"):
        WAYS[way](model, nearly_dependent())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warning_where_components_are_raised(way: str, dtype: type) -> None:
    X = far_clusters(dtype)
    options = {"means_init": [[0, 0], [1e4, 1e4]], "covariances_init": [np.eye(2)] * 2}
    with pytest.warns(UserWarning, match=r"2 of 2 covariances, .* by a factor of up to 2"):
        WAYS[way](fastgsm.GMM(2, **options), X)
    quiet = WAYS[way](fastgsm.GMM(2, **options, reg_covar=1e-9), X)
    np.testing.assert_allclose(quiet.covariances_[:, 0, 0], 1, rtol=0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_no_warning_for_patches_without_their_mean(name: str, dtype: type) -> None:
    """Nor for components of too few samples, which have no variance to lose in some directions."""
    images = [fastgsm.datasets.dead_leaves((64, 64), random_state=i) for i in range(3)]
    X = fastgsm.sample_patches(images, n_patches=600, random_state=0)
    fitted(new_model(name, 4, random_state=0, max_iter=10), X.astype(dtype))


def test_no_warning_for_equal_samples() -> None:
    X = heavy_tailed(600, 3)
    X[::3] = 0.5
    fitted(fastgsm.GMM(3, random_state=0, max_iter=20), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_samples_leave_the_support_in_any_units(unit: float, dtype: type) -> None:
    X = np.random.default_rng(0).standard_normal((800, 2)) * [1, unit]
    X = np.c_[X, X[:, 0], np.full(800, 1e-3), np.zeros(800)].astype(dtype)
    model = fastgsm.MVN().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    for shift in ([0, 0, 3, 0, 0], [0, 0, 0, 1, 0]):
        with pytest.warns(UserWarning, match="800 of 800 samples lie outside"):
            assert np.isneginf(model.score_samples(X + np.array(shift, dtype))).all()


# --- limits of the arithmetic ---------------------------------------------------------------------


def moments(covariance: np.ndarray, mean: float = 0.0) -> Moments:
    return Moments(1.0, np.full(len(covariance), mean), covariance)


def test_a_feature_that_cannot_be_computed_beside_others_is_named() -> None:
    X = np.random.default_rng(0).standard_normal((300, 3)) * [1, 1e-14, 1]
    message = r"1 of the 3 features of X \(feature 1, with .* count as constant.* other units"
    with pytest.warns(UserWarning, match=message):
        model = fastgsm.MVN().fit(X)
    assert model.eigenvalues_.shape == (1, 2)


def test_a_feature_far_from_zero_in_float32_is_kept() -> None:
    X = np.random.default_rng(0).normal([1.7e9, 0], [500, 1], (500, 2)).astype(np.float32)
    assert fastgsm.MVN().fit(X).eigenvalues_.shape == (1, 2)


def test_a_warning_of_samples_far_from_zero_is_right_for_any_offset() -> None:
    X = np.random.default_rng(0).normal(0, 1, (500, 2))
    with pytest.warns(UserWarning, match=r"standard deviation 0\.9.*set fit_means=True"):
        fitted(fastgsm.GMM(1, fit_means=False), X + 1e9)
    fitted(fastgsm.GMM(1, fit_means=False), np.c_[X, np.full(500, 7.1)])  # a constant is silent


def test_a_constant_with_rounding_is_constant() -> None:
    rng = np.random.default_rng(0)
    X = np.c_[rng.standard_normal((300, 2)), 1e3 * (1 + 1e-16 * rng.integers(0, 3, 300))]
    assert fastgsm.MVN().fit(X).eigenvalues_.shape == (1, 2)


@pytest.mark.parametrize("mixed", [False, True])
def test_support_of_dependent_features_in_unlike_units(mixed: bool) -> None:
    X = np.random.default_rng(0).standard_normal((300, 4))
    X[:, 3] = X[:, 1] + (X[:, 0] if mixed else 0)
    X *= [1, 1e6, 1e-3, 1e6]
    support = Support.of(moments(np.cov(X.T)), np.float64)
    assert support.rank == 3
    np.testing.assert_allclose(support.basis.T @ support.basis, np.eye(3), atol=1e-12)
    inner = support.inner(np.cov(X.T)[None])
    rebuilt = support.basis @ inner[0] @ support.basis.T
    np.testing.assert_allclose(rebuilt / np.cov(X.T), 1, rtol=1e-5)
    # Standardised features have a covariance whose eigenvalues are those of the correlations.
    expected = np.linalg.eigvalsh(np.corrcoef(X.T))[1:]
    found = np.linalg.eigvalsh(support.standardised(inner)[0])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_eigenvalues_of_features_in_unlike_units_have_all_digits() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 9))
    deviations = np.array([1e5, 1, 1e5, 1, 1, 1e-3])
    units = np.outer(deviations, deviations)
    covariance = units * (A @ A.T)
    eigenvalues, vectors = (values[0] for values in graded_eigh(covariance[None]))
    assert (np.diff(eigenvalues) > 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-12)
    error = (vectors * eigenvalues) @ vectors.T - covariance
    assert np.abs(error / units).max() < 1e-6
    np.testing.assert_array_equal(graded_eigh((A @ A.T)[None])[0], eigh((A @ A.T)[None])[0])
