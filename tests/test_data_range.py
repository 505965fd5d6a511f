"""The data range of images whose values are far from the default of their type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._data_range import BOX_PIXELS, Extent
from fastgsm.metrics import mse
from fastgsm.restore.presets import PRESETS

CLEAN = fastgsm.datasets.dead_leaves((96, 96), random_state=0, dtype=np.float64)


def noisy(top: float, low: float, dtype: Any) -> tuple[Any, Any, float]:
    """Return a noisy image with values from ``low`` to ``low + top``, the clean one and sigma."""
    clean, sigma = low + top * CLEAN, top / 20
    image = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        image = np.rint(image).clip(limits.min, limits.max)
    return image.astype(dtype), clean, sigma


@pytest.mark.filterwarnings("ignore:image spans")
@pytest.mark.parametrize("quality", PRESETS)
@pytest.mark.parametrize(
    ("top", "low", "dtype"),
    [
        (1023, 0, np.uint16),
        (4095, 0, np.uint16),
        (400, -1000, np.int16),
        (50, 100, np.uint8),
        (0.02, 0, np.float64),
        (4095, 0, np.float32),
        (6, 3, np.float32),
        (1000, 1e6, np.float64),
    ],
)
def test_as_good_as_with_the_right_range(quality: str, top: float, low: float, dtype: Any) -> None:
    image, clean, sigma = noisy(top, low, dtype)
    by_itself = fastgsm.denoise(image, sigma, quality=quality)
    given = fastgsm.denoise(image, sigma, quality=quality, data_range=float(top))
    assert 10 * np.log10(mse(by_itself, clean) / mse(given, clean)) < 0.1
    assert mse(by_itself, clean) < 0.6 * mse(image, clean)


@pytest.mark.parametrize("quality", PRESETS)
@pytest.mark.parametrize("offset", [1e4, 3e5])
def test_an_offset_beside_which_the_contrast_is_small(quality: str, offset: float) -> None:
    image = (noisy(1, 0, np.float64)[0] + offset).astype(np.float32)
    expected = fastgsm.denoise(image.astype(np.float64), 0.05, quality=quality)
    result = fastgsm.denoise(image, 0.05, quality=quality)
    assert result.dtype == np.float32
    assert np.abs(result - expected).max() < 0.01 + np.spacing(np.float32(offset))
    out = np.empty_like(image)
    fastgsm.denoise_tiles(image, out, 0.05, quality=quality, tile=48)
    np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_an_unlikely_range_is_said_once(dtype: Any) -> None:
    image, _, sigma = noisy(300, 0, dtype)
    with pytest.warns(
        UserWarning, match=r"spans .* taken to be its data range.* give data_range"
    ) as warned:
        fastgsm.denoise(image, sigma, quality="fast")
    assert len(warned) == 1
    assert warned[0].filename == __file__


@pytest.mark.parametrize(("top", "low"), [(1, 0), (1.5, 0), (0.4, 0.3)])
def test_a_likely_range_is_that_of_the_type(top: float, low: float) -> None:
    image, _, sigma = noisy(top, low, np.float64)
    expected = fastgsm.denoise(image, sigma, quality="fast", data_range=1)
    np.testing.assert_array_equal(fastgsm.denoise(image, sigma, quality="fast"), expected)


@pytest.mark.parametrize("pattern", ["checkerboard", "stripes", "dots"])
@pytest.mark.parametrize("unit", [1, 1e-3])
def test_fine_patterns_count(pattern: str, unit: float) -> None:
    rows, columns = np.indices((40, 60))
    plane = {
        "checkerboard": (rows + columns) % 2,
        "stripes": columns % 2,
        "dots": (rows % 3 == 0) & (columns % 3 == 0),
    }[pattern]
    extent = Extent.of(unit * plane[None].astype(np.float64))
    assert extent.data_range(np.dtype(np.float64)) == pytest.approx(unit, rel=0.4)


@pytest.mark.parametrize("value", [0.0, 1e-40, 7.0, 1e30])
def test_an_image_without_contrast_has_the_range_of_its_type(value: float) -> None:
    extent = Extent.of(np.full((1, 20, 20), value))
    assert extent.span == 0
    assert extent.data_range(np.dtype(np.float64)) == 1


def box_means(plane: Any) -> Any:
    """Return the means over all boxes of a plane."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, (BOX_PIXELS, BOX_PIXELS))
    return windows.mean(axis=(2, 3))


@pytest.mark.parametrize("shape", [(5, 5), (40, 70), (101, 33)])
def test_the_extent_is_that_of_means_over_boxes(shape: tuple[int, int]) -> None:
    planes = np.random.default_rng(0).normal(size=(3, *shape))
    extent = Extent.of(planes)
    np.testing.assert_allclose(extent.low, [box_means(each).min() for each in planes])
    np.testing.assert_allclose(extent.high, [box_means(each).max() for each in planes])
    assert extent.brightest == planes.max()


def test_missing_pixels_do_not_count() -> None:
    plane = np.random.default_rng(0).normal(size=(40, 50))
    trusted = np.ones(plane.shape, bool)
    trusted[10, 20:30] = False
    damaged = np.where(trusted, plane, np.nan)
    extent = Extent.of(damaged[None], trusted)
    means = box_means(damaged)
    assert extent.low[0] == pytest.approx(np.nanmin(means))
    assert extent.high[0] == pytest.approx(np.nanmax(means))
    np.testing.assert_array_equal(
        extent.low, Extent.of(np.where(trusted, plane, 1e9)[None], trusted).low
    )


def test_where_every_box_has_a_missing_pixel_the_pixels_count() -> None:
    plane = np.random.default_rng(0).normal(size=(40, 50))
    trusted = np.zeros(plane.shape, bool)
    trusted[::3, ::3] = True
    extent = Extent.of(plane[None], trusted)
    assert (extent.low[0], extent.high[0]) == (plane[trusted].min(), plane[trusted].max())


@pytest.mark.parametrize(("dtype", "scale"), [("f4", 1), ("f4", 0.1), ("u1", 20), ("f8", 1e-9)])
def test_overlapping_parts_have_the_bits_of_the_whole(dtype: str, scale: float) -> None:
    planes = (scale * np.random.default_rng(0).normal(size=(2, 90, 70))).astype(dtype)
    whole = Extent.of(planes)
    parts = [planes[:, i : i + 37, j : j + 41] for i in (0, 30, 60) for j in (0, 34)]
    joined = Extent.joined([Extent.of(part) for part in parts])
    assert joined.data_range(planes.dtype) == whole.data_range(planes.dtype)
    np.testing.assert_array_equal(joined.low, whole.low)
    np.testing.assert_array_equal(joined.high, whole.high)
    assert joined.brightest == whole.brightest
    if whole.span < 1 / 3:
        np.testing.assert_array_equal(joined.lower, whole.lower)
        np.testing.assert_array_equal(joined.higher, whole.higher)


def test_estimates_judge_by_the_same_range() -> None:
    image = 4095 * fastgsm.datasets.camera_noise(
        np.dstack([CLEAN] * 3).repeat(3, 0).repeat(3, 1), random_state=0
    )
    found = fastgsm.estimate_noise(image, channel_axis=-1)
    told = fastgsm.estimate_noise(image, channel_axis=-1, data_range=4095)
    assert found.kind == told.kind
    np.testing.assert_allclose(found.sigma, told.sigma, rtol=0.2)
