"""EPLL: an image whose patches are all likely under the prior, by half-quadratic splitting.

A pass is three steps: choose the shape of every patch, restore the patches shape by shape, and mix
their average with the noisy image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels.epll import restore_patches
from fastgsm.kernels.patches import add_patches
from fastgsm.kernels.rotation import LANES
from fastgsm.kernels.shapes import best_shapes
from fastgsm.restore.grid import Grid, posterior_means
from fastgsm.restore.local_weights import BLOCK_PIXELS, LocalWeights, learn_local_weights
from fastgsm.restore.local_weights import REACH as LOCAL_REACH
from fastgsm.restore.method import Reach, Setting
from fastgsm.restore.planes import PlaneModel
from fastgsm.restore.priors import centring

# Patches restored at once: bounds the memory, and lets progress be shown and Ctrl-C be heard.
PATCHES_PER_CALL = 65_536


class Pass(NamedTuple):
    """One pass of the splitting."""

    beta: float
    """Patches are restored as if they had noise of variance sigma^2 / beta."""
    share: float
    """Weight of the noisy image in the result; the restored patches have the rest."""
    grid: int
    """Number of the grid that the patches lie on. Shapes are chosen once for each grid."""


# Half-quadratic splitting has share = 1 / (1 + beta) and chooses the shapes again in each pass.
# These betas and shares were tuned, by noise level, on the upper left 400x400 pixels of every
# second Kodak image in grey. At 5 and 10 of 255 they gain 0.11 and 0.07 dB over those for 15 and
# more. From 15 on, other values gained 0.03 dB there by using less of the noisy image, but lost
# texture (SSIM) on others. A last pass without the noisy image gains 0.3 dB.
TUNED = {
    5 / 255: ((1, 1.9, 3.8, 19.3), (0.55, 0.125, 0.18, 0)),
    10 / 255: ((1, 2.3, 4.55, 12.2), (0.55, 0.18, 0.164, 0)),
    15 / 255: ((1, 3, 7.2, 13.4), (0.5, 0.22, 0.18, 0)),
}
# The grid that the patches of each pass lie on. Choosing shapes in only two of four passes saves
# half of the time and costs 0.02, 0.03 and 0.07 dB at noise 15, 25 and 50; one grid for all passes
# would cost 0.2 dB.
GRIDS = (0, 1, 0, 1)
THOROUGH_GRIDS = (0, 1, 2, 3)


def schedule(sigma: float, grids: Sequence[int] = GRIDS) -> tuple[Pass, ...]:
    """Return the passes for noise ``sigma``, interpolated linearly in its logarithm."""
    tuned = np.array(list(TUNED.values())).reshape(len(TUNED), -1)
    levels = np.log(list(TUNED))
    betas, shares = np.reshape(
        [np.interp(math.log(sigma), levels, values) for values in tuned.T], (2, -1)
    )
    passes = zip(betas.tolist(), shares.tolist(), grids, strict=True)
    return tuple(Pass(*each) for each in passes)


# Largest relative increase in a patch's expected squared error that the flat tail may cause (see
# `single_pass`), where patches are restored and where their shapes are chosen. The second saves 6
# to 10 % of the time and costs 0.001 dB; 0.05 would save 16 to 22 % and cost 0.01 dB at noise 50.
FLAT_TAIL_LOSS = 0.01
CHOICE_TAIL_LOSS = 0.02


class EPLL:
    """Restoration by alternating between patches and pixels.

    In each pass every patch of a strided grid is restored under its likeliest shape, and the image
    becomes the weighted mean of the noisy image and of the restored patches. The grid moves from
    pass to pass. All planes use the shapes that are chosen in the first plane. The weights of the
    shapes are adapted to each part of the image (see `local_weights`).

    ``sigma`` is the noise, in the units of the prior. A model without shapes (an ICA) restores
    every patch under all its components. With ``chroma``, both models are mixtures with equally
    many shapes. For noise that differs from pixel to pixel, ``precision`` (height, width) is
    `sigma` squared over each pixel's own variance. It multiplies the shares, which stay at most 1.
    Where noise is far from even, the weights of the shapes are not adapted (``adapts``).

    References
    ----------
    .. [1] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011, equations 4 to 7.
    """

    def __init__(
        self,
        setting: Setting,
        sigma: float,
        passes: Sequence[Pass],
        precision: FloatArray | None = None,
        *,
        adapts: bool = True,
    ) -> None:
        self._precision = precision
        self._adapts = adapts
        self._passes = passes
        self._sigmas = [sigma / math.sqrt(each.beta) for each in passes]
        self._setting = setting
        self._patch_size = setting.patch_size
        self._stride = stride = setting.stride
        self._remove_mean, self._remove_global_mean = centring(setting.model)
        # Grids repeat only where no other positions are left.
        places = setting.rng.permutation(stride**2)
        n_grids = 1 + max(each.grid for each in passes)
        self._offsets = [divmod(int(places[i % places.size]), stride) for i in range(n_grids)]

    @staticmethod
    def reach(patch_size: int, stride: int) -> Reach:
        """Return how far the method looks with the passes of `schedule`.

        A change at one pixel changes the patches that cover it and, by their sums, all pixels of
        these patches, again in every pass. In the first pass it also changes the weights of the
        shapes in its block.
        """
        halo = patch_size + (len(GRIDS) - 1) * (patch_size - 1) + LOCAL_REACH
        return Reach(halo, math.lcm(stride, BLOCK_PIXELS))

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        grids = (self._grid(shape, each.grid) for each in self._passes)
        return sum(len(grid.groups(PATCHES_PER_CALL)) for grid in grids)

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""
        planes = np.ascontiguousarray(planes)
        means = planes.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(planes.dtype)
        noisy = planes - means if self._remove_global_mean else planes
        restored = noisy
        batches: dict[int, list[Batches]] = {}
        local: LocalWeights | None = None
        grids = {each.grid: self._grid(planes.shape, each.grid) for each in self._passes}
        # Room for the largest group of rows, used for all: fresh memory costs more than a tenth of
        # the time where it goes back to the system at once, as in Dask's workers.
        models = self._setting.plane_models(len(planes))
        most = max(grid.groups(PATCHES_PER_CALL)[0].n_patches for grid in grids.values())
        patches = np.empty((most, self._patch_size**2), planes.dtype)
        for (_, share, number), sigma in zip(self._passes, self._sigmas, strict=True):
            grid = grids[number]
            if number not in batches:
                batches[number], local = self._choose(models[0], restored[0], grid, sigma, local)
            restored = self._sum_restored(
                models, restored, grid, sigma, batches[number], patches, bar
            )
            for counts in grid.coverage(planes.shape[1:], planes.dtype):
                restored /= counts
            if share > 0:
                shares = self._shares(share, planes.dtype)
                restored *= 1 - shares
                restored += shares * noisy
        if self._remove_global_mean:
            restored += means
        return restored

    def _shares(self, share: float, dtype: np.dtype[Any]) -> Any:
        """Return the weight of the noisy image: one for all pixels, or (height, width)."""
        if self._precision is None:
            return dtype.type(share)
        return np.minimum(share * self._precision, 1).astype(dtype, copy=False)

    def _grid(self, shape: tuple[int, ...], number: int) -> Grid:
        """Return a grid that starts at its offset."""
        offsets, p = self._offsets[number], self._patch_size
        return Grid.from_offsets(shape[1:], offsets, self._stride, p, remove_mean=self._remove_mean)

    def _choose(
        self,
        model: PlaneModel,
        plane: FloatArray,
        grid: Grid,
        sigma: float,
        local: LocalWeights | None,
    ) -> tuple[list[Batches], LocalWeights | None]:
        """Sort the patches of every group of rows by their likeliest shapes.

        Also returns the local weights of the shapes. Those of the first pass serve all passes.
        """
        bank = model.bank(sigma, plane.dtype, CHOICE_TAIL_LOSS)
        if bank is None:
            return [], None
        weights = model.shape_weights
        learns = local is None and self._adapts and weights.size > 1
        if learns:
            shapes, local = learn_local_weights(plane, grid, bank, weights)
        else:
            local = LocalWeights.none(weights.size, plane.dtype) if local is None else local
            shapes = np.empty(grid.n_patches, np.int32)
        groups = grid.groups(PATCHES_PER_CALL)
        ends = np.cumsum([group.n_patches for group in groups])
        batches = []
        for group, its_shapes in zip(groups, np.split(shapes, ends[:-1]), strict=True):
            if not learns:
                blocks = local.blocks(group.rows, group.cols)
                best_shapes(plane, *group, bank, local.log_ratios, *blocks, its_shapes)
            batches.append(batches_of_one_shape(its_shapes))
        return batches, local

    def _sum_restored(
        self,
        models: list[PlaneModel],
        planes: FloatArray,
        grid: Grid,
        sigma: float,
        batches: list[Batches],
        patches: FloatArray,
        bar: Progress,
    ) -> FloatArray:
        """Return the sums (n, H, W) of the patches, each restored under its shape.

        A model without shapes has no ``batches``. ``patches`` (at least as many as in a group, d)
        is scratch memory.
        """
        banks = [each.bank(sigma, planes.dtype, FLAT_TAIL_LOSS) for each in models]
        sums = np.zeros(planes.shape, planes.dtype)
        for i, group in enumerate(grid.groups(PATCHES_PER_CALL)):
            for plane, model, bank, total in zip(planes, models, banks, sums, strict=True):
                if bank is None:
                    patches = posterior_means(model.model, sigma * model.ratio, plane, group)
                else:
                    restore_patches(plane, *group, bank, *batches[i], patches)
                add_patches(patches, *group[:3], total)
            bar.update()
        return sums


class Batches(NamedTuple):
    """Patches sorted by shape and cut into batches of one shape."""

    numbers: NDArray[np.intp]
    """Numbers (n,) of the patches in their new order."""
    starts: NDArray[np.intp]
    """Where each batch starts, with the end (batches + 1,)."""
    shapes: NDArray[np.intp]
    """Shape of each batch (batches,)."""


def batches_of_one_shape(shapes: NDArray[np.int32]) -> Batches:
    """Sort patches by their ``shapes`` (n,) and cut them into batches of at most LANES patches."""
    # Numbers of up to 16 bits are sorted by radix, in a sixth of the time; all threads wait for it.
    narrow = shapes.astype(np.min_scalar_type(shapes.max()))
    numbers = np.argsort(narrow, kind="stable")
    counts = np.bincount(shapes)
    n_batches = -(-counts // LANES)
    batch_shapes = np.repeat(np.arange(counts.size), n_batches)
    first_batch = np.cumsum(n_batches) - n_batches
    first_patch = np.cumsum(counts) - counts
    within = np.arange(batch_shapes.size) - first_batch[batch_shapes]
    starts = np.append(first_patch[batch_shapes] + within * LANES, shapes.size)
    return Batches(numbers, starts, batch_shapes)
