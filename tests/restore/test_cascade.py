"""The cascade against its formulas in plain NumPy, and where it takes the models' place."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

import fastgsm
from fastgsm._progress import Progress
from fastgsm.kernels._jit import limit_workers
from fastgsm.models.cascade import LEAST_SIGMA, MIDDLE_SIGMA, MOST_SIGMA, Cascade
from fastgsm.priors import list_cascades, load_cascade, read_card
from fastgsm.restore.cascade import CascadePasses, cascades_reach, stage_grid
from fastgsm.restore.method import Cascades
from fastgsm.restore.pyramid import enlarged, shrunk

SIGMA = 0.1


def random_cascade(p: int = 3, n_filters: int = 7, n_components: int = 3) -> Cascade:
    """A cascade of three stages, the second halved, whose parameters are all independent."""
    normal = np.random.default_rng(0).standard_normal
    S, M, J = 3, n_filters, n_components
    return Cascade(
        forward=normal((S, M, p * p)) / p,
        backward=normal((S, M, p * p)) / p,
        log_weights=normal((S, J)),
        log_variances=normal((S, J, M)) - 4,
        log_noise=normal((S, J, M)) / 3,
        log_kept=normal((S, J, M)) - 4,
        log_kept_noise=normal((S, J, M)) / 3,
        log_traces=normal((S, J)) / 3,
        log_temperature=normal(S) / 3,
        share=np.tile([-1.0, 0.2], (S, 1)),
        log_level=np.tile([-1.0, -0.2], (S, 1)),
        halved=np.array([False, True, False]),
    )


def naive_stage(cascade: Cascade, s: int, image: np.ndarray, variance: float) -> np.ndarray:
    """Restore an image (H, W) by one stage, patch by patch, as `Cascade` says."""
    p, grid = cascade.patch_size, stage_grid(cascade, s, image.shape)
    t = np.exp(cascade.log_variances[s]) + variance * np.exp(cascade.log_noise[s])
    kept = np.exp(cascade.log_kept[s])
    gains = kept / (kept + variance * np.exp(cascade.log_kept_noise[s]))
    total, weights = np.zeros((2, *image.shape))
    for y in grid.rows:
        for x in grid.cols:
            place = slice(y, y + p), slice(x, x + p)
            mean = image[place].mean()
            z = cascade.forward[s] @ (image[place] - mean).ravel()
            log_prob = cascade.log_weights[s] - (np.log(t) + z**2 / t).sum(axis=1) / 2
            shares = softmax(np.exp(cascade.log_temperature[s]) * log_prob)
            noise = cascade.backward[s].T @ (shares @ (1 - gains) * z)
            weight = 1 / (shares @ (np.exp(cascade.log_traces[s]) * (1 + gains.sum(axis=1))))
            total[place] += weight * (image[place] - noise.reshape(p, p))
            weights[place] += weight
    return total / weights


def naive(cascade: Cascade, noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Restore an image (H, W) by all stages."""
    tone, result = np.log(sigma**2 / MIDDLE_SIGMA**2), noisy
    for s in range(cascade.n_stages):
        variance, seen = sigma**2, noisy
        if s > 0:
            share = 1 / (1 + np.exp(-cascade.share[s] @ (1, tone)))
            variance *= np.exp(cascade.log_level[s] @ (1, tone))
            seen = result + share * (noisy - result)
        if not cascade.halved[s]:
            result = naive_stage(cascade, s, seen, variance)
        elif min(noisy.shape) >= 2 * cascade.patch_size - 1:  # patches fit at half of the size
            half = naive_stage(cascade, s, shrunk(seen[None])[0], variance / 4)
            correction = half - shrunk(result[None])[0]
            result = result + enlarged(correction[None], (1, *result.shape))[0]
    return result


def restored(cascade: Cascade, noisy: np.ndarray, sigma: float, **options: Any) -> np.ndarray:
    """Return the planes (n, H, W) after all stages."""
    method = CascadePasses(Cascades(cascade, cascade, 2), sigma, **options)
    with Progress(method.n_steps(noisy.shape), "", enabled=False) as bar:
        return method(noisy, bar)


@pytest.mark.parametrize("shape", [(24, 30), (17, 21), (3, 9), (5, 40)])
def test_cascade_is_its_formula(shape: tuple[int, int]) -> None:
    cascade = random_cascade()
    noisy = np.random.default_rng(1).standard_normal(shape) * 0.2 + 0.5
    result = restored(cascade, noisy[None], SIGMA)[0]
    np.testing.assert_allclose(result, naive(cascade, noisy, SIGMA), atol=1e-8)


def test_planes_have_their_own_level_and_cascade() -> None:
    first, others = random_cascade(), random_cascade(n_components=2)
    noisy = np.random.default_rng(1).standard_normal((3, 20, 24))
    method = CascadePasses(Cascades(first, others, 2), SIGMA, (1.0, 0.5, 2.0))
    with Progress(method.n_steps(noisy.shape), "", enabled=False) as bar:
        planes = method(noisy, bar)
    wanted = [
        restored(cascade, plane[None], SIGMA * ratio)[0]
        for cascade, plane, ratio in zip(
            (first, others, others), noisy, (1.0, 0.5, 2.0), strict=True
        )
    ]
    np.testing.assert_array_equal(planes, wanted)


