"""Images as other packages hold them; none of those is imported here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Modes of Pillow whose pixels are light: not numbers of a palette, opacity or another colour space.
PILLOW_MODES = ("L", "I", "F", "RGB", "I;16", "I;16L", "I;16B", "I;16N")


def check_pillow_mode(values: Any, name: str) -> None:
    """Raise TypeError for a Pillow image whose numbers are no grey or red, green and blue."""
    pillow = sys.modules.get("PIL.Image")
    if pillow is None or not isinstance(values, pillow.Image) or values.mode in PILLOW_MODES:
        return
    raise TypeError(
        f"{name} is a Pillow image of mode {values.mode!r}; wanted grey or RGB pixels: use "
        f"{name}.convert('L') or {name}.convert('RGB')."
    )


def is_dask(image: Any) -> bool:
    """Say whether an image is an array of Dask."""
    dask = sys.modules.get("dask.array")
    return dask is not None and isinstance(image, dask.Array)


def is_stored(image: Any) -> bool:
    """Say whether an image is an array elsewhere than in memory: one of Zarr, HDF5 and their like.

    That is what has `shape`, `dtype` and indexing without being an array of NumPy or xarray.
    """
    xarray = sys.modules.get("xarray")
    return (
        isinstance(getattr(image, "dtype", None), np.dtype)
        and hasattr(image, "shape")
        and hasattr(image, "__getitem__")
        and not isinstance(image, (np.ndarray, np.generic))
        and (xarray is None or not isinstance(image, xarray.DataArray))
    )


def as_given(image: Any, result: NDArray[Any]) -> Any:
    """Give ``result``, of the shape of ``image``, as a DataArray like it if it is one of xarray's.

    It then has the dimensions, coordinates, name and attributes of ``image``.
    """
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(image, xarray.DataArray):
        return result
    return image.copy(data=result)
