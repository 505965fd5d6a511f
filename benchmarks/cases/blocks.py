"""Cases of functions that only other kernels call; they repeat on data that stay in cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgsm.kernels.rotation import LANES

from .. import drivers
from ..common import Array, shrunk
from .case import EXP_FLOPS, Case, D, normal

REPEATS = 128


def rotation(dtype: str) -> Case:
    """The micro-kernel on data in cache, against NumPy's own large product: equal flops."""
    A, columns = normal(dtype, D, D), normal(dtype, 16, D, LANES)
    out = np.empty_like(columns)
    repeats = shrunk(REPEATS)
    flops = 2.0 * D * repeats * columns.size
    side = round((flops / 2) ** (1 / 3))
    B = normal(dtype, side, side)

    def ours() -> Array:
        drivers.rotate_all(A, columns, repeats, out)
        return out

    return Case(ours, lambda: B @ B, flops, 0, same=False)


def _blockwise(driver: Any, function: Callable[[Array], Array], x: Array) -> Case:
    out, repeats = np.empty_like(x), shrunk(REPEATS)

    def ours() -> Array:
        driver(x, repeats, out)
        return out

    def numpy() -> Array:
        for _ in range(repeats):
            result = function(x)
        return result

    return Case(ours, numpy, EXP_FLOPS[x.dtype.name] * repeats * x.size, 0)


def exp(dtype: str) -> Case:
    x = np.abs(normal(dtype, 64, 512)) + np.array(0.1, dtype)
    return _blockwise(drivers.exp_blocks, np.exp, -x)


def log(dtype: str) -> Case:
    x = np.abs(normal(dtype, 64, 512)) + np.array(0.1, dtype)
    return _blockwise(drivers.log_blocks, np.log, x)
