"""Patches out of images and back, against plain slicing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels import patches as kernels
from fastgsm.patches import aggregate_patches
from tests.kernels import naive
from tests.kernels.helpers import (
    DTYPES,
    assert_close,
    assert_same_bits,
    filled,
    pick,
    run,
)

# Height, width, patch size, stride.
CASES = pick(
    [(8, 8, 8, 1), (9, 13, 3, 1), (20, 17, 8, 1), (20, 17, 5, 2), (31, 40, 8, 5), (7, 9, 1, 1)],
    [(9, 11, 3, 1), (9, 10, 3, 2), (4, 5, 1, 1)],
)
LANES = 16


def grid(length: int, p: int, stride: int) -> np.ndarray:
    """Corners from one end to the other; the last step may be shorter."""
    return np.unique(np.append(np.arange(0, length - p + 1, stride), length - p))


def scene(case: tuple[int, int, int, int], dtype: Any) -> tuple[np.ndarray, ...]:
    height, width, p, stride = case
    image = np.random.default_rng(0).standard_normal((height, width)).astype(dtype)
    return image, grid(height, p, stride), grid(width, p, stride)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_extract(case: tuple[int, int, int, int], dtype: Any) -> None:
    image, rows, cols = scene(case, dtype)
    p = case[2]

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        patches = filled((rows.size * cols.size, p * p), dtype)
        kernel(image, rows, cols, p, patches)
        return (patches,)

    assert_same_bits(run(kernels.extract, fill)[0], naive.extract(image, rows, cols, p))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_aggregate(case: tuple[int, int, int, int], dtype: Any) -> None:
    image, rows, cols = scene(case, dtype)
    p = case[2]
    shape = (rows.size * cols.size, p * p)
    patches = np.random.default_rng(1).standard_normal(shape).astype(dtype)

    wanted = naive.aggregate(patches, rows, cols, p, image.shape)
    assert_close(aggregate_patches(patches, image.shape, p, case[3]), wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_add_patches_by_strips(case: tuple[int, int, int, int], dtype: Any) -> None:
    """The sum is the same to the bit however many rows of the grid are added at a time."""
    image, rows, cols = scene(case, dtype)
    p = case[2]
    patches = naive.extract(image, rows, cols, p)

    def fill(kernel: Any, n_strips: int = 1) -> tuple[np.ndarray, ...]:
        sums = np.zeros_like(image)
        for strip in np.array_split(np.arange(rows.size), n_strips):
            mine = patches[strip[0] * cols.size : (strip[-1] + 1) * cols.size]
            kernel(mine, rows[strip], cols, p, sums)
        return (sums,)

    sums = run(kernels.add_patches, fill)[0]
    assert_close(sums, naive.sums(patches, rows, cols, p, image.shape), dtype)
    assert_same_bits(fill(kernels.add_patches, min(3, rows.size))[0], sums)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_gather_fills_the_lanes_and_zeroes_the_rest(
    case: tuple[int, int, int, int], dtype: Any
) -> None:
    image, rows, cols = scene(case, dtype)
    p, n = case[2], rows.size * cols.size
    wanted = naive.extract(image, rows, cols, p)
    for first in range(0, n, LANES):
        count = min(LANES, n - first)
        lanes = filled((p * p, LANES), dtype)
        kernels.gather(image, rows, cols, first, count, p, lanes)
        np.testing.assert_array_equal(lanes[:, :count].T, wanted[first : first + count])
        assert not lanes[:, count:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_gather_and_scatter_phases(
    case: tuple[int, int, int, int], offset: int, dtype: Any
) -> None:
    image, rows, cols = scene(case, dtype)
    p, top = case[2], 0
    if offset < min(rows[-1], cols[-1]):  # grids that begin between the positions of another
        rows, cols = (
            np.union1d(np.arange(offset, each[-1], case[3]), [0, each[-1]]) for each in (rows, cols)
        )
    n, step = rows.size * cols.size, kernels.column_step(cols)
    phases = kernels.column_phases(image, top, image.shape[0], step)
    patches = naive.extract(image, rows, cols, p)
    wanted = naive.sums(patches, rows, cols, p, image.shape)
    for most in (LANES, LANES - 3):
        summed = np.zeros((phases.shape[0], phases.shape[1] + 2, phases.shape[2]), dtype)
        for first in range(0, n, most):
            count = min(most, n - first)
            lanes = filled((p * p, LANES), dtype)
            kernels.gather_phases(phases, rows, cols, first, count, p, top, lanes)
            np.testing.assert_array_equal(lanes[:, :count].T, patches[first : first + count])
            assert not lanes[:, count:].any()
            kernels.scatter_phases(lanes, rows, cols, first, count, p, -2, summed)
        joined = np.empty_like(image)
        for phase in range(step):
            joined[:, phase::step] = summed[phase, 2:, : joined[:, phase::step].shape[1]]
        assert not summed[:, :2].any()
        assert_close(joined, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("center", [False, True])
def test_scatters(case: tuple[int, int, int, int], center: bool, dtype: Any) -> None:
    image, rows, cols = scene(case, dtype)
    p, n = case[2], rows.size * cols.size
    patches = np.random.default_rng(1).standard_normal((n, p * p)).astype(dtype)
    twin = naive.centres if center else naive.sums
    wanted = twin(patches, rows, cols, p, image.shape)

    at_once = np.zeros_like(image)
    kernels.scatter_patches(patches, rows, cols, p, center, at_once)
    assert_close(at_once, wanted, dtype)

    for most in (LANES, LANES - 3):
        summed = np.zeros((image.shape[0] + 2, image.shape[1]), dtype)
        for first in range(0, n, most):
            lanes = filled((p * p, LANES), dtype)
            count = min(most, n - first)
            lanes[:, :count] = patches[first : first + count].T
            if center:
                kernels.scatter_centres(lanes, rows, cols, first, count, p, -2, summed)
            else:
                kernels.scatter_phases(lanes, rows, cols, first, count, p, -2, summed[None])
        assert not summed[:2].any()
        # A pixel gets its patches in the order of their numbers, whichever are side by side.
        assert_same_bits(summed[2:], at_once)


@pytest.mark.parametrize("dtype", DTYPES)
def test_subtract_mean(dtype: Any) -> None:
    lanes = np.random.default_rng(0).standard_normal((12, LANES)).astype(dtype)
    before, mean = lanes.copy(), filled((LANES,), dtype)
    kernels.subtract_mean(lanes, 9, mean)
    wanted = before[:9].mean(axis=0, dtype=np.float64)
    assert_close(mean, wanted, dtype)
    assert_close(lanes[:9], before[:9] - wanted, dtype)
    assert_same_bits(lanes[9:], before[9:])
