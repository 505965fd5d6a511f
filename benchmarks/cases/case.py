"""What a case is, and the sizes that the cases share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..common import PATCH_SIZE, Array

D = PATCH_SIZE**2
N_SHAPES, N_SCALES = 8, 8  # the bundled GSM has 8 scales, too
# Operations on one number in a block exp, log or log-sum-exp: about the terms of the polynomials.
EXP_FLOPS = {"float32": 16, "float64": 26}


class Case(NamedTuple):
    """One kernel at work. Both functions return an array, or a tuple of arrays."""

    ours: Callable[[], Any]
    numpy: Callable[[], Any]
    flops: float  # that the result needs: no padding, half of a symmetric product
    bytes: float  # inputs read once and outputs written once, in main memory
    same: bool = True  # whether both return the same numbers


def arrays(result: Any) -> tuple[Array, ...]:
    """Return the arrays that a function of a case returned."""
    return result if isinstance(result, tuple) else (result,)


def normal(dtype: str, *shape: int) -> Array:
    """Draw an array of standard normal numbers."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)
