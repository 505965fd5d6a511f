"""Denoising on Dask: arrays of any size, on the cores of one machine or of many."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgsm._extras import import_extra
from fastgsm._validation import check_nonnegative, check_random_state
from fastgsm.tiles import (
    TILE,
    Tile,
    check_no_nan,
    denoise_part,
    index,
    pixel_shape,
    plan,
    scan,
    scan_blocks,
    sigma_of_scans,
    with_channels,
)


def denoise_dask(
    image: Any,
    sigma: float | None = None,
    *,
    tile: int = TILE,
    prior: Any = None,
    quality: str = "balanced",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    random_state: Any = 0,
) -> Any:
    """Denoise a Dask array, lazily.

    Nothing is computed before the result is. Each tile is then one task, with a margin so wide that
    the result is that of `fastgsm.denoise`, to the bit, whatever the chunks and the tiles.

    Parameters
    ----------
    image : dask.array.Array of shape (..., height, width), with one more axis for channels
        Any axes before the pixels' (time, depth, field of view) are of images on their own.
    sigma : float, optional
        As of `denoise`: one number. By default estimated once for each image, from all of it; the
        image's chunks are then computed twice, unless they are persisted.
    tile : int
        Least side of a tile, in pixels.
    prior, quality, stride, channel_axis, data_range, random_state
        As of `denoise`.

    Returns
    -------
    dask.array.Array
        Of the same shape and dtype; its chunks are the tiles.

    Raises
    ------
    ImportError
        If Dask is not installed (``pip install "fastgsm[dask]"``).
    TypeError, ValueError
        As `denoise_tiles`; what is wrong with pixels, when they are computed.

    Examples
    --------
    >>> import dask.array as da, fastgsm
    >>> from fastgsm.distributed import denoise_dask
    >>> image = fastgsm.datasets.dead_leaves((120, 100), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(image, 0.1, random_state=0)
    >>> lazy = denoise_dask(da.from_array(noisy, chunks=50), 0.1, quality="fast", tile=64)
    >>> bool((lazy.compute() == fastgsm.denoise(noisy, 0.1, quality="fast")).all())
    True
    """
    da = import_extra("dask.array", "dask")
    if not isinstance(image, da.Array):
        raise TypeError(
            f"image is a {type(image).__name__}; wanted a dask.array.Array. Make one with "
            f"dask.array.from_array or dask.array.from_zarr."
        )
    if sigma is not None:
        sigma = check_nonnegative(sigma, "sigma")
    rng = check_random_state(random_state)
    if image.ndim > (2 if channel_axis is None else 3):
        axis = None if channel_axis is None else channel_axis % image.ndim - 1
        if axis is not None and axis < image.ndim - 4:
            raise ValueError(
                f"image has shape {image.shape} and channel_axis is {channel_axis}; wanted the "
                f"channels among the last three axes, after those of images on their own."
            )
        options = {
            "tile": tile,
            "prior": prior,
            "quality": quality,
            "stride": stride,
            "channel_axis": axis,
            "data_range": data_range,
            "random_state": rng,
        }
        return da.stack([denoise_dask(each, sigma, **options) for each in image])
    shape = pixel_shape(image, channel_axis)
    tiles, options = plan(image, shape, tile, prior, quality, stride, channel_axis, data_range)
    level = _estimated(image, shape, tile, channel_axis) if sigma is None else sigma
    parts = [
        image[index(part.outer, channel_axis)]
        .rechunk(-1)
        .map_blocks(
            _denoise_part,
            level,
            part,
            options,
            rng,
            dtype=image.dtype,
            chunks=_chunks(image, part, channel_axis),
            meta=np.empty((0,) * image.ndim, image.dtype),
        )
        for part in tiles
    ]
    n_cols = len({part.inner[1].start for part in tiles})
    rows = [parts[first : first + n_cols] for first in range(0, len(parts), n_cols)]
    down, across = (i for i in range(image.ndim) if channel_axis is None or i != channel_axis % 3)
    return da.concatenate([da.concatenate(row, axis=across) for row in rows], axis=down)


def _chunks(image: Any, part: Tile, channel_axis: int | None) -> tuple[int, ...]:
    """Give the shape of a tile of the result."""
    height, width = (each.stop - each.start for each in part.inner)
    n_channels = 1 if channel_axis is None else image.shape[channel_axis]
    return with_channels((height, width), n_channels, channel_axis)


def _denoise_part(
    noisy: Any, sigma: Any, part: Tile, options: dict[str, Any], rng: np.random.Generator
) -> Any:
    check_no_nan(noisy, part.outer)
    return denoise_part(noisy, float(sigma), part, options, rng)


def _estimated(image: Any, shape: tuple[int, int], tile: int, channel_axis: int | None) -> Any:
    """Give the noise level as a Dask array of no dimension."""
    da = import_extra("dask.array", "dask")
    delayed = import_extra("dask", "dask").delayed
    stride, parts = scan_blocks(shape, tile)
    scans = [
        delayed(scan)(image[index(part, channel_axis)], part, stride, channel_axis)
        for part in parts
    ]
    sigma = delayed(sigma_of_scans)(scans, shape, stride)
    return da.from_delayed(sigma, (), np.float64)
