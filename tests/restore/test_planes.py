"""The planes of an image: how channels are mixed, and the noise of the planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import fastgsm
from fastgsm import NoiseModel, estimate_noise
from fastgsm.datasets import add_noise, dead_leaves
from fastgsm.metrics import psnr
from fastgsm.restore.planes import Mixing, PlaneModel, PlaneNoise, patch_covariance
from fastgsm.restore.pyramid import shrunk
from tests.helpers import QUALITIES, noisy_leaves

KERNEL = np.array([[1, 2, 0], [2, 4, 2], [0, 3, 1]]) / 6.24


def blurred(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Return noise (..., height, width) of standard deviation 1 after a small filter."""
    white = np.random.default_rng(seed).standard_normal(shape)
    spectrum = np.fft.fft2(KERNEL, shape[-2:])
    return np.fft.ifft2(np.fft.fft2(white) * spectrum).real / np.linalg.norm(KERNEL)


@pytest.fixture(scope="module")
def model() -> NoiseModel:
    """Return what is known of `blurred`, from samples."""
    return NoiseModel.from_samples(blurred((512, 512)))


def test_the_covariance_of_a_patch_has_the_correlation_of_each_pair(model: NoiseModel) -> None:
    correlation = model.correlation[0, 0]
    middle = len(correlation) // 2
    covariance = patch_covariance(correlation, 3).reshape(3, 3, 3, 3)
    for y, x, v, u in np.ndindex(3, 3, 3, 3):
        assert covariance[y, x, v, u] == correlation[middle + v - y, middle + u - x]


def test_a_patch_may_be_larger_than_the_known_distances() -> None:
    covariance = patch_covariance(np.array([[0.2, 1, 0.2]]), 4)
    np.testing.assert_array_equal(covariance.sum(axis=1), np.tile([1.2, 1.4, 1.4, 1.2], 4))


@pytest.mark.parametrize("width", [1, 3, 5, 7])
def test_the_noise_of_means_over_four_pixels(width: int) -> None:
    """Compare with all sums over two blocks of 2x2 pixels."""
    half = width // 2
    rng = np.random.default_rng(0)
    correlation = rng.standard_normal((width, width))
    correlation += correlation[::-1, ::-1]
    correlation[half, half] = 10
    padded = np.pad(correlation, 40)
    middle = len(padded) // 2
    level, noise = PlaneNoise((1.0,), (correlation,)).halved()
    assert noise.correlations is not None
    actual = noise.correlations[0] * level**2
    centre = len(actual) // 2
    pairs = [(y, x) for y in (0, 1) for x in (0, 1)]
    for dy in range(-centre, centre + 1):
        for dx in range(-centre, centre + 1):
            terms = [
                padded[middle + 2 * dy + y - v, middle + 2 * dx + x - u]
                for y, x in pairs
                for v, u in pairs
            ]
            assert actual[centre + dy, centre + dx] == pytest.approx(np.sum(terms) / 16)


def test_the_noise_at_half_the_size_is_what_is_measured_there(model: NoiseModel) -> None:
    small = NoiseModel.from_samples(shrunk(blurred((1, 1024, 1024)))[0])
    level, noise = PlaneNoise((1.0,), (model.correlation[0, 0],)).halved()
    assert noise.correlations is not None
    assert level == pytest.approx(small.level, rel=0.02)
    centre, far = len(noise.correlations[0]) // 2, small.correlation.shape[2] // 2
    near = noise.correlations[0][centre - 1 : centre + 2, centre - 1 : centre + 2]
    np.testing.assert_allclose(
        near, small.correlation[0, 0][far - 1 : far + 2, far - 1 : far + 2], atol=0.03
    )


def test_white_noise_has_half_of_the_level_at_half_the_size() -> None:
    noise = PlaneNoise((1.0, 0.5))
    assert noise.halved() == (0.5, noise)


def test_planes_have_the_covariance_of_the_mixed_channels() -> None:
    rng = np.random.default_rng(0)
    root = np.eye(3) + 0.3 * rng.standard_normal((3, 3))
    shape = NoiseModel.from_samples(blurred((256, 256))).correlation[0, 0]
    covariance = (root @ root.T)[:, :, None, None] * shape
    mixing = Mixing.adapted_to(covariance, camera=False)
    noise = np.einsum("ij,jhw->ihw", root, blurred((3, 400, 400)))
    measured = np.cov(np.einsum("mi,ihw->mhw", mixing.matrix, noise).reshape(3, -1))
    assert mixing.noise is not None
    levels = mixing.level * np.array(mixing.noise.ratios)
    np.testing.assert_allclose(np.sqrt(np.diag(measured)), levels, rtol=0.02)
    correlations = measured / np.sqrt(np.outer(np.diag(measured), np.diag(measured)))
    np.testing.assert_allclose(correlations, np.eye(3), atol=0.02)
    np.testing.assert_allclose(mixing.inverse @ mixing.matrix, np.eye(3), atol=1e-9)


