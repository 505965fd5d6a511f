"""Learning on bad days: data that no Gaussian fits, and fits that are impossible."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm import _registry as registry
from tests.helpers import fit_quietly, heavy_tailed, new_model

Model = fastgsm.models.PatchModel
MODELS: dict[str, Callable[..., Model]] = {
    **{name: partial(new_model, name) for name in registry.MODELS},
    "MoGSM": partial(fastgsm.MoGSM, 3, 2),  # with more scales, other bits take it elsewhere
    "GMM at random": partial(fastgsm.GMM, 3, init_params="random"),
    "GMM without means": partial(fastgsm.GMM, 3, fit_means=False),
}
SHAPES = [name for name, new in MODELS.items() if "n_components" in new().get_params()]


def with_outliers() -> np.ndarray:
    X = heavy_tailed(200, 4)
    X[0], X[1, 2] = 1e6, -1e6
    return X


X = heavy_tailed(200, 4)
DATA = {
    "a constant column": np.c_[X[:, :3], np.full(200, 2.0)],
    "rank 2": X[:, :2] @ heavy_tailed(2, 4, seed=1),
    "fewer samples than dimensions": heavy_tailed(6, 20),
    "outliers": with_outliers(),
    "features of many scales": X * [1e-4, 1, 1e2, 1e4],
    "far from 0": X + 1e4,
    "large": 1e11 * X / np.abs(X).max(),
    "small": 1e-12 * X,
    "8-bit integers": np.random.default_rng(0).integers(0, 255, (200, 4)).astype(np.uint8),
}


def assert_sound(model: Model, X: np.ndarray) -> None:
    """No NaN or infinity is in what was learned or comes of it."""
    for name, values in model._arrays().items():
        assert np.isfinite(values).all(), name
    assert np.isfinite(model.lower_bounds_).all()
    assert np.isfinite(model.score_samples(X)).all()
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=-1), 1, rtol=1e-4)
    assert np.isfinite(model.sample(5, random_state=0)[0]).all()
    for sigma in (0.1 * np.ptp(X), 1e3 * np.ptp(X)):
        assert np.isfinite(model.denoise_patches(X, float(sigma), return_std=True)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MODELS)
def test_odd_samples_give_a_sound_model(name: str, data: str, dtype: type) -> None:
    samples = DATA[data] if DATA[data].dtype == np.uint8 else DATA[data].astype(dtype)
    assert_sound(fit_quietly(MODELS[name](random_state=0), samples), samples)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["GMM", "GMM without means"])
def test_more_components_than_different_samples(name: str, dtype: type) -> None:
    """With a dead component, but without a warning from within."""
    repeated = np.repeat(X[:2], 40, axis=0).astype(dtype)
    repeated[:3] *= [[1], [1.5], [2]]
    model = MODELS[name](random_state=0).set_params(n_components=6)
    assert_sound(fit_quietly(model, repeated), repeated)


@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_iterations(name: str) -> None:
    few = heavy_tailed(30, 2)
    with np.errstate(divide="raise", invalid="raise"):
        model = MODELS[name](tol=0.0, max_iter=10_000, random_state=0)
        assert_sound(fit_quietly(model, few), few)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("name", MODELS)
def test_float32_agrees_with_float64(name: str, offset: float) -> None:
    narrow = (heavy_tailed(2000, 9) + offset).astype(np.float32)
    wide = narrow.astype(np.float64)
    model = MODELS[name](random_state=0, tol=0.0, max_iter=10)
    if "n_scales" in model.get_params():  # with more, rounding leads EM to other parameters
        model.set_params(n_scales=2)
    expected = fit_quietly(model, wide)
    bound, score = expected.lower_bound_, expected.score(wide)
    assert expected.score(narrow) == pytest.approx(score, rel=1e-4)
    # Squares about 0 lose digits to the square of an offset, and EM takes another way.
    far = offset > 0 and not model.means_.any()
    assert fit_quietly(model, narrow).lower_bound_ == pytest.approx(
        bound, rel=1e-3 if far else 1e-4
    )


@pytest.mark.parametrize("name", ["MVN", "GMM"])
def test_outliers_of_weight_zero_cost_no_digits(name: str) -> None:
    """Squares about the mean of all samples, outliers too, would cancel."""
    far = np.r_[X, np.full((5, 4), 1e12)]
    weights = np.r_[np.ones(200), np.zeros(5)]
    options: dict[str, Any] = {"random_state": 0}
    if name == "GMM":
        options |= {"means_init": X[:3], "covariances_init": [np.eye(4)] * 3, "max_iter": 5}
    expected = fit_quietly(MODELS[name](**options), X)
    model = fit_quietly(MODELS[name](**options), far, weights)
    np.testing.assert_allclose(model.covariances_, expected.covariances_, rtol=1e-6)
    assert model.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-9)


def test_zero_weights_may_leave_fewer_samples_than_dimensions() -> None:
    weights = np.zeros(200)
    weights[:3] = 1
    for name in set(MODELS) - set(SHAPES):
        model = fit_quietly(MODELS[name](random_state=0), X, weights)
        assert_sound(model, X[:3])
        assert model.eigenvalues_.shape[-1] <= 3


POINT = np.full((50, 4), 0.3)
NO_FLOOR = {"reg_covar": 0.0, "random_state": 0}


@pytest.mark.parametrize(
    ("model", "samples", "message"),
    [
        (fastgsm.MVN(), X[:1], "n_samples = 1; .* needs at least 2 samples. Draw more"),
        (fastgsm.GMM(5), X[:4], "at least 5 samples. Draw more, or ask for fewer components"),
        (fastgsm.MVN(), POINT, "samples of X are the same.* Wanted at least 2 different samples"),
        (fastgsm.GSM(), np.zeros((50, 4)), "samples of X are the same"),
        (fastgsm.ICA(), np.zeros((50, 4), np.float32), "samples of X are the same"),
        (fastgsm.GMM(9, random_state=0), np.repeat(X[:2], 40, axis=0), "ask for fewer components"),
        (fastgsm.MVN(reg_covar=2.0), X, "reg_covar is 2; wanted at most 1"),
        (fastgsm.MVN(), 1e160 * X, r"too large to learn from in float64.* Rescale X\."),
        (fastgsm.GMM(2), 1e-200 * X, r"too small to learn from in float64.* Rescale X\."),
        (fastgsm.MoGSM(2, 2), (1e-30 * X).astype(np.float32), "too small .* or use float64"),
        (fastgsm.GMM(2), (1e30 * X).astype(np.float32), "too large .* or use float64"),
        (fastgsm.GMM(3, **NO_FLOOR), with_outliers(), "lost its extent .* Raise reg_covar"),
        (fastgsm.GSM(3, **NO_FLOOR), np.r_[POINT * 0, X[:1]], "raise reg_covar"),
        (fastgsm.ICA(3, **NO_FLOOR), np.r_[POINT * 0, X[:1]], "raise reg_covar"),
    ],
)
def test_an_impossible_fit_says_what_to_change(
    model: Model, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_quietly(model, samples)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_a_floor_a_model_is_sound_or_refused(name: str, dtype: type) -> None:
    """Without one some got eigenvalues below 0, and sampled NaN."""
    for samples in (with_outliers(), np.repeat(X[:3], 40, axis=0), np.r_[POINT * 0, X[:1]]):
        samples = np.asarray(samples, dtype)
        try:
            model = fit_quietly(MODELS[name](**NO_FLOOR), samples)
        except ValueError as error:
            assert "reg_covar" in str(error) or "fewer components" in str(error)
        else:
            for values in model._arrays().values():
                assert np.isfinite(values).all()
            assert np.isfinite(model.sample(5, random_state=0)[0]).all()


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_almost_vanish(name: str) -> None:
    """All but one sample count for nothing beside it, as far as float64 can tell."""
    weights = np.full(200, 1e-320)
    weights[0] = 1
    model = MODELS[name](random_state=0)
    try:
        fit_quietly(model, X, weights)
    except ValueError as error:
        assert "sample_weight" in str(error) or "fewer components" in str(error)
    else:
        assert np.isfinite(model.lower_bound_)


@pytest.mark.parametrize("name", SHAPES)
def test_a_failed_fit_leaves_the_model_as_it_was(name: str) -> None:
    model = fit_quietly(MODELS[name](random_state=0), X)
    expected, bounds = model.score_samples(X), model.lower_bounds_
    with pytest.raises(ValueError, match=r"reg_covar|fewer"):
        fit_quietly(model.set_params(reg_covar=0.0), np.r_[POINT * 0, X[:1]])
    np.testing.assert_array_equal(model.score_samples(X), expected)
    assert model.lower_bounds_ is bounds


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_samples_and_noise_beyond_all_deviations_are_refused(name: str, dtype: type) -> None:
    model = fit_quietly(MODELS[name](random_state=0), X)
    far = np.full((2, 4), 1e30 if dtype == np.float32 else 1e200, dtype)
    for use in (model.score_samples, model.predict_proba, lambda Y: model.denoise_patches(Y, 0.1)):
        with pytest.raises(ValueError, match="in the units of the training data"):
            use(far)
    with pytest.raises(ValueError, match="sigma is up to"):
        model.denoise_patches(X.astype(dtype), float(far[0, 0]), return_std=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("direction", [[1.0], [3.0, -1.0, 0.2]])
def test_in_one_dimension_a_mogsm_is_a_gsm(direction: list[float], dtype: type) -> None:
    line = (heavy_tailed(2000, 1) * direction).astype(dtype)
    options: dict[str, Any] = {"tol": 1e-7, "max_iter": 3000}
    gsm = fit_quietly(fastgsm.GSM(6, **options), line)
    model = fit_quietly(fastgsm.MoGSM(3, 2, random_state=0, **options), line)
    assert_sound(model, line)
    # More scales than that hardly help.
    assert model.score(line) == pytest.approx(gsm.score(line), abs=2e-3)
    assert model.score(line) > fit_quietly(fastgsm.GSM(1), line).score(line) + 0.05
    assert len(np.unique(model.scales_)) == 6


def test_a_mogsm_of_one_point_is_sound() -> None:
    model = fit_quietly(fastgsm.MoGSM(3, 2), POINT)
    assert np.isfinite(model.score(POINT))
