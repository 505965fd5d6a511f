"""Images at half of their size, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgsm._types import FloatArray

# Pixels of half the size, on either side, that an enlarged image depends on.
ENLARGEMENT = 2


def half_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape`` (height, width) at half of the size."""
    return tuple((n + 1) // 2 for n in shape)


def shrunk(planes: FloatArray) -> FloatArray:
    """Return the means over 2x2 pixels, and over 2x1 or 1x2 at the end of an odd side."""
    _, height, width = planes.shape
    even = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    half = planes.dtype.type(0.5)
    rows = (even[:, ::2] + even[:, 1::2]) * half
    return (rows[..., ::2] + rows[..., 1::2]) * half


def enlarged(planes: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Blur by (1, 2, 1) / 4 along both axes and enlarge linearly to ``shape``, of double size.

    A pixel of the larger image lies a quarter of a pixel from the centre of one of the smaller. It
    is 7/16 of that one, 5/16 and 1/16 of the next two on its side, and 3/16 of the other neighbour.
    """
    weights = [planes.dtype.type(w / 16) for w in (1, 5, 7, 3, 0)]
    for axis in (1, 2):
        n = planes.shape[axis]
        padding = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(planes, padding, mode="edge")
        around = [_part(padded, axis, slice(i, i + n)) for i in range(5)]
        larger = list(planes.shape)
        larger[axis] = 2 * n
        result = np.empty(larger, planes.dtype)
        for side, order in enumerate((weights, weights[::-1])):
            pixels = (w * pixel for w, pixel in zip(order, around, strict=True))
            _part(result, axis, slice(side, None, 2))[:] = sum(pixels)
        planes = _part(result, axis, slice(0, shape[axis]))
    return planes


def correct_lows(planes: FloatArray, half: FloatArray) -> None:
    """Give ``planes`` (n, height, width) the low frequencies of ``half``, at half of their size."""
    planes += enlarged(half - shrunk(planes), planes.shape)


def _part(planes: FloatArray, axis: int, part: slice) -> Any:
    return planes[(slice(None),) * axis + (part,)]
