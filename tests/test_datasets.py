"""Dead leaves have the statistics of the model; noise follows the protocol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fastgsm import datasets
from fastgsm.datasets import add_noise, dead_leaves


def spectral_slope(image: np.ndarray) -> float:
    """Return the slope of the power spectrum over frequency (log-log), over all directions."""
    height, width = image.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    edges = np.geomspace(0.02, 0.35, 15)
    band = np.digitize(frequency, edges)
    mean_power = [power[band == k].mean() for k in range(1, len(edges))]
    return float(np.polyfit(np.log(edges[1:] * edges[:-1]) / 2, np.log(mean_power), 1)[0])


@pytest.mark.parametrize("shape", [(256, 256), (40, 90), (90, 40), (3, 5), (1, 1), (1, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_type_and_range(shape: tuple[int, int], dtype: type) -> None:
    image = dead_leaves(shape, random_state=0, dtype=dtype)
    assert image.shape == shape
    assert image.dtype == dtype
    assert image.min() >= 0
    assert image.max() <= 1


def test_same_seed_same_image() -> None:
    first = dead_leaves((64, 80), random_state=3)
    np.testing.assert_array_equal(first, dead_leaves((64, 80), random_state=3))
    np.testing.assert_array_equal(first, dead_leaves((64, 80), np.random.default_rng(3)))
    assert not np.array_equal(first, dead_leaves((64, 80), random_state=4))
    assert not np.array_equal(dead_leaves((64, 80)), dead_leaves((64, 80)))
    wide = dead_leaves((64, 80), random_state=3, dtype=np.float64)
    np.testing.assert_array_equal(first, wide.astype(np.float32))


def test_radii_follow_the_power_law() -> None:
    r_min, r_max = 2.0, 40.0
    radii = datasets._radii(20_000, r_min, r_max, np.random.default_rng(0))

    def distribution(r: Any) -> Any:
        # Integral of r^-3 from r_min to r, divided by that from r_min to r_max.
        return (r_min**-2 - r**-2) / (r_min**-2 - r_max**-2)

    assert radii.min() >= r_min
    assert radii.max() <= r_max
    assert stats.kstest(radii, distribution).pvalue > 0.01


def test_grey_levels_are_uniform() -> None:
    images = np.stack(
        [dead_leaves((150, 150), seed, r_min=10, r_max=10, texture=0) for seed in range(40)]
    )
    inside = images[..., :-1][np.diff(images) == 0]  # pixels that no edge blends
    counts, _ = np.histogram(inside, bins=5, range=(0, 1))
    np.testing.assert_allclose(counts / inside.size, 0.2, atol=0.02)


def test_as_many_leaves_fall_on_borders_as_on_the_middle() -> None:
    rng = np.random.default_rng(0)
    y, x, radius, _, _ = np.hstack([datasets._fall(40, 50, 5, 15, 0, rng) for _ in range(800)])
    pixels = [(0, 0), (0, 49), (39, 0), (39, 49), (20, 0), (0, 25), (20, 25)]
    falls = [np.count_nonzero(np.hypot(y - py, x - px) < radius) for py, px in pixels]
    np.testing.assert_allclose(falls, np.mean(falls), rtol=0.1)


def test_gaps_left_open_do_not_darken_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    fall = datasets._fall

    def fall_alike(*args: Any) -> tuple[np.ndarray, ...]:
        y, x, radius, grey, contrast = fall(*args)
        return y, x, radius, np.full_like(grey, 0.75), contrast

    monkeypatch.setattr(datasets, "_fall", fall_alike)
    monkeypatch.setattr(datasets, "OPEN", 0.5)
    np.testing.assert_allclose(dead_leaves((50, 50), 0, texture=0), 0.75, rtol=1e-6)


def test_spectrum_and_derivatives_resemble_photographs() -> None:
    images = [dead_leaves((256, 256), seed) for seed in range(4)]
    slope = np.mean([spectral_slope(image) for image in images])
    assert -2.8 < slope < -1.8  # photographs: about -2
    kurtosis = np.mean([stats.kurtosis(np.diff(image).ravel()) for image in images])
    assert kurtosis > 5  # a Gaussian field has 0


@pytest.mark.parametrize("radius", [0.5, 1.0, 5.25, 40.0])
def test_painted_leaf_is_an_antialiased_disc(radius: float) -> None:
    image, through = np.zeros((101, 101)), np.ones((101, 101))
    datasets._paint(image, through, np.zeros((101, 101)), 50.3, 49.6, radius, 0.5, 0.0)
    cover = 1 - through
    np.testing.assert_allclose(image, 0.5 * cover, atol=1e-12)
    # A ramp one pixel wide adds pi/12 to the disc.
    assert cover.sum() == pytest.approx(np.pi * (radius**2 + 1 / 12), rel=0.06)
    y, x = np.mgrid[0:101, 0:101]
    distance = np.hypot(y - 50.3, x - 49.6)
    assert (cover[distance <= radius - 0.5] == 1).all()
    assert (cover[distance >= radius + 0.5] == 0).all()
    rim = cover[np.abs(distance - radius) < 0.45]
    assert rim.size > 0
    assert ((rim > 0) & (rim < 1)).all()


def test_first_leaf_hides_the_second() -> None:
    image, through, clouds = np.zeros((30, 30)), np.ones((30, 30)), np.zeros((30, 30))
    datasets._paint(image, through, clouds, 15, 15, 8, 0.25, 0.0)
    datasets._paint(image, through, clouds, 15, 15, 40, 0.75, 0.0)
    assert image[15, 15] == 0.25
    assert image[0, 0] == 0.75
    np.testing.assert_allclose(through, 0, atol=1e-12)


@pytest.mark.parametrize("centre", [(-3.0, 4.0), (12.2, -0.4), (20.6, 33.0)])
def test_leaves_across_the_border_are_cut(centre: tuple[float, float]) -> None:
    y, x = centre
    image, through = np.zeros((20, 30)), np.ones((20, 30))
    datasets._paint(image, through, np.zeros((20, 30)), y, x, 6.0, 1.0, 0.0)
    grid = np.mgrid[0:20, 0:30]
    distance = np.hypot(grid[0] - y, grid[1] - x)
    np.testing.assert_allclose(image, np.clip(6.5 - distance, 0, 1), atol=1e-12)


def test_culling_never_drops_a_leaf_that_would_show() -> None:
    rng = np.random.default_rng(0)
    is_open = rng.random((40, 50)) < 0.002
    y, x = rng.uniform(-12, 52, 300), rng.uniform(-12, 62, 300)
    radius = rng.uniform(0.5, 10, 300)
    kept = datasets._over_open_pixel(is_open, y, x, radius)
    grid = np.mgrid[0:40, 0:50]
    shows = [
        (is_open & (np.hypot(grid[0] - cy, grid[1] - cx) < r + 0.5)).any()
        for cy, cx, r in zip(y, x, radius, strict=True)
    ]
    assert (kept | ~np.array(shows)).all()
    boxes = [
        is_open[
            max(math.floor(cy - r), 0) : max(math.ceil(cy + r) + 1, 0),
            max(math.floor(cx - r), 0) : max(math.ceil(cx + r) + 1, 0),
        ]
        for cy, cx, r in zip(y, x, radius, strict=True)
    ]
    np.testing.assert_array_equal(kept, [box.any() for box in boxes])


def test_texture_covers_the_leaves() -> None:
    flat = dead_leaves((128, 128), 0, r_min=4, texture=0)
    textured = dead_leaves((128, 128), 0, r_min=4, texture=0.03, dtype=np.float64)
    inside = (np.diff(flat, axis=1)[:-1] == 0) & (np.diff(flat, axis=0)[:, :-1] == 0)
    assert inside.mean() > 0.3  # without texture most pixels equal their neighbours
    assert (np.diff(textured, axis=1)[:-1][inside] == 0).mean() < 0.1
    difference = textured - flat
    # The leaves' contrasts are uniform in [0, 2 texture]: their mean square is 4/3 texture^2.
    assert 0.5 * 0.03 < difference.std() < 2 * 0.03


def test_clouds_are_standardised() -> None:
    for shape in [(64, 64), (33, 50), (1, 9)]:
        clouds = datasets._clouds(*shape, np.random.default_rng(0))
        assert clouds.shape == shape
        assert clouds.mean() == pytest.approx(0, abs=1e-12)
        assert clouds.std() == pytest.approx(1)
    assert spectral_slope(datasets._clouds(256, 256, np.random.default_rng(0))) == pytest.approx(
        -2, abs=0.2
    )


def test_leaves_may_all_have_one_size() -> None:
    image = dead_leaves((64, 64), 0, r_min=10, r_max=10, texture=0)
    assert len(np.unique(np.round(image, 5))) > 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (8,)}, ValueError, r"wanted \(height, width\)"),
        ({"shape": (8, 8, 3)}, ValueError, r"wanted \(height, width\)"),
        ({"shape": 8}, ValueError, r"wanted \(height, width\)"),
        ({"shape": (0, 8)}, ValueError, "height is 0"),
        ({"shape": (8, -1)}, ValueError, "width is -1"),
        ({"shape": (8, 8.0)}, TypeError, "width is 8.0"),
        ({"r_min": 0.2}, ValueError, "r_min is 0.2"),
        ({"r_min": -1}, ValueError, "r_min is -1"),
        ({"r_min": np.nan}, ValueError, "r_min is nan"),
        ({"r_min": 4, "r_max": 3}, ValueError, "r_min not above r_max"),
        ({"r_max": np.inf}, ValueError, "r_max is inf"),
        ({"r_max": "big"}, TypeError, "r_max is 'big'"),
        ({"texture": -0.1}, ValueError, "texture is -0.1"),
        ({"dtype": np.uint8}, ValueError, "dtype is uint8; wanted float32 or float64"),
        ({"random_state": -1}, ValueError, "random_state is -1"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dead_leaves(**{"shape": (16, 16), **arguments})


def test_noise_follows_the_protocol() -> None:
    clean = np.linspace(0, 1, 12 * 15).reshape(12, 15)
    expected = clean + 25 / 255 * np.random.default_rng(7).standard_normal(clean.shape)
    before = clean.copy()
    noisy = add_noise(clean, 25 / 255, random_state=7)
    np.testing.assert_array_equal(noisy, expected)
    np.testing.assert_array_equal(clean, before)
    assert noisy.min() < 0  # not clipped
    single = add_noise(clean.astype(np.float32), 25 / 255, random_state=7)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-6)


def test_noise_in_colour_and_no_noise() -> None:
    clean = np.zeros((40, 40, 3))
    assert add_noise(clean, 0.5, random_state=0).std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(add_noise(clean, 0, random_state=0), clean)


def test_noise_per_pixel() -> None:
    sigma = np.zeros((50, 60))
    sigma[:, 30:] = 2
    noisy = add_noise(np.ones((50, 60)), sigma, random_state=0)
    assert (noisy[:, :30] == 1).all()
    assert noisy[:, 30:].std() == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    ("image", "sigma", "error", "message"),
    [
        (np.zeros((4, 4), np.uint8), 1, TypeError, "image has dtype uint8; wanted floats"),
        (np.zeros((4, 4), complex), 1, TypeError, "image has dtype complex128"),
        (np.zeros((4, 4)), -1, ValueError, "sigma is -1"),
        (np.zeros((4, 4)), np.nan, ValueError, "sigma is nan"),
        (np.zeros((4, 4)), np.inf, ValueError, "sigma is inf"),
        (np.zeros((4, 4)), np.ones(4), ValueError, r"sigma has shape \(4,\)"),
        (np.zeros((4, 4)), np.ones((2, 4, 4)), ValueError, r"sigma has shape \(2, 4, 4\)"),
    ],
)
def test_unusable_noise_is_named(
    image: np.ndarray, sigma: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        add_noise(image, sigma)
