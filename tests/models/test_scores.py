"""What a learned density is good for, against SciPy, closed forms, quadrature and Monte Carlo."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import fastgsm
from fastgsm.learning.density import SAMPLES_AT_ONCE
from tests.helpers import fit_quietly, new_models

MODELS = list(new_models(max_iter=5, random_state=0).values())
MIXTURES = [model for model in MODELS if not model.separable]


def name_of(model: Any) -> str:
    return type(model).__name__


def samples(n: int, d: int, *, dc_removed: bool = False, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = np.exp(rng.standard_normal((n, 1))) * (
        rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    )
    return X - X.mean(axis=1, keepdims=True) if dc_removed else X + 0.3


def gaussians(model: Any) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Weight, mean and covariance of every Gaussian of a scale mixture, from public attributes."""
    n_shapes = len(model.covariances_)
    weights, scales = (np.reshape(a, (n_shapes, -1)) for a in (model.weights_, model.scales_))
    return [
        (weights[k, j], model.means_[k], scales[k, j] * model.covariances_[k])
        for k in range(n_shapes)
        for j in range(weights.shape[1])
    ]


def log_joint(model: Any, X: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """log(weight * density) of every Gaussian (columns) at every sample (rows), by SciPy."""
    columns = []
    for weight, mean, covariance in gaussians(model):
        covariance = covariance + noise**2 * np.eye(len(mean))
        density = multivariate_normal(mean, covariance, allow_singular=True)
        columns.append(np.log(weight) + np.atleast_1d(density.logpdf(X)))
    return np.stack(columns, axis=1)


# --- densities ----------------------------------------------------------------------------


@pytest.mark.parametrize("dc_removed", [False, True])
@pytest.mark.parametrize("model", MIXTURES, ids=name_of)
def test_scores_equal_scipy(model: Any, dc_removed: bool) -> None:
    X = samples(400, 9, dc_removed=dc_removed)
    fit_quietly(model, X)
    expected = log_joint(model, X)
    np.testing.assert_allclose(model.score_samples(X), logsumexp(expected, axis=1), rtol=1e-9)
    assert model.score(X) == pytest.approx(logsumexp(expected, axis=1).mean(), rel=1e-9)
    responsibilities = np.exp(expected - logsumexp(expected, axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X), responsibilities, rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), responsibilities.argmax(axis=1))
    assert model.eigenvalues_.shape[1] == (8 if dc_removed else 9)


