"""The single pass: every patch of an image is replaced by its posterior mean, once.

A pixel is the mean over the patches that cover it, each weighted by its expected precision: one
over the expected squared error of its posterior mean. The weights gain 0.11, 0.10 and 0.05 dB at
noise 15, 25 and 50 of 255 (every third Kodak image, GSM with 8 scales). Weights to the power of 0.5
or 1.5 gain 0.06 and 0.11, 0.07 and 0.08, 0.04 and 0.02.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels._jit import usable_threads
from fastgsm.kernels.patches import scatter_patches
from fastgsm.kernels.single_pass import denoise_bands
from fastgsm.kernels.wiener import WienerBank
from fastgsm.models import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.patches import coverage, grid_positions
from fastgsm.restore.method import Reach, Setting
from fastgsm.restore.priors import centring, restored_patches

# Rows of the patch grid in a band. Constant, whatever the number of threads: the order in which
# patches are summed, and so every bit of the result, follows from it.
BAND_ROWS = 16
# Bands of one shape denoised in one call of a kernel: between calls, progress is shown and Ctrl-C
# is heard.
BANDS_PER_CALL = 64

# Largest relative increase in a patch's expected squared error that the flat tail may cause: 0.2 %,
# or 0.009 dB. In the average of overlapping patches it was at most 0.006 dB (Kodak, noise 5 to 50).
FLAT_TAIL_LOSS = 0.002

# The squared error of a pixel from the traces of its patches' filters, see `_expected_errors`.
# Fitted to the 24 Kodak images in grey at noise 10, 25 and 50 of 255 (GSM with 8 scales, stride 1):
# the z-scores of an image have standard deviations of 0.83 to 1.04, 0.81 to 1.23 and 0.82 to 1.38,
# two of the 72 outside 0.8 to 1.25. With nothing averaged and slope 1 they are 0.81 to 1.04, 0.75
# to 1.19 and 0.70 to 1.24, ten outside; with slopes of 1 and 1.1, four and three outside.
# Part of a trace that averages out between patches: the mean and some of the two slopes.
AVERAGED_TRACE = 2.0
# Above 1: the harmonic mean of the traces is below their mean, and it is uncertain which of its
# filters a patch needs.
TRACE_SLOPE = 1.05


class SinglePass:
    """Posterior mean of every patch of a grid, averaged by precision, at one noise level.

    Parameters
    ----------
    model : fitted model
    setting : Setting
        With ``center``, the image is mirrored beyond its borders.
    sigma : float
        Standard deviation of the noise, in the units of the prior.
    """

    def __init__(self, model: PatchModel, setting: Setting, sigma: float) -> None:
        self._model = model
        self._sigma = sigma
        self._bank: WienerBank | None = None
        n_shapes = 1
        if isinstance(model, ScaleMixtureModel):
            self._bank = model.wiener_bank(sigma, setting.dtype, tail_loss=FLAT_TAIL_LOSS)
            n_shapes = self._bank.forward.shape[0]
        self._bands_per_call = max(BANDS_PER_CALL // n_shapes, 4 * usable_threads())
        self._patch_size = setting.patch_size
        self._stride = setting.stride
        self._center = setting.center
        self._remove_mean, self._remove_global_mean = centring(model)

    @staticmethod
    def reach(patch_size: int, stride: int) -> Reach:
        """Return how far the method looks."""
        return Reach(patch_size, max(BAND_ROWS, patch_size) * stride)

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        n_planes, height = shape[:2]
        if self._center:
            height += self._patch_size - 1
        grid_rows = grid_positions(height, self._patch_size, self._stride).size
        return n_planes * -(-(self._bands(grid_rows).size - 1) // self._bands_per_call)

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width), one by one, in the units of the prior."""
        restored = np.empty(planes.shape, planes.dtype)
        for plane, target in zip(planes, restored, strict=True):
            self._restore(np.ascontiguousarray(plane), target, bar)
        return restored

    def with_variance(self, planes: FloatArray, bar: Progress) -> tuple[FloatArray, FloatArray]:
        """Denoise ``planes`` (n, height, width); return every pixel's expected squared error too.

        Needs a model with a bank, and averages of patches rather than their centres.
        """
        restored, variance = np.empty((2, *planes.shape), planes.dtype)
        for plane, target, errors in zip(planes, restored, variance, strict=True):
            sums = self._restore(np.ascontiguousarray(plane), target, bar)
            errors[:] = self._expected_errors(sums[1])
        return restored, variance

    def _expected_errors(self, weights: FloatArray) -> FloatArray:
        """Return every pixel's expected squared error, from the ``weights`` of its patches.

        A patch of weight w = 1 / t, t the trace of its filter, expects s2 t / d a pixel. Of the n
        patches that cover a pixel, n / sum w is the harmonic mean of t. Their average has

            s2 / d max(f t, TRACE_SLOPE (t - (1 - f) AVERAGED_TRACE)),

        with f from `left_by_averaging`. Averaging reduces the low-frequency noise that all patches
        let through, and not the rest of their errors. No average does better than one of patches
        that let only low frequencies through.
        """
        p, dtype = self._patch_size, weights.dtype
        down, across = (
            coverage(grid_positions(length, p, self._stride), length, p, dtype)
            for length in weights.shape
        )
        trace = down[:, None] * across / weights
        left = left_by_averaging(down, p, self._stride)[:, None]
        left = left * left_by_averaging(across, p, self._stride)
        error = trace - (1 - left) * dtype.type(AVERAGED_TRACE)
        error *= dtype.type(TRACE_SLOPE)
        np.maximum(error, left * trace, out=error)
        error *= dtype.type(self._sigma**2 / p**2)
        return error

    def _restore(
        self, image: FloatArray, restored: FloatArray, bar: Progress
    ) -> tuple[FloatArray, ...]:
        """Fill ``restored``; return the sums of `_sum_patches`."""
        mean = image.dtype.type(image.mean(dtype=np.float64) if self._remove_global_mean else 0.0)
        if self._remove_global_mean:
            image = image - mean
        before = self._patch_size // 2
        height, width = restored.shape
        if self._center:
            after = self._patch_size - 1 - before
            image = np.pad(image, ((before, after), (before, after)), mode="symmetric")
        rows = grid_positions(image.shape[0], self._patch_size, self._stride)
        cols = grid_positions(image.shape[1], self._patch_size, self._stride)
        # The patches are summed in the array of the result, which bounds the memory.
        sums: tuple[FloatArray, ...] = (
            (np.empty(image.shape, image.dtype),)
            if self._center
            else (restored, np.empty(image.shape, image.dtype))
        )
        self._sum_patches(image, rows, cols, bar, sums)
        if self._center:
            restored[:] = sums[0][before : before + height, before : before + width]
        else:
            restored /= sums[1]
        if self._remove_global_mean:
            restored += mean
        return sums

    def _bands(self, grid_rows: int) -> NDArray[np.intp]:
        """Return the first grid row of every band, and the end; a band is at least a patch high."""
        step = max(BAND_ROWS, self._patch_size)
        return np.append(np.arange(0, grid_rows, step, dtype=np.intp), grid_rows)

    def _sum_patches(
        self,
        image: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        bar: Progress,
        sums: tuple[FloatArray, ...],
    ) -> None:
        """Fill ``sums``, two (H, W): the weighted sum of all restored patches, and the weights.

        If ``sums`` has only one (H, W), it gets the patches' centres.
        """
        bands = self._bands(rows.size)
        below = self._patch_size - 1
        above = None  # the part of this band's rows that the band above has summed
        for start in range(0, bands.size - 1, self._bands_per_call):
            stop = min(start + self._bands_per_call, bands.size - 1)
            part = bands[start : stop + 1]
            spill = np.empty((stop - start, len(sums), below, image.shape[1]), image.dtype)
            if self._bank is not None:
                denoise_bands(
                    image, rows, cols, part, self._patch_size, self._remove_mean, self._center,
                    self._bank, sums, spill,
                )  # fmt: skip
            else:
                self._sum_bands(image, rows, cols, part, sums, spill)
            for top, left_below in zip(rows[part[:-1]], spill, strict=True):
                if above is not None:
                    for target, left in zip(sums, above, strict=True):
                        target[top : top + below] += left
                above = left_below
            bar.update()

    def _sum_bands(
        self,
        image: FloatArray,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        bands: NDArray[np.intp],
        sums: tuple[FloatArray, ...],
        spill: FloatArray,
    ) -> None:
        """Do the work of `denoise_bands` for a model that has only `denoise_patches`."""
        for band in range(bands.size - 1):
            grid = rows[bands[band] : bands[band + 1]]
            top = grid[0]
            bottom = rows[bands[band + 1]] if bands[band + 1] < rows.size else image.shape[0]
            clean = restored_patches(
                self._model, self._sigma, image, grid, cols, self._patch_size, self._remove_mean
            )
            grid = grid - grid[0]
            height, width = grid[-1] + self._patch_size, image.shape[1]
            total = np.zeros((len(sums), height, width), image.dtype)
            scatter_patches(clean, grid, cols, self._patch_size, self._center, total[0])
            if not self._center:  # all patches have the same weight
                total[1] = coverage(grid, height, self._patch_size, image.dtype)[:, None]
                total[1] *= coverage(cols, width, self._patch_size, image.dtype)
            own = bottom - top
            for target, part in zip(sums, total, strict=True):
                target[top:bottom] = part[:own]
            spill[band] = 0
            spill[band, :, : height - own] = total[:, own:]


