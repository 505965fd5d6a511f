"""Where EM starts from: k-means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastgsm
from fastgsm.learning.start import kmeans_seeds
from tests.helpers import heavy_tailed


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