@pytest.mark.parametrize("dc_removed", [False, True])
def test_ica_scores_equal_one_dimensional_mixtures(dc_removed: bool) -> None:
    X = samples(400, 9, dc_removed=dc_removed)
    model = fit_quietly(fastgsm.ICA(3, max_iter=5), X)
    z = X @ model.eigenvectors_
    spread = np.sqrt(model.scales_ * model.eigenvalues_[:, None])
    joint = np.log(model.weights_) + norm.logpdf(z[:, :, None], scale=spread)
    expected = logsumexp(joint, axis=2)
    np.testing.assert_allclose(model.score_samples(X), expected.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        model.predict_proba(X), np.exp(joint - expected[:, :, None]), rtol=1e-7, atol=1e-12
    )


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_float32_scores_are_close_and_stay_float32(model: Any) -> None:
    X = samples(400, 9)
    fit_quietly(model, X)
    narrow = model.score_samples(X.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, model.score_samples(X), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_sample_far_away_has_a_finite_score(model: Any) -> None:
    fit_quietly(model, samples(400, 4))
    assert np.isfinite(model.score_samples(np.full((1, 4), 1e4))).all()
    assert model.predict_proba(np.full((1, 4), 1e4)).sum(axis=-1) == pytest.approx(1)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_there_is_no_density_outside_of_the_training_subspace(model: Any) -> None:
    fit_quietly(model, samples(200, 4, dc_removed=True))
    inside = np.array([[1.0, -1.0, 0.0, 0.0], [2.0, 1.0, 0.0, -3.0]])
    with pytest.warns(UserWarning, match=r"2 of 4 samples lie outside .* rank 3 of 4"):
        scores = model.score_samples(np.concatenate([inside, inside + 1]))
    np.testing.assert_array_equal(scores[:2], model.score_samples(inside))
    assert (scores[2:] == -np.inf).all()
    # Which Gaussian is the nearest does not depend on what all of them lack.
    np.testing.assert_allclose(model.predict_proba(inside + 1), model.predict_proba(inside))


@pytest.mark.parametrize("dc_removed", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_information_criteria(model: Any, dc_removed: bool) -> None:
    X = samples(300, 4, dc_removed=dc_removed)
    fit_quietly(model, X)
    r = 3 if dc_removed else 4
    covariance = r * (r + 1) // 2
    # Means are worth 4 each; a scale mixture's scales share one factor with its covariance.
    counted = {
        "MVN": covariance + 4,
        "GSM": covariance + 2 + 2,
        "GMM": 3 * (covariance + 4) + 2,
        "MoGSM": 3 * (covariance + 2) + 8,
        "ICA": covariance + r * (2 + 2),
    }
    free = model.n_parameters_
    assert free == counted.get(name_of(model), free)
    log_likelihood = float(model.score_samples(X).sum())
    assert model.aic(X) == pytest.approx(2 * free - 2 * log_likelihood, rel=1e-10)
    assert model.bic(X) == pytest.approx(np.log(300) * free - 2 * log_likelihood, rel=1e-10)


# --- drawing ------------------------------------------------------------------------------


@pytest.mark.parametrize("dc_removed", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_moments_of_drawn_samples(model: Any, dc_removed: bool) -> None:
    fit_quietly(model, samples(500, 4, dc_removed=dc_removed))
    n = 200_000
    X, labels = model.sample(n, random_state=0)
    assert X.shape == (n, 4)
    if model.separable:
        P, r = model.eigenvectors_, len(model.eigenvalues_)
        assert labels.shape == (n, r)
        mean = np.zeros(4)
        spread = model.eigenvalues_ * (model.weights_ * model.scales_).sum(axis=1)
        covariance = (P * spread) @ P.T
        shares = np.stack([(labels == j).mean(axis=0) for j in range(3)], axis=1)
        np.testing.assert_allclose(shares, model.weights_, atol=0.01)
    else:
        parts = gaussians(model)
        mean = sum(w * m for w, m, _ in parts)
        covariance = sum(w * (c + np.outer(m - mean, m - mean)) for w, m, c in parts)
        weights = [w for w, _, _ in parts]
        np.testing.assert_allclose(np.bincount(labels) / n, weights, atol=0.01)
        worst = parts[int(np.argmax(weights))]
        mine = X[labels == np.argmax(weights)]
        limit = 0.03 * np.abs(worst[2]).max()
        np.testing.assert_allclose(np.cov(mine.T), worst[2], rtol=0, atol=limit)
    spread = np.sqrt(np.trace(covariance))
    np.testing.assert_allclose(X.mean(axis=0), mean, rtol=0, atol=0.02 * spread)
    np.testing.assert_allclose(np.cov(X.T), covariance, rtol=0, atol=0.04 * spread**2)
    if dc_removed and name_of(model) != "MVN":
        np.testing.assert_allclose(X.mean(axis=1), 0, atol=1e-9 * spread)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_sampling_is_seeded(model: Any) -> None:
    fit_quietly(model, samples(300, 4))
    for first, second in zip(model.sample(9, 5), model.sample(9, 5), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (model.sample(9, 5)[0] != model.sample(9, 6)[0]).all()
    assert model.sample()[0].shape == (1, 4)


# --- denoising ----------------------------------------------------------------------------


@pytest.mark.parametrize("dc_removed", [False, True])
def test_mvn_is_the_wiener_filter_with_its_mean(dc_removed: bool) -> None:
    X = samples(500, 9, dc_removed=dc_removed) + np.linspace(-3, 3, 9)
    sigma = 0.7
    model = fastgsm.MVN().fit(X)
    Y = X[:50] + sigma * np.random.default_rng(1).standard_normal((50, 9))
    mean, covariance = X.mean(axis=0), np.cov(X.T, bias=True)
    gain = covariance @ np.linalg.inv(covariance + sigma**2 * np.eye(9))
    restored, std = model.denoise_patches(Y, sigma, return_std=True)
    np.testing.assert_allclose(restored, mean + (Y - mean) @ gain.T, rtol=1e-9, atol=1e-9)
    expected = np.sqrt(np.diag(covariance - gain @ covariance))
    np.testing.assert_allclose(std, np.tile(expected, (50, 1)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dc_removed", [False, True])
@pytest.mark.parametrize("model", MIXTURES, ids=name_of)
def test_blended_wiener_filters_and_their_spread(model: Any, dc_removed: bool, dtype: type) -> None:
    X = samples(400, 9, dc_removed=dc_removed)
    fit_quietly(model, X)
    sigma = 0.5
    noise = sigma * np.random.default_rng(1).standard_normal((60, 9))
    noise -= noise.mean(axis=1, keepdims=True) if dc_removed else 0.0
    Y = X[:60] + noise
    joint = log_joint(model, Y, noise=sigma)
    posterior = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    mean = second = 0.0
    for column, (_, m, C) in zip(posterior.T, gaussians(model), strict=True):
        gain = C @ np.linalg.inv(C + sigma**2 * np.eye(9))
        part = m + (Y - m) @ gain.T
        mean = mean + column[:, None] * part
        second = second + column[:, None] * (part**2 + np.diag(C - gain @ C))
    restored, std = model.denoise_patches(Y.astype(dtype), sigma, return_std=True)
    assert restored.dtype == std.dtype == dtype
    # Shapes responsible for less than a millionth are left out.
    tolerance = 2e-6 if dtype == np.float64 else 2e-4
    scale = np.abs(Y).max()
    np.testing.assert_allclose(restored, mean, rtol=tolerance, atol=tolerance * scale)
    np.testing.assert_allclose(std, np.sqrt(second - mean**2), rtol=10 * tolerance)
    np.testing.assert_allclose(
        model.denoise_patches(Y.astype(dtype), sigma), restored, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_posterior_by_importance_sampling(model: Any) -> None:
    """Draws from the prior, weighted by the noise's likelihood: no formula of the filter."""
    fit_quietly(model, samples(500, 2))
    sigma = 0.8
    Y = np.array([[0.0, 0.0], [1.0, -0.5], [3.0, 2.0]])
    X, _ = model.sample(400_000, random_state=1)
    restored, std = model.denoise_patches(Y, sigma, return_std=True)
    for y, x, s in zip(Y, restored, std, strict=True):
        weights = np.exp(-0.5 * np.square(X - y).sum(axis=1) / sigma**2)
        weights /= weights.sum()
        mean = weights @ X
        np.testing.assert_allclose(x, mean, atol=0.02)
        np.testing.assert_allclose(s, np.sqrt(weights @ np.square(X - mean)), rtol=0.03)


def test_ica_equals_one_dimensional_quadrature() -> None:
    rng = np.random.default_rng(0)
    s = np.array([3.0, 1.0, 0.4]) * rng.laplace(size=(5000, 3))
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    model = fit_quietly(fastgsm.ICA(4, max_iter=50), s @ rotation.T)
    sigma = 0.6
    Y = s[:4] @ rotation.T + sigma * rng.standard_normal((4, 3))
    P = model.eigenvectors_
    z = Y @ P
    means, variances, log_densities = (np.empty_like(z) for _ in range(3))
    for index, value in np.ndenumerate(z):
        i = index[1]
        spread = np.sqrt(model.scales_[i] * model.eigenvalues_[i])

        def prior(s: float, i: int = i, spread: np.ndarray = spread) -> float:
            return float(model.weights_[i] @ norm.pdf(s, scale=spread))

        def moment(power: int, value: float = value, prior: Any = prior) -> float:
            def integrand(s: float) -> float:
                return s**power * prior(s) * float(norm.pdf(value - s, scale=sigma))

            edges = np.linspace(-40, 40, 81)
            near = [piece for piece in pairwise(edges) if abs(sum(piece) / 2 - value) < 8]
            return sum(quad(integrand, *piece, epsabs=1e-14)[0] for piece in near)

        total = moment(0)
        means[index] = moment(1) / total
        variances[index] = moment(2) / total - means[index] ** 2
        log_densities[index] = np.log(prior(value))
    restored, std = model.denoise_patches(Y, sigma, return_std=True)
    np.testing.assert_allclose(restored, means @ P.T, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(std, np.sqrt(variances @ np.square(P).T), rtol=1e-6)
    np.testing.assert_allclose(model.score_samples(Y), log_densities.sum(axis=1), rtol=1e-9)


def test_memory_of_ica_does_not_grow_with_all_responsibilities() -> None:
    X = samples(100_000, 8)
    model = fit_quietly(fastgsm.ICA(8, max_iter=2), X[:500])
    for use in (model.score_samples, lambda X: model.denoise_patches(X, 0.5, return_std=True)):
        tracemalloc.start()
        use(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * X.nbytes  # all responsibilities at once: 3 arrays of 8 * X.nbytes


def test_ica_in_blocks_is_ica_at_once() -> None:
    X = samples(SAMPLES_AT_ONCE + 100, 3)
    model = fit_quietly(fastgsm.ICA(3, max_iter=2), X[:500])
    last = slice(SAMPLES_AT_ONCE - 5, None)
    np.testing.assert_allclose(model.score_samples(X)[last], model.score_samples(X[last]))
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X).argmax(axis=2))
    whole, part = (model.denoise_patches(Y, 0.5, return_std=True) for Y in (X, X[last]))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[last], b)
    np.testing.assert_allclose(whole[0], model.denoise_patches(X, 0.5), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_no_noise_leaves_patches_alone(model: Any) -> None:
    Y = samples(300, 4)
    fit_quietly(model, Y)
    restored, std = model.denoise_patches(Y, 0.0, return_std=True)
    np.testing.assert_array_equal(restored, Y)
    assert not np.shares_memory(restored, Y)
    assert not std.any()
    np.testing.assert_allclose(model.denoise_patches(Y, 1e-6), Y, atol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_inputs_are_not_modified(model: Any) -> None:
    X = samples(300, 4)
    before, weights = X.copy(), np.ones(300)
    fit_quietly(model, X, weights)
    model.score_samples(X)
    model.denoise_patches(X, 0.5, return_std=True)
    np.testing.assert_array_equal(X, before)
    assert (weights == 1).all()
