"""Noise estimation: its accuracy, images that must not mislead it, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn

from fastgsm.datasets import add_noise, dead_leaves
from fastgsm.noise.channels import BASIS, MAX_PATCHES, grid_patches, grid_stride
from fastgsm.noise.covariance import HIGH, LOW
from fastgsm.noise.white import estimate_sigma, sigma_of_planes
from tests.helpers import photograph
from tests.noise.helpers import covariance_of_planes

LEVELS = (5, 10, 25, 50)


def white_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def smooth(height: int, width: int) -> np.ndarray:
    """Return a ramp with a wave on it, in [0.2, 0.8]."""
    y, x = np.mgrid[0:height, 0:width]
    return 0.5 + 0.2 * (x / width - 0.5) + 0.2 * np.sin(y / 20)


def wavelet_mad(image: np.ndarray) -> float:
    """Return the usual estimate, from the median absolute diagonal Haar coefficient."""
    image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    diagonal = image[::2, ::2] - image[1::2, ::2] - image[::2, 1::2] + image[1::2, 1::2]
    return float(np.median(np.abs(diagonal)) / 2 / 0.67449)


def test_basis_is_the_orthonormal_dct() -> None:
    patch = white_noise(8, 8)
    np.testing.assert_allclose(BASIS @ patch.ravel(), dctn(patch, norm="ortho").ravel())
    assert (LOW.sum(), HIGH.sum()) == (42, 10)
    assert not (LOW & HIGH).any()
    assert not (LOW | HIGH)[0]  # the mean tells nothing about the noise


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e3])
def test_pure_noise(sigma: float) -> None:
    assert estimate_sigma(sigma * white_noise(256, 256)) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["camera", "coins", "page", "brick"])
def test_photographs(name: str, level: int) -> None:
    noisy = add_noise(photograph(name), level / 255, random_state=0)
    assert estimate_sigma(noisy) == pytest.approx(level / 255, rel=0.04)


@pytest.mark.parametrize("level", LEVELS[:3])
@pytest.mark.parametrize("name", ["camera", "coins", "page", "grass", "gravel"])
def test_closer_than_the_wavelet_estimate_on_texture(name: str, level: int) -> None:
    noisy = add_noise(photograph(name), level / 255, random_state=0)
    assert abs(estimate_sigma(noisy) * 255 - level) < 0.6 * abs(wavelet_mad(noisy) * 255 - level)


@pytest.mark.parametrize("level", [10, 25, 50])
def test_dead_leaves(level: int) -> None:
    noisy = add_noise(dead_leaves((256, 256), random_state=0), level / 255, random_state=1)
    assert estimate_sigma(noisy) == pytest.approx(level / 255, rel=0.1)


@pytest.mark.parametrize("size", [8, 12, 16, 24, 48, 96])
def test_small_images_without_bias(size: int) -> None:
    estimates = [estimate_sigma(white_noise(size, size, seed=seed)) for seed in range(60)]
    assert np.mean(estimates) == pytest.approx(1, abs=0.07)
    assert np.std(estimates) < max(2.8 / size, 0.04)


@pytest.mark.parametrize("shape", [(8, 20_000), (20_000, 8), (1500, 1501)])
def test_long_and_large_images(shape: tuple[int, int]) -> None:
    assert estimate_sigma(white_noise(*shape)) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("shape", [(181, 181), (700, 900), (2000, 40)])
def test_the_number_of_patches_is_large_but_limited(shape: tuple[int, int]) -> None:
    patches = grid_patches(white_noise(*shape), grid_stride(shape))
    assert patches.shape[:2] == (8, 8)
    assert MAX_PATCHES / 4 < patches[0, 0].size < 1.1 * MAX_PATCHES


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types(dtype: type) -> None:
    noisy = (smooth(128, 128) + 0.05 * white_noise(128, 128)).astype(dtype)
    result = estimate_sigma(noisy)
    assert type(result) is float
    assert result == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(
    ("dtype", "sigma"), [(np.uint8, 10), (np.uint16, 2570), (np.int16, 1285), (np.uint32, 1e8)]
)
def test_integers_are_measured_in_grey_levels(dtype: type, sigma: float) -> None:
    top = np.iinfo(dtype).max
    noisy = np.rint(top * smooth(128, 128) + sigma * white_noise(128, 128)).astype(dtype)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.05)


def test_small_variations_on_a_large_offset() -> None:
    noisy = 1e6 + white_noise(128, 128)
    assert estimate_sigma(noisy) == pytest.approx(estimate_sigma(white_noise(128, 128)), rel=1e-6)


def test_estimate_scales_with_the_image_and_leaves_it_alone() -> None:
    noisy = smooth(100, 100) + 0.05 * white_noise(100, 100)
    before = noisy.copy()
    sigma = estimate_sigma(noisy)
    np.testing.assert_array_equal(noisy, before)
    assert estimate_sigma(noisy) == sigma
    assert estimate_sigma(7 * noisy - 3) == pytest.approx(7 * sigma)
    assert estimate_sigma(noisy.T) == pytest.approx(sigma, rel=0.02)
    assert estimate_sigma(noisy[:, ::-1]) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_channels_are_averaged_in_variance(axis: int) -> None:
    channels = [smooth(96, 96) + s * white_noise(96, 96, seed=i) for i, s in enumerate((1, 2, 3))]
    result = estimate_sigma(np.stack(channels, axis=axis), channel_axis=axis)
    assert type(result) is float
    assert result == pytest.approx(np.sqrt((1 + 4 + 9) / 3), rel=0.02)


def texture(height: int, width: int) -> np.ndarray:
    """Return 3x3 pixels of each of many random values."""
    return np.kron(white_noise(height // 3 + 1, width // 3 + 1), np.ones((3, 3)))[:height, :width]


MIXING = np.array([[3.0, 0.0, 0.0], [1.5, 2.0, 0.0], [-0.6, 0.3, 1.0]])


def correlated(height: int, width: int) -> np.ndarray:
    """Return channels (3, height, width) whose noise has the covariance of ``MIXING``."""
    return smooth(height, width) + np.tensordot(MIXING, white_noise(3, height, width), 1)


def test_covariance_of_correlated_noise() -> None:
    covariance = covariance_of_planes(correlated(256, 256), 2.0, None)
    truth = 4 * MIXING @ MIXING.T
    scale = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
    np.testing.assert_allclose(covariance / scale, truth / scale, atol=0.015)
    np.testing.assert_array_equal(covariance, covariance.T)
    sigma = sigma_of_planes(correlated(256, 256), 2.0, None)
    assert sigma == pytest.approx(np.sqrt(covariance.trace() / 3), rel=1e-12)


def test_covariance_of_dependent_channels_has_no_negative_eigenvalue() -> None:
    first, second, _ = correlated(128, 128)
    covariance = covariance_of_planes(np.stack([first, second, first - second]), 1.0, None)
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert eigenvalues[0] == pytest.approx(0, abs=1e-12 * eigenvalues[-1])
    assert eigenvalues[1] > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_covariance_of_equal_channels_is_exactly_the_variance(dtype: type) -> None:
    grey = (smooth(100, 90) + 0.1 * white_noise(100, 90)).astype(dtype)
    covariance = covariance_of_planes(np.stack([grey] * 3), 1.0, None)
    assert np.all(covariance == covariance[0, 0])
    assert covariance[0, 0] == covariance_of_planes(grey[None], 1.0, None)[0, 0]
    assert np.sqrt(covariance[0, 0]) == estimate_sigma(grey)


def test_covariance_is_measured_where_all_channels_are_smooth() -> None:
    # The first quarter is smooth in all channels, each other one only in two of them.
    planes = 0.05 * white_noise(3, 240, 240)
    for i in range(3):
        planes[i, 60 * i + 60 : 60 * i + 120] += texture(60, 240)
    covariance = covariance_of_planes(planes, 1.0, None)
    np.testing.assert_allclose(covariance, 0.0025 * np.eye(3), atol=0.0002)


def test_a_weak_channel_is_smooth_where_patches_are_chosen() -> None:
    # The strong noise of the other two channels must not hide the texture of the weak one.
    planes = np.array([1.0, 30.0, 30.0])[:, None, None] * white_noise(3, 192, 192)
    planes[0, :, 40:] += 4 * texture(192, 152)
    assert covariance_of_planes(planes, 1.0, None)[0, 0] == pytest.approx(1, rel=0.15)


def test_covariance_with_a_channel_without_noise() -> None:
    planes = correlated(128, 128)
    truth = covariance_of_planes(planes[[0, 2]], 1.0, None)
    planes[1] = 0.5
    covariance = covariance_of_planes(planes, 1.0, None)
    np.testing.assert_array_equal(covariance[1], 0)
    np.testing.assert_array_equal(covariance[:, 1], 0)
    np.testing.assert_array_equal(covariance[np.ix_([0, 2], [0, 2])], truth)
    np.testing.assert_array_equal(covariance_of_planes(0 * planes, 1.0, None), np.zeros((3, 3)))


def test_channels_that_are_noisy_in_different_places_are_uncorrelated() -> None:
    planes = correlated(128, 256)[:2]
    planes[0, :, :130] = planes[1, :, 124:] = 0
    covariance = covariance_of_planes(planes, 1.0, None)
    variances = [covariance_of_planes(each[None], 1.0, None)[0, 0] for each in planes]
    np.testing.assert_array_equal(covariance, np.diag(variances))
    np.testing.assert_allclose(np.sqrt(variances), [3, 2.5], rtol=0.04)


def test_covariance_of_a_mask() -> None:
    planes = correlated(128, 128)
    mask = np.ones((128, 128), bool)
    mask[40:] = False
    planes[:, 40:] *= 0.01
    truth = MIXING @ MIXING.T
    np.testing.assert_allclose(covariance_of_planes(planes, 1.0, mask), truth, atol=0.5)


@pytest.mark.parametrize(
    "image",
    [
        np.full((20, 20), 0.3),
        np.full((8, 9), 7, np.uint16),
        np.full((30, 30), 1e6, np.float32),
        np.full((64, 64), -0.1),
        np.zeros((64, 64)),
    ],
    ids=["grey", "integers", "large", "negative", "black"],
)
def test_constant_images_have_no_noise(image: np.ndarray) -> None:
    assert estimate_sigma(image) == 0.0


@pytest.mark.filterwarnings("ignore:.*as if clipped there")
@pytest.mark.parametrize("level", [25, 50])
def test_clipping_does_not_hide_the_noise(level: int) -> None:
    # A third of this image is pure white and black, where clipping halves the noise.
    clean = np.clip(3 * (smooth(256, 256) - 0.5) + 0.5, 0, 1)
    noisy = np.clip(add_noise(clean, level / 255, random_state=0), 0, 1)
    assert np.mean((noisy == 0) | (noisy == 1)) > 0.1
    assert estimate_sigma(noisy) == pytest.approx(level / 255, rel=0.15)
    grey_levels = np.rint(255 * noisy).astype(np.uint8)
    assert estimate_sigma(grey_levels) == pytest.approx(level, rel=0.15)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", ["letterbox", "pillarbox", "disc"])
def test_flat_parts_do_not_hide_the_noise(shape: str, fill: float) -> None:
    y, x = np.mgrid[-128:128, -128:128]
    shown = {
        "letterbox": np.abs(y) < 80,
        "pillarbox": np.abs(x) < 80,
        "disc": y**2 + x**2 < 110**2,
    }
    noisy = np.where(shown[shape], add_noise(smooth(256, 256), 0.1, random_state=0), fill)
    assert estimate_sigma(noisy) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("image", "channel_axis", "message"),
    [
        (np.zeros(9), None, r"image has 1 dimensions, shape \(9,\)"),
        (np.zeros((9, 9, 3)), None, "channel_axis"),
        (np.zeros((9, 9)), 0, "two axes of pixels and one of channels"),
        (np.zeros((9, 9, 3, 2)), 3, "two axes of pixels and one of channels"),
        (np.zeros((9, 9, 3)), 3, r"shape \(9, 9, 3\) and channel_axis is 3"),
        (np.zeros((7, 30)), None, "7x30 pixels is smaller than one patch of 8x8"),
        (np.zeros((30, 7, 3)), 2, "30x7 pixels is smaller than one patch of 8x8"),
        (np.zeros((3, 2)), None, "3x2 pixels is smaller"),
        (np.zeros((0, 9)), None, "empty"),
        (np.full((9, 9), np.nan), None, "81 NaN or infinite"),
        (np.full((9, 9), np.inf), None, "81 NaN or infinite"),
    ],
)
def test_unusable_images_are_named(
    image: np.ndarray, channel_axis: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_sigma(image, channel_axis=channel_axis)


@pytest.mark.parametrize("channel_axis", ["x", 0.5, True])
def test_a_channel_axis_that_is_not_an_integer_is_named(channel_axis: object) -> None:
    with pytest.raises(TypeError, match=f"channel_axis is {channel_axis!r}; wanted an integer"):
        estimate_sigma(np.zeros((3, 9, 9)), channel_axis=channel_axis)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.complex128, np.bool_, object])
def test_unusable_types_are_named(dtype: type) -> None:
    with pytest.raises(TypeError, match="wanted integers or real floats"):
        estimate_sigma(np.zeros((9, 9), dtype))
