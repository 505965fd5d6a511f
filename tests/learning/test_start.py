"""Where EM starts from: k-means, several starts, and the same start wherever the samples are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastgsm
from fastgsm.learning.start import kmeans_seeds
from tests.helpers import fit_quietly, heavy_tailed, new_model


def blobs(seed: int, n_blobs: int = 5, n: int = 100) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw round blobs of ``n`` samples each, and return the samples and the blobs' centres."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 10, (n_blobs, 2))
    return np.vstack([rng.normal(centre, 1, (n, 2)) for centre in centres]), centres


# --- k-means ------------------------------------------------------------------------------------


def test_each_separate_blob_gets_a_seed() -> None:
    corners = np.array([(0, 0), (0, 20), (20, 0), (20, 20), (10, 10)])
    rng = np.random.default_rng(0)
    X = np.repeat(corners, 100, axis=0) + rng.normal(size=(500, 2))
    found = []
    for seed in range(100):
        seeds = kmeans_seeds(X, 5, np.random.default_rng(seed))
        nearest = np.square(seeds[:, None] - corners).sum(axis=2).argmin(axis=1)
        found.append(len(set(nearest)))
    assert found.count(5) >= 99


def test_seeds_are_samples_and_of_the_given_generator() -> None:
    X = heavy_tailed(300, 4)
    seeds = kmeans_seeds(X, 20, np.random.default_rng(3))
    np.testing.assert_array_equal(seeds, kmeans_seeds(X, 20, np.random.default_rng(3)))
    rows = {row.tobytes() for row in X}
    assert len({row.tobytes() for row in seeds} & rows) == 20


def test_more_seeds_than_different_samples() -> None:
    X = np.repeat(np.eye(3), 4, axis=0)
    seeds = kmeans_seeds(X, 5, np.random.default_rng(0))
    assert seeds.shape == (5, 3)
    assert len(np.unique(seeds, axis=0)) == 3


def test_fits_of_blobs_end_in_the_best_maximum() -> None:
    worse = 0
    for data in range(10, 18):
        X, centres = blobs(data)
        best = fastgsm.GMM(5, means_init=centres).fit(X).score(X)
        scores = [fastgsm.GMM(5, random_state=seed).fit(X).score(X) for seed in range(5)]
        worse += sum(score < best - 0.02 for score in scores)
    assert worse <= 1


# --- several starts -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GMM", "MoGSM"])
def test_the_best_of_several_starts_is_kept(name: str) -> None:
    X = heavy_tailed(600, 4)
    rng = np.random.default_rng(7)
    each = [fit_quietly(new_model(name, random_state=rng), X) for _ in range(5)]
    bounds = [model.lower_bound_ for model in each]
    best = int(np.argmax(bounds))
    assert best > 0
    assert bounds[best] > min(bounds)
    model = fit_quietly(new_model(name, n_init=5, random_state=7), X)
    assert model.lower_bounds_ == each[best].lower_bounds_
    assert model.converged_ == each[best].converged_
    for key, values in model._arrays().items():
        np.testing.assert_array_equal(values, each[best]._arrays()[key])


def test_one_start_is_the_default() -> None:
    X = heavy_tailed(300, 4)
    one = fit_quietly(fastgsm.GMM(3, random_state=0), X)
    same = fit_quietly(fastgsm.GMM(3, n_init=1, random_state=0), X)
    assert one.n_init == 1
    np.testing.assert_array_equal(one.means_, same.means_)


@pytest.mark.parametrize(("seed", "max_iter", "n_warnings"), [(2, 15, 0), (0, 12, 1)])
def test_only_the_kept_start_warns(seed: int, max_iter: int, n_warnings: int) -> None:
    X = heavy_tailed(600, 4)
    options: dict[str, Any] = {"n_components": 3, "max_iter": max_iter, "tol": 1e-2}
    rng = np.random.default_rng(seed)
    each = [fit_quietly(fastgsm.GMM(random_state=rng, **options), X) for _ in range(4)]
    assert {model.converged_ for model in each} == {True, False}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = fastgsm.GMM(n_init=4, random_state=seed, **options).fit(X)
    assert model.lower_bound_ == max(other.lower_bound_ for other in each)
    assert [warning.category for warning in seen] == [fastgsm.ConvergenceWarning] * n_warnings
    assert all(warning.filename == __file__ for warning in seen)


def test_a_callback_ends_all_starts() -> None:
    X = heavy_tailed(600, 4)
    iterations: list[int] = []

    def end(em: fastgsm.EMIteration) -> bool:
        iterations.append(em.iteration)
        return iterations.count(1) == 2 and em.iteration == 2

    model = fastgsm.GMM(3, n_init=5, random_state=0, tol=1e-2).fit(X, callback=end)
    assert iterations[-2:] == [1, 2]
    assert iterations.count(1) == 2
    first = fastgsm.GMM(3, random_state=0, tol=1e-2).fit(X)
    assert model.lower_bound_ >= first.lower_bound_


def test_a_warm_start_is_the_only_one() -> None:
    X = heavy_tailed(600, 4)
    model = fit_quietly(fastgsm.GMM(3, n_init=3, random_state=0, warm_start=True), X)
    iterations: list[int] = []
    model.fit(X, callback=lambda em: iterations.append(em.iteration))
    assert iterations.count(1) == 1


def test_several_starts_are_saved(tmp_path: Path) -> None:
    model = fit_quietly(fastgsm.GMM(2, n_init=2, random_state=0), heavy_tailed(200, 4))
    model.save(tmp_path / "model.npz")
    assert fastgsm.load(tmp_path / "model.npz").get_params()["n_init"] == 2


def test_several_starts_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    X = heavy_tailed(200, 4)
    means, covariances = X[:2], np.stack([np.eye(4), 2 * np.eye(4)])
    start: dict[str, Any] = {"weights_init": [0.5, 0.5], "covariances_init": covariances}
    with pytest.raises(ValueError, match="n_init is 0; wanted an integer of at least 1"):
        fastgsm.GMM(2, n_init=0).fit(X)
    with pytest.raises(TypeError, match=r"n_init is 1\.5; wanted an integer"):
        fastgsm.MoGSM(2, 2, n_init=1.5).fit(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all starting values are given"):
        fastgsm.GMM(2, n_init=2, means_init=means, **start).fit(X)
    with pytest.raises(ValueError, match="all starting values are given"):
        fastgsm.GMM(2, n_init=2, fit_means=False, **start).fit(X)
    fit_quietly(fastgsm.GMM(2, n_init=2, **start), X)  # the means are drawn
    with pytest.raises(ValueError, match="all starting values are given"):
        fastgsm.MoGSM(
            2, 2, n_init=2, weights_init=np.full((2, 2), 0.25), covariances_init=covariances
        ).fit(X)
    with pytest.raises(ValueError, match="a checkpoint holds one start"):
        fastgsm.GMM(2, n_init=2).fit(X, checkpoint=tmp_path / "fit.npz")
    for name in ("MVN", "GSM", "ICA"):
        with pytest.raises(TypeError, match="n_init"):
            new_model(name, n_init=2)
