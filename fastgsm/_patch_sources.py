"""Patches of images as sources of chunks: drawn by the tasks that learn from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastgsm._arrays import is_dask, is_from
from fastgsm._checks import check_shape_2d
from fastgsm._extras import import_extra
from fastgsm._images import as_float_image
from fastgsm._parts import Part
from fastgsm.learning.chunks import SAMPLES_AT_ONCE, Chunk
from fastgsm.learning.dask import Source, announced, check_known_shape
from fastgsm.patches import sample_patches


class Draw(NamedTuple):
    """Which patches are drawn."""

    n_patches: int
    patch_size: int
    center: str | None
    """"patch" to subtract each patch's own mean."""
    tile: int
    """Side in pixels of the part of an image that one task holds."""


def patch_sources(
    images: Any, draw: Draw, rng: np.random.Generator
) -> tuple[list[Source], np.dtype[Any]]:
    """Return the sources of all patches, and their type; the arguments are those of `fit_images`.

    Every place in every image is equally likely.
    """
    da = import_extra("dask.array", "dask")
    blocks: list[tuple[tuple[Any, ...], int]] = []
    dtypes = []
    for name, image in _images(images, draw.tile):
        if not is_dask(image) and not isinstance(image, _Plane):
            image = da.from_array(image, chunks=draw.tile)
        if image.ndim != 2:
            raise ValueError(
                f"{name} has shape {image.shape}; wanted a grey image (height, width)."
            )
        check_known_shape(image, name)
        check_shape_2d(image.shape, f"the shape of {name}", draw.patch_size)
        if is_dask(image):
            image = announced(image, name)
        dtypes.append(as_float_image(np.zeros((1, 1), image.dtype), name)[0].dtype)
        blocks += _blocks(image, draw.tile, draw.patch_size)
    if not blocks:
        raise ValueError("images is empty; wanted at least one grey image.")
    dtype = np.result_type(*dtypes)
    places = np.array([n_places for _, n_places in blocks])
    counts = rng.multinomial(draw.n_patches, places / places.sum())
    seeds = rng.integers(2**63, size=len(blocks))
    firsts = np.cumsum(counts) - counts
    sources: list[Source] = [
        (drawn_chunks, (part, int(count), int(seed), int(first), draw, dtype))
        for (part, _), count, seed, first in zip(blocks, counts, seeds, firsts, strict=True)
        if count
    ]
    return sources, dtype


class _Plane:
    """A grey image in Zarr, or one of a stack of them, read when it is indexed.

    Dask searches Zarr's objects in each task, but not objects of this class.
    """

    ndim = 2

    def __init__(self, array: Any, *place: int) -> None:
        self._array, self._place = array, place
        self.shape, self.dtype = array.shape[len(place) :], array.dtype

    def __getitem__(self, part: Part) -> Any:
        return self._array[(*self._place, *part)]


def _images(images: Any, tile: int) -> Iterator[tuple[str, Any]]:
    """Yield one image after the other, with its name in error messages."""
    if isinstance(images, (str, os.PathLike)):
        raise TypeError(f"images is the path {images!r}; wanted arrays: open it with Zarr or Dask.")
    if hasattr(images, "array_keys"):  # a Zarr group
        for key in sorted(images.array_keys()):
            yield f"images[{key!r}]", _plain(images[key])
        return
    n_axes = getattr(images, "ndim", None)
    if n_axes == 2:
        yield "images", _plain(images)
        return
    if n_axes == 3 and is_from("zarr", "Array", images):
        images = [_Plane(images, number) for number in range(images.shape[0])]
    elif n_axes == 3 and not is_dask(images):  # otherwise iterating would read it
        images = import_extra("dask.array", "dask").from_array(images, chunks=(1, tile, tile))
    for number, image in enumerate(images):
        yield f"images[{number}]", _plain(image)


def _plain(image: Any) -> Any:
    """Return a grey Zarr array as a `_Plane`, and the array inside a DataArray."""
    if is_from("xarray", "DataArray", image):
        image = image.data
    return _Plane(image) if is_from("zarr", "Array", image) and image.ndim == 2 else image


def _blocks(image: Any, tile: int, patch_size: int) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield the parts of an image to draw patches from, and the number of places in each.

    A part is an array and an index. The task itself reads its part of a Zarr array: through Dask,
    reading, cutting and joining the chunks of each part would be seven more tasks.
    """
    height, width = image.shape
    margin = patch_size - 1
    for top in range(0, height - margin, tile):
        for left in range(0, width - margin, tile):
            rows = slice(top, min(top + tile + margin, height))
            cols = slice(left, min(left + tile + margin, width))
            n_places = (rows.stop - top - margin) * (cols.stop - left - margin)
            if is_dask(image):
                [[pixels]] = image[rows, cols].rechunk(-1).to_delayed()
                yield (pixels, ...), n_places
            else:
                yield (image, (rows, cols)), n_places


def drawn_chunks(
    part: tuple[Any, Any], count: int, seed: int, first: int, draw: Draw, dtype: np.dtype[Any]
) -> Iterator[Chunk]:
    """Draw patches from part of an image, SAMPLES_AT_ONCE at a time, in the type of all images."""
    rng = np.random.default_rng(seed)
    image, index = part
    plane = as_float_image(image[index])[0].astype(dtype, copy=False)
    for done in range(0, count, SAMPLES_AT_ONCE):
        n = min(SAMPLES_AT_ONCE, count - done)
        X = sample_patches(plane, draw.patch_size, n, center=draw.center, random_state=rng)
        yield Chunk.of(X, first=first + done)
