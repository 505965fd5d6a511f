"""The patches that the noise is measured in: clipped images, borders, texture, and warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from fastgsm.datasets import add_noise, dead_leaves
from fastgsm.noise.covariance import CLIPPED_VARIANCE
from fastgsm.noise.white import estimate_sigma
from tests.helpers import photograph
from tests.noise.helpers import covariance_of_planes

CLIPPED = r"of the pixels .* least or greatest value, as if clipped there; wanted .* Give sigma"


def stars(background: float, sigma: float) -> np.ndarray:
    """Return a field of 150 noisy stars on a flat background, not clipped."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    sky = np.zeros((400, 400))
    sky[tuple(rng.integers(0, 400, (2, 150)))] = rng.pareto(1.2, 150) * 4000 + 2000
    return background + gaussian_filter(sky, 2.0) + sigma * rng.standard_normal(sky.shape)


def picture(sigma: float) -> np.ndarray:
    """Return noisy dead leaves in [0, 255], not clipped."""
    leaves = dead_leaves((256, 256), random_state=0)
    return np.asarray(255 * add_noise(leaves, sigma / 255, random_state=1))


def bytes_of(image: np.ndarray) -> np.ndarray:
    return np.rint(image).clip(0, 255).astype(np.uint8)


def test_variance_of_clipped_noise() -> None:
    noise = np.random.default_rng(0).standard_normal(1_000_000)
    for n_clipped in (2, 9, 17, 33):
        limit = np.quantile(noise, (n_clipped - 1) / 64)
        simulated = np.maximum(noise, limit).var()
        assert CLIPPED_VARIANCE[n_clipped] == pytest.approx(simulated, rel=0.005)
    half = 0.5 - 1 / (2 * math.pi)
    np.testing.assert_allclose(CLIPPED_VARIANCE[[0, 1, 33, 40, 64]], [1, 1, half, half, half])


@pytest.mark.parametrize(
    ("background", "expected"), [(0, 8.8), (5, 9.4), (10, 9.7)], ids=["black", "dark", "grey"]
)
@pytest.mark.parametrize("sign", [1, -1], ids=["least", "greatest"])
def test_a_clipped_background_is_measured(background: float, expected: float, sign: int) -> None:
    image = sign * np.maximum(stars(background, 10), 0)
    with pytest.warns(UserWarning, match=CLIPPED) as caught:
        sigma = estimate_sigma(image)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert sigma == pytest.approx(expected, rel=0.03)


def test_a_background_that_is_hardly_clipped_causes_no_warning() -> None:
    image = np.maximum(stars(30, 10), 0)
    assert 0 < np.mean(image == 0) < 0.01
    assert estimate_sigma(image) == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize("size", [40, 100])
def test_a_small_object_does_not_stand_for_its_clipped_background(size: int) -> None:
    clean = np.zeros((400, 400))
    clean[200 : 200 + size, 200 : 200 + size] = 255 * dead_leaves((size, size), random_state=0)
    noisy = bytes_of(clean + 2 * np.random.default_rng(1).standard_normal(clean.shape))
    with pytest.warns(UserWarning, match=CLIPPED):
        assert estimate_sigma(noisy) == pytest.approx(1.9, rel=0.05)


@pytest.mark.parametrize("rate", [0.1, 0.3, 1.0])
def test_few_bright_cells_do_not_stand_for_photon_counts_with_many_zeros(rate: float) -> None:
    rates = np.full((256, 256), rate)
    rates[40:80, 40:80] += 200 * dead_leaves((40, 40), random_state=0) ** 2
    counts = np.random.default_rng(0).poisson(rates).astype(np.float64)
    with pytest.warns(UserWarning, match=r"noise='poisson'"):
        sigma = estimate_sigma(counts)
    assert math.sqrt(rate) < sigma < 2 * math.sqrt(rate)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("sigma", [5, 15])
def test_dithered_bars_do_not_hide_the_noise(share: float, sigma: float) -> None:
    image = picture(sigma)
    bar = image[: int(256 * share)]
    bar[:] = 16 + np.random.default_rng(5).integers(0, 2, bar.shape)
    assert estimate_sigma(bytes_of(image)) == pytest.approx(sigma, rel=0.07)


@pytest.mark.parametrize("width", [1, 20, 80])
def test_constant_borders_do_not_hide_the_noise(width: int) -> None:
    image = picture(10)
    framed = np.full_like(image, 128)
    inner = slice(width, -width)
    framed[inner, inner] = image[inner, inner]
    assert estimate_sigma(framed) == pytest.approx(10, rel=0.05)


def test_one_bright_pixel_is_no_noise() -> None:
    image = np.zeros((64, 64))
    image[30, 30] = 1
    assert estimate_sigma(image) == 0.0


@pytest.mark.parametrize(("name", "expected"), [("grass", 6.06), ("gravel", 5.20)])
def test_weak_noise_on_texture(name: str, expected: float) -> None:
    # Not extrapolated, these are 6.97 and 5.41; from a twentieth of the patches, 5.95 and 5.53.
    noisy = add_noise(photograph(name), 5 / 255, random_state=0)
    assert 255 * estimate_sigma(noisy) == pytest.approx(expected, rel=0.01)


def test_noise_alone_is_not_taken_for_texture() -> None:
    noise = np.random.default_rng(0).standard_normal((20, 200, 200))
    levels = [estimate_sigma(each) for each in noise]
    assert np.mean(levels) == pytest.approx(1, abs=0.01)


def test_a_clipped_channel_warns_once_and_leaves_the_others_alone() -> None:
    noise = 10 * np.random.default_rng(0).standard_normal((3, 200, 200))
    planes = np.stack([noise[0], np.maximum(noise[1], 0), noise[2]])
    with pytest.warns(UserWarning, match=CLIPPED) as caught:
        covariance = covariance_of_planes(planes, 1.0, None)
    assert len(caught) == 1
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [10, 9, 10], rtol=0.06)


def test_a_constant_channel_causes_no_warning() -> None:
    planes = np.random.default_rng(0).standard_normal((3, 100, 100))
    planes[1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        covariance = covariance_of_planes(planes, 1.0, None)
    assert covariance[1, 1] == 0
