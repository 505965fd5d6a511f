"""The number that stands for "no value" in a GeoTIFF, as GDAL defines it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_nodata(array: np.ndarray, text: bytes) -> NDArray[np.bool_]:
    """Return where an array of any shape holds the number in the tag GDAL_NODATA.

    A number that the array's type cannot hold is nowhere.
    """
    number = check_nodata(text)
    if math.isnan(number):
        return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    held = _as_type(number, array.dtype)
    return np.zeros(array.shape, bool) if held is None else np.asarray(array == held)


def away_from(array: np.ndarray, text: bytes) -> np.ndarray:
    """Return values none of which is the number: those that are become the next one to it."""
    found = is_nodata(array, text)
    if not found.any() or math.isnan(check_nodata(text)):
        return array
    held = array[found][0]
    if array.dtype.kind == "f":
        beside = np.nextafter(held, array.dtype.type(0 if held else 1))
    else:
        at_the_top = held == np.iinfo(array.dtype).max
        beside = held - array.dtype.type(1) if at_the_top else held + array.dtype.type(1)
    return np.where(found, beside, array)


def check_nodata(text: bytes) -> float | int:
    """Return the number in the tag; raise if there is none."""
    word = text.rstrip(b"\0").strip().decode("latin-1")
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
        try:
            with np.errstate(over="ignore"):
                held = dtype.type(number)
        except OverflowError:  # an integer beyond all floats
            return None
        return held if np.isfinite(held) or math.isinf(number) else None
    limits = np.iinfo(dtype)
    if math.isinf(number) or number != int(number) or not limits.min <= number <= limits.max:
        return None
    return dtype.type(int(number))
