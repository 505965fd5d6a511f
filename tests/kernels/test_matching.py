"""The nearest patches against sorted distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.distances import BLOCK
from fastgsm.kernels.matching import SLACK, find_limit, match, new_matches, select_nearest
from fastgsm.kernels.products import COLUMNS
from fastgsm.patches import grid_positions
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_same_bits, pick


@pytest.mark.parametrize(
    "case",
    pick(
        [(45, 24, 2, 1, 2, 2), (30, 31, 6, 3, 11, 9), (20, 22, 4, 3, 5, 4), (8, 8, 8, 3, 1, 2)],
        [(5, 21, 2, 1, 4, 2), (6, 7, 4, 2, 3, 1)],
    ),
)
def test_distances_and_selection_are_exact(case: tuple[int, ...]) -> None:
    """Integer pixels, so that there are many ties: the nearest, by position among equals."""
    height, width, p, stride, n, radius = case
    image = np.random.default_rng(3).integers(0, 2, (height, width)).astype(np.float64)
    padded = np.pad(image, ((0, 0), (radius, radius + COLUMNS)), constant_values=np.inf)
    cols = grid_positions(width, p, stride)
    found = new_matches(radius, image.dtype)
    side = 2 * radius + 1
    for y in {0, min(2, height - p), height - p}:
        up, down = min(radius, y), min(radius, height - p - y)
        for j, x in enumerate(cols):
            shared = j > 0 and x - cols[j - 1] == p // 2
            n_displacements = match(padded, p, radius, y, x, up, down, j % 2, shared, found)
            assert n_displacements == (up + down + 1) * side
            nearest = naive.nearest(image, y, x, p, n, radius)
            count = select_nearest(n_displacements, up * side + radius, len(nearest), found)
            places = [divmod(int(k), side) for k in found.members[:count]]
            corners = [(y - up + dy, x - radius + dx) for dy, dx in places]
            assert corners[0] == (y, x)
            assert sorted(corners) == sorted(nearest)
            assert corners[1:] == sorted(corners[1:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shared_half_gives_the_same_bits(dtype: Any) -> None:
    image = np.random.default_rng(0).standard_normal((14, 15)).astype(dtype)
    padded = np.pad(image, ((0, 0), (3, 3 + COLUMNS)), constant_values=np.inf)
    found, alone = new_matches(3, image.dtype), new_matches(3, image.dtype)
    for j, x in enumerate((0, 3, 6)):
        n = match(padded, 6, 3, 4, x, 3, 3, j % 2, j > 0, found)
        match(padded, 6, 3, 4, x, 3, 3, 0, False, alone)
        assert_same_bits(found.distances[:n], alone.distances[:n])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [8.0, 0.125])
@pytest.mark.parametrize("guess", [0.0, 0.3, 1e4])
def test_a_limit_admits_the_wanted_or_a_few_more(guess: float, power: float, dtype: Any) -> None:
    """Distances with most of them near 0, or near the largest."""
    distances = np.random.default_rng(0).uniform(size=2 * BLOCK).astype(dtype) ** power
    distances[100:] = np.inf
    for wanted in pick(range(100), (0, 1, 40, 99)):
        within = np.sum(distances <= find_limit(distances, wanted, dtype(guess)))
        assert wanted <= within <= wanted + SLACK


def test_a_limit_is_finite_if_too_few_distances_are() -> None:
    distances = np.full(BLOCK, np.inf)
    distances[:3] = 1e300
    limit = find_limit(distances, 5, 1e290)
    assert 1e300 <= limit < np.inf
