"""Patches of the channels of an image, from which its noise is estimated."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastgsm._images import check_image_2d
from fastgsm._types import FloatArray
from fastgsm.colour import dct_matrix

PATCH = 8
# Most patches examined, about.
MAX_PATCHES = 32768
# Patches that are transformed at once.
BLOCK_PATCHES = 64
# Least number of patches to measure noise in.
MIN_NOISY = 16


class Channel(NamedTuple):
    """What the estimate needs of one channel of an image."""

    patches: FloatArray
    """Some of its patches (8, 8, ...)."""
    low: Any
    high: Any
    """The least and the greatest value of the channel."""


def channels_of(planes: FloatArray, mask: NDArray[np.bool_] | None) -> list[Channel]:
    """Return what the estimate needs of planes (n, height, width) of at least a patch each."""
    for plane in planes:
        check_image_2d(plane, PATCH, "image" if len(planes) == 1 else "a channel of image")
    return [_channel(plane, mask) for plane in planes]


def _channel(image: FloatArray, mask: NDArray[np.bool_] | None) -> Channel:
    """Return what the estimate needs of one channel."""
    if mask is None:
        patches = np.ascontiguousarray(grid_patches(image, grid_stride(image.shape)))
        return Channel(patches, image.min(), image.max())
    windows = sliding_window_view(image, (PATCH, PATCH))
    patches = np.ascontiguousarray(windows[_places_inside(mask)].transpose(1, 2, 0))
    pixels = image[mask]
    return Channel(patches, pixels.min(), pixels.max())


def grid_stride(shape: tuple[int, ...]) -> int:
    """Return the distance between the examined patches of an image (height, width)."""
    n_windows = (shape[0] - PATCH + 1) * (shape[1] - PATCH + 1)
    return max(1, math.ceil(math.sqrt(n_windows / MAX_PATCHES)))


def grid_patches(image: FloatArray, stride: int) -> FloatArray:
    """Return patches (8, 8, rows, columns) on a regular grid.

    Pixels come first: minima and maxima over so short an axis are slow unless it is the outer one.
    """
    windows = sliding_window_view(image, (PATCH, PATCH))
    return windows[::stride, ::stride].transpose(2, 3, 0, 1)


def _places_inside(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of patches without a masked pixel, evenly spaced among them."""
    rows, cols = np.nonzero(starts_inside(mask))
    if rows.size < MIN_NOISY:
        raise ValueError(
            f"{rows.size} patches of {PATCH}x{PATCH} pixels are free of masked ones, too few to "
            f"estimate the noise from; wanted at least {MIN_NOISY}. Give sigma (0 for an image "
            f"without noise)."
        )
    step = math.ceil(rows.size / MAX_PATCHES)
    return rows[::step], cols[::step]


def starts_inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where patches without a masked pixel start."""
    inside = sliding_window_view(mask, PATCH, axis=0).all(axis=2)
    return np.asarray(sliding_window_view(inside, PATCH, axis=1).all(axis=2))


def transformed(rows: FloatArray, patches: FloatArray) -> FloatArray:
    """Return the product of ``rows`` (m, 64) and ``patches`` (64, p), in the type of the patches.

    It is taken in blocks so small that BLAS does not divide them between threads, whose number
    would change the last bits.
    """
    rows, n_patches = rows.astype(patches.dtype), patches.shape[1]
    whole = n_patches // BLOCK_PATCHES * BLOCK_PATCHES
    blocks = patches[:, :whole].reshape(len(patches), -1, BLOCK_PATCHES)
    result = np.empty((len(rows), n_patches), patches.dtype)
    products = np.matmul(rows, blocks.transpose(1, 0, 2))
    result[:, :whole] = products.transpose(1, 0, 2).reshape(len(rows), -1)
    result[:, whole:] = rows @ patches[:, whole:]
    return result


def _basis() -> tuple[FloatArray, NDArray[np.intp]]:
    """Return a patch's orthonormal DCT (64, 64), and the order of each of its frequencies.

    The order is the sum of the numbers of half waves down and across.
    """
    k, cosines = np.arange(PATCH), dct_matrix(PATCH)
    return np.kron(cosines, cosines), np.add.outer(k, k).ravel()


BASIS, ORDER = _basis()
