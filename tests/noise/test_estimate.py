"""What kind of noise an image has: found where it is, and not taken for another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import fastgsm
from fastgsm import NoiseModel, estimate_noise
from fastgsm.datasets import add_noise, camera_noise, dead_leaves
from fastgsm.metrics import psnr
from fastgsm.noise.channels import BASIS
from fastgsm.noise.coloured import RESPONSE, autocovariance
from fastgsm.restore.planes import patch_covariance
from tests.helpers import noisy_leaves, photograph


@pytest.fixture(scope="module")
def clean() -> Any:
    return photograph("astronaut").astype(np.float32)


def kind_of(image: Any) -> str:
    return estimate_noise(image, channel_axis=-1 if image.ndim == 3 else None).kind


@pytest.mark.parametrize("sigma", [0, 5, 15, 50])
def test_white_noise_and_none_are_white(clean: Any, sigma: float) -> None:
    noisy = add_noise(clean, sigma / 255, random_state=0)
    for image in (noisy, noisy[..., 1], np.rint(100 + 400 * noisy).astype(np.uint16)):
        found = estimate_noise(image, channel_axis=-1 if image.ndim == 3 else None)
        assert found.kind == "white"
        unit = 255 / 400 if image.dtype == np.uint16 else 255
        assert found.level * unit == pytest.approx(sigma, rel=0.2, abs=1.5)


def test_photons_are_found_with_their_numbers(clean: Any) -> None:
    counts = np.random.default_rng(0).poisson(40 * clean[..., 1])
    found = estimate_noise(3.0 * counts + 20, data_range=140)
    assert found.photons is not None
    gain, offset, read_noise = found.photons
    assert gain == pytest.approx(3, rel=0.15) and offset == pytest.approx(20, abs=6)
    assert read_noise < 9


def test_a_dim_channel_is_no_noise_of_photons(clean: Any) -> None:
    noisy = add_noise(clean[..., 1], 0.1, random_state=0)
    assert kind_of(np.stack([noisy, 0.8 * noisy, 0.5 * noisy], axis=-1)) == "white"


def test_a_camera_is_found(clean: Any) -> None:
    noisy = camera_noise(clean, 100, random_state=0)
    found = estimate_noise(noisy, channel_axis=-1)
    assert found.kind == "camera"
    asked = estimate_noise(noisy, channel_axis=-1, kind="camera")
    assert found.level <= asked.level


@pytest.mark.parametrize("blur", [0.7, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_correlated_noise_is_found_with_its_spectrum(
    clean: Any, blur: float, channels: int
) -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal((512, 512, channels))
    noise = gaussian_filter(white, (blur, blur, 0), mode="wrap")
    noise *= 0.1 / noise.std()
    image = (clean[..., :channels] + noise).squeeze()
    found = estimate_noise(image, channel_axis=-1 if channels == 3 else None)
    assert found.kind == "correlated"
    # What texture adds to the lowest frequencies stays in it.
    np.testing.assert_allclose(found.sigma, 0.1, rtol=0.45)
    true = NoiseModel.from_samples(noise[..., 0])
    middle = found.correlation.shape[2] // 2
    beside = found.correlation[0, 0, middle, middle + 1]
    middle = true.correlation.shape[2] // 2
    assert beside == pytest.approx(true.correlation[0, 0, middle, middle + 1], abs=0.2)


def test_the_fitted_covariance_has_the_variances_of_the_transform() -> None:
    distances = np.arange(-7, 8)
    true = 0.04 * np.multiply.outer(0.6 ** np.abs(distances), 0.4 ** np.abs(distances))
    covariance = patch_covariance(true, 8)
    variances = np.einsum("fi,ij,fj->f", BASIS, covariance, BASIS)[1:]
    fitted = autocovariance(variances)
    again = np.einsum("fi,ij,fj->f", BASIS, patch_covariance(fitted, 8), BASIS)[1:]
    np.testing.assert_allclose(again, variances, rtol=0.05)
    np.testing.assert_allclose(fitted[6:9, 6:9], true[6:9, 6:9], rtol=0.1)
    assert RESPONSE.shape == (63, 17 * 17)


def test_small_images_count_as_white(clean: Any) -> None:
    for top in range(0, 448, 64):
        assert kind_of(clean[top : top + 64, 100:164]) == "white"


def test_nothing_is_said_of_clipping_where_sigma_is_given() -> None:
    dark = np.random.default_rng(0).normal(0, 0.1, (64, 64, 3)).clip(0, 1)
    for sigma in (0.1, 0):
        fastgsm.denoise(dark, sigma, channel_axis=-1)  # a warning would be an error
    with pytest.warns(UserWarning, match="clipped"):
        fastgsm.denoise(dark, channel_axis=-1)


@pytest.mark.parametrize("quality", ["balanced", "best"])
def test_a_channel_without_noise_stays_as_it_is(clean: Any, quality: str) -> None:
    image = add_noise(clean[:128, 128:256], 0.1, random_state=0)
    image[..., 2] = 0
    before = image.copy()
    options: dict[str, Any] = {"channel_axis": -1, "quality": quality}
    known = fastgsm.denoise(image, noise=NoiseModel.white([0.1, 0.1, 0]), **options)
    for result in (known, fastgsm.denoise(image, **options)):
        np.testing.assert_array_equal(result[..., 2], 0)
        assert psnr(result[..., :2], clean[:128, 128:256, :2]) > 29
    np.testing.assert_array_equal(image, before)


def test_missing_pixels_of_a_channel_without_noise_are_filled(clean: Any) -> None:
    image = add_noise(clean[:64, 160:224], 0.1, random_state=0)
    image[..., 2] = clean[:64, 160:224, 2]
    image[30:33, 30:33] = np.nan
    noise = NoiseModel.white([0.1, 0.1, 0])
    filled = fastgsm.denoise(image, noise=noise, channel_axis=-1)
    known = ~np.isnan(image[..., 2])
    np.testing.assert_array_equal(filled[..., 2][known], image[..., 2][known])
    assert np.abs(filled - clean[:64, 160:224])[30:33, 30:33].max() < 0.3


def test_steps_of_planes_are_counted_not_of_channels(
    clean: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = NoiseModel.white([0.1, 0.1, 0])
    image = clean[:64, :64]
    fastgsm.denoise(image, noise=noise, channel_axis=-1, quality="fast", progress=True)
    assert "8/8" in capsys.readouterr().err


@pytest.mark.parametrize("quality", ["fast", "balanced", "best"])
def test_noise_that_cancels_in_the_mean(quality: str) -> None:
    grey = dead_leaves((64, 64), random_state=0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(grey.shape)
    model = NoiseModel.from_covariance([[0.01, -0.01], [-0.01, 0.01]])
    image = np.stack([grey + noise, grey - noise])
    result = fastgsm.denoise(image, noise=model, channel_axis=0, quality=quality)
    assert np.square(result - grey).mean() < 0.03 * np.square(noise).mean()


def test_noise_of_the_highest_frequency_alone() -> None:
    psd = np.zeros((64, 64))
    psd[32, 32] = 64**4 * 0.01
    rows, cols = np.indices((64, 64))
    clean = dead_leaves((64, 64), random_state=0)
    noisy = clean + 0.1 * (-1.0) ** (rows + cols)
    for quality in ("fast", "balanced", "best"):
        result = fastgsm.denoise(noisy, noise=NoiseModel.from_psd(psd), quality=quality)
        assert psnr(result, clean) > psnr(noisy, clean) + 5


def test_masked_pixels_where_channels_are_unequally_noisy(clean: Any) -> None:
    levels = [0.002, 0.05, 0.05]
    image = clean[:96, 160:256].astype(np.float64)
    noisy = image + levels * np.random.default_rng(0).standard_normal(image.shape)
    model = NoiseModel.white(levels)
    whole = fastgsm.denoise(noisy, noise=model, channel_axis=-1)
    mask = np.ones(image.shape[:2], bool)
    mask[40:44, 40:44] = False
    filled = fastgsm.denoise(noisy, noise=model, channel_axis=-1, mask=mask)
    for channel in (1, 2):
        errors = [np.square(each - image)[mask][:, channel].mean() for each in (whole, filled)]
        assert errors[1] < 1.6 * errors[0]


def test_axes_of_length_one_are_left_out() -> None:
    noisy = noisy_leaves((64, 80))
    mask = np.ones(noisy.shape, bool)
    mask[:4] = False
    for estimate in (fastgsm.estimate_sigma, lambda *a, **k: estimate_noise(*a, **k).level):
        assert estimate(noisy[None, :, :, None]) == estimate(noisy)
        assert estimate(noisy[None], mask=mask[None]) == estimate(noisy, mask=mask)
