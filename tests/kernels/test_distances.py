"""Distances of neighbouring blocks, and what is within a limit: instructions against NumPy."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from fastgsm.kernels import distances
from fastgsm.kernels.distances import BLOCK
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits


def _distances(pixels, own, other, width, n_rows, n_columns, out, place, n):  # type: ignore[no-untyped-def]
    distances.distances_intrinsic(pixels, own, other, width, n_rows, n_columns, out, place, n)


def _count(values, limit):  # type: ignore[no-untyped-def]
    return distances.count_intrinsic(values, limit)


def _list(values, limit, out):  # type: ignore[no-untyped-def]
    return distances.list_intrinsic(values, limit, out)


def compiled(function: Any) -> Any:
    """Compile a call of the instructions, also where Numba is off."""
    return CPUDispatcher(function, targetoptions={"nopython": True})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [distances.set_distances_plain, compiled(_distances)])
@pytest.mark.parametrize(("n_rows", "n_columns", "n"), [(1, 1, 16), (6, 3, 32), (4, 2, 48)])
def test_distances_are_sums_of_squares(
    n_rows: int, n_columns: int, n: int, function: Any, dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((9, 70)).astype(dtype)
    image[:, 60:] = np.inf
    out = rng.standard_normal(70).astype(dtype)
    wanted = out.astype(np.float64)
    own = image[2 : 2 + n_rows, 5 : 5 + n_columns].astype(np.float64)
    for t in range(n):
        other = image[1 : 1 + n_rows, 20 + t : 20 + t + n_columns]
        wanted[7 + t] = np.sum((own - other) ** 2)
    function(image.reshape(-1), 2 * 70 + 5, 70 + 20, 70, n_rows, n_columns, out, 7, n)
    assert_close(out, wanted, dtype)
    assert np.isinf(wanted[7:]).any() == (n == 48)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("count", "listing"),
    [
        (distances.count_within_plain, distances.list_within_plain),
        (compiled(_count), compiled(_list)),
    ],
)
def test_those_within_a_limit(count: Any, listing: Any, dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, 9, 3 * BLOCK).astype(dtype)
    values[[4, BLOCK, -1]] = np.inf, np.nan, 0
    for limit in (-1, 0, 4, 8, np.finfo(dtype).max, np.inf):
        wanted = np.flatnonzero(values <= limit)
        out = np.full(values.size, -1, np.intp)
        assert count(values, dtype(limit)) == wanted.size
        assert listing(values, dtype(limit), out) == wanted.size
        assert_same_bits(out[: wanted.size], wanted)
        assert (out[wanted.size :] == -1).all()


X32, X64 = (np.zeros(BLOCK, dtype) for dtype in DTYPES)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (_distances, (X32, 0, 0, 0, 1, 1, X64, 0, 16)),
        (_distances, (X64[::2], 0, 0, 0, 1, 1, X64, 0, 16)),
        (_count, (X32, 1.0)),
        (_count, (X64[::2], 1.0)),
        (_list, (X64, 1.0, np.zeros(BLOCK, np.int32))),
        (_list, (X32, 1.0, np.zeros(BLOCK, np.intp))),
    ],
)
def test_arrays_that_instructions_would_misread_do_not_compile(
    function: Any, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(numba.TypingError):
        compiled(function).compile(tuple(map(numba.typeof, arguments)))


def test_numbers_are_whole_blocks() -> None:
    with pytest.raises(AssertionError):
        distances.set_distances_plain(X64, 0, 0, 0, 1, 1, X64.copy(), 0, 15)
    with pytest.raises(AssertionError):
        distances.count_within_plain(X64[:-1], 1.0)
    with pytest.raises(AssertionError):
        distances.list_within_plain(X64[:-1], 1.0, np.zeros(BLOCK, np.intp))
