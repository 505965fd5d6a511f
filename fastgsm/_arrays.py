"""Arrays of NumPy and of other packages, none of which is imported here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import as_ndarray
from fastgsm._types import FloatArray

# Modes of Pillow whose pixels are light, not palette indices, opacity or another colour space.
PILLOW_MODES = ("L", "I", "F", "RGB", "I;16", "I;16L", "I;16B", "I;16N")


def is_from(module: str, kind: str, value: Any) -> bool:
    """Return whether a value is an instance of the class ``kind`` of a package's module."""
    imported = sys.modules.get(module)
    return imported is not None and isinstance(value, getattr(imported, kind))


def is_dask(image: Any) -> bool:
    """Return whether an image is a Dask array."""
    return is_from("dask.array", "Array", image)


def is_stored(image: Any) -> bool:
    """Return whether an image is an array outside memory, of Zarr, HDF5 or the like.

    Such an array has `shape`, `dtype` and indexing, and is not one of NumPy or xarray.
    """
    return (
        isinstance(getattr(image, "dtype", None), np.dtype)
        and hasattr(image, "shape")
        and hasattr(image, "__getitem__")
        and not isinstance(image, (np.ndarray, np.generic))
        and not is_from("xarray", "DataArray", image)
    )


def as_given(image: Any, result: NDArray[Any]) -> Any:
    """Return ``result``, as a DataArray with the coordinates of ``image`` if that is one."""
    return image.copy(data=result) if is_from("xarray", "DataArray", image) else result


def plain_array(values: Any, name: str) -> NDArray[Any]:
    """Return ``values`` as an ndarray of any type; an ndarray is not copied."""
    if is_from("PIL.Image", "Image", values) and values.mode not in PILLOW_MODES:
        raise TypeError(
            f"{name} is a Pillow image of mode {values.mode!r}; wanted grey or RGB pixels: use "
            f"{name}.convert('L') or {name}.convert('RGB')."
        )
    return as_ndarray(values, name)


def real_array(values: Any, name: str) -> NDArray[Any]:
    """Return ``values`` as an ndarray of integers or real floats that is not empty."""
    array = plain_array(values, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} has dtype {array.dtype}; wanted integers or real floats. "
            f"Convert it first, e.g. with {name}.astype(np.float32)."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}.")
    return array


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return whether floats of a type, in any byte order, are computed in float32."""
    return dtype.kind == "f" and dtype.itemsize <= 4


def peak_of(values: FloatArray) -> float:
    """Return the greatest absolute value."""
    return max(float(values.max()), -float(values.min()))


def share_pixels(one: Any, other: Any) -> bool:
    """Return whether writing to one array changes the other, as far as can be told.

    NumPy arrays may share memory or map the same part of a file. Zarr and HDF5 arrays are handles,
    and one array may have several.
    """
    if one is other:
        return True
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.may_share_memory(one, other) or _map_the_same(one, other)
    if all(is_from("h5py", "Dataset", each) for each in (one, other)):
        return bool(one == other)
    place = _place_in_zarr(one)
    return place is not None and place == _place_in_zarr(other)


def _map_the_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two arrays are mapped from overlapping bytes of one file."""
    place, place_2 = _place_in_file(one), _place_in_file(other)
    if place is None or place_2 is None:
        return False
    (file, first, end), (file_2, first_2, end_2) = place, place_2
    if not (first < end_2 and first_2 < end):
        return False
    try:
        return os.path.samefile(file, file_2)
    except OSError:  # deleted, but mapped still
        return bool(file == file_2)


def _place_in_file(array: np.ndarray) -> tuple[Any, int, int] | None:
    """Return the file that an array is mapped from, and which bytes; None if it is not mapped."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None:
        return None
    # A part of a mapped array keeps the offset of the whole.
    start = np.lib.array_utils.byte_bounds(whole)[0] - whole.offset
    first, end = np.lib.array_utils.byte_bounds(array)
    return whole.filename, first - start, end - start


def _place_in_zarr(array: Any) -> Any:
    """Return a key that identifies where a Zarr array is stored, or None if it is not one."""
    place = getattr(array, "store_path", None)
    if place is None:
        return None
    folder = getattr(place.store, "root", None)
    if isinstance(folder, Path):
        return os.path.realpath(folder / place.path)
    # The text names a store's address, which two remote file systems may share.
    return str(place), getattr(place.store, "fs", None)
