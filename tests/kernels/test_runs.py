"""Runs of eight numbers: LLVM's instructions against plain Python and NumPy."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from fastgsm.kernels import runs
from fastgsm.kernels.runs import RUN
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits


def _sum(x, i, y, j, out, k):  # type: ignore[no-untyped-def]
    runs.sum_intrinsic(x, i, y, j, out, k)


def _add(factor, x, i, y, j, out, k):  # type: ignore[no-untyped-def]
    runs.add_intrinsic(factor, x, i, y, j, out, k)


def _columns(x, begins, t, offset, y, j, out, k, step):  # type: ignore[no-untyped-def]
    runs.columns_intrinsic(x, begins, t, offset, y, j, out, k, step)


def _transpose(x, i, x_step, out, k, out_step):  # type: ignore[no-untyped-def]
    runs.transpose_intrinsic(x, i, x_step, out, k, out_step)


def compiled(function: Any) -> Any:
    """Compile a call of the instructions, also where Numba is off."""
    return CPUDispatcher(function, targetoptions={"nopython": True})


def numbers(n: int, dtype: Any, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [runs.sum_runs_plain, compiled(_sum)])
def test_runs_are_summed(function: Any, dtype: Any) -> None:
    x, y, out = (numbers(20, dtype, seed) for seed in range(3))
    wanted = out.copy()
    wanted[7:15] = x[3:11] + y[12:20]
    function(x, 3, y, 12, out, 7)
    assert_same_bits(out, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [runs.add_run_plain, compiled(_add)])
def test_a_multiple_is_added(function: Any, dtype: Any) -> None:
    x, y, out = (numbers(20, dtype, seed) for seed in range(3))
    wanted = out.copy()
    wanted[7:15] += dtype(-1.7) * x[3:11] + y[12:20]
    function(dtype(-1.7), x, 3, y, 12, out, 7)
    assert_close(out, wanted, dtype)
    assert_same_bits(out[15:], wanted[15:])
    assert_same_bits(out[:7], wanted[:7])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [runs.set_columns_plain, compiled(_columns)])
def test_runs_become_columns(function: Any, dtype: Any) -> None:
    x, y, out = numbers(100, dtype, 0), numbers(20, dtype, 1), numbers(200, dtype, 2)
    begins = np.array([9, 0, 40, 41, 3, 81, 80, 7, 30, 30], np.intp)
    wanted = out.copy()
    for column in range(RUN):
        for row in range(RUN):
            wanted[5 + row * 11 + column] = x[begins[2 + column] + 4 + row] + y[6 + row]
    function(x, begins, 2, 4, y, 6, out, 5, 11)
    assert_same_bits(out, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [runs.transpose_runs_plain, compiled(_transpose)])
def test_runs_are_transposed(function: Any, dtype: Any) -> None:
    x, out = numbers(150, dtype, 0), numbers(200, dtype, 1)
    wanted = out.copy()
    for column in range(RUN):
        for row in range(RUN):
            wanted[5 + row * 11 + column] = x[3 + column * 17 + row]
    function(x, 3, 17, out, 5, 11)
    assert_same_bits(out, wanted)


X32, X64 = (np.zeros(RUN * RUN, dtype) for dtype in DTYPES)
READ_ONLY = X64.copy()
READ_ONLY.flags.writeable = False
PLACES = np.zeros(RUN, np.intp)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (_sum, (X32, 0, X64, 0, X64, 0)),
        (_sum, (X64, 0, X64[::2], 0, X64, 0)),
        (_sum, (X64, 0, X64, 0, READ_ONLY, 0)),
        (_add, (np.float32(1), X64, 0, X64, 0, X64, 0)),
        (_add, (1.0, X64, 0, X32, 0, X64, 0)),
        (_columns, (X64, PLACES.astype(np.int32), 0, 0, X64, 0, X64, 0, 8)),
        (_columns, (X64, PLACES, 0, 0, X32, 0, X64, 0, 8)),
        (_transpose, (X64, 0, 8, X64.reshape(RUN, RUN), 0, 8)),
        (_transpose, (X32, 0, 8, X64, 0, 8)),
    ],
)
def test_arrays_that_instructions_would_misread_do_not_compile(
    function: Any, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(numba.TypingError):
        compiled(function).compile(tuple(map(numba.typeof, arguments)))


def test_runs_stay_inside_their_arrays() -> None:
    x = np.zeros(20)
    with pytest.raises(IndexError):
        runs.sum_runs_plain(x, 13, x, 0, x.copy(), 0)
    with pytest.raises(IndexError):
        runs.sum_runs_plain(x, 0, x, 0, x.copy(), -1)