def test_a_pixel_reaches_no_farther_than_the_reach() -> None:
    cascade = random_cascade()
    halo = cascades_reach(Cascades(cascade, cascade, 2)).halo
    noisy = np.random.default_rng(1).standard_normal((1, 4 * halo, 4 * halo + 3))
    other = noisy.copy()
    other[0, 2 * halo, 2 * halo + 1] += 1
    rows, cols = np.nonzero((restored(cascade, noisy, 1.0) != restored(cascade, other, 1.0))[0])
    assert 0 < np.abs(rows - 2 * halo).max() <= halo
    assert 0 < np.abs(cols - 2 * halo - 1).max() <= halo


def test_every_number_of_threads_gives_the_same_bits() -> None:
    noisy = np.random.default_rng(1).random((1, 300, 200), np.float32)
    cascade = load_cascade("cascade-fast")
    wanted = restored(cascade, noisy, SIGMA)
    for workers in (1, 2, 3):
        with limit_workers(workers):
            np.testing.assert_array_equal(restored(cascade, noisy, SIGMA), wanted)


@pytest.mark.parametrize("sigma", [1e-5, LEAST_SIGMA / 1.01, MOST_SIGMA * 1.01, 3.0])
def test_models_restore_what_cascades_were_not_trained_on(sigma: float) -> None:
    clean = fastgsm.datasets.dead_leaves((48, 48), random_state=0)
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=0)
    results = [
        fastgsm.denoise(noisy, sigma, quality="fast", data_range=1, prior=prior)
        for prior in (None, "gsm")
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("sigma", [LEAST_SIGMA * 1.01, 0.01, 0.05, 0.2])
def test_cascade_restores_better_than_the_model(sigma: float) -> None:
    clean = fastgsm.datasets.dead_leaves((96, 96), random_state=0)
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=0)
    restored, by_model = (
        fastgsm.denoise(noisy, sigma, quality="fast", data_range=1, prior=prior)
        for prior in (None, "gsm")
    )
    assert np.mean((restored - clean) ** 2) < np.mean((by_model - clean) ** 2)


def test_cascade_is_what_fast_uses_without_a_prior() -> None:
    clean = fastgsm.datasets.dead_leaves((64, 70), random_state=0)
    noisy = fastgsm.datasets.add_noise(clean, SIGMA, random_state=0)

    def denoise(**options: Any) -> np.ndarray:
        return fastgsm.denoise(noisy, SIGMA, quality="fast", data_range=1, **options)

    default, by_model = denoise(), denoise(prior="gsm")
    wanted = restored(load_cascade("cascade-fast"), noisy[None], SIGMA)[0]
    np.testing.assert_allclose(default, wanted, atol=1e-6)
    assert not np.array_equal(default, by_model)
    assert np.mean((default - clean) ** 2) < np.mean((by_model - clean) ** 2)
    denser = denoise(stride=1)
    assert not np.array_equal(default, denser)
    # What a cascade cannot do, the model does.
    np.testing.assert_array_equal(
        denoise(aggregation="center"), denoise(aggregation="center", prior="gsm")
    )


def test_three_channels_have_the_chroma_cascade() -> None:
    clean = np.stack(
        [fastgsm.datasets.dead_leaves((48, 50), random_state=i) for i in range(4)], axis=-1
    )
    noisy = fastgsm.datasets.add_noise(clean, SIGMA, random_state=0)
    for n, others in ((3, "cascade-fast-chroma"), (4, "cascade-fast")):
        pair = Cascades(load_cascade("cascade-fast"), load_cascade(others), 2)
        planes, inverse = _mixed(noisy[..., :n])
        method = CascadePasses(pair, SIGMA / np.sqrt(n))
        with Progress(method.n_steps(planes.shape), "", enabled=False) as bar:
            wanted = np.einsum("nm,mhw->hwn", inverse, method(planes, bar))
        result = fastgsm.denoise(
            noisy[..., :n], SIGMA, noise="white",
            quality="fast", channel_axis=-1, data_range=1,
        )  # fmt: skip
        np.testing.assert_allclose(result, wanted, atol=1e-5)


def _mixed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the planes (n, H, W) of an image, and the matrix back to its channels."""
    n = image.shape[-1]
    matrix = fastgsm.colour.mixing_matrix(n)
    return np.einsum("mn,hwn->mhw", matrix, image), matrix.T * n


def test_files_of_cascades(tmp_path: Path) -> None:
    cascade = random_cascade()
    cascade.save(tmp_path / "mine.npz")
    same = Cascade.load(tmp_path / "mine.npz")
    for each in fields(cascade):
        wanted = getattr(cascade, each.name)
        np.testing.assert_allclose(getattr(same, each.name), wanted, rtol=1e-6)


def test_bundled_cascades_have_cards() -> None:
    folder = Path(fastgsm.priors.__file__).parent
    assert list_cascades() == ["cascade-fast", "cascade-fast-chroma"]
    for name in list_cascades():
        assert load_cascade(name).forward.shape[2] == 64
        assert name not in fastgsm.list_priors()
        assert name in (folder / f"{name}.md").read_text()
        assert read_card(name)["Of"]
