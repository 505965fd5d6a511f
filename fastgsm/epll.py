"""EPLL: an image whose patches are all likely under the prior, by half-quadratic splitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._progress import Progress
from fastgsm._validation import FloatArray
from fastgsm.kernels.epll import add_patches, best_shapes, restore_patches
from fastgsm.kernels.rotation import TILE
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.patches import coverage
from fastgsm.single_pass import centring

# Patches restored at once: bounds the memory, and lets progress be shown and Ctrl-C be heard.
PATCHES_PER_CALL = 65_536

# beta s2 in each pass: how much more the restored patches count than the noisy image.
SCHEDULE = (1.0, 4.0, 8.0, 16.0, 32.0)
# What the flat tail may add to the expected squared error of a patch (see `single_pass`).
FLAT_TAIL_LOSS = 0.01


class EPLL:
    """Restoration by alternating between patches and pixels.

    In each pass every patch of a strided grid is restored at noise variance 1 / beta under its
    most likely shape, and the image becomes the average of the noisy one and of its restored
    patches, (y + beta s2 x') / (1 + beta s2). The grid moves from pass to pass. Several planes
    share the shapes that are chosen in the first.

    Parameters
    ----------
    model : fitted scale mixture
    sigma : float
        Standard deviation of the noise, in the units of the prior.
    dtype : dtype
        float32 or float64: the type of the images.
    patch_size, stride : int
    rng : numpy.random.Generator
        Draws the places of the grids.
    schedule : sequence of float
        beta s2 of each pass.

    References
    ----------
    .. [1] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011, equations 4 to 7.
    """

    def __init__(
        self,
        model: ScaleMixtureModel,
        sigma: float,
        dtype: Any,
        patch_size: int,
        stride: int,
        rng: np.random.Generator,
        schedule: Sequence[float] = SCHEDULE,
        tail_loss: float = FLAT_TAIL_LOSS,
    ) -> None:
        self._schedule = schedule
        self._banks = [
            model.wiener_bank(sigma / np.sqrt(beta), dtype, tail_loss) for beta in schedule
        ]
        self._patch_size = patch_size
        self._stride = stride
        self._remove_mean, self._remove_global_mean = centring(model)
        # No pass repeats another's grid before all of them have been used.
        places = np.concatenate([rng.permutation(stride**2) for _ in schedule])
        self._offsets = [divmod(int(place), stride) for place in places[: len(schedule)]]

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape take."""
        height, width = shape[1:]
        return sum(
            len(self._strips(self._grid(height, y), self._grid(width, x).size))
            for y, x in self._offsets
        )

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""
        levels = planes.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(planes.dtype)
        noisy = planes - levels if self._remove_global_mean else planes
        restored = noisy
        for beta, bank, offset in zip(self._schedule, self._banks, self._offsets, strict=True):
            target = self._restore_patches(restored, bank, offset, bar)
            share = planes.dtype.type(1 / (1 + beta))
            target *= 1 - share
            target += share * noisy
            restored = target
        if self._remove_global_mean:
            restored += levels
        return restored

    def _grid(self, length: int, offset: int) -> NDArray[np.intp]:
        """Positions that step from ``offset``, with the first and the last possible one."""
        last = length - self._patch_size
        return np.union1d(np.arange(offset, last, self._stride), [0, last]).astype(np.intp)

    def _strips(self, rows: NDArray[np.intp], n_cols: int) -> list[NDArray[np.intp]]:
        n_strips = -(-rows.size * n_cols // PATCHES_PER_CALL)
        return np.array_split(rows, min(n_strips, rows.size))

    def _restore_patches(
        self, planes: FloatArray, bank: Any, offset: tuple[int, int], bar: Progress
    ) -> FloatArray:
        """Average of the restored patches of a grid at every pixel."""
        p = self._patch_size
        height, width = planes.shape[1:]
        rows, cols = self._grid(height, offset[0]), self._grid(width, offset[1])
        sums = np.zeros(planes.shape, planes.dtype)
        for strip in self._strips(rows, cols.size):
            n = strip.size * cols.size
            shapes = np.empty(n, np.int32)
            best_shapes(planes[0], strip, cols, p, self._remove_mean, bank, shapes)
            numbers, starts, tile_shapes = tiles_of_one_shape(shapes)
            patches = np.empty((n, p * p), planes.dtype)
            for plane, total in zip(planes, sums, strict=True):
                restore_patches(
                    plane, strip, cols, p, self._remove_mean, bank, numbers, starts, tile_shapes,
                    patches,
                )  # fmt: skip
                add_patches(patches, strip, cols, p, total)
            bar.update()
        sums /= coverage(rows, height, p, planes.dtype)[:, None]
        sums /= coverage(cols, width, p, planes.dtype)
        return sums


def tiles_of_one_shape(
    shapes: NDArray[np.int32],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Sort patches by shape and cut them into tiles.

    Returns the numbers (n,) of the patches in their new order, where each tile starts, with the
    end (tiles + 1,), and the shape of each tile (tiles,).
    """
    numbers = np.argsort(shapes, kind="stable")
    counts = np.bincount(shapes)
    n_tiles = -(-counts // TILE)
    tile_shapes = np.repeat(np.arange(counts.size), n_tiles)
    first_tile = np.cumsum(n_tiles) - n_tiles
    first_patch = np.cumsum(counts) - counts
    within = np.arange(tile_shapes.size) - first_tile[tile_shapes]
    starts = np.append(first_patch[tile_shapes] + within * TILE, shapes.size)
    return numbers, starts, tile_shapes
