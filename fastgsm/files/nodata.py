"""The number that stands for "no value" in a GeoTIFF, as GDAL defines it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Programs write the end of a type's range with fewer digits, or that of a larger type. GDAL takes
# these for the end, too.
NEAR_END = 1 - 1e-5


def is_nodata(array: np.ndarray, text: bytes) -> NDArray[np.bool_]:
    """Return where an array of any shape holds the number in the tag GDAL_NODATA.

    A number that the array's type cannot hold is nowhere, but floats beyond its range are its end.
    """
    held = _as_type(check_nodata(text), array.dtype)
    if held is None:
        return np.zeros(array.shape, bool)
    if array.dtype.kind == "f" and np.isnan(held):
        return np.isnan(array)
    if _near_end(held):
        return np.asarray(np.isfinite(array) & (array <= held if held < 0 else array >= held))
    return np.asarray(array == held)


def can_hold(dtype: np.dtype[Any], text: bytes) -> bool:
    """Return whether a pixel of a type may have the number."""
    return _as_type(check_nodata(text), dtype) is not None


def away_from(array: np.ndarray, text: bytes) -> np.ndarray:
    """Return values none of which is the number: those that are become the next one to it."""
    found = is_nodata(array, text)
    number = check_nodata(text)
    if not found.any() or math.isnan(number):
        return array
    held = _as_type(number, array.dtype)
    if array.dtype.kind == "f":
        beside = np.nextafter(held, array.dtype.type(0 if held else 1))
    else:
        at_the_top = held == np.iinfo(array.dtype).max
        beside = held - array.dtype.type(1) if at_the_top else held + array.dtype.type(1)
    return np.where(found, beside, array)


def check_nodata(text: bytes) -> float | int:
    """Return the number in the tag; raise if there is none."""
    word = text.rstrip(b"\0").strip().decode("latin-1")
    if "#IND" in word or "#QNAN" in word:  # how old programs of Windows write NaN
        return math.nan
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise ValueError(
            f"its GDAL no-data value is {word!r}, which is not a number; remove it with "
            f"gdal_edit.py -unsetnodata"
        ) from None


def _as_type(number: float | int, dtype: np.dtype[Any]) -> Any:
    """Return a number as a value of a type, rounded as floats are; None if it does not fit."""
    if dtype.kind == "f":
        top = float(np.finfo(dtype).max)
        finite = abs(number) < math.inf
        return dtype.type(min(max(number, -top), top) if finite else number)
    limits = np.iinfo(dtype)
    if not limits.min <= number <= limits.max or number != int(number):  # NaN is in no range
        return None
    return dtype.type(int(number))


def _near_end(held: Any) -> bool:
    """Return whether a value is at an end of the range of its type of float."""
    if held.dtype.kind != "f":
        return False
    return bool(np.finfo(held.dtype).max * NEAR_END <= abs(held) < math.inf)
