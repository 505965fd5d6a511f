"""The correction of low frequencies at half the size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import convolve1d, zoom

import fastgsm
from fastgsm._progress import Progress
from fastgsm.restore.epll import EPLL, schedule
from fastgsm.restore.method import Setting
from fastgsm.restore.pyramid import enlarged, shrunk
from fastgsm.restore.two_scales import TwoScales

SHAPES = [(1, 8, 6), (2, 9, 12), (1, 7, 7), (3, 1, 5), (1, 2, 1)]


class Constant:
    """A method that returns a fixed result and remembers the planes it was given."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.given: Any = None

    def n_steps(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape))

    def __call__(self, planes: Any, bar: Progress) -> Any:
        self.given = planes
        bar.update()
        return self.result.copy()


def image(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_shrunk_pixels_are_means_of_four(shape: tuple[int, ...]) -> None:
    planes = image(*shape)
    even = np.pad(planes, ((0, 0), (0, shape[1] % 2), (0, shape[2] % 2)), mode="edge")
    blocks = even.reshape(shape[0], even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    np.testing.assert_allclose(shrunk(planes), blocks.mean(axis=(2, 4)), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_enlarging_blurs_and_interpolates(shape: tuple[int, ...]) -> None:
    small = image(shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
    wanted = small
    for axis in (1, 2):
        # Blurred beyond the edge too, so that both agree there.
        wanted = np.pad(wanted, [(2, 2) if a == axis else (0, 0) for a in range(3)], mode="edge")
        wanted = convolve1d(wanted, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
        factors = [2 if a == axis else 1 for a in range(3)]
        wanted = zoom(wanted, factors, order=1, mode="nearest", grid_mode=True)
        wanted = np.take(wanted, range(4, wanted.shape[axis] - 4), axis=axis)
        wanted = np.take(wanted, range(shape[axis]), axis=axis)
    np.testing.assert_allclose(enlarged(small, shape), wanted, atol=1e-12)


def test_constants_and_types_are_kept() -> None:
    small = np.full((1, 3, 4), 0.7, np.float32)
    large = enlarged(small, (1, 5, 8))
    assert large.dtype == shrunk(large).dtype == np.float32
    np.testing.assert_allclose(large, 0.7, rtol=1e-6)


def test_the_difference_at_half_size_is_added() -> None:
    noisy, fine, coarse = image(1, 11, 8), image(1, 11, 8) + 1, image(1, 6, 4)
    half = Constant(coarse)
    method = TwoScales(Constant(fine), half, 4)
    with Progress(method.n_steps(noisy.shape), "", enabled=False) as bar:
        restored = method(noisy, bar)
    np.testing.assert_array_equal(half.given, shrunk(noisy))
    wanted = fine + enlarged(coarse - shrunk(fine), noisy.shape)
    np.testing.assert_allclose(restored, wanted, atol=1e-12)
    assert method.n_steps(noisy.shape) == noisy.size + coarse.size


def test_small_images_have_one_scale() -> None:
    fine = image(1, 11, 8)
    method = TwoScales(Constant(fine), Constant(np.full((1, 6, 4), np.nan)), 5)
    with Progress(method.n_steps(fine.shape), "", enabled=False) as bar:
        np.testing.assert_array_equal(method(fine, bar), fine)
    assert method.n_steps(fine.shape) == fine.size


def test_low_frequencies_are_restored_better(camera: Any) -> None:
    """Compare with the method at full size alone."""
    clean = camera[100:300, 100:300]
    noisy = fastgsm.datasets.add_noise(clean, 0.2, random_state=0)[None]
    model = fastgsm.load_prior("mogsm")
    fine, coarse = (
        EPLL(Setting(model, None, 8, 4, noisy.dtype, np.random.default_rng(0)), level, passes)
        for level, passes in ((level, schedule(level)) for level in (0.2, 0.1))
    )
    errors = []
    for method in (TwoScales(fine, coarse, 8), fine):
        with Progress(method.n_steps(noisy.shape), "", enabled=False) as bar:
            errors.append(method(noisy, bar) - clean)
    two, one = (np.mean(shrunk(shrunk(shrunk(error))) ** 2) for error in errors)
    assert two < 0.95 * one


def test_the_image_and_the_first_result_are_mixed_by_shares() -> None:
    planes, restored, coarse = image(2, 12, 10), image(2, 12, 10) ** 2, image(2, 6, 5)
    shares = np.random.default_rng(1).random((12, 10))
    method = Constant(coarse)
    both = TwoScales(Constant(restored), method, 5, shares)
    with Progress(both.n_steps(planes.shape), "", enabled=False) as bar:
        result = both(planes, bar)
    mixed = shares * planes + (1 - shares) * restored
    np.testing.assert_allclose(method.given, shrunk(mixed), atol=1e-12)
    expected = restored + enlarged(coarse - shrunk(restored), planes.shape)
    np.testing.assert_allclose(result, expected, atol=1e-12)
