"""The noise level of an image that is read part by part."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgsm._images import as_float_image, channels_first
from fastgsm._parts import Part, read_part, tiles_of
from fastgsm._progress import Progress
from fastgsm.noise.white import (
    PATCH,
    exponent_of_unit,
    grid_patches,
    grid_stride,
    sigma_of_variances,
    variance_of_patches,
)


class Scan(NamedTuple):
    """One part of an image, reduced to what the noise estimate needs, by channels."""

    place: tuple[int, int]
    """Row and column of the first patch in the grid of the whole image."""
    patches: list[Any]
    low: list[Any]
    high: list[Any]
    unit: float


def scan_blocks(shape: tuple[int, int], tile: int) -> tuple[int, list[Part]]:
    """Return the stride of the patches that `scan` examines, and the parts to give it."""
    stride = grid_stride(shape)
    blocks = tiles_of(shape, -(-tile // stride) * stride, 0, stride)
    # A patch belongs to the part that its first pixel is in.
    parts = [
        (
            slice(rows.start, min(rows.stop + PATCH - 1, shape[0])),
            slice(cols.start, min(cols.stop + PATCH - 1, shape[1])),
        )
        for rows, cols in (block.inner for block in blocks)
    ]
    return stride, parts


def scan(pixels: Any, part: Part, stride: int, channel_axis: int | None) -> Scan:
    """Reduce one part of an image to a `Scan`."""
    scaled, unit = as_float_image(pixels)
    planes = channels_first(scaled, channel_axis)
    fits = min(planes.shape[1:]) >= PATCH
    return Scan(
        (part[0].start // stride, part[1].start // stride),
        [grid_patches(plane, stride).copy() for plane in planes] if fits else [],
        [plane.min() for plane in planes],
        [plane.max() for plane in planes],
        unit,
    )


def sigma_of_scans(scans: list[Scan], shape: tuple[int, int], stride: int) -> float:
    """Estimate the noise of an image like `estimate_sigma`, from scans of all its parts."""
    grid_shape = [(length - PATCH) // stride + 1 for length in shape]
    extremes = [[*each.low, *each.high] for each in scans]
    exponent = exponent_of_unit(float(np.abs(extremes).max()))
    variances = []
    for channel in range(len(scans[0].low)):
        dtype = scans[0].low[channel].dtype
        grid = np.empty((PATCH, PATCH, *grid_shape), dtype)
        for each in scans:
            if each.patches:
                patches, (top, left) = each.patches[channel], each.place
                height, width = patches.shape[2:]
                grid[:, :, top : top + height, left : left + width] = patches
        low = min(each.low[channel] for each in scans)
        high = max(each.high[channel] for each in scans)
        if exponent:
            grid, low, high = (np.ldexp(values, -exponent) for values in (grid, low, high))
        variances.append(variance_of_patches(grid, low, high))
    return sigma_of_variances(variances, scans[0].unit, exponent)


def estimate_sigma_by_tiles(
    image: Any, shape: tuple[int, int], tile: int, channel_axis: int | None, progress: bool
) -> float:
    """Estimate the noise of an image like `estimate_sigma`, reading it part by part."""
    stride, parts = scan_blocks(shape, tile)
    scans = []
    with Progress(len(parts), "estimating the noise", enabled=progress) as bar:
        for part in parts:
            pixels = read_part(image, part, channel_axis)
            scans.append(scan(pixels, part, stride, channel_axis))
            bar.update()
    return sigma_of_scans(scans, shape, stride)
