"""The cascade: a chain of single passes with filters that were learnt by restoring images."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels._jit import usable_threads
from fastgsm.models.cascade import LEAST_SIGMA, MOST_SIGMA, Cascade
from fastgsm.restore.bands import BAND_ROWS, BANDS_PER_CALL, n_calls, restore_bands, sum_bands
from fastgsm.restore.grid import Grid
from fastgsm.restore.method import Cascades, Reach
from fastgsm.restore.pyramid import ENLARGEMENT, correct_lows, half_shape, shrunk
from fastgsm.restore.single_pass import SinglePass

# Distance between patches, as in training. A pixel is covered by 16 patches of 8x8 in each stage.
STRIDE = 2
# Errors of the bundled cascade relative to those of a single pass under the bundled GSM: 0.43 to
# 0.46 dB less, on every sixth image of BSD68 at noise 10 to 75 of 255.
ERROR_RATIO = 0.95


class CascadePasses:
    """Restoration of every plane by the stages of its `Cascade`, at noise ``sigma``.

    ``ratios`` are the noise levels of the planes relative to that; equal if None. ``models``, if
    given, restore the planes whose level no cascade was trained on. There a cascade can be worse
    than nothing: on a drawn scene of 96x96 pixels, noise of 1e-5 grew to 1.5 times its variance,
    and of noise of 1.0 it left 1.5 times as much as the bundled GSM.
    """

    def __init__(
        self,
        cascades: Cascades,
        sigma: float,
        ratios: tuple[float, ...] | None = None,
        models: SinglePass | None = None,
    ) -> None:
        self._cascades = cascades
        self._sigma = sigma
        self._ratios = ratios
        self._models = models
        self._bands_per_call = max(BANDS_PER_CALL, 4 * usable_threads())

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        total = 0
        for i, (cascade, level) in enumerate(self._planes(shape[0])):
            models = self._models_for(level)
            if models is not None:
                total += models.steps_of_planes(shape)[i]
                continue
            for stage in range(cascade.n_stages):
                size = half_shape(shape[1:]) if cascade.halved[stage] else shape[1:]
                if min(size) >= cascade.patch_size:
                    grid = stage_grid(cascade, stage, size, self._cascades.stride)
                    total += n_calls(grid.rows.size, grid.patch_size, self._bands_per_call)
        return total

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width), one by one, in the units of the prior."""
        restored = np.empty(planes.shape, planes.dtype)
        for i, (cascade, level) in enumerate(self._planes(len(planes))):
            models = self._models_for(level)
            if models is not None:
                restored[i] = models.restored_plane(planes, i, bar)
            else:
                self._restore(cascade, level, planes[i], restored[i], bar)
        return restored

    def with_variance(self, planes: FloatArray, bar: Progress) -> tuple[FloatArray, FloatArray]:
        """Denoise ``planes`` (n, height, width); return every pixel's expected squared error too.

        The errors are those that the models expect of a single pass, less what a cascade gains.
        """
        assert self._models is not None
        with Progress(None, "", enabled=False) as silent:
            variance = self._models.with_variance(planes, silent)[1]
        for i, (_, level) in enumerate(self._planes(len(planes))):
            if was_trained_on(level):
                variance[i] *= planes.dtype.type(ERROR_RATIO**2)
        return self(planes, bar), variance

    def _models_for(self, level: float) -> SinglePass | None:
        """Return the models if they restore a plane with noise of a level."""
        return None if was_trained_on(level) else self._models

    def _planes(self, n_planes: int) -> list[tuple[Cascade, float]]:
        """Return the cascade of each plane and its noise level."""
        ratios = self._ratios or (1.0,) * n_planes
        cascades = self._cascades.of_planes(n_planes)
        return [
            (cascade, self._sigma * ratio) for cascade, ratio in zip(cascades, ratios, strict=True)
        ]

    def _restore(
        self, cascade: Cascade, sigma: float, noisy: FloatArray, result: FloatArray, bar: Progress
    ) -> None:
        """Fill ``result`` with one plane after all stages.

        Besides these two, at most two more planes are in memory.
        """
        result[:] = noisy
        for stage in range(cascade.n_stages):
            share, level = cascade.mixing(stage, sigma)
            seen = noisy - result  # becomes result + share * (noisy - result)
            seen *= noisy.dtype.type(share)
            seen += result
            if not cascade.halved[stage]:
                self._run_stage(cascade, stage, level, seen, result, bar)
            elif min(half_shape(noisy.shape)) >= cascade.patch_size:
                half_seen = shrunk(seen[None])[0]
                del seen
                half = np.empty_like(half_seen)
                self._run_stage(cascade, stage, level, half_seen, half, bar)
                correct_lows(result[None], half[None])

    def _run_stage(
        self,
        cascade: Cascade,
        stage: int,
        level: float,
        seen: FloatArray,
        restored: FloatArray,
        bar: Progress,
    ) -> None:
        """Fill ``restored`` with what a stage makes of a plane with noise of the given level."""
        bank = cascade.bank(stage, level, seen.dtype)
        grid = stage_grid(cascade, stage, seen.shape, self._cascades.stride)
        weights = np.empty_like(restored)
        restore = partial(restore_bands, seen, grid, bank, False)
        sum_bands(restore, grid, (restored, weights), self._bands_per_call, bar)
        restored /= weights


def was_trained_on(level: float) -> bool:
    """Return whether cascades were trained on noise of a level."""
    return LEAST_SIGMA <= level <= MOST_SIGMA


def cascades_reach(cascades: Cascades) -> Reach:
    """Return how far the stages of the farther cascade look together.

    A change at one pixel changes the patches that cover it, and by their sums all pixels of these
    patches, again in every stage. At half of the size everything is twice as far. One pixel more,
    because a grid that begins later has an extra patch at the border of a crop.
    """
    halos = []
    for cascade in cascades[:2]:
        p, n_halved = cascade.patch_size, int(np.count_nonzero(cascade.halved))
        n_full = cascade.n_stages - n_halved
        halos.append(1 + n_full * (p - 1) + n_halved * (2 * (p + ENLARGEMENT) + 2))
    step = max(BAND_ROWS, cascades.first.patch_size) * cascades.stride
    return Reach(max(halos), 2 * step)


def stage_grid(cascade: Cascade, stage: int, shape: tuple[int, ...], stride: int = STRIDE) -> Grid:
    """Return the patches of a stage in an image of ``shape`` (height, width).

    The grids of odd stages begin a pixel later: between the positions of the stage before.
    """
    offset = stage % 2
    return Grid.from_offsets(shape, (offset, offset), stride, cascade.patch_size, remove_mean=True)
