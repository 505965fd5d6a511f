"""Properties of `denoise` that hold for every image, tried on images that hypothesis chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgsm
from fastgsm import datasets
from tests.helpers import QUALITIES, new_models

SIDE = 4

# The same examples in every run, because a test that fails now and then is useless.
settings.register_profile("few", max_examples=10, derandomize=True, deadline=None, database=None)
few = settings(settings.get_profile("few"))


@pytest.fixture(scope="module", autouse=True)
def exact_filters() -> Iterator[None]:
    """Switch off the flat tail, which may leave out one of two eigenvectors of equal rank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastgsm.restore.single_pass, "FLAT_TAIL_LOSS", 0.0)
        yield


def symmetric_samples() -> np.ndarray:
    """Return patches with all their turns and flips, so that no direction is special."""
    leaves = datasets.dead_leaves((64, 64), random_state=0, dtype=np.float64)
    squares = fastgsm.sample_patches(leaves, SIDE, 500, random_state=0).reshape(-1, SIDE, SIDE)
    squares = np.concatenate([squares, squares.transpose(0, 2, 1)])
    squares = np.concatenate(
        [squares, squares[:, ::-1], squares[:, :, ::-1], squares[:, ::-1, ::-1]]
    )
    return squares.reshape(-1, SIDE**2)


SAMPLES = symmetric_samples()
PRIORS = {
    name: model.fit(SAMPLES) for name, model in new_models(2, tol=0.1, random_state=0).items()
}
# Each shape of a mixture has its own direction, as has each coordinate of a separable model.
SYMMETRIC = [
    name for name, prior in PRIORS.items() if len(prior.covariances_) == 1 and not prior.separable
]


@st.composite
def images(draw: Any) -> np.ndarray:
    """Draw noisy leaves, noise, steps or single bright pixels, with sides of 8 to 24 pixels."""
    shape = draw(st.integers(8, 24)), draw(st.integers(8, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["leaves", "noise", "steps", "points"]))
    if kind == "leaves":
        return datasets.dead_leaves(shape, rng, dtype=np.float64) + 0.1 * rng.standard_normal(shape)
    if kind == "noise":
        return rng.random(shape)
    if kind == "steps":
        return (rng.random(shape[0]) > 0.5)[:, None] * np.ones(shape[1]) * rng.random()
    return (rng.random(shape) > 0.95).astype(float)


sigmas = st.floats(0.01, 1.0)
single_pass = partial(fastgsm.denoise, quality="fast", data_range=1)


@pytest.mark.parametrize("quality", QUALITIES)
@few
@given(image=images(), exponent=st.floats(-300, -4))
def test_without_noise_the_image_comes_back(quality: str, image: Any, exponent: float) -> None:
    """As sigma goes to 0, the result goes to the image, and faster."""
    sigma = 10**exponent
    result = fastgsm.denoise(image, sigma, quality=quality)
    np.testing.assert_allclose(result, image, rtol=0, atol=sigma + 1e-13)
    assert sigma > 8 * np.finfo(float).eps or (result == image).all()


@pytest.mark.parametrize("quality", QUALITIES)
@few
@given(image=images(), sigma=sigmas, constant=st.floats(-5, 5))
def test_constants_are_added_to_the_result(
    quality: str, image: Any, sigma: float, constant: float
) -> None:
    denoise = partial(fastgsm.denoise, sigma=sigma, quality=quality, data_range=1)
    if quality != "fast":
        # Noise, because rounding chooses between equally likely shapes and equally similar patches.
        image = image + 0.01 * np.random.default_rng(0).standard_normal(image.shape)
    np.testing.assert_allclose(denoise(image + constant), denoise(image) + constant, atol=1e-9)


@pytest.mark.parametrize("quality", QUALITIES)
@few
@given(image=images(), sigma=sigmas, exponent=st.integers(-60, 60))
def test_units_scale_the_result(quality: str, image: Any, sigma: float, exponent: int) -> None:
    """For a power of two, to the last bit."""
    denoise = partial(fastgsm.denoise, quality=quality)
    unit = 2.0**exponent
    result = denoise(unit * image, unit * sigma, data_range=unit)
    np.testing.assert_array_equal(result, unit * denoise(image, sigma, data_range=1))


SYMMETRIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upside down": lambda image: image[::-1],
    "mirrored": lambda image: image[:, ::-1],
    "transposed": lambda image: image.T,
    "turned": np.rot90,
}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("name", SYMMETRIC)
@few
@given(image=images(), sigma=sigmas)
def test_flips_and_turns_commute(name: str, symmetry: str, image: Any, sigma: float) -> None:
    """With every patch of a single pass and a prior of symmetric patches."""
    move, denoise = SYMMETRIES[symmetry], partial(single_pass, sigma=sigma, prior=PRIORS[name])
    np.testing.assert_allclose(denoise(move(image)), move(denoise(image)), atol=1e-10)


@pytest.mark.parametrize("name", PRIORS)
@few
@given(image=images(), sigma=sigmas, stride=st.integers(1, SIDE))
def test_a_pixel_lies_between_the_values_it_averages(
    name: str, image: Any, sigma: float, stride: int
) -> None:
    """Between the least and the greatest value that the patches over the pixel restore."""
    model = PRIORS[name]
    patches = fastgsm.extract_patches(image, SIDE, stride)
    mean = patches.mean(axis=1, keepdims=True)
    restored = model.denoise_patches(patches - mean, sigma) + mean
    places = fastgsm.extract_patches(
        np.arange(float(image.size)).reshape(image.shape), SIDE, stride
    )
    low, high = np.full(image.size, np.inf), np.full(image.size, -np.inf)
    np.minimum.at(low, places.astype(int), restored)
    np.maximum.at(high, places.astype(int), restored)
    result = single_pass(image, sigma, prior=model, stride=stride).ravel()
    # With several shapes, responsibilities below 1e-6 are left out.
    assert (low - 1e-5 <= result).all()
    assert (result <= high + 1e-5).all()


@pytest.mark.parametrize("name", PRIORS)
@few
@given(seed=st.integers(0, 2**32 - 1), contrast=st.floats(1e-3, 1e3), sigma=sigmas)
def test_no_patch_gains_contrast(name: str, seed: int, contrast: float, sigma: float) -> None:
    """Under a prior of mean 0 filters only shrink."""
    patches = contrast * np.random.default_rng(seed).standard_normal((20, SIDE**2))
    patches -= patches.mean(axis=1, keepdims=True)
    restored = PRIORS[name].denoise_patches(patches, sigma)
    restored -= PRIORS[name].denoise_patches(np.zeros_like(patches), sigma)
    lengths = np.linalg.norm(patches, axis=1)
    assert (np.linalg.norm(restored, axis=1) <= lengths * (1 + 1e-6) + 1e-12).all()
