"""Masked pixels and noise that differs from pixel to pixel, as `denoise` treats them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.interpolate import griddata

import fastgsm
from fastgsm import denoise
from fastgsm.metrics import psnr
from fastgsm.restore.presets import PRESETS
from fastgsm.restore.uneven import descending_levels, filled
from tests.helpers import QUALITIES

SIGMA = 0.1


@pytest.fixture(scope="module")
def photograph(camera: Any) -> Any:
    return camera[120:248, 150:278].astype(np.float32)


@pytest.fixture(scope="module")
def leaves() -> Any:
    return fastgsm.datasets.dead_leaves((96, 112), random_state=0)


@pytest.fixture(scope="module")
def small(photograph: Any) -> Any:
    return photograph[30:78, 40:80]


def random_mask(shape: tuple[int, ...], share: float = 0.5) -> Any:
    return np.random.default_rng(0).random(shape) < share


def interpolated(image: Any, mask: Any) -> Any:
    """Interpolate linearly between the trusted pixels; use the nearest one beyond them."""
    places, every = np.argwhere(mask), np.argwhere(np.ones(mask.shape))
    linear, nearest = (
        griddata(places, image[mask], every, method=method).reshape(mask.shape)
        for method in ("linear", "nearest")
    )
    return np.where(np.isnan(linear), nearest, linear)


@pytest.mark.parametrize("name", ["photograph", "leaves"])
@pytest.mark.parametrize("quality", QUALITIES)
def test_half_of_the_pixels_are_filled_in(name: str, quality: str, request: Any) -> None:
    image = request.getfixturevalue(name)
    gain = {"photograph": 2.7, "leaves": 0.8}[name]
    mask = random_mask(image.shape)
    result = denoise(np.where(mask, image, 0), 0, mask=mask, quality=quality)
    np.testing.assert_array_equal(result[mask], image[mask])
    assert psnr(result, image) > psnr(interpolated(image, mask), image) + gain


def test_noise_is_removed_and_holes_are_filled(photograph: Any) -> None:
    mask = random_mask(photograph.shape, 0.9)
    noisy = fastgsm.datasets.add_noise(photograph, SIGMA, random_state=1)
    whole = denoise(noisy, SIGMA)
    result = denoise(np.where(mask, noisy, 7), SIGMA, mask=mask)
    assert psnr(result[mask], photograph[mask]) > psnr(whole[mask], photograph[mask]) - 0.7
    assert psnr(result[~mask], photograph[~mask]) > psnr(whole[~mask], photograph[~mask]) - 2


@pytest.mark.parametrize("quality", [q for q in QUALITIES if PRESETS[q].new_uneven])
def test_one_masked_pixel_changes_little_elsewhere(photograph: Any, quality: str) -> None:
    noisy = fastgsm.datasets.add_noise(photograph, SIGMA, random_state=1)
    mask = np.ones(noisy.shape, bool)
    mask[50, 60] = False
    whole = denoise(noisy, SIGMA, quality=quality)
    result = denoise(noisy, SIGMA, mask=mask, quality=quality)
    assert psnr(result, photograph) > psnr(whole, photograph) - 0.1


def test_later_stages_use_the_restored_pixels_not_the_first_fill(photograph: Any) -> None:
    """With every other four rows missing, the first fill is far from the result of EPLL."""
    mask = np.broadcast_to(np.arange(photograph.shape[0])[:, None] % 8 < 4, photograph.shape)
    noisy = fastgsm.datasets.add_noise(photograph, SIGMA, random_state=1)
    best, balanced = (denoise(noisy, SIGMA, mask=mask, quality=q) for q in ("best", "balanced"))
    # 28.3 and 21.7 dB; 27.0 and 20.6 if the half size used the first fill.
    assert psnr(balanced[mask], photograph[mask]) > 27.7
    assert psnr(balanced[~mask], photograph[~mask]) > 21.2
    # 0.1 dB more; 0.7 less if the refinement used it.
    assert psnr(best, photograph) > psnr(balanced, photograph) + 0.05


def test_nan_is_masked_and_masked_values_do_not_matter(small: Any) -> None:
    mask = random_mask(small.shape)
    expected = denoise(np.where(mask, small, 0), 0, mask=mask)
    np.testing.assert_array_equal(denoise(np.where(mask, small, np.nan), 0), expected)
    for value in (np.nan, np.inf, 1e6):
        given = np.where(mask, small, np.float32(value))
        np.testing.assert_array_equal(denoise(given, 0, mask=mask), expected)
    half = mask.copy()
    half[:20] = True
    given = small.copy()
    given[:20][~mask[:20]] = np.nan
    np.testing.assert_array_equal(denoise(given, 0, mask=half), expected)


@pytest.mark.parametrize("quality", QUALITIES)
def test_an_all_true_mask_and_a_constant_map_change_nothing(small: Any, quality: str) -> None:
    noisy = fastgsm.datasets.add_noise(small, SIGMA, random_state=1)
    expected = denoise(noisy, SIGMA, quality=quality)
    mask = np.ones(noisy.shape, bool)
    np.testing.assert_array_equal(denoise(noisy, SIGMA, quality=quality, mask=mask), expected)
    levels = np.full(noisy.shape, SIGMA)
    np.testing.assert_array_equal(denoise(noisy, levels, quality=quality), expected)


def test_a_map_that_is_almost_constant_changes_almost_nothing(small: Any) -> None:
    noisy = fastgsm.datasets.add_noise(small, SIGMA, random_state=1)
    levels = np.full(noisy.shape, SIGMA)
    levels[0] *= 1.0001
    np.testing.assert_allclose(denoise(noisy, levels), denoise(noisy, SIGMA), atol=1e-3)


def test_halves_are_as_good_as_when_denoised_separately(photograph: Any) -> None:
    levels = np.full(photograph.shape, 10 / 255)
    left, right = np.s_[:, :64], np.s_[:, 64:]
    levels[right] = 40 / 255
    noisy = fastgsm.datasets.add_noise(photograph, levels, random_state=1)
    result = denoise(noisy, levels)
    for half in (left, right):
        own = denoise(noisy[half], levels[half][0, 0])
        assert psnr(result[half], photograph[half]) > psnr(own, photograph[half]) - 0.25


def test_a_map_marks_scattered_noisy_pixels(photograph: Any) -> None:
    levels = np.where(random_mask(photograph.shape, 0.1), 0.5, SIGMA)
    noisy = fastgsm.datasets.add_noise(photograph, levels, random_state=1)
    rms = float(np.sqrt(np.mean(levels**2)))
    assert psnr(denoise(noisy, levels), photograph) > psnr(denoise(noisy, rms), photograph) + 2


def test_pixels_of_almost_no_noise_are_almost_kept(small: Any) -> None:
    levels = np.where(random_mask(small.shape), 1e-200, SIGMA)
    noisy = fastgsm.datasets.add_noise(small, levels, random_state=1)
    result = denoise(noisy, levels)
    few = levels < SIGMA
    np.testing.assert_allclose(result[few], small[few], atol=0.005)
    none = denoise(noisy, np.where(few, 0, SIGMA))
    np.testing.assert_allclose(result, none, atol=0.005)


def test_pixels_without_noise_are_kept(small: Any) -> None:
    levels = np.where(random_mask(small.shape), 0, SIGMA)
    noisy = fastgsm.datasets.add_noise(small, levels, random_state=1)
    result = denoise(noisy, levels)
    np.testing.assert_array_equal(result[levels == 0], small[levels == 0])
    # Their neighbours are restored much better.
    noisier = fastgsm.datasets.add_noise(small, SIGMA, random_state=1)
    assert psnr(result[levels > 0], small[levels > 0]) > 2 + psnr(
        denoise(noisier, SIGMA)[levels > 0], small[levels > 0]
    )
    mask = random_mask(small.shape, 0.7)
    result = denoise(noisy, levels, mask=mask)
    kept = mask & (levels == 0)
    np.testing.assert_array_equal(result[kept], small[kept])
    assert (result[~kept] != noisy[~kept]).all()


@pytest.mark.parametrize("axis", [0, -1])
def test_colour(leaves: Any, axis: int) -> None:
    colour = np.stack([leaves, leaves**2, 0.5 * leaves], axis=axis)
    mask = random_mask(leaves.shape)
    broad = np.broadcast_to(np.expand_dims(mask, axis), colour.shape)
    holed = np.where(broad, colour, np.nan)
    result = denoise(holed, 0, channel_axis=axis)
    np.testing.assert_array_equal(result[broad], colour[broad])
    first = np.take(result, 0, axis)
    assert psnr(first, leaves) > psnr(interpolated(leaves, mask), leaves) + 0.8
    for given in (mask, broad):
        np.testing.assert_array_equal(denoise(colour, 0, mask=given, channel_axis=axis), result)
    # NaN in one channel alone masks the pixel in all.
    one = colour.copy()
    np.moveaxis(one, axis, 0)[1][~mask] = np.nan
    np.testing.assert_array_equal(denoise(one, 0, channel_axis=axis), result)
    levels = np.where(mask, 0, SIGMA)
    np.testing.assert_array_equal(denoise(colour, levels, channel_axis=axis)[broad], colour[broad])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_integers(small: Any, dtype: Any) -> None:
    top = np.iinfo(dtype).max
    image = np.rint(small.astype(float) * top).astype(dtype)
    mask = random_mask(small.shape)
    result = denoise(image, 0, mask=mask)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result[mask], image[mask])
    expected = denoise(image / top, 0, mask=mask)
    np.testing.assert_allclose(result / top, np.clip(expected, 0, 1), atol=0.6 / top + 1e-4)
    levels = np.where(mask, 0.02, 0.1)
    result = denoise(image, levels * top)
    expected = denoise(image / top, levels)
    np.testing.assert_allclose(result / top, np.clip(expected, 0, 1), atol=0.6 / top + 1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_float_types_and_inputs_are_kept(small: Any, dtype: Any) -> None:
    mask = random_mask(small.shape)
    image = np.where(mask, small, np.nan).astype(dtype)
    levels = np.where(small > 0.5, 0.0, 0.05)
    before = image.copy(), mask.copy(), levels.copy()
    for array in (image, mask, levels):
        array.flags.writeable = False
    result = denoise(image, levels, mask=mask)
    assert result.dtype == np.dtype(dtype)
    assert np.isfinite(result).all()
    for array, old in zip((image, mask, levels), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_out_may_be_the_image(small: Any) -> None:
    own = np.where(random_mask(small.shape), small, np.float32(np.nan))
    expected = denoise(own, 0)
    assert denoise(own, 0, out=own) is own
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_do_not_depend_on_the_workers(leaves: Any, dtype: Any) -> None:
    mask = random_mask(leaves.shape)
    levels = np.where(leaves > 0.5, 0.02, 0.2)
    image = leaves.astype(dtype)
    one, again, two = (denoise(image, levels, mask=mask, workers=n) for n in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, two)
    assert (denoise(image, levels, mask=mask, random_state=1) != one).any()


def test_other_priors_strides_and_small_images(small: Any) -> None:
    X = fastgsm.sample_patches(small, 6, 1000, random_state=0)
    raw = fastgsm.sample_patches(small, 6, 1000, center=None, random_state=0)
    mask = random_mask(small.shape)
    worst = psnr(np.where(mask, small, small.mean()), small)
    for model in (fastgsm.GSM(3).fit(X), fastgsm.ICA(3, tol=0.1).fit(X), fastgsm.MVN().fit(raw)):
        for stride in (2, 6):
            result = denoise(small, 0, mask=mask, prior=model, stride=stride)
            assert psnr(result, small) > worst + 5
    single = np.zeros((8, 9), bool)
    single[3, 4] = True
    result = denoise(small[:8, :9], 0, mask=single)
    assert abs(result - small[3, 4]).max() < 0.01


def test_large_holes_are_filled_smoothly(photograph: Any) -> None:
    mask = np.ones(photograph.shape, bool)
    mask[20:60, 30:80] = False
    result = denoise(photograph, 0, mask=mask)
    around = photograph[15:65, 25:85]
    assert around.min() - 0.1 < result[~mask].min()
    assert result[~mask].max() < around.max() + 0.1


def test_noise_is_estimated_from_patches_without_masked_pixels(photograph: Any) -> None:
    noisy = fastgsm.datasets.add_noise(photograph, SIGMA, random_state=1)
    mask = np.ones(noisy.shape, bool)
    mask[::16, :64] = False
    holed = np.where(mask, noisy, 5)
    sigma = fastgsm.estimate_sigma(holed, mask=mask)
    assert abs(sigma - fastgsm.estimate_sigma(noisy)) < 0.05 * SIGMA
    np.testing.assert_array_equal(denoise(holed, mask=mask), denoise(holed, sigma, mask=mask))
    with pytest.raises(ValueError, match=r"0 patches of 8x8 .* Give sigma"):
        denoise(noisy, mask=random_mask(noisy.shape))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 3\)"):
        fastgsm.estimate_sigma(noisy, mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match=r"dtype float64; wanted .* one boolean"):
        fastgsm.estimate_sigma(noisy, mask=np.ones(noisy.shape))


def test_first_fill_keeps_trusted_pixels_and_straight_levels() -> None:
    planes = np.stack([np.full((13, 18), 0.3), np.full((13, 18), 0.7)])
    mask = random_mask((13, 18), 0.1)
    result = filled(np.where(mask, planes, 99), mask)
    np.testing.assert_allclose(result, planes, atol=1e-12)
    image = np.random.default_rng(0).random((1, 13, 18))
    np.testing.assert_array_equal(filled(image, mask)[:, mask], image[:, mask])


def test_levels_come_down_to_the_least_noisy_pixels() -> None:
    assert descending_levels(np.array([0.1, 0.1])) == [pytest.approx(0.1)]
    np.testing.assert_allclose(descending_levels(np.array([0.4, 0.1])), [0.4, 0.2, 0.1])
    levels = descending_levels(np.array([0.01, np.inf]))
    assert levels[0] > 0.1
    assert levels[-1] == pytest.approx(0.01)
    assert (np.diff(levels) < 0).all()


IMAGE = np.zeros((20, 24))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": np.ones((20, 24))}, TypeError, r"mask has dtype float64.* mask > 0"),
        ({"mask": np.ones((20, 24), np.uint8)}, TypeError, "mask has dtype uint8"),
        ({"mask": np.ones((24, 20), bool)}, ValueError, r"shape \(24, 20\); wanted \(20, 24\)"),
        ({"mask": np.ones(24, bool)}, ValueError, r"mask has shape \(24,\)"),
        ({"mask": np.zeros((20, 24), bool)}, ValueError, "all of the 480 .* give ~mask"),
        ({"image": IMAGE * np.nan}, ValueError, "all of the 480 pixels are masked or NaN"),
        ({"image": np.where(np.eye(20), np.inf, np.nan)}, ValueError, "20 NaN or infinite"),
        ({"sigma": np.ones((20, 20))}, ValueError, r"shape \(20, 20\).* \(20, 24\)"),
        ({"sigma": [0.1, 0.2]}, ValueError, r"sigma has shape \(2,\)"),
        ({"sigma": np.where(np.eye(20, 24), -1, 0.1)}, ValueError, "20 negative"),
        ({"sigma": np.where(np.eye(20, 24), np.nan, 0.1)}, ValueError, "20 negative, NaN"),
        ({"sigma": np.where(np.eye(20, 24), np.inf, 0.1)}, ValueError, "give a mask"),
        ({"sigma": np.ones((20, 24), complex)}, TypeError, "sigma has dtype complex128"),
        ({"sigma": np.ones((20, 24), bool)}, TypeError, "sigma has dtype bool"),
        ({"sigma": np.nan, "mask": np.eye(20, 24) > 0}, ValueError, "sigma is nan"),
        (
            {"mask": np.eye(20, 24) > 0, "quality": "fast", "aggregation": "center", "stride": 1},
            ValueError,
            "no masked pixels; leave it",
        ),
    ],
)
def test_bad_input_is_named(options: Any, error: type[Exception], message: str) -> None:
    arguments = {"image": IMAGE, "sigma": 0.1} | options
    with pytest.raises(error, match=message):
        denoise(arguments.pop("image"), arguments.pop("sigma"), **arguments)
