"""Numbers that vanish: noise too weak to square, and densities that are 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from tests.helpers import QUALITIES, fit_quietly, heavy_tailed, new_model, noisy_leaves

X = heavy_tailed(300, 4)


@cache
def fitted(name: str) -> Any:
    return fit_quietly(new_model(name, 2, random_state=0), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [0.0, 5e-324, 1e-310, 1e-170, 1e-154, 1e-100, 1e-25, 1e-15])
@pytest.mark.parametrize("name", MODELS)
def test_noise_too_weak_to_square_leaves_the_patches(name: str, sigma: float, dtype: type) -> None:
    Y = X.astype(dtype)
    with np.errstate(all="raise"):
        alone = fitted(name).denoise_patches(Y, sigma)
        restored, std = fitted(name).denoise_patches(Y, sigma, return_std=True)
    for found in (alone, restored):
        assert found.dtype == dtype and not np.may_share_memory(found, Y)
        np.testing.assert_allclose(found, Y, rtol=0, atol=2e-6 * np.abs(Y).max())
        if sigma**2 < np.finfo(dtype).tiny:
            np.testing.assert_array_equal(found, Y)
    # Rounding of the patches adds to it.
    assert (std >= 0.9 * dtype(sigma)).all() and (std < 1e-2).all()


USES: dict[str, Callable[[Any, Any], Any]] = {
    "fit": lambda model, X: model.fit(X),
    "partial_fit": lambda model, X: model.partial_fit(X),
    "m_step": lambda model, X: model.m_step(model.sufficient_statistics(X)),
    "score": lambda model, X: model.score(X),
    "predict": lambda model, X: model.predict(X),
    "predict_proba": lambda model, X: model.predict_proba(X),
    "sample": lambda model, X: model.sample(50, random_state=0),
    "covariances": lambda model, X: (model.covariances_, model.n_parameters_, model.bic(X)),
    **{
        f"denoise_patches {sigma:g}": lambda model, X, sigma=sigma: model.denoise_patches(
            X, sigma, return_std=True
        )
        for sigma in (1e-3, 0.1, 1e3)
    },
    "denoise_patches alone": lambda model, X: model.denoise_patches(X, 0.1),
}


@pytest.mark.filterwarnings("ignore::fastgsm.ConvergenceWarning", "ignore:.*floor of variances")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [0.0, 1e-6, 1.0, 1e3])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", MODELS)
def test_nothing_raises_where_numpy_raises(name: str, use: str, factor: float, dtype: type) -> None:
    """The caller's error state is for the caller's own arithmetic."""
    if use == "fit" and factor == 0:
        pytest.skip("equal samples are refused")
    model = fit_quietly(new_model(name, 2, random_state=0, max_iter=5), X.astype(dtype))
    with np.errstate(all="raise"):
        USES[use](model, (factor * X).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("quality", QUALITIES)
def test_denoise_where_numpy_raises(quality: str, dtype: type) -> None:
    image = noisy_leaves((40, 44), dtype=dtype)
    expected = fastgsm.denoise(image, quality=quality)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(fastgsm.denoise(image, quality=quality), expected)
        for sigma in (1e-7, 1e-3, 1e3):
            assert np.isfinite(fastgsm.denoise(image, sigma, quality=quality)).all()
        fastgsm.denoise(np.dstack([image] * 3), 0.1, quality=quality, channel_axis=-1)
        fastgsm.denoise(image, 0.1, quality=quality, mask=image > 0.2)


@pytest.mark.parametrize("kind", ["auto", "white", "camera"])
def test_estimating_noise_where_numpy_raises(kind: str) -> None:
    image = noisy_leaves((128, 128))
    with np.errstate(all="raise"):
        fastgsm.estimate_noise(image, kind=kind)
        fastgsm.estimate_noise(np.dstack([image] * 3), kind=kind, channel_axis=-1)
        fastgsm.estimate_sigma(np.full((64, 64), 0.5))


UNLIKE = {
    "heavy tails": np.random.default_rng(3).standard_t(3, (2000, 8)),
    "unlike units": heavy_tailed(2000, 5) * [1e-5, 1e-2, 1, 1e2, 1e5],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", UNLIKE)
def test_samples_that_an_ica_finds_improbable_underflow_in_silence(case: str, dtype: type) -> None:
    X = UNLIKE[case].astype(dtype)
    model = fit_quietly(fastgsm.ICA(8, random_state=0), X)
    for Y in (X, 30 * X):
        with np.errstate(all="raise"):
            assert np.isfinite(model.score(Y))
            assert np.isfinite(model.predict_proba(Y)).all()
            for sigma in (1e-3, 0.1):
                assert np.isfinite(model.denoise_patches(Y, sigma, return_std=True)[1]).all()
                assert np.isfinite(model.denoise_patches(Y, sigma)).all()


def test_the_deviation_of_an_ica_under_weak_noise_is_that_of_the_noise() -> None:
    X = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    model = fit_quietly(fastgsm.ICA(3, random_state=0), X)
    for sigma in (1e-15, 1e-6, 1e-3):
        std = model.denoise_patches(X, sigma, return_std=True)[1]
        # As of the largest coordinate's rounding.
        assert (std < 1.01 * sigma + 1e-5 * np.abs(X).max()).all()
