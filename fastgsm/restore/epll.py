"""EPLL: an image whose patches are all likely under the prior, by half-quadratic splitting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels.epll import add_patches, restore_patches
from fastgsm.kernels.rotation import TILE
from fastgsm.kernels.shapes import best_shapes
from fastgsm.kernels.wiener import WienerBank
from fastgsm.models import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.patches import coverage
from fastgsm.restore.local_weights import LocalWeights, learn_local_weights
from fastgsm.restore.method import centring, restored_patches

# Patches restored at once: bounds the memory, and lets progress be shown and Ctrl-C be heard.
PATCHES_PER_CALL = 65_536


class Pass(NamedTuple):
    """One pass of the splitting."""

    beta: float
    """The patches are taken to have noise of variance sigma^2 / beta."""
    share: float
    """Weight of the noisy image in the result; restored patches have the rest."""
    grid: int
    """Which of the grids the patches lie on. Shapes are chosen once for each grid."""


# Half-quadratic splitting has share = 1 / (1 + beta) and chooses the shapes anew in each pass.
# These betas and shares were tuned, by noise level, on the upper left 400x400 pixels of every
# second Kodak image in grey: at 5 and 10 of 255 they are worth 0.11 and 0.07 dB over those of 15
# and more. From 15 on, other values gained 0.03 dB there by taking less of the noisy image, but
# lost texture (SSIM) on others. That the last pass takes nothing of it is worth 0.3 dB.
TUNED = {
    5 / 255: ((1, 1.9, 3.8, 19.3), (0.55, 0.125, 0.18, 0)),
    10 / 255: ((1, 2.3, 4.55, 12.2), (0.55, 0.18, 0.164, 0)),
    15 / 255: ((1, 3, 7.2, 13.4), (0.5, 0.22, 0.18, 0)),
}
# Which of the grids the patches of each pass lie on. Choosing shapes in two passes of four saves
# half of the time and costs 0.02, 0.03 and 0.07 dB at noise 15, 25 and 50; one grid for all passes
# would cost 0.2 dB.
GRIDS = (0, 1, 0, 1)
THOROUGH_GRIDS = (0, 1, 2, 3)


def schedule(sigma: float, grids: Sequence[int] = GRIDS) -> tuple[Pass, ...]:
    """Give the passes for noise ``sigma``: between the tuned levels, linear in its logarithm."""
    tuned = np.array(list(TUNED.values())).reshape(len(TUNED), -1)
    levels = np.log(list(TUNED))
    betas, shares = np.reshape(
        [np.interp(math.log(sigma), levels, values) for values in tuned.T], (2, -1)
    )
    passes = zip(betas.tolist(), shares.tolist(), grids, strict=True)
    return tuple(Pass(*each) for each in passes)


# What the flat tail may add to the expected squared error of a patch (see `single_pass`), where
# patches are restored and where their shapes are chosen. The second saves 6 to 10 % of the time
# and costs 0.001 dB; 0.05 would save 16 to 22 % and cost 0.01 dB at noise 50 of 255.
FLAT_TAIL_LOSS = 0.01
CHOICE_TAIL_LOSS = 0.02


class EPLL:
    """Restoration by alternating between patches and pixels.

    In each pass every patch of a strided grid is restored under its most likely shape, and the
    image becomes the weighted mean of the noisy image and of the restored patches. The grid
    moves from pass to pass. All planes take the shapes that are chosen in the first plane. The
    weights of the shapes are adapted to each part of the image (see `local_weights`).

    Parameters
    ----------
    model : fitted model
        One without shapes (an ICA) restores every patch under all that it has.
    sigma : float
        Standard deviation of the noise, in the units of the prior.
    patch_size, stride : int
    rng : numpy.random.Generator
        Draws the places of the grids.
    passes : sequence of Pass
    precision : ndarray of shape (height, width), optional
        For noise that differs from pixel to pixel: `sigma` squared over each pixel's own variance.
        It multiplies the shares, which stay at most 1.
    chroma : fitted model, optional
        For the planes after the first. Both models are mixtures, of as many shapes.
    adapts : bool
        Adapt the weights of the shapes; not where the noise is far from even.

    References
    ----------
    .. [1] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011, equations 4 to 7.
    """

    def __init__(
        self,
        model: PatchModel,
        sigma: float,
        patch_size: int,
        stride: int,
        rng: np.random.Generator,
        passes: Sequence[Pass],
        precision: FloatArray | None = None,
        chroma: PatchModel | None = None,
        *,
        adapts: bool = True,
    ) -> None:
        self._precision = precision
        self._adapts = adapts
        self._passes = passes
        self._model = model
        self._sigmas = [sigma / math.sqrt(each.beta) for each in passes]
        # None for a model that has only `denoise_patches`.
        self._mixture = model if isinstance(model, ScaleMixtureModel) else None
        self._chroma = chroma if isinstance(chroma, ScaleMixtureModel) else self._mixture
        self._patch_size = patch_size
        self._stride = stride
        self._remove_mean, self._remove_global_mean = centring(model)
        # Grids repeat only where there are no other places left.
        places = rng.permutation(stride**2)
        n_grids = 1 + max(each.grid for each in passes)
        self._offsets = [divmod(int(places[i % places.size]), stride) for i in range(n_grids)]

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape take."""
        return sum(len(self._strips(*self._grid(shape, each.grid))) for each in self._passes)

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""
        planes = np.ascontiguousarray(planes)
        levels = planes.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(planes.dtype)
        noisy = planes - levels if self._remove_global_mean else planes
        restored = noisy
        tiles: dict[int, list[Tiles]] = {}
        local: LocalWeights | None = None
        grids = {each.grid: self._grid(planes.shape, each.grid) for each in self._passes}
        # Room for the largest strip, used for all: fresh memory costs more than a tenth of the time
        # where it goes back to the system at once, as in Dask's workers.
        most = max(self._strips(rows, cols)[0].size * cols.size for rows, cols in grids.values())
        patches = np.empty((most, self._patch_size**2), planes.dtype)
        for (_, share, grid), sigma in zip(self._passes, self._sigmas, strict=True):
            rows, cols = grids[grid]
            strips = self._strips(rows, cols)
            sums = np.zeros(planes.shape, planes.dtype)
            if self._mixture is not None and self._chroma is not None:
                banks = [
                    mixture.wiener_bank(sigma, planes.dtype, FLAT_TAIL_LOSS)
                    for mixture in [self._mixture] + [self._chroma] * (len(planes) - 1)
                ]
                if grid not in tiles:
                    tiles[grid], local = self._choose(restored[0], rows, cols, sigma, local)
            for i, strip in enumerate(strips):
                if self._mixture is None:
                    self._add_posterior_means(restored, strip, cols, sigma, sums)
                else:
                    self._add_restored(restored, strip, cols, banks, tiles[grid][i], patches, sums)
                bar.update()
            sums /= coverage(rows, planes.shape[1], self._patch_size, planes.dtype)[:, None]
            sums /= coverage(cols, planes.shape[2], self._patch_size, planes.dtype)
            if share > 0:
                shares = self._shares(share, planes.dtype)
                sums *= 1 - shares
                sums += shares * noisy
            restored = sums
        if self._remove_global_mean:
            restored += levels
        return restored

    def _shares(self, share: float, dtype: np.dtype[Any]) -> Any:
        """Weight of the noisy image at the pixels: one for all, or (height, width)."""
        if self._precision is None:
            return dtype.type(share)
        return np.minimum(share * self._precision, 1).astype(dtype, copy=False)

    def _grid(self, shape: tuple[int, ...], grid: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns that step from the grid's offset, with the first and last possible."""
        rows, cols = (
            np.union1d(np.arange(offset, last, self._stride), [0, last]).astype(np.intp)
            for offset, last in zip(
                self._offsets[grid],
                (length - self._patch_size for length in shape[1:]),
                strict=True,
            )
        )
        return rows, cols

    def _strips(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        n_strips = -(-rows.size * cols.size // PATCHES_PER_CALL)
        return np.array_split(rows, min(n_strips, rows.size))

    def _choose(
        self,
        plane: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        sigma: float,
        local: LocalWeights | None,
    ) -> tuple[list[Tiles], LocalWeights]:
        """Sort the patches of every strip by their likeliest shapes.

        Also gives the weights of shapes that decided: those of the first pass decide in all.
        """
        assert self._mixture is not None
        bank = self._mixture.wiener_bank(sigma, plane.dtype, CHOICE_TAIL_LOSS)
        strips = self._strips(rows, cols)
        weights = self._mixture._density.weights.sum(axis=1)
        if local is None and self._adapts and weights.size > 1:
            shapes, local = learn_local_weights(
                plane, rows, cols, self._patch_size, self._remove_mean, bank, weights
            )
            ends = np.cumsum([strip.size * cols.size for strip in strips])
            of_strips = np.split(shapes, ends[:-1])
        else:
            local = LocalWeights.none(weights.size, plane.dtype) if local is None else local
            of_strips = [self._shapes(plane, strip, cols, bank, local) for strip in strips]
        return [tiles_of_one_shape(shapes) for shapes in of_strips], local

    def _shapes(
        self,
        plane: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        bank: WienerBank,
        local: LocalWeights,
    ) -> NDArray[np.int32]:
        """Most likely shape of every patch."""
        shapes = np.empty(rows.size * cols.size, np.int32)
        best_shapes(
            plane, rows, cols, self._patch_size, self._remove_mean, bank, local.log_ratios,
            *local.blocks(rows, cols), shapes,
        )  # fmt: skip
        return shapes

    def _add_restored(
        self,
        planes: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        banks: Sequence[WienerBank],
        tiles: Tiles,
        patches: FloatArray,
        sums: FloatArray,
    ) -> None:
        """Add the posterior means of the patches to ``sums``, like ``planes`` (n, H, W).

        Each plane has a bank of its own. The first of ``patches`` (at least as many, d) are filled.
        """
        p = self._patch_size
        for plane, bank, total in zip(planes, banks, sums, strict=True):
            restore_patches(plane, rows, cols, p, self._remove_mean, bank, *tiles, patches)
            add_patches(patches, rows, cols, p, total)

    def _add_posterior_means(
        self,
        planes: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        sigma: float,
        sums: FloatArray,
    ) -> None:
        """What `_add_restored` does, for a model that has only `denoise_patches`."""
        p = self._patch_size
        for plane, total in zip(planes, sums, strict=True):
            clean = restored_patches(self._model, sigma, plane, rows, cols, p, self._remove_mean)
            add_patches(clean, rows, cols, p, total)


class Tiles(NamedTuple):
    """Patches sorted by shape and cut into tiles of one shape."""

    numbers: NDArray[np.intp]
    """Numbers (n,) of the patches in their new order."""
    starts: NDArray[np.intp]
    """Where each tile starts, with the end (tiles + 1,)."""
    shapes: NDArray[np.intp]
    """Shape of each tile (tiles,)."""


def tiles_of_one_shape(shapes: NDArray[np.int32]) -> Tiles:
    """Sort patches by their ``shapes`` (n,) and cut them into tiles."""
    # Numbers of up to 16 bits are sorted by radix, in a sixth of the time, which threads wait for.
    narrow = shapes.astype(np.min_scalar_type(shapes.max()))
    numbers = np.argsort(narrow, kind="stable")
    counts = np.bincount(shapes)
    n_tiles = -(-counts // TILE)
    tile_shapes = np.repeat(np.arange(counts.size), n_tiles)
    first_tile = np.cumsum(n_tiles) - n_tiles
    first_patch = np.cumsum(counts) - counts
    within = np.arange(tile_shapes.size) - first_tile[tile_shapes]
    starts = np.append(first_patch[tile_shapes] + within * TILE, shapes.size)
    return Tiles(numbers, starts, tile_shapes)