def test_a_model_without_correlations_has_its_own_filters() -> None:
    prior: Any = fastgsm.load_prior("gsm")
    bank = PlaneModel.of(prior, 0.5, None).bank(0.2, np.float32, 0.01)
    assert bank is prior.wiener_bank(0.1, np.float32, 0.01)


@pytest.mark.parametrize("quality", QUALITIES)
def test_known_correlations_restore_better_than_any_level(model: NoiseModel, quality: str) -> None:
    clean = dead_leaves((96, 96), random_state=0)
    noisy = clean + 0.1 * blurred(clean.shape, seed=1)
    scaled = replace(model, sigma=0.1 * model.sigma)
    prior: Any = "gsm" if quality == "fast" else None  # its cascade knows white noise alone

    def restored(sigma: float | None = None, **options: Any) -> float:
        denoised = fastgsm.denoise(noisy, sigma, quality=quality, prior=prior, **options)
        return psnr(denoised, clean)

    known = restored(noise=scaled)
    levels = [restored(sigma) for sigma in (0.07, 0.1, 0.15)]
    assert known > max(levels) + 0.3


@pytest.mark.parametrize("quality", QUALITIES)
def test_grey_as_three_channels_gives_the_grey_result(quality: str) -> None:
    noisy = noisy_leaves((64, 64), dtype=np.float64)
    grey = fastgsm.denoise(noisy, 0.1, quality=quality)
    colour = fastgsm.denoise(np.stack([noisy] * 3), 0.1, channel_axis=0, quality=quality)
    for channel in colour:
        np.testing.assert_allclose(channel, grey, atol=1e-6)


@pytest.mark.parametrize("kind", ["photon", "correlated", "camera"])
def test_grey_as_three_channels_has_one_noise(kind: str) -> None:
    clean = dead_leaves((256, 256), random_state=0)
    rng = np.random.default_rng(0)
    noisy = {
        "photon": rng.poisson(30 * clean) / 30,
        "correlated": clean + 0.1 * gaussian_filter(rng.standard_normal(clean.shape), 1) * 3.5,
        "camera": add_noise(clean, 0.05, random_state=0),
    }[kind]
    asked: Any = "camera" if kind == "camera" else "auto"
    grey = fastgsm.denoise(noisy, noise=asked)
    assert estimate_noise(noisy, kind=asked).kind == kind
    colour = fastgsm.denoise(np.stack([noisy] * 3), noise=asked, channel_axis=0)
    np.testing.assert_allclose(colour, np.stack([grey] * 3), atol=2e-4)


def test_an_ica_knows_no_correlated_noise(model: NoiseModel) -> None:
    X = np.random.default_rng(0).standard_normal((500, 16))
    prior = fastgsm.ICA(2).fit(X)
    with pytest.raises(ValueError, match="prior is a ICA and the noise is correlated"):
        fastgsm.denoise(np.zeros((40, 40)), noise=model, prior=prior)


def test_channels_of_unequal_noise_are_told_apart() -> None:
    clean = dead_leaves((128, 128), random_state=0)
    levels = 0.02, 0.15
    noisy = np.stack([add_noise(clean, s, random_state=i) for i, s in enumerate(levels)])
    known = fastgsm.denoise(noisy, noise=NoiseModel.white(levels), channel_axis=0)
    guessed = fastgsm.denoise(noisy, channel_axis=0)
    even = fastgsm.denoise(noisy, float(np.hypot(*levels) / np.sqrt(2)), channel_axis=0)
    errors = [np.square(each - clean).mean() for each in (known, guessed, even)]
    assert errors[0] < 0.5 * errors[2]
    assert errors[1] < 1.1 * errors[0]


def test_a_pixel_may_be_masked_where_noise_is_correlated(model: NoiseModel) -> None:
    clean = dead_leaves((48, 48), random_state=0)
    noisy = clean + 0.1 * blurred(clean.shape, seed=1)
    mask = np.ones(clean.shape, bool)
    mask[20:24, 20:24] = False
    noise = replace(model, sigma=0.1 * model.sigma)
    filled = fastgsm.denoise(np.where(mask, noisy, 9), noise=noise, mask=mask)
    assert psnr(filled, clean) > psnr(noisy, clean) + 1


def test_noise_of_other_channels_is_refused() -> None:
    noise = NoiseModel.white([0.1, 0.2])
    with pytest.raises(ValueError, match="noise describes 2 channels and the image has 3"):
        fastgsm.denoise(np.zeros((16, 16, 3)), noise=noise, channel_axis=-1)
    with pytest.raises(ValueError, match="noise describes 2 channels and the image has 1"):
        fastgsm.denoise(np.zeros((16, 16)), noise=noise)
