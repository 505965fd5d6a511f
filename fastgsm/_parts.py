"""Parts of an image: tiles and their margins, and how they are read."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from fastgsm._arrays import plain_array
from fastgsm._checks import check_shape_2d
from fastgsm._images import check_channel_axis
from fastgsm.noise.white import PATCH


class Tile(NamedTuple):
    """A part of an image, as (rows, columns), and what must be known to restore it."""

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
    """Cut an image into tiles of at least ``side`` pixels, in the order of reading.

    Parameters
    ----------
    shape : (height, width)
    side : int
        In pixels; rounded up to a multiple of `step`.
    halo : int
        Least width of the margins.
    step : int
        Tiles and their margins begin at multiples of this.
    """
    height, width = shape
    side = -(-side // step) * step
    tiles = []
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        inner = slice(top, min(top + side, height)), slice(left, min(left + side, width))
        rows, cols = grown(inner, halo, step)
        outer = slice(rows.start, min(rows.stop, height)), slice(cols.start, min(cols.stop, width))
        tiles.append(Tile(inner, outer))
    return tiles


def pixel_shape(image: Any, channel_axis: int | None) -> tuple[int, int]:
    """Give (height, width) of an image that has a shape."""
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
    return check_shape_2d(sides, "the shape of image", PATCH)


def index(part: Part, channel_axis: int | None) -> tuple[slice, ...]:
    """Give the index of a part of the pixels, with all channels."""
    return with_channels(part, slice(None), channel_axis)


def with_channels(pixels: tuple[Any, Any], channels: Any, axis: int | None) -> tuple[Any, ...]:
    """Put what is of the channels between what is of rows and of columns, where their axis is."""
    both = list(pixels)
    if axis is not None:
        both.insert(axis % 3, channels)
    return tuple(both)


def read_part(image: Any, part: Part, channel_axis: int | None) -> Any:
    pixels = plain_array(image[index(part, channel_axis)], "image")
    check_no_nan(pixels, part)
    return pixels


def check_no_nan(pixels: Any, part: Part) -> None:
    """Raise ValueError if a part of an image holds NaN."""
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        rows, cols = part
        raise ValueError(
            f"image holds NaN in rows {rows.start} to {rows.stop} and columns {cols.start} to "
            f"{cols.stop}; wanted finite pixels. Missing pixels are filled by denoise alone, in "
            f"an array of NumPy that is in memory."
        )


# Rows and columns of some planes.
Part = tuple[slice, slice]


def grown(part: Part, halo: int, step: int) -> Part:
    """Give a part of some planes with a margin of at least ``halo``, that begins at whole steps."""
    before = -(-halo // step) * step
    rows, cols = (slice(max(each.start - before, 0), each.stop + halo) for each in part)
    return rows, cols
