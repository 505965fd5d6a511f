"""The noise level of an image that is read part by part."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgsm._images import as_float_image, channels_first
from fastgsm._parts import Part, clipped, tiles_of
from fastgsm.noise.channels import PATCH, Channel, grid_patches, grid_stride
from fastgsm.noise.estimate import noise_of_channels
from fastgsm.noise.kinds import Kind
from fastgsm.noise.model import NoiseModel


class Scan(NamedTuple):
    """One part of an image, reduced to what the noise estimate needs."""

    place: tuple[int, int]
    """Row and column of the first patch in the grid of the whole image."""
    channels: list[Channel]
    unit: float


def scan_blocks(shape: tuple[int, int], tile: int) -> tuple[int, list[Part]]:
    """Return the stride of the patches that `scan` examines, and the parts to give it."""
    stride = grid_stride(shape)
    blocks = tiles_of(shape, -(-tile // stride) * stride, 0, stride)
    # A patch belongs to the part that its first pixel is in.
    more = PATCH - 1
    inner = (block.inner for block in blocks)
    parts = [(slice(r.start, r.stop + more), slice(c.start, c.stop + more)) for r, c in inner]
    return stride, [clipped(part, shape) for part in parts]


def scan(pixels: Any, part: Part, stride: int, channel_axis: int | None) -> Scan:
    """Reduce one part of an image to a `Scan`."""
    scaled, unit = as_float_image(pixels)
    planes = channels_first(scaled, channel_axis)
    fits = min(planes.shape[1:]) >= PATCH
    none = np.empty((PATCH, PATCH, 0, 0), planes.dtype)
    channels = [
        Channel(grid_patches(each, stride).copy() if fits else none, each.min(), each.max())
        for each in planes
    ]
    return Scan((part[0].start // stride, part[1].start // stride), channels, unit)


def noise_of_scans(
    kind: Kind,
    sigma: float | None,
    scans: list[Scan],
    shape: tuple[int, int],
    stride: int,
    data_range: float,
) -> NoiseModel:
    """Estimate the noise of an image like `estimate.estimated`, from scans of all its parts."""
    channels, peak = _joined(scans, shape, stride)
    return noise_of_channels(kind, sigma, channels, peak, scans[0].unit, data_range)


def _joined(scans: list[Scan], shape: tuple[int, int], stride: int) -> tuple[list[Channel], float]:
    """Return the channels of the whole image, and the largest magnitude of a pixel."""
    grid_shape = [(length - PATCH) // stride + 1 for length in shape]
    channels = []
    for parts in zip(*(each.channels for each in scans), strict=True):
        grid = np.empty((PATCH, PATCH, *grid_shape), parts[0].patches.dtype)
        for (top, left), part in zip((each.place for each in scans), parts, strict=True):
            height, width = part.patches.shape[2:]
            grid[:, :, top : top + height, left : left + width] = part.patches
        low, high = min(part.low for part in parts), max(part.high for part in parts)
        channels.append(Channel(grid, low, high))
    return channels, max(float(max(-each.low, each.high)) for each in channels)
