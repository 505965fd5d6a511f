"""Accuracy of the branch-free exp and log, in units of the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels._jit import jit
from fastgsm.kernels.vmath import exp, log
from tests.kernels.helpers import DTYPES, pick

N = pick(200_000, 3_000)


@jit
def exp_all(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(x.shape[0]):
        y[i] = exp(x[i])


@jit
def log_all(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(x.shape[0]):
        y[i] = log(x[i])


def evaluate(function: Any, x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, 7.0)
    function(x, y)
    return y


def ulps(actual: np.ndarray, exact: np.ndarray) -> float:
    """Largest error in units of the last place of the exact value."""
    unit = np.spacing(np.abs(exact).astype(actual.dtype))
    return float(np.max(np.abs(actual - exact) / unit))


def wide(x: np.ndarray) -> np.ndarray:
    """Return a type with more digits, if the platform has one."""
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


@pytest.mark.parametrize(("dtype", "lowest"), [(np.float32, -50.0), (np.float64, -600.0)])
@pytest.mark.parametrize("part", [1.0, 1e-2, 1e-6])
def test_exp_is_right_to_two_ulp(dtype: Any, lowest: float, part: float) -> None:
    x = np.linspace(lowest * part, 0.0, N).astype(dtype)
    assert ulps(evaluate(exp_all, x), np.exp(wide(x))) < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_is_right_to_two_ulp(dtype: Any) -> None:
    info = np.finfo(dtype)
    everywhere = np.exp(np.linspace(np.log(info.tiny) + 1e-3, np.log(info.max) - 1e-3, N))
    around_one = np.linspace(0.5, 2.0, N)
    sums_of_exp = np.linspace(1.0, 256.0, N)
    for x in (everywhere, around_one, sums_of_exp):
        x = x.astype(dtype)
        assert ulps(evaluate(log_all, x), np.log(wide(x))) < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_of_special_values(dtype: Any) -> None:
    x = np.array([0.0, -0.0, -np.inf, np.finfo(dtype).min, np.nan], dtype)
    np.testing.assert_array_equal(evaluate(exp_all, x), np.array([1, 1, 0, 0, np.nan], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_falls_to_zero_without_going_below(dtype: Any) -> None:
    lowest = {np.float32: -50.0, np.float64: -600.0}[dtype]
    y = evaluate(exp_all, np.linspace(1.1 * lowest, 0.99 * lowest, N).astype(dtype))
    assert y[0] == 0
    assert (y >= 0).all()
    assert (y <= np.exp(0.98 * lowest)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_of_special_values(dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    x = np.array([1.0, 0.0, tiny / 2, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(
        evaluate(log_all, x), np.array([0, -np.inf, -np.inf, np.inf, np.nan], dtype)
    )