def new_single_pass(setting: Setting, level: float) -> SinglePass | OpponentSinglePass:
    """Return the single pass for one noise level, with a second one for planes of chroma."""
    luminance = SinglePass(setting.model, setting, level)
    if setting.chroma is None:
        return luminance
    return OpponentSinglePass(luminance, SinglePass(setting.chroma, setting, level))


class OpponentSinglePass:
    """One single pass for the luminance, the first plane, and another for the other planes."""

    def __init__(self, luminance: SinglePass, chroma: SinglePass) -> None:
        self._luminance = luminance
        self._chroma = chroma

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        first, others = (1, *shape[1:]), (shape[0] - 1, *shape[1:])
        return self._luminance.n_steps(first) + self._chroma.n_steps(others)

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width), like `SinglePass`."""
        return np.concatenate([self._luminance(planes[:1], bar), self._chroma(planes[1:], bar)])

    def with_variance(self, planes: FloatArray, bar: Progress) -> tuple[FloatArray, FloatArray]:
        """Denoise ``planes``; return every pixel's expected squared error, like `SinglePass`."""
        first = self._luminance.with_variance(planes[:1], bar)
        others = self._chroma.with_variance(planes[1:], bar)
        restored, variance = (np.concatenate(pair) for pair in zip(first, others, strict=True))
        return restored, variance


def left_by_averaging(counts: FloatArray, patch_size: int, stride: int) -> FloatArray:
    """Return the squared error of an average of ``counts`` patches, relative to that of one.

    Along one axis, for patches whose means alone are noisy. The means of p pixels i strides apart
    have the correlation 1 - i stride / p; its mean over all pairs of n patches is
    1 - stride (n - 1/n) / 3p. For stride 1 and p = 8 that is 0.45 over both axes; 0.41 to 0.48 was
    measured where traces are least (Kodak, noise 10 to 50 of 255).
    """
    return 1 - (counts - 1 / counts) * counts.dtype.type(stride / (3 * patch_size))
