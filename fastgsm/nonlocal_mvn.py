"""Non-local MVN refinement of a pilot estimate: the second step of NL-Bayes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgsm._progress import Progress
from fastgsm._validation import FloatArray
from fastgsm.kernels._jit import usable_threads
from fastgsm.kernels.nonlocal_mvn import Matching, refine_bands
from fastgsm.patches import grid_positions

BAND_ROWS = 8


class NonlocalMVN:
    def __init__(
        self,
        sigma: float,
        dtype: Any,
        *,
        patch_size: int = 6,
        stride: int = 3,
        group_size: int = 40,
        radius: int = 15,
    ) -> None:
        self._matching = Matching(
            patch_size, radius, group_size, np.dtype(dtype).type(sigma**2)
        )
        self._stride = stride

    def n_steps(self, shape: tuple[int, ...]) -> int:
        return -(-self._n_bands(shape[1]) // self._bands_per_call())

    def _n_bands(self, height):
        rows = grid_positions(height, self._matching.patch_size, self._stride)
        return -(-rows.size // BAND_ROWS)

    def _bands_per_call(self):
        return 4 * usable_threads()

    def __call__(self, noisy: FloatArray, pilot: FloatArray, bar: Progress) -> FloatArray:
        matching = self._matching
        p, radius = matching.patch_size, matching.radius
        n_planes, height, width = noisy.shape
        noisy, pilot = np.ascontiguousarray(noisy), np.ascontiguousarray(pilot)
        padded = np.pad(pilot[0], ((0, 0), (radius, radius + 32)), constant_values=np.inf)
        rows = grid_positions(height, p, self._stride)
        cols = grid_positions(width, p, self._stride)
        bands = np.append(np.arange(0, rows.size, BAND_ROWS), rows.size)
        total = np.zeros(noisy.shape, noisy.dtype)
        corners = np.zeros((height, width), noisy.dtype)
        room = min((BAND_ROWS - 1) * self._stride + 2 * radius + p, height)
        step = self._bands_per_call()
        for start in range(0, bands.size - 1, step):
            part = bands[start : start + step + 1]
            sums = np.empty((part.size - 1, n_planes, room, width), noisy.dtype)
            coverage = np.empty((part.size - 1, room, width), noisy.dtype)
            refine_bands(noisy, pilot, padded, rows, cols, part, matching, sums, coverage)
            for band in range(part.size - 1):
                top = max(rows[part[band]] - radius, 0)
                here = min(room, height - top)
                total[:, top : top + here] += sums[band, :, :here]
                corners[top : top + here] += coverage[band, :here]
            bar.update()
        return total / _box_sums(corners, p)


def _box_sums(corners: FloatArray, p: int) -> FloatArray:
    for axis in (0, 1):
        length = corners.shape[axis]
        moved = np.moveaxis(corners, axis, 0)
        out = np.zeros_like(moved)
        for i in range(p):
            out[i:] += moved[: length - i]
        corners = np.moveaxis(out, 0, axis)
    return corners
