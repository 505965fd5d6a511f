"""Mixtures whose parameters are given: from arrays, scikit-learn and MATLAB; and labels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.exceptions
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

import fastgsm
from fastgsm.cli import main
from tests.helpers import QUALITIES, fit_quietly, heavy_tailed, new_model

SIGMA = 0.1


def positive(n: int, d: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw positive definite matrices (n, d, d)."""
    factors = np.random.default_rng(seed).normal(size=(n, d, 2 * d))
    return factors @ factors.transpose(0, 2, 1) / d


def log_density(X: Any, weights: Any, means: Any, covariances: Any) -> Any:
    terms = [
        np.log(w) + multivariate_normal(mean, cov).logpdf(X)
        for w, mean, cov in zip(weights, means, covariances, strict=True)
    ]
    return logsumexp(terms, axis=0)


@pytest.fixture(scope="module")
def clean() -> Any:
    return fastgsm.datasets.dead_leaves((96, 96), random_state=0).astype(np.float64)


@pytest.fixture(scope="module")
def patches(clean: Any) -> Any:
    return fastgsm.sample_patches(clean, 6, 4000, random_state=0)


@pytest.fixture(scope="module")
def theirs(patches: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(4, random_state=0, max_iter=20).fit(patches)


# --- from arrays --------------------------------------------------------------------------------


def test_a_gmm_of_given_parameters_scores_by_the_formula() -> None:
    weights, means, covariances = [0.5, 0.3, 0.2], heavy_tailed(3, 4), positive(3, 4)
    X = heavy_tailed(50, 4, 1)
    model = fastgsm.GMM.from_parameters(weights, means, covariances)
    wanted = log_density(X, weights, means, covariances)
    np.testing.assert_allclose(model.score_samples(X), wanted, rtol=1e-9)
    np.testing.assert_allclose(model.covariances_, covariances, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(model.means_, means)
    assert (model.n_components, model.n_iter_, model.lower_bounds_) == (3, 0, [])
    assert model.fit_means
    assert not model.converged_
    assert np.isnan(model.lower_bound_)


def test_scale_mixtures_of_given_parameters_score_by_the_formula() -> None:
    weights, scales = np.array([[0.3, 0.1], [0.2, 0.4]]), np.array([[0.1, 2.0], [0.5, 7.0]])
    covariances, X = positive(2, 4), heavy_tailed(50, 4, 1)
    spread = (scales[:, :, None, None] * covariances[:, None]).reshape(4, 4, 4)
    mogsm = fastgsm.MoGSM.from_parameters(weights, scales, covariances)
    wanted = log_density(X, weights.ravel(), np.zeros((4, 4)), spread)
    np.testing.assert_allclose(mogsm.score_samples(X), wanted, rtol=1e-9)
    np.testing.assert_allclose(np.trace(mogsm.covariances_, axis1=1, axis2=2), 4)
    for given in (covariances[0], covariances[:1]):
        gsm = fastgsm.GSM.from_parameters([0.3, 0.7], scales[0], given)
        wanted = log_density(X, [0.3, 0.7], np.zeros((2, 4)), spread[:2])
        np.testing.assert_allclose(gsm.score_samples(X), wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["GMM", "MoGSM", "GSM"])
def test_a_models_own_parameters_give_it_back(name: str, patches: Any) -> None:
    fitted = fit_quietly(new_model(name, random_state=0, max_iter=5), patches)
    second = fitted.means_ if name == "GMM" else fitted.scales_
    same = type(fitted).from_parameters(fitted.weights_, second, fitted.covariances_)
    assert same.eigenvalues_.shape == fitted.eigenvalues_.shape == (len(same.means_), 35)
    np.testing.assert_allclose(
        same.score_samples(patches), fitted.score_samples(patches), rtol=1e-8
    )


def test_means_of_zero_stay_zero() -> None:
    covariances = positive(2, 4)
    for means in (None, np.zeros((2, 4))):
        model = fastgsm.GMM.from_parameters([0.5, 0.5], means, covariances)
        assert not model.fit_means
        assert not model.partial_fit(heavy_tailed(100, 4), step=0.1).means_.any()


def test_features_in_unlike_units_keep_their_digits() -> None:
    units = np.array([1e-4, 1.0, 1e4])
    covariances, X = positive(2, 3), heavy_tailed(20, 3)
    plain = fastgsm.GMM.from_parameters([0.5, 0.5], None, covariances)
    scaled = fastgsm.GMM.from_parameters([0.5, 0.5], None, covariances * np.outer(units, units))
    np.testing.assert_allclose(
        scaled.score_samples(X * units) + np.log(units).sum(), plain.score_samples(X), rtol=1e-5
    )


def test_lists_integers_and_float32_are_accepted_and_not_changed() -> None:
    covariances = positive(2, 3).astype(np.float32)
    given = np.array([0.5, 0.5], np.float32), np.zeros((2, 3), int), covariances
    kept = [values.copy() for values in given]
    model = fastgsm.GMM.from_parameters(*given)
    lists = fastgsm.GMM.from_parameters(*(values.tolist() for values in given))
    np.testing.assert_array_equal(model.covariances_, lists.covariances_)
    for values, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_later_changes_of_what_was_given_do_not_reach_the_model() -> None:
    weights, scales, means = np.array([0.3, 0.7]), np.array([1.0, 4.0]), heavy_tailed(2, 3)
    covariances, X = positive(2, 3), heavy_tailed(9, 3, 1)
    models = [
        fastgsm.GMM.from_parameters(weights, means, covariances),
        fastgsm.GSM.from_parameters(weights, scales, covariances[0]),
        fastgsm.GMM(2, means_init=means, random_state=0).fit(X, callback=lambda em: True),
    ]
    before = [model._digest() for model in models]
    for values in (weights, scales, means, covariances):
        values += 1
    assert [model._digest() for model in models] == before


def test_one_null_space_of_all_is_left_out() -> None:
    centring = np.eye(4) - 0.25
    for dtype in (np.float64, np.float32):
        covariances = (centring @ positive(3, 4) @ centring).astype(dtype)
        model = fastgsm.GMM.from_parameters([0.2, 0.3, 0.5], None, covariances)
        assert model.eigenvalues_.shape == (3, 3)
        np.testing.assert_allclose(model.eigenvectors_.sum(axis=1), 0, atol=1e-6)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "sum": ({"weights": [0.5, 0.6]}, r"weights sums to 1\.1 .* wanted weights of at least 0 that"),
    "negative": ({"weights": [-0.5, 1.5]}, "a least weight of -0.5"),
    "number": ({"weights": [0.3, 0.3, 0.4]}, r"weights has shape \(3,\); wanted \(2,\)"),
    "nan weight": ({"weights": [np.nan, 1]}, "weights holds NaN"),
    "complex weight": ({"weights": [0.5 + 1j, 0.5]}, "weights has complex numbers"),
    "text": ({"weights": ["a", "b"]}, "weights .*wanted numbers|not an array of real numbers"),
    "means": ({"means": np.zeros((2, 4))}, r"means has shape \(2, 4\); wanted \(2, 3\)"),
    "inf mean": ({"means": np.full((2, 3), np.inf)}, "means holds NaN or infinity"),
    "complex mean": ({"means": np.zeros((2, 3), complex)}, "means has complex numbers"),
    "flat": ({"covariances": np.eye(3)}, r"covariances has shape \(3, 3\); wanted \(n_comp"),
    "oblong": ({"covariances": np.ones((2, 3, 4))}, r"covariances has shape \(2, 3, 4\)"),
    "empty": ({"covariances": np.ones((0, 3, 3))}, r"covariances has shape \(0, 3, 3\)"),
    "nan": ({"covariances": positive(2, 3) * np.nan}, "covariances holds NaN"),
    "complex": ({"covariances": positive(2, 3) + 0j}, "covariances has complex numbers"),
    "skew": (
        {"covariances": positive(2, 3) + np.triu(np.ones((3, 3)), 1)},
        r"covariances is not symmetric: \[0, 0, 1\] is .* wanted covariance matrices",
    ),
    "variance": (
        {"covariances": [np.eye(3), np.diag([1, 1, -1])]},
        r"covariances\[1\] has a variance of -1",
    ),
    "indefinite": (
        {"covariances": [np.eye(3), np.ones((3, 3)) - 0.5 * np.eye(3)]},
        r"covariances\[1\] is not positive semidefinite: .* eigenvalue of -1",
    ),
    "zero variance": (
        {"covariances": [np.eye(3), [[0, 0.1, 0], [0.1, 1, 0], [0, 0, 1]]]},
        r"covariances\[1\] is not positive semidefinite",
    ),
    "singular": (
        {"covariances": [np.eye(3), np.ones((3, 3))]},
        r"covariances\[1\] has no inverse: .* numpy\.eye\(3\)",
    ),
    "flat one": (
        {"covariances": [np.eye(3), np.diag([1, 1, 0])]},
        r"covariances\[1\] has no inverse",
    ),
    "nothing": ({"covariances": np.zeros((2, 3, 3))}, "all covariances are 0"),
    "means apart": (
        {"means": [[0, 0, 0], [0, 0, 1]], "covariances": [np.diag([1, 1, 0])] * 2},
        r"covariances\[0\] has no inverse",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parameters_are_named(case: str) -> None:
    given: dict[str, Any] = {
        "weights": [0.5, 0.5],
        "means": np.zeros((2, 3)),
        "covariances": positive(2, 3),
    }
    bad, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        fastgsm.GMM.from_parameters(**{**given, **bad})


def test_bad_scales_are_named() -> None:
    covariances, weights = positive(2, 3), np.full((2, 2), 0.25)
    for scales, message in (
        ([[1, 2], [3, 0]], "scales has a least value of 0; wanted numbers above 0"),
        ([1, 2], r"scales has shape \(2,\); wanted \(n_components, n_scales\)"),
        (np.ones((3, 2)), r"scales has shape \(3, 2\)"),
        ([[1, 2], [3, np.nan]], "scales holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            fastgsm.MoGSM.from_parameters(weights, scales, covariances)
    with pytest.raises(ValueError, match="wanted one matrix"):
        fastgsm.GSM.from_parameters([0.5, 0.5], [1, 2], covariances)
    with pytest.raises(ValueError, match=r"weights has shape \(3,\); wanted \(2,\)"):
        fastgsm.GSM.from_parameters([0.2, 0.3, 0.5], [1, 2], covariances[0])


def test_arrays_that_would_lose_what_they_mean_are_named() -> None:
    covariances, weights, scales = positive(2, 3), np.full((2, 2), 0.25), np.ones((2, 2))
    masked = np.ma.masked_array(covariances, covariances > 1)
    ragged = [[1, 2], [3]]
    for error, match, parameters in (
        (TypeError, "covariances is a masked array", (weights, scales, masked)),
        (ValueError, "covariances is not an array", (weights, scales, [np.eye(2), ragged])),
        (ValueError, "scales is not an array of numbers", (weights, ragged, covariances)),
    ):
        with pytest.raises(error, match=match):
            fastgsm.MoGSM.from_parameters(*parameters)
    for error, match, parameters in (
        (TypeError, "covariances is a masked array", ([1], [1], masked[0])),
        (TypeError, "covariances is a sparse matrix", ([1], [1], csr_array(covariances[0]))),
        (ValueError, "scales is empty", ([], [], covariances[0])),
    ):
        with pytest.raises(error, match=match):
            fastgsm.GSM.from_parameters(*parameters)


def test_starting_covariances_may_be_symmetric_to_rounding_only() -> None:
    covariances = positive(2, 4)
    covariances[:, 0, 1] = 0.0
    covariances[:, 1, 0] = 1e-14
    fit_quietly(fastgsm.GMM(2, covariances_init=covariances, random_state=0), heavy_tailed(99, 4))


# --- what such a model does ---------------------------------------------------------------------


def test_it_is_saved_loaded_and_described(
    theirs: Any, patches: Any, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "model.npz"
    model = fastgsm.GMM.from_sklearn(theirs)
    model.save(path)
    same = fastgsm.load(path)
    np.testing.assert_array_equal(same.score_samples(patches), model.score_samples(patches))
    assert same.lower_bounds_ == []
    assert np.isnan(same.lower_bound_)
    assert main(["info", str(path)]) == 0
    assert "none; the parameters were given" in capsys.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    assert '"log_likelihood": null' in capsys.readouterr().out


def test_it_learns_on(theirs: Any, patches: Any) -> None:
    model = fastgsm.GMM.from_sklearn(theirs)
    for step in ("decay", "equal"):
        with pytest.raises(ValueError, match=r"wanted another step, e\.g\. step=0\.1"):
            model.partial_fit(patches, step=step)
    before = model.covariances_
    assert np.abs(model.partial_fit(patches, step=0.1).covariances_ - before).max() > 0
    noisy = patches + np.random.default_rng(0).normal(0, 1e-3, patches.shape)
    for X in (noisy, patches):  # of full rank, as the mixture is, and without their mean
        given = fastgsm.GMM.from_sklearn(theirs)
        model = fit_quietly(given.set_params(warm_start=True, max_iter=5), X)
        if X is noisy:
            expected = fastgsm.GMM.from_sklearn(theirs).score(X)
        else:
            # The density on the subspace is higher, as that across is a factor: sqrt(2 pi 1e-6).
            expected = fastgsm.GMM.from_sklearn(theirs).score(X) + 0.5 * np.log(2e-6 * np.pi)
        assert model.lower_bounds_[0] == pytest.approx(expected, rel=1e-3)
    statistics = fastgsm.GMM.from_sklearn(theirs).sufficient_statistics(patches)
    assert statistics.n_samples == len(patches)


def test_it_has_no_curve_of_learning() -> None:
    model = fastgsm.GMM.from_parameters([0.5, 0.5], None, positive(2, 4))
    with pytest.raises(ValueError, match=r"model 'given' .* has no curve"):
        fastgsm.plot.plot_likelihood({"given": model})


# --- from scikit-learn --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("mixture", [GaussianMixture, BayesianGaussianMixture])
def test_the_mixture_of_scikit_learn(mixture: Any, kind: str) -> None:
    X = heavy_tailed(400, 3) + 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = mixture(n_components=3, covariance_type=kind, random_state=0).fit(X)
    model = fastgsm.GMM.from_sklearn(fitted)
    # Only the predictive density of a Bayesian mixture is none of Gaussians.
    means, weights = fitted.means_, fitted.weights_
    wanted = log_density(X, weights, means, model.covariances_)
    np.testing.assert_allclose(model.score_samples(X), wanted, rtol=1e-8)
    if mixture is GaussianMixture:
        np.testing.assert_allclose(model.score_samples(X), fitted.score_samples(X), rtol=1e-8)
        np.testing.assert_array_equal(model.predict(X), fitted.predict(X))


def test_names_of_features_are_kept() -> None:
    X = pd.DataFrame(heavy_tailed(100, 2), columns=["a", "b"])
    model = fastgsm.GMM.from_sklearn(GaussianMixture(2, random_state=0).fit(X))
    assert list(model.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        model.score(X[["b", "a"]])


def test_what_is_no_fitted_mixture_is_refused() -> None:
    for error in (fastgsm.NotFittedError, sklearn.exceptions.NotFittedError):
        with pytest.raises(error, match="mixture is not fitted"):
            fastgsm.GMM.from_sklearn(GaussianMixture(2))
    with pytest.raises(TypeError, match="mixture is a GSM; wanted scikit-learn's"):
        fastgsm.GMM.from_sklearn(fastgsm.GSM())


@pytest.mark.parametrize("quality", QUALITIES)
def test_it_denoises_as_a_model_of_the_same_patches(
    theirs: Any, patches: Any, clean: Any, quality: str
) -> None:
    """scikit-learn gives patches without their mean a variance of 1e-6 in that direction."""
    noisy = fastgsm.datasets.add_noise(clean + 3, SIGMA, random_state=1)
    ours = fit_quietly(fastgsm.GMM(4, random_state=0, max_iter=20), patches)
    errors = []
    for prior in (fastgsm.GMM.from_sklearn(theirs), ours):
        restored = fastgsm.denoise(noisy, SIGMA, prior=prior, quality=quality, data_range=1.0)
        errors.append(float(np.mean((restored - clean - 3) ** 2)))
    assert errors[0] < 0.4 * SIGMA**2
    assert errors[0] < 1.1 * errors[1]


# --- from MATLAB --------------------------------------------------------------------------------


def test_a_mixture_in_the_layout_of_epll(clean: Any, patches: Any, tmp_path: Path) -> None:
    ours = fit_quietly(fastgsm.GMM(3, random_state=0, fit_means=False, max_iter=10), patches)
    order = np.arange(36).reshape(6, 6).T.ravel()  # MATLAB's, down the columns
    covs = ours.covariances_[:, order][:, :, order].transpose(1, 2, 0)
    fields = {
        "nmodels": 3.0,
        "dim": 36.0,
        "mixweights": ours.weights_[:, None],
        "covs": covs,
        "means": np.zeros((36, 3)),
    }
    savemat(tmp_path / "model.mat", {"GS": fields})

    GS = loadmat(tmp_path / "model.mat", simplify_cells=True)["GS"]
    side = round(GS["dim"] ** 0.5)
    order = np.arange(side**2).reshape(side, side).T.ravel()
    model = fastgsm.GMM.from_parameters(
        GS["mixweights"],
        GS["means"].T[:, order],
        GS["covs"].transpose(2, 0, 1)[:, order][:, :, order],
    )
    assert not model.fit_means
    np.testing.assert_allclose(model.score_samples(patches), ours.score_samples(patches), rtol=1e-8)
    noisy = fastgsm.datasets.add_noise(clean, SIGMA, random_state=1)
    restored = fastgsm.denoise(noisy, SIGMA, prior=model)
    assert np.mean((restored - clean) ** 2) < 0.4 * SIGMA**2
    np.testing.assert_allclose(restored, fastgsm.denoise(noisy, SIGMA, prior=ours), atol=1e-3)

    raw = loadmat(tmp_path / "model.mat")["GS"][0, 0]  # (K, 1) and so on
    again = fastgsm.GMM.from_parameters(raw["mixweights"], None, raw["covs"].transpose(2, 0, 1))
    np.testing.assert_array_equal(again.weights_, model.weights_)


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GMM", "MoGSM", "GSM"])
def test_fit_predict_gives_the_labels_of_the_fitted_model(name: str) -> None:
    X, weights = heavy_tailed(300, 4), np.random.default_rng(0).uniform(1, 2, 300)
    model, other = (new_model(name, random_state=0, tol=0.1) for _ in range(2))
    labels = model.fit_predict(X, sample_weight=weights)
    other.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(labels, other.predict(X))
    np.testing.assert_array_equal(labels, model.predict(X))


def test_fit_predict_finds_blobs_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 1, (50, 2)) for c in (0, 9, 18)])
    ours = fastgsm.GMM(3, n_init=2, random_state=0).fit_predict(X)
    theirs = GaussianMixture(3, random_state=0).fit_predict(X)
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == 3


def test_fit_predict_refuses_a_dask_array_before_the_fit() -> None:
    da = pytest.importorskip("dask.array")
    model = fastgsm.GMM(2)
    with pytest.raises(TypeError, match="X is a Dask array"):
        model.fit_predict(da.ones((100, 4)))
    assert not hasattr(model, "n_features_in_")
