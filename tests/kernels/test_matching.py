"""The nearest patches against sorted distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.matching import (
    LANES,
    SLACK,
    VECTOR,
    find_limits,
    match_run,
    new_matches,
    select_nearest,
)
from fastgsm.patches import grid_positions
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, pick


def test_distances_and_selection_are_exact() -> None:
    """Integer pixels, so that there are many ties: the nearest, by position among equals."""
    height, width, p, stride, n, radius = pick((45, 24, 2, 1, 2, 2), (5, 38, 2, 1, 4, 2))
    image = np.random.default_rng(3).integers(0, 2, (height, width)).astype(np.float64)
    padded = np.pad(image, ((0, 0), (radius, radius + VECTOR)), constant_values=np.inf)
    cols = grid_positions(width, p, stride)[: LANES - 1]
    found = new_matches(radius, cols[-1] + p, image.dtype)
    found.wanted[:] = n
    side = 2 * radius + 1
    for y in (0, 2, height - p):
        up, down = min(radius, y), min(radius, height - p - y)
        n_displacements = match_run(padded, p, radius, y, cols, up, down, found)
        assert n_displacements == (up + down + 1) * side
        select_nearest(n_displacements, cols.size, up * side + radius, found)
        for j, x in enumerate(cols):
            places = [divmod(int(k), side) for k in found.members[j, : found.counts[j]]]
            corners = [(y - up + dy, x - radius + dx) for dy, dx in places]
            assert corners[0] == (y, x)
            assert sorted(corners) == sorted(naive.nearest(image, y, x, p, n, radius))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [8.0, 0.125])
def test_limits_admit_the_wanted_or_a_few_more(power: float, dtype: Any) -> None:
    """Distances with most of them near 0, or near the largest."""
    n = 120
    distances = np.random.default_rng(0).uniform(size=(n, LANES)).astype(dtype) ** power
    wanted = np.arange(1, LANES + 1)
    limits = np.empty(LANES, dtype)
    find_limits(distances, n, wanted, limits)
    within = (distances <= limits).sum(axis=0)
    assert (within >= wanted).all()
    assert (within <= wanted + SLACK).all()
