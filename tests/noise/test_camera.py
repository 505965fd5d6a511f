"""Noise of finished photographs: its simulation, its estimate, and restoration with it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.colour import mixing_matrix, noise_adapted_matrix
from fastgsm.datasets import add_noise, camera_noise, dead_leaves
from fastgsm.metrics import psnr
from fastgsm.noise.estimate import estimate_noise
from fastgsm.noise.model import NoiseModel
from tests.helpers import QUALITIES, photograph


@pytest.fixture(scope="module")
def clean() -> Any:
    return photograph("astronaut")[:160, 150:310].astype(np.float32)


@pytest.fixture(scope="module")
def picture(clean: Any) -> Any:
    """Return what the camera makes of the scene without noise."""
    return camera_noise(clean, np.inf)


@pytest.fixture(scope="module")
def noisy(clean: Any) -> Any:
    return camera_noise(clean, 150, random_state=0)


def camera(image: Any, mask: Any = None) -> NoiseModel:
    axis = None if image.ndim == 2 else -1
    return estimate_noise(image, channel_axis=axis, mask=mask, kind="camera")


def test_the_simulated_noise_is_correlated_between_pixels_and_channels(
    picture: Any, noisy: Any
) -> None:
    error = (noisy - picture).astype(np.float64)
    beside = np.corrcoef(error[:, 1:].ravel(), error[:, :-1].ravel())[0, 1]
    channels = np.corrcoef(error.reshape(-1, 3).T)
    assert beside > 0.5 and channels[0, 1] > 0.3
    assert error.reshape(-1, 3).std(axis=0).argmin() == 1  # green


def test_the_simulation_is_seeded_and_keeps_its_input(clean: Any) -> None:
    before = clean.copy()
    first, again = (camera_noise(clean, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(clean, before)
    assert first.dtype == clean.dtype and first.min() >= 0 and first.max() <= 1


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((9, 9, 3), np.uint8), {}, "image has dtype uint8"),
        (np.zeros((9, 9)), {}, "image has shape (9, 9)"),
        (np.full((9, 9, 3), 2.0), {}, "image has values from 2 to 2"),
        (np.full((9, 9, 3), np.nan), {}, "image has values from nan to nan"),
        (np.zeros((9, 9, 3)), {"photons": 0}, "photons is 0"),
        (np.zeros((9, 9, 3)), {"smoothing": -1}, "smoothing is -1"),
    ],
)
def test_the_simulation_names_bad_input(image: Any, options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        camera_noise(image, **options)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_equal_white_noise_gives_the_plain_mixing(n: int) -> None:
    np.testing.assert_allclose(noise_adapted_matrix(0.3 * np.eye(n)), mixing_matrix(n), atol=1e-12)


def test_the_adapted_mixing_leaves_uncorrelated_planes() -> None:
    root = np.random.default_rng(0).standard_normal((3, 3))
    covariance = root @ root.T / 3 + np.eye(3)
    A = noise_adapted_matrix(covariance)
    mixed = A @ covariance @ A.T
    np.testing.assert_allclose(mixed, np.diag(np.diag(mixed)), atol=1e-9)
    np.testing.assert_allclose(A.sum(axis=1), [1, 0, 0], atol=1e-9)
    # No weights of sum 1 leave less noise in the first plane.
    others = np.random.default_rng(1).dirichlet(np.ones(3), 200)
    assert (np.einsum("ni,ij,nj->n", others, covariance, others) >= mixed[0, 0]).all()


def test_the_estimate_grows_with_the_noise(clean: Any) -> None:
    levels = [
        np.square(camera(camera_noise(clean, photons, random_state=0)).sigma).sum()
        for photons in (2000, 200, 50)
    ]
    assert levels[0] < levels[1] < levels[2]


def test_the_estimate_of_white_noise_is_its_level() -> None:
    grey = dead_leaves((256, 256), random_state=0)
    sigma = 40 / 255  # above what a camera leaves
    estimate = camera(add_noise(grey, sigma, random_state=0))
    assert estimate.camera
    assert estimate.sigma == pytest.approx([sigma], rel=0.15)


def test_the_estimate_leaves_clipped_and_masked_pixels_out(noisy: Any) -> None:
    trusted = np.ones(noisy.shape[:2], bool)
    trusted[:40] = False
    spoilt = noisy.copy()
    spoilt[:40] = np.random.default_rng(0).uniform(0.1, 0.9, spoilt[:40].shape)
    wanted = camera(noisy, trusted)
    np.testing.assert_array_equal(camera(spoilt, trusted).sigma, wanted.sigma)
    spoilt[:40] = 0  # clipped to black: no noise there
    np.testing.assert_allclose(camera(spoilt).sigma, camera(noisy).sigma, rtol=0.25)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_photograph_is_restored_better_than_with_white_noise(
    noisy: Any, picture: Any, quality: str
) -> None:
    before = noisy.copy()
    restored = fastgsm.denoise(noisy, noise="camera", quality=quality, channel_axis=-1)
    white = fastgsm.denoise(noisy, noise="white", quality=quality, channel_axis=-1)
    gain = psnr(restored, picture) - psnr(noisy, picture)
    assert gain > 1 and gain > psnr(white, picture) - psnr(noisy, picture) + 0.5
    assert restored.dtype == noisy.dtype
    np.testing.assert_array_equal(noisy, before)


def test_grey_integers_and_masks_work_too(noisy: Any, picture: Any) -> None:
    grey = np.rint(255 * noisy.mean(axis=2)).astype(np.uint8)
    target = 255 * picture.mean(axis=2)
    restored = fastgsm.denoise(grey, noise="camera")
    assert restored.dtype == np.uint8
    assert np.square(restored - target).mean() < 0.8 * np.square(grey - target).mean()
    mask = np.ones(grey.shape, bool)
    mask[50:60, 50:60] = False
    filled = fastgsm.denoise(np.where(mask, grey, 0).astype(np.uint8), noise="camera", mask=mask)
    assert np.square(filled - target)[mask].mean() < np.square(grey - target)[mask].mean()


def test_sigma_is_of_white_noise(noisy: Any) -> None:
    crop = noisy[:32, :32, 0]
    default = fastgsm.denoise(crop, 0.05)
    for noise in ("auto", "white", None, NoiseModel.white(0.05)):
        sigma = None if isinstance(noise, NoiseModel) else 0.05
        np.testing.assert_array_equal(fastgsm.denoise(crop, sigma, noise=noise), default)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "camera", "sigma": 0.1}, "sigma is 0.1 and noise is 'camera'"),
        ({"noise": "film"}, "noise is 'film'; wanted 'auto', 'white', 'camera'"),
        (
            {"noise": "camera", "return_std": True, "quality": "fast"},
            "return_std was asked for with noise that is not white",
        ),
    ],
)
def test_bad_options_are_named(noisy: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fastgsm.denoise(noisy, channel_axis=-1, **options)
