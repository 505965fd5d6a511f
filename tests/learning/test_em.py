"""Learning: EM climbs, finds what the data were drawn from, and survives bad components."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, ClassVar

import dask
import dask.array as da
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

import fastgsm
from fastgsm import _registry as registry
from fastgsm.kernels._jit import limit_workers
from fastgsm.learning import steps as _steps
from fastgsm.learning.em import run_em
from fastgsm.learning.support import Support
from fastgsm.models._scale_groups import ScaleGroupModel
from tests.helpers import CLOSED_FORM, fit_quietly, heavy_tailed, new_model

Model = fastgsm.models.PatchModel
MODELS: dict[str, Callable[..., Model]] = {
    **{name: partial(new_model, name) for name in registry.MODELS},
    "GMM without means": partial(fastgsm.GMM, 4, fit_means=False),
}
ITERATIVE = [name for name in MODELS if name not in CLOSED_FORM]


def centred(X: np.ndarray) -> np.ndarray:
    return X - X.mean(axis=1, keepdims=True)


def learned(model: Model) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in model._arrays().items()}


# --- the likelihood never falls -----------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dc_removed", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_never_falls(name: str, dc_removed: bool, weighted: bool, dtype: type) -> None:
    X = heavy_tailed(3000, 9)
    X = (centred(X) if dc_removed else X).astype(dtype)
    weights = np.random.default_rng(1).uniform(0, 2, 3000) if weighted else None
    if weights is not None:
        weights[::7] = 0
    model = fit_quietly(MODELS[name](max_iter=30, tol=0.0, random_state=0), X, weights)
    bounds = np.array(model.lower_bounds_)
    # A sum of d terms in the type of the data, averaged over thousands of samples.
    rounding = 10 * np.finfo(dtype).eps * max(1.0, float(np.abs(bounds).max()))
    falls = -np.diff(bounds)
    assert falls.max(initial=0.0) <= rounding
    assert name not in ITERATIVE or bounds[-1] > bounds[0] + 1e-3


@cache
def image_patches() -> np.ndarray:
    """8x8 patches in [0, 1] without their mean; some are flat."""
    images = [fastgsm.datasets.dead_leaves((128, 128), random_state=seed) for seed in range(2)]
    X = fastgsm.sample_patches(images, n_patches=1500, random_state=0).astype(np.float64)
    X[::50] = 0
    return centred(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", [1.0, 1e-2])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_of_patches_never_falls(
    name: str, unit: float, weighted: bool, dtype: type
) -> None:
    X = (unit * image_patches()).astype(dtype)
    weights = np.random.default_rng(1).uniform(0, 2, len(X)) if weighted else None
    model = fit_quietly(MODELS[name](max_iter=12, tol=0.0, random_state=0), X, weights)
    bounds = np.array(model.lower_bounds_)
    assert len(bounds) == (12 if name in ITERATIVE else 1)
    rounding = 10 * np.finfo(dtype).eps * float(np.abs(bounds).max())
    assert (-np.diff(bounds)).max(initial=0.0) <= rounding


@pytest.mark.parametrize("unit", [1e-6, 1e-2, 1e4])
@pytest.mark.parametrize("name", MODELS)
def test_units_of_the_samples_do_not_matter(name: str, unit: float) -> None:
    X = image_patches()
    model = MODELS[name](max_iter=10, tol=0.0, random_state=0)
    expected = np.array(fit_quietly(model, X).lower_bounds_)
    found = np.array(fit_quietly(model, unit * X).lower_bounds_)
    np.testing.assert_allclose(found + 63 * np.log(unit), expected, rtol=1e-7)


def test_raised_covariances_are_the_most_likely_ones() -> None:
    rng = np.random.default_rng(0)
    deviations = np.array([1e-3, 1.0, 20.0, 1e6])
    support = Support.spanned(np.eye(4), np.diag(deviations**2), np.float64)
    units = np.outer(deviations, deviations)
    for eigenvalues in ([4.0, 1e-3, 1e-5, 0.0], [1e-3, 1e-4, 2e-5, 1e-5], [3.0, 2.0, 1.0, 0.5]):
        basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
        sampled = (basis * eigenvalues) @ basis.T
        for floor in (1e-4, 0.7):
            raised, lifts = support.raised((units * sampled)[None], np.array([floor]), null=0.0)
            values = np.linalg.eigvalsh(raised[0] / units)
            assert values.min() >= floor * (1 - 1e-9)
            least = min(eigenvalues)
            if least:
                assert lifts[0] == pytest.approx(max(1, floor / least), rel=1e-6)

            def cost(values: np.ndarray, sampled: Any = eigenvalues) -> float:
                return float((np.log(values) + np.sort(sampled) / values).sum())

            # No other covariance of these eigenvectors above the floor is more likely.
            others = np.maximum(values * np.exp(0.3 * rng.standard_normal((2000, 4))), floor)
            assert all(cost(other) >= cost(values) - 1e-9 for other in others)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fewer_samples_than_dimensions_in_a_component(dtype: type) -> None:
    """Covariances without full rank: the floor is all that keeps them positive definite."""
    X = image_patches()[:300].astype(dtype)
    model = fastgsm.MoGSM(8, 6, max_iter=100, random_state=0)
    bounds = np.array(fit_quietly(model, X).lower_bounds_)
    # The condition of the covariances, up to 1e6, amplifies rounding.
    rounding = max(10 * np.finfo(dtype).eps, 1e-11) * np.abs(bounds).max()
    assert (-np.diff(bounds)).max() <= rounding
    least = (model.scales_[:, :, None] * model.eigenvalues_[:, None, :]).min()
    assert least >= 0.99 * model.reg_covar * np.mean(X.astype(np.float64) ** 2, axis=0).min()


def test_a_fall_of_the_likelihood_is_no_convergence() -> None:
    class Steps:
        state: ClassVar[dict[str, Any]] = {}
        bounds = iter([1.0, 2.0, 1.5, 3.0])

        def e_step(self) -> float:
            return next(self.bounds)

        def m_step(self) -> None:
            pass

    history = run_em(
        Steps(),
        tol=1e-3,
        max_iter=9,
        monitor=lambda em: False,
        name="GMM",
    )
    with pytest.warns(fastgsm.ConvergenceWarning, match=r"fell by 0\.5 .* in iteration 3"):
        history.warn()
    assert not history.converged
    assert history.lower_bounds == [1.0, 2.0, 1.5]


@pytest.mark.parametrize("reg_covar", [1e-2, 0.1])
@pytest.mark.parametrize("name", ["GMM", "MoGSM"])
def test_likelihood_never_falls_where_floors_bind(name: str, reg_covar: float) -> None:
    X = image_patches()
    model = fit_quietly(MODELS[name](random_state=0, reg_covar=reg_covar, tol=0.1), X)
    assert model.converged_
    assert np.diff(model.lower_bounds_).min() >= 0
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-9)
    if name == "MoGSM":
        np.testing.assert_allclose(model.eigenvalues_.mean(axis=1), 1)


@pytest.mark.parametrize("name", MODELS)
def test_lower_bound_is_the_score_of_what_was_learned(name: str) -> None:
    X = heavy_tailed(2000, 6)
    weights = np.random.default_rng(1).uniform(0, 2, 2000)
    options = {"tol": 1e-2, "max_iter": 500} if name in ITERATIVE else {}
    model = fit_quietly(MODELS[name](random_state=0, **options), X, weights)
    assert model.converged_
    assert model.n_iter_ == len(model.lower_bounds_)
    assert model.lower_bound_ == model.lower_bounds_[-1]
    expected = np.average(model.score_samples(X), weights=weights)
    # Rounding is amplified by the condition of the covariances, 6e7 here.
    assert model.lower_bound_ == pytest.approx(expected, rel=1e-10)


# --- known answers ------------------------------------------------------------------------


def test_gsm_recovers_weights_and_scales() -> None:
    rng = np.random.default_rng(0)
    weights, scales = np.array([0.5, 0.3, 0.2]), np.array([0.1, 1.0, 8.0])
    d, n = 9, 200_000
    factor = rng.standard_normal((d, d))
    labels = rng.choice(3, size=n, p=weights)
    X = np.sqrt(scales[labels, None]) * (rng.standard_normal((n, d)) @ factor.T)
    model = fastgsm.GSM(3, tol=1e-8, max_iter=2000).fit(X)
    order = np.argsort(model.scales_)
    # A GSM's scales are relative to the covariance of the data, weights @ scales times the shape.
    np.testing.assert_allclose(model.scales_[order], scales / (weights @ scales), rtol=0.05)
    np.testing.assert_allclose(model.weights_[order], weights, atol=0.02)
    np.testing.assert_allclose(
        model.covariances_[0], weights @ scales * factor @ factor.T, rtol=0, atol=0.05 * d
    )


def test_mogsm_recovers_weights_scales_and_shapes() -> None:
    rng = np.random.default_rng(0)
    d, n = 8, 200_000
    weights = np.array([[0.3, 0.25], [0.25, 0.2]])
    scales = np.array([[0.05, 3.0], [0.2, 20.0]])
    shapes = np.stack([np.diag(np.geomspace(1, 100, d)), np.diag(np.geomspace(100, 1, d))])
    shapes *= d / np.trace(shapes, axis1=1, axis2=2)[:, None, None]
    labels = rng.choice(4, size=n, p=weights.ravel())
    spread = np.sqrt(
        scales.ravel()[labels, None] * np.diagonal(shapes, axis1=1, axis2=2)[labels // 2]
    )
    X = spread * rng.standard_normal((n, d))
    model = fastgsm.MoGSM(2, 2, tol=1e-6, max_iter=500, random_state=0).fit(X)
    shape_order = np.argsort(model.covariances_[:, 0, 0])
    for k, found in enumerate(shape_order):
        order = np.argsort(model.scales_[found])
        np.testing.assert_allclose(model.scales_[found, order], scales[k], rtol=0.05)
        np.testing.assert_allclose(model.weights_[found, order], weights[k], atol=0.02)
        np.testing.assert_allclose(model.covariances_[found], shapes[k], atol=0.05)
    np.testing.assert_allclose(np.trace(model.covariances_, axis1=1, axis2=2), d)


def test_ica_recovers_each_coordinate() -> None:
    rng = np.random.default_rng(0)
    n, variances = 200_000, np.array([16.0, 1.0])
    weights, scales = np.array([0.7, 0.3]), np.array([0.1, 3.1])  # of mean 1
    labels = rng.choice(2, size=(n, 2), p=weights)
    s = np.sqrt(scales[labels] * variances) * rng.standard_normal((n, 2))
    rotation = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    model = fastgsm.ICA(2, tol=1e-8, max_iter=2000).fit(s @ rotation.T)
    np.testing.assert_allclose(np.abs(model.eigenvectors_), np.abs(rotation), atol=0.02)
    np.testing.assert_allclose(np.sort(model.scales_, axis=1), [scales] * 2, rtol=0.05)
    order = np.argsort(model.scales_, axis=1)
    found = np.take_along_axis(model.weights_, order, axis=1)
    np.testing.assert_allclose(found, [weights] * 2, atol=0.02)


@pytest.mark.parametrize("fit_iterations", [1, 25])
def test_gmm_reaches_scikit_learns_likelihood(fit_iterations: int) -> None:
    rng = np.random.default_rng(3)
    d, K = 8, 5
    X = np.concatenate(
        [
            rng.normal(0, 2, d) + rng.standard_normal((1500, d)) @ rng.standard_normal((d, d))
            for _ in range(K)
        ]
    )
    weights = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    means = X[rng.choice(len(X), K, replace=False)]
    covariances = np.stack([np.cov(X.T) * factor for factor in (0.2, 0.3, 0.4, 0.5, 0.6)])
    ours = fastgsm.GMM(
        K,
        weights_init=weights,
        means_init=means,
        covariances_init=covariances,
        reg_covar=1e-12,
        tol=0.0,
        max_iter=fit_iterations,
    )
    theirs = GaussianMixture(
        K,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
        reg_covar=1e-12,
        tol=0.0,
        max_iter=fit_iterations,
    )
    fit_quietly(ours, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-6)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-6)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-6)
    np.testing.assert_allclose(ours.weights_, theirs.weights_, rtol=1e-4)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-3, atol=1e-4)


# --- sample weights -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_integer_weights_equal_repeated_samples(name: str) -> None:
    X = heavy_tailed(600, 5)
    counts = np.random.default_rng(1).integers(0, 4, 600)
    # From one start, as samples drawn at random would differ.
    start = fit_quietly(MODELS[name](max_iter=1, random_state=0), X)
    given = {
        option: getattr(start, option.removesuffix("init"))
        for option in start.get_params()
        if option.endswith("s_init") and (option != "means_init" or start.fit_means)
    }
    model = MODELS[name](max_iter=5, tol=0.0, random_state=0, **given)
    weighted, repeated = (
        fit_quietly(clone(model), X, counts),
        fit_quietly(clone(model), np.repeat(X, counts, axis=0)),
    )
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-8)
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_samples_of_weight_zero_do_not_matter(name: str) -> None:
    X = heavy_tailed(900, 5)
    weights = np.ones(900)
    weights[::3] = 0
    model = MODELS[name](max_iter=5, tol=0.0, random_state=0)
    before = learned(fit_quietly(model, X, weights))
    moved = X.copy()
    moved[::3] = 0.5 * X[::3] + 0.1
    after = learned(fit_quietly(model, moved, weights))
    for key, values in before.items():
        np.testing.assert_allclose(np.abs(after[key]), np.abs(values), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("factor", [1e-50, 1e39, 1e300])
@pytest.mark.parametrize("name", MODELS)
def test_only_the_ratios_of_weights_matter(name: str, factor: float) -> None:
    X = heavy_tailed(300, 4).astype(np.float32)
    weights = np.random.default_rng(1).uniform(0, 2, 300)
    model = MODELS[name](max_iter=5, tol=0.0, random_state=0)
    expected = list(fit_quietly(model, X, weights).lower_bounds_)
    found = fit_quietly(model, X, factor * weights).lower_bounds_
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- running EM ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ITERATIVE)
def test_warm_start_continues(name: str) -> None:
    X = heavy_tailed(1500, 5)
    whole = fit_quietly(MODELS[name](max_iter=10, tol=0.0, random_state=0), X)
    parts = MODELS[name](max_iter=5, tol=0.0, random_state=0, warm_start=True)
    bounds = list(fit_quietly(parts, X).lower_bounds_)
    bounds += fit_quietly(parts, X).lower_bounds_
    # EM on scales prolongs its steps by those before, which a new fit does not know of.
    same = 6 if isinstance(parts, ScaleGroupModel) else 10
    # In between, covariances went through their eigenvectors, which rounds.
    np.testing.assert_allclose(bounds[:same], whole.lower_bounds_[:same], rtol=1e-10)
    assert (np.diff(bounds) > 0).all()
    np.testing.assert_allclose(parts.score(X), whole.score(X), rtol=1e-10 if same == 10 else 1e-3)


@pytest.mark.parametrize("first_dc_removed", [False, True])
@pytest.mark.parametrize("name", ITERATIVE)
def test_warm_start_on_samples_of_another_rank(name: str, first_dc_removed: bool) -> None:
    X = heavy_tailed(600, 5)
    first, second = (centred(X), X) if first_dc_removed else (X, centred(X))
    options = {"max_iter": 5, "tol": 0.0, "random_state": 0}
    cold = fit_quietly(MODELS[name](**options), second)
    warm = fit_quietly(MODELS[name](warm_start=True, **options), first)
    if first_dc_removed or name == "ICA":  # each of whose coordinates has scales
        with pytest.warns(UserWarning, match=r"rank, [45], is not that of X, [45], .* anew"):
            fit_quietly(warm, second)
        assert warm.lower_bounds_ == cold.lower_bounds_
    else:
        assert fit_quietly(warm, second).lower_bounds_[0] > cold.lower_bounds_[0]


@pytest.mark.parametrize("name", ITERATIVE)
def test_warm_start_on_samples_of_another_subspace(name: str) -> None:
    X = heavy_tailed(600, 5)
    other = X - X @ np.full((5, 5), 0.2) @ np.diag([1, 0, 0, 0, 0]) * 5  # sum of the others
    model = MODELS[name](warm_start=True, max_iter=5, tol=0.0, random_state=0)
    fit_quietly(fit_quietly(model, centred(X)), other)
    assert np.isfinite(model.score(other))


@pytest.mark.parametrize("name", ITERATIVE)
def test_without_warm_start_fit_forgets(name: str) -> None:
    X = heavy_tailed(800, 5)
    model = MODELS[name](max_iter=4, tol=0.0, random_state=0)
    first = list(fit_quietly(model, X).lower_bounds_)
    assert fit_quietly(model, X).lower_bounds_ == first


@pytest.mark.parametrize("name", ITERATIVE)
def test_warning_when_max_iter_comes_first(name: str) -> None:
    model = MODELS[name](max_iter=2, tol=0.0, random_state=0)
    with pytest.warns(fastgsm.ConvergenceWarning, match="did not converge in 2 iterations") as log:
        model.fit(heavy_tailed(500, 5))
    assert not model.converged_
    assert model.n_iter_ == 2
    assert log[0].filename == __file__  # it points at the caller's line


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_on_any_number_of_threads(name: str, dtype: type) -> None:
    X = heavy_tailed(9000, 7).astype(dtype)
    model = MODELS[name](max_iter=4, tol=0.0, random_state=0)
    parallel = learned(fit_quietly(model, X))
    with limit_workers(1):
        serial = learned(fit_quietly(model, X))
    for key, values in parallel.items():
        np.testing.assert_array_equal(serial[key], values)


def test_verbose_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    fit_quietly(fastgsm.GSM(2, max_iter=3, tol=0.0, verbose=1), heavy_tailed(100, 3))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 3
    assert err.startswith("GSM: iteration 1, log-likelihood ")


# --- components that start equal, die or collapse -----------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        fastgsm.GSM(3, scales_init=[1.0, 1.0, 1.0]),
        fastgsm.ICA(2, scales_init=np.ones((4, 2))),
        fastgsm.GMM(2, means_init=np.ones((2, 4)), covariances_init=np.stack([np.eye(4)] * 2)),
        fastgsm.MoGSM(
            2, 2, scales_init=np.ones((2, 2)), covariances_init=np.stack([np.eye(4)] * 2)
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_identical_components_are_an_error(model: Model) -> None:
    with pytest.raises(ValueError, match="never separate"):
        model.fit(heavy_tailed(100, 4))
    assert not hasattr(model, "n_features_in_")


def test_equal_covariances_with_different_means_are_no_error() -> None:
    X = heavy_tailed(300, 4)
    model = fastgsm.GMM(2, means_init=X[:2], covariances_init=np.stack([np.eye(4)] * 2), tol=0.1)
    assert model.fit(X).converged_


def duplicates() -> np.ndarray:
    """Return few different points, many times each."""
    return np.repeat(np.random.default_rng(0).standard_normal((6, 4)), 50, axis=0)


def mostly_flat() -> np.ndarray:
    """Patches of which most are exactly 0, as in a saturated sky."""
    X = heavy_tailed(300, 4)
    X[60:] = 0
    return X


def tight_clump() -> np.ndarray:
    """A broad cloud and one point that is there many times."""
    X = heavy_tailed(300, 4)
    X[:100] = X[0]
    return X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data", [duplicates, mostly_flat, tight_clump])
@pytest.mark.parametrize("name", MODELS)
def test_collapsing_components_stay_finite(name: str, data: Any, dtype: type) -> None:
    X = data().astype(dtype)
    model = fit_quietly(MODELS[name](max_iter=60, random_state=0), X)
    for values in learned(model).values():
        assert np.isfinite(values).all()
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.denoise_patches(X, 0.1, return_std=True)).all()
    falls = -np.diff(model.lower_bounds_)
    # Rounding is amplified by how thin a component may become: 1 / reg_covar.
    rounding = float(np.finfo(dtype).eps) / model.reg_covar
    assert falls.max(initial=0.0) <= rounding * max(1.0, *np.abs(model.lower_bounds_))


@pytest.mark.parametrize("model", [fastgsm.GMM(20), fastgsm.MoGSM(20, 3)], ids=["GMM", "MoGSM"])
def test_as_many_components_as_samples(model: Model) -> None:
    X = heavy_tailed(20, 6)
    fit_quietly(model.set_params(random_state=0), X)
    assert np.isfinite(model.score(X))
    assert model.weights_.sum() == pytest.approx(1)


def test_component_that_starts_far_from_all_samples() -> None:
    X = heavy_tailed(500, 3)
    model = fastgsm.GMM(2, means_init=[[0.0] * 3, [1e6] * 3], covariances_init=[np.eye(3)] * 2)
    with pytest.warns(fastgsm.ConvergenceWarning, match="1 of the 2 Gaussians of GMM lost") as log:
        model.fit(X)
    assert log[0].filename == __file__
    assert all(np.isfinite(values).all() for values in learned(model).values())
    assert model.score(X) >= fastgsm.GMM(1).fit(X).score(X) - 1e-9
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)


def naive_scale_em(q: np.ndarray, dimension: int, scales: np.ndarray, n_steps: int) -> list[float]:
    """Log-likelihoods of plain EM on weights and scales, from distances, but for a constant."""
    weights, bounds = np.full(scales.size, 1 / scales.size), []
    for _ in range(n_steps):
        log_prob = np.log(weights) - 0.5 * (dimension * np.log(scales) + q[:, None] / scales)
        log_norm = logsumexp(log_prob, axis=1, keepdims=True)
        bounds.append(float(log_norm.mean()))
        posterior = np.exp(log_prob - log_norm)
        weights = posterior.mean(axis=0)
        scales = q @ posterior / (dimension * posterior.sum(axis=0))
    return bounds


def test_prolonged_steps_settle_sooner_and_no_lower() -> None:
    X = heavy_tailed(2000, 5)
    model = fit_quietly(fastgsm.GSM(4, tol=1e-6, scales_init=[0.1, 0.5, 2, 10]), X)
    distances = np.einsum("ni,ij,nj->n", X, np.linalg.inv(X.T @ X / len(X)), X)
    plain = np.array(naive_scale_em(distances, 5, np.array([0.1, 0.5, 2, 10]), 3000))
    settled = int(np.argmax(np.diff(plain) < 1e-6)) + 2
    offset = model.lower_bounds_[0] - plain[0]
    assert model.n_iter_ < settled / 2
    assert model.lower_bound_ - offset >= plain[settled - 1] - 1e-9
    np.testing.assert_allclose(np.array(model.lower_bounds_[:2]) - offset, plain[:2], rtol=1e-9)


def test_prolonged_steps_that_lower_the_likelihood_are_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = heavy_tailed(2000, 5)
    monkeypatch.setattr(_steps, "prolonged", lambda path, floor: (path[2][0], 100 * path[2][1]))
    model = fit_quietly(fastgsm.GSM(4, tol=0, max_iter=20, scales_init=[0.1, 0.5, 2, 10]), X)
    distances = np.einsum("ni,ij,nj->n", X, np.linalg.inv(X.T @ X / len(X)), X)
    plain = np.array(naive_scale_em(distances, 5, np.array([0.1, 0.5, 2, 10]), 20))
    np.testing.assert_allclose(np.diff(model.lower_bounds_), np.diff(plain), rtol=0, atol=1e-10)


def test_a_path_of_equal_ratios_is_prolonged_to_its_limit() -> None:
    """Steps that shrink by the same factor add up to a geometric series."""
    limit, first = np.log([[2.0, 5.0]]), np.array([[1.0, -0.5]])
    weights = np.array([[0.5, 0.5]])
    path = [(weights, np.exp(limit + 0.8**i * first)) for i in range(3)]
    found_weights, scales = _steps.prolonged(path, 0.0)
    np.testing.assert_allclose(np.log(scales), limit, atol=1e-12)
    np.testing.assert_allclose(found_weights, weights)


def test_one_iteration_has_no_gain_to_speak_of() -> None:
    with pytest.warns(fastgsm.ConvergenceWarning, match="in 1 iterations: one iteration does not"):
        fastgsm.GMM(2, max_iter=1, random_state=0).fit(heavy_tailed(200, 2))


@pytest.mark.parametrize("way", ["fit", "partial_fit", "Dask"])
@pytest.mark.parametrize("name", MODELS)
def test_a_hint_where_samples_are_far_from_the_means(name: str, way: str) -> None:
    model = MODELS[name](random_state=0)
    X = np.random.default_rng(0).normal([0.0, 50.0], 1.0, (500, 2))
    if way == "Dask":
        X = da.from_array(X, chunks=(200, -1))
    learn = model.partial_fit if way == "partial_fit" else model.fit
    with warnings.catch_warnings(record=True) as log, dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("always")
        learn(X)
    messages = [str(each.message) for each in log if "far from 0" in str(each.message)]
    if model.means_.any():
        assert not messages
    else:
        (message,) = messages
        assert "feature 1 has mean 50 and standard deviation" in message
        advice = "set fit_means=True" if isinstance(model, fastgsm.GMM) else "use GMM or MVN"
        assert advice in message


def test_no_hint_for_the_greys_of_images() -> None:
    image = fastgsm.datasets.dead_leaves((64, 64), random_state=0)
    X = fastgsm.sample_patches(image, n_patches=500, center=None, random_state=0)
    fastgsm.GSM(2).fit(X)
