"""The single pass: every patch of an image is replaced by its posterior mean, once.

A pixel is the mean over the patches that cover it, each weighted by its expected precision: one
over the expected squared error of its posterior mean. The weights gain 0.11, 0.10 and 0.05 dB at
noise 15, 25 and 50 of 255 (every third Kodak image, GSM with 8 scales). Weights to the power of 0.5
or 1.5 gain 0.06 and 0.11, 0.07 and 0.08, 0.04 and 0.02.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels._jit import usable_threads
from fastgsm.kernels.patches import scatter_patches
from fastgsm.kernels.wiener import WienerBank
from fastgsm.models import PatchModel
from fastgsm.patches import grid_positions
from fastgsm.restore.bands import (
    BAND_ROWS,
    BANDS_PER_CALL,
    Bands,
    n_calls,
    restore_bands,
    sum_bands,
)
from fastgsm.restore.grid import Grid, posterior_means
from fastgsm.restore.method import Reach, Setting
from fastgsm.restore.planes import PlaneModel
from fastgsm.restore.priors import centring

# Largest relative increase in a patch's expected squared error that the flat tail may cause: 0.2 %,
# or 0.009 dB. In the average of overlapping patches it was at most 0.006 dB (Kodak, noise 5 to 50).
FLAT_TAIL_LOSS = 0.002

# The squared error of a pixel from the traces of its patches' filters, see `_expected_errors`.
# Fitted to the 24 Kodak images in grey at noise 10, 25 and 50 of 255 (GSM with 8 scales, stride 1):
# the z-scores of an image have standard deviations of 0.85 to 1.16, 0.83 to 1.25 and 0.80 to 1.39,
# two of the 72 outside 0.8 to 1.25. With nothing averaged and slope 1 they are 0.84 to 1.13, 0.78
# to 1.24 and 0.73 to 1.30, eight outside; with 2.0 averaged and slope 1.05, five outside.
# Part of a trace that averages out between patches: the mean and some of the two slopes.
AVERAGED_TRACE = 1.5
# Above 1: the harmonic mean of the traces is below their mean, and it is uncertain which of its
# filters a patch needs.
TRACE_SLOPE = 1.1


class Filters(NamedTuple):
    """A model at one noise level, and how its patches are centred."""

    model: PatchModel
    sigma: float
    """Noise of the plane."""
    bank: WienerBank | None
    remove_mean: bool
    remove_global_mean: bool
    bands_per_call: int

    @classmethod
    def of(cls, plane: PlaneModel, level: float, dtype: Any) -> Filters:
        """Prepare a model for planes of type ``dtype``, the first of which has noise ``level``."""
        bank = plane.bank(level, dtype, FLAT_TAIL_LOSS)
        n_shapes = 1 if bank is None else len(bank.forward)
        bands_per_call = max(BANDS_PER_CALL // n_shapes, 4 * usable_threads())
        return cls(plane.model, level * plane.ratio, bank, *centring(plane.model), bands_per_call)


class SinglePass:
    """Posterior mean of every patch of a grid, averaged by precision, at noise ``sigma``.

    If only patches' centres are kept, the image is mirrored beyond its borders.
    """

    def __init__(self, setting: Setting, sigma: float) -> None:
        self._sigma = sigma
        self._setting = setting
        self._patch_size = setting.patch_size
        self._stride = setting.stride
        self._center = setting.center
        self._prepared: list[Filters] = []  # see `_filters`

    @staticmethod
    def reach(patch_size: int, stride: int) -> Reach:
        """Return how far the method looks."""
        return Reach(patch_size, max(BAND_ROWS, patch_size) * stride)

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        return sum(self.steps_of_planes(shape))

    def steps_of_planes(self, shape: tuple[int, ...]) -> list[int]:
        """Return the number of progress updates for each of the planes."""
        border = self._patch_size - 1 if self._center else 0
        grid = self._grid((shape[1] + border, shape[2] + border))
        return [
            n_calls(grid.rows.size, self._patch_size, each.bands_per_call)
            for each in self._filters(shape[0])
        ]

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width), one by one, in the units of the prior."""
        restored = np.empty(planes.shape, planes.dtype)
        for each in zip(self._filters(len(planes)), planes, restored, strict=True):
            self._restore(*each, bar)
        return restored

    def restored_plane(self, planes: FloatArray, i: int, bar: Progress) -> FloatArray:
        """Denoise one of the ``planes``."""
        restored = np.empty(planes.shape[1:], planes.dtype)
        self._restore(self._filters(len(planes))[i], planes[i], restored, bar)
        return restored

    def with_variance(self, planes: FloatArray, bar: Progress) -> tuple[FloatArray, FloatArray]:
        """Denoise ``planes`` (n, height, width); return every pixel's expected squared error too.

        Needs models with a bank, and averages of patches rather than their centres.
        """
        restored, variance = np.empty((2, *planes.shape), planes.dtype)
        every = zip(self._filters(len(planes)), planes, restored, strict=True)
        for each, errors in zip(every, variance, strict=True):
            errors[:] = self._expected_errors(self._restore(*each, bar), each[0].sigma)
        return restored, variance

    def _filters(self, n_planes: int) -> list[Filters]:
        """Return the filters of the luminance, the first plane, and of the other planes."""
        if len(self._prepared) != n_planes:
            models = self._setting.plane_models(n_planes)
            dtype = self._setting.dtype
            self._prepared = [Filters.of(each, self._sigma, dtype) for each in models]
        return self._prepared

    def _grid(self, shape: tuple[int, ...], remove_mean: bool = False) -> Grid:
        """Return the patches of an image of ``shape`` (height, width)."""
        rows, cols = (grid_positions(n, self._patch_size, self._stride) for n in shape)
        return Grid(rows, cols, self._patch_size, remove_mean)

    def _expected_errors(self, weights: FloatArray, sigma: float) -> FloatArray:
        """Return every pixel's expected squared error, from the ``weights`` of its patches.

        A patch of weight w = 1 / t, t the trace of its filter, expects s2 t / d a pixel. Of the n
        patches that cover a pixel, n / sum w is the harmonic mean of t. Their average has

            s2 / d max(f t, TRACE_SLOPE (t - (1 - f) AVERAGED_TRACE)),

        with f from `left_by_averaging`. Averaging reduces the low-frequency noise that all patches
        let through, and not the rest of their errors. No average does better than one of patches
        that let only low frequencies through.
        """
        p, dtype = self._patch_size, weights.dtype
        counts = self._grid(weights.shape).coverage(weights.shape, dtype)
        trace = counts[0] * counts[1] / weights
        down, across = (left_by_averaging(each, p, self._stride) for each in counts)
        left = down * across
        error = trace - (1 - left) * dtype.type(AVERAGED_TRACE)
        error *= dtype.type(TRACE_SLOPE)
        np.maximum(error, left * trace, out=error)
        error *= dtype.type(sigma**2 / p**2)
        return error

    def _restore(
        self, filters: Filters, image: FloatArray, restored: FloatArray, bar: Progress
    ) -> FloatArray:
        """Fill ``restored``; return the weights of all pixels, unless only centres are kept."""
        image = np.ascontiguousarray(image)
        mean = image.dtype.type(image.mean(dtype=np.float64) if filters.remove_global_mean else 0.0)
        if filters.remove_global_mean:
            image = image - mean
        before = self._patch_size // 2
        if self._center:
            image = np.pad(image, (before, self._patch_size - 1 - before), mode="symmetric")
        total = np.empty(image.shape, image.dtype)
        # The patches are summed in the array of the result, which bounds the memory.
        sums = (total,) if self._center else (restored, total)
        grid = self._grid(image.shape, filters.remove_mean)
        restore = (
            partial(self._restore_by_model, filters, image, grid)
            if filters.bank is None
            else partial(restore_bands, image, grid, filters.bank, self._center)
        )
        sum_bands(restore, grid, sums, filters.bands_per_call, bar)
        if self._center:
            height, width = restored.shape
            restored[:] = total[before : before + height, before : before + width]
        else:
            restored /= total
        if filters.remove_global_mean:
            restored += mean
        return total

    def _restore_by_model(
        self,
        filters: Filters,
        image: FloatArray,
        grid: Grid,
        bands: Bands,
        sums: tuple[FloatArray, ...],
        spill: FloatArray,
    ) -> None:
        """Do the work of `denoise_bands` for a model that has only `denoise_patches`."""
        tops = np.append(grid.rows, image.shape[0])
        for (first, last), spilt in zip(itertools.pairwise(bands), spill, strict=True):
            band = grid.part(slice(first, last))
            clean = posterior_means(filters.model, filters.sigma, image, band)
            top, bottom = tops[first], tops[last]
            band = band._replace(rows=band.rows - top)
            total = np.zeros(
                (len(sums), band.rows[-1] + self._patch_size, image.shape[1]), image.dtype
            )
            scatter_patches(clean, *band[:3], self._center, total[0])
            if not self._center:  # all patches have the same weight
                down, across = band.coverage(total[0].shape, image.dtype)
                total[1] = down * across
            own = bottom - top
            for target, part in zip(sums, total, strict=True):
                target[top:bottom] = part[:own]
            spilt[:] = 0
            spilt[:, : total.shape[1] - own] = total[:, own:]


def left_by_averaging(counts: FloatArray, patch_size: int, stride: int) -> FloatArray:
    """Return the squared error of an average of ``counts`` patches, relative to that of one.

    Along one axis, for patches whose means alone are noisy. The means of p pixels i strides apart
    have the correlation 1 - i stride / p; its mean over all pairs of n patches is
    1 - stride (n - 1/n) / 3p. For stride 1 and p = 8 that is 0.45 over both axes; 0.41 to 0.48 was
    measured where traces are least (Kodak, noise 10 to 50 of 255).
    """
    return 1 - (counts - 1 / counts) * counts.dtype.type(stride / (3 * patch_size))
