"""Parts of an image: tiles with their margins, and reading them."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import plain_array
from fastgsm._checks import check_shape_2d
from fastgsm._images import check_channel_axis

# Rows and columns of an image.
Part = tuple[slice, slice]


def grown(part: Part, halo: int, step: int) -> Part:
    """Return a part with margins of at least ``halo``, which starts at multiples of ``step``."""
    before = -(-halo // step) * step
    rows, cols = (slice(max(each.start - before, 0), each.stop + halo) for each in part)
    return rows, cols


def clipped(part: Part, shape: tuple[int, ...]) -> Part:
    """Return the part that lies within an image of ``shape`` (height, width)."""
    rows, cols = (slice(s.start, min(s.stop, n)) for s, n in zip(part, shape, strict=True))
    return rows, cols


class Tile(NamedTuple):
    """A part of an image, and the larger part that must be known to restore it."""

    inner: Part
    outer: Part
    """The inner part with its margins."""

    @property
    def cut(self) -> Part:
        """The inner part within the outer one."""
        first, second = (
            slice(i.start - o.start, i.stop - o.start)
            for i, o in zip(self.inner, self.outer, strict=True)
        )
        return first, second


def tiles_of(shape: tuple[int, int], side: int, halo: int, step: int) -> list[Tile]:
    """Cut an image (height, width) into tiles of at least ``side`` pixels, in reading order.

    Their margins are at least ``halo`` wide. Tiles and margins start at multiples of ``step``.
    """
    height, width = shape
    side = -(-side // step) * step
    tiles = []
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        inner = clipped((slice(top, top + side), slice(left, left + side)), shape)
        tiles.append(Tile(inner, clipped(grown(inner, halo, step), shape)))
    return tiles


def pixel_shape(image: Any, channel_axis: int | None, least: int) -> tuple[int, int]:
    """Return (height, width) of an array; raise unless both are at least ``least``."""
    try:
        shape = tuple(image.shape)
        _ = np.dtype(image.dtype)
    except (AttributeError, TypeError):
        raise TypeError(
            f"image is a {type(image).__name__}; wanted an array with shape, dtype and indexing: "
            f"a NumPy, Zarr or HDF5 array."
        ) from None
    sides = list(shape)
    if channel_axis is not None:
        del sides[check_channel_axis(shape, channel_axis)]
    return check_shape_2d(sides, "the shape of image", least)


def index(part: Part, channel_axis: int | None) -> tuple[slice, ...]:
    """Return the index of a part of the pixels, with all channels."""
    return with_channels(part, slice(None), channel_axis)


def with_channels(pixels: tuple[Any, Any], channels: Any, axis: int | None) -> tuple[Any, ...]:
    """Insert the channel index at position ``axis`` among the row and column indices."""
    both = list(pixels)
    if axis is not None:
        both.insert(axis % 3, channels)
    return tuple(both)


def read_part(image: Any, part: Part, channel_axis: int | None) -> NDArray[Any]:
    """Return a part of a stored image; raise ValueError if it holds NaN."""
    pixels = plain_array(image[index(part, channel_axis)], "image")
    check_no_nan(pixels, part)
    return pixels


def check_no_nan(pixels: NDArray[Any], part: Part) -> None:
    """Raise ValueError if a part of an image holds NaN."""
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        rows, cols = part
        raise ValueError(
            f"image holds NaN in rows {rows.start} to {rows.stop} and columns {cols.start} to "
            f"{cols.stop}; wanted finite pixels. Only denoise fills missing pixels, in a "
            f"NumPy array in memory."
        )
