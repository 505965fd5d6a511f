"""EPLL as `denoise` runs it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._progress import Progress
from fastgsm.metrics import mse
from fastgsm.restore.epll import EPLL, Pass, schedule
from fastgsm.restore.method import Setting

SIGMA = 0.1

denoise = partial(fastgsm.denoise, quality="balanced")


@pytest.fixture(scope="module")
def photograph(camera: Any) -> Any:
    return camera[120:300, 150:340]


@pytest.fixture(scope="module")
def noisy(photograph: Any) -> Any:
    return fastgsm.datasets.add_noise(photograph, SIGMA, random_state=0)


def run_planes(
    model: Any, planes: Any, passes: tuple[Pass, ...], stride: int = 3, adapts: bool = True
) -> Any:
    p, rng = round(model.n_features_in_**0.5), np.random.default_rng(0)
    epll = EPLL(Setting(model, None, p, stride, planes.dtype, rng), SIGMA, passes, adapts=adapts)
    with Progress(epll.n_steps(planes.shape), "", enabled=False) as bar:
        return epll(planes, bar)


def run(model: Any, image: Any, passes: tuple[Pass, ...], stride: int = 3) -> Any:
    return run_planes(model, image[None], passes, stride)[0]


def test_beats_the_single_pass(photograph: Any, noisy: Any) -> None:
    fast = mse(fastgsm.denoise(noisy, SIGMA, prior="gsm", quality="fast"), photograph)
    assert mse(denoise(noisy, SIGMA), photograph) < 0.93 * fast


def test_the_seed_places_the_grids(noisy: Any) -> None:
    first = denoise(noisy, SIGMA, random_state=1)
    np.testing.assert_array_equal(denoise(noisy, SIGMA, random_state=1), first)
    other = denoise(noisy, SIGMA, random_state=2)
    assert 0 < mse(other, first) < 0.1 * mse(noisy, first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_do_not_depend_on_the_groups_of_rows(
    noisy: Any, monkeypatch: Any, dtype: Any
) -> None:
    image = noisy.astype(dtype)
    expected = denoise(image, SIGMA)
    monkeypatch.setattr(fastgsm.restore.epll, "PATCHES_PER_CALL", 100)
    np.testing.assert_array_equal(denoise(image, SIGMA), expected)


def centred_patches(image: Any, p: int) -> tuple[Any, Any]:
    """Return patches without their means, and the means."""
    patches = fastgsm.extract_patches(image, p)
    mean = patches.mean(axis=1, keepdims=True)
    return patches - mean, mean


def log_densities(model: Any, patches: Any, k: int, level: float) -> Any:
    """Return log-densities under the Gaussians of shape k, one for each scale: (n, n_scales)."""
    v = model.scales_[k][:, None] * model.eigenvalues_[k] + level**2
    z = patches @ model.eigenvectors_[k]
    return np.log(model.weights_[k]) - 0.5 * np.log(v).sum(axis=1) - 0.5 * (z**2 @ (1 / v).T)


def one_pass_patch_by_patch(
    model: Any, image: Any, beta: float, share: float, luminance: Any = None
) -> Any:
    """Make a pass over every patch with one shape each, the likeliest one in ``luminance``."""
    p = round(model.n_features_in_**0.5)
    level = SIGMA / np.sqrt(beta)
    n_shapes = len(model.weights_)
    chosen_in, _ = centred_patches(image if luminance is None else luminance, p)
    densities = [log_densities(model, chosen_in, k, level) for k in range(n_shapes)]
    shapes = np.argmax(np.logaddexp.reduce(densities, axis=2), axis=0)
    patches, mean = centred_patches(image, p)
    restored = np.empty_like(patches)
    for k in range(n_shapes):
        mine = shapes == k
        log_prob = log_densities(model, patches[mine], k, level)
        c = np.exp(log_prob - np.logaddexp.reduce(log_prob, axis=1)[:, None])
        v = model.scales_[k][:, None] * model.eigenvalues_[k]
        shrunk = (c @ (v / (v + level**2))) * (patches[mine] @ model.eigenvectors_[k])
        restored[mine] = shrunk @ model.eigenvectors_[k].T + mean[mine]
    average = fastgsm.aggregate_patches(restored, image.shape, p)
    return share * image + (1 - share) * average


def test_a_pass_equals_the_patchwise_computation(noisy: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(fastgsm.restore.epll, "FLAT_TAIL_LOSS", 0.0)
    monkeypatch.setattr(fastgsm.restore.epll, "CHOICE_TAIL_LOSS", 0.0)
    image = noisy[:60, :50]
    X = fastgsm.sample_patches(image, 5, 2000, random_state=0)
    model = fastgsm.MoGSM(3, 2, tol=0.1, random_state=0).fit(X)
    expected = one_pass_patch_by_patch(model, image, beta=4, share=0.3)
    [result] = run_planes(model, image[None], (Pass(4, 0.3, 0),), stride=1, adapts=False)
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_weights_of_shapes_are_learned_in_the_first_pass() -> None:
    """They come from the noisy image, for all passes. This helps much with few shapes (stripes)."""
    clean = np.tile(0.5 + 0.1 * np.sin(np.arange(96) * 0.9), (96, 1))
    noisy = fastgsm.datasets.add_noise(clean, SIGMA, random_state=0)
    model, passes = fastgsm.load_prior("mogsm"), schedule(SIGMA)
    mine = run(model, noisy, passes, stride=4)
    [priors] = run_planes(model, noisy[None], passes, stride=4, adapts=False)
    assert mse(mine, clean) < 0.8 * mse(priors, clean)


def test_passes_follow_one_another(noisy: Any) -> None:
    model = fastgsm.load_prior("gsm")
    first = run(model, noisy, (Pass(1, 0.0, 0),))
    np.testing.assert_array_equal(
        run(model, noisy, (Pass(1, 0.0, 0), Pass(2, 0.0, 0))), run(model, first, (Pass(2, 0.0, 0),))
    )


@pytest.mark.parametrize("center", ["patch", None])
@pytest.mark.parametrize(
    "model", [fastgsm.MVN(), fastgsm.GSM(3), fastgsm.GMM(2, tol=0.1), fastgsm.ICA(3, tol=0.1)]
)
def test_every_model_can_be_the_prior(model: Any, center: Any, photograph: Any, noisy: Any) -> None:
    X = fastgsm.sample_patches(photograph, 6, 3000, center=center, random_state=0)
    result = denoise(noisy, SIGMA, prior=model.fit(X))
    assert mse(result, photograph) < 0.5 * mse(noisy, photograph)


def test_shapes_are_chosen_in_the_luminance(noisy: Any, monkeypatch: Any) -> None:
    """A colour plane of other structure would choose other shapes on its own."""
    monkeypatch.setattr(fastgsm.restore.epll, "FLAT_TAIL_LOSS", 0.0)
    monkeypatch.setattr(fastgsm.restore.epll, "CHOICE_TAIL_LOSS", 0.0)
    luminance, chroma = noisy[:60, :50], noisy[100:160, 90:140]
    X = fastgsm.sample_patches(noisy, 5, 2000, random_state=0)
    model = fastgsm.MoGSM(3, 2, tol=0.1, random_state=0).fit(X)
    planes = np.stack([luminance, chroma])
    result = run_planes(model, planes, (Pass(4, 0.3, 0),), stride=1, adapts=False)
    expected = one_pass_patch_by_patch(model, chroma, 4, 0.3, luminance)
    np.testing.assert_allclose(result[1], expected, atol=1e-9)
    by_itself = one_pass_patch_by_patch(model, chroma, 4, 0.3)
    assert mse(by_itself, expected) > 1e-6


def test_center_needs_the_single_pass(noisy: Any) -> None:
    with pytest.raises(ValueError, match="quality 'balanced'; aggregation='center'"):
        denoise(noisy, SIGMA, aggregation="center")


def test_schedules_pass_through_the_tuned_levels_and_between_them() -> None:
    for sigma, (betas, shares) in fastgsm.restore.epll.TUNED.items():
        passes = schedule(sigma)
        np.testing.assert_allclose([each.beta for each in passes], betas)
        np.testing.assert_allclose([each.share for each in passes], shares)
        assert tuple(each.grid for each in passes) == fastgsm.restore.epll.GRIDS
    low, middle, high = (schedule(s / 255)[2].beta for s in (5, np.sqrt(5 * 10), 10))
    assert middle == pytest.approx((low + high) / 2)
    assert schedule(1e-9) == schedule(5 / 255)
    assert schedule(3.0, (0, 0, 0, 1)) == schedule(15 / 255, (0, 0, 0, 1))
