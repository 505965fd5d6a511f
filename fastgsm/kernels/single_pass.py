"""A whole image in one pass: extraction, posterior mean and aggregation, LANES patches at a time.

No array of all patches is made. A task owns a band of consecutive rows of the patch grid and
sums the restored patches in its own buffer. The rows at its bottom that the next band covers too
are spilled, and the caller adds them in the order of the bands.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.patches import (
    column_phases,
    column_step,
    gather_phases,
    regular_run,
    scatter_centres,
    scatter_phases,
    subtract_mean,
)
from fastgsm.kernels.rotation import LANES, new_lanes
from fastgsm.kernels.wiener import add_posterior_mean, fill_precisions, new_scratch


@jit
def _add_weights(weights, rows, cols, patch_size, phases):
    """Add to each pixel of ``phases`` the ``weights`` (n_rows, n_cols) of the patches over it.

    Row 0 of the phases is image row ``rows[0]``. The sum is separable: 2 patch_size additions per
    pixel instead of patch_size^2.
    """
    n_rows, n_cols = weights.shape
    step, _, width = phases.shape
    line = np.empty((step, width), phases.dtype)
    for row in range(n_rows):
        source = weights[row]
        line[:] = 0.0
        first = 0
        while first < n_cols:
            run = regular_run(cols, step, first, n_cols - first)
            for dx in range(patch_size):
                place, phase = divmod(cols[first] + dx, step)
                target = line[phase, place : place + run]
                for t in range(run):
                    target[t] += source[first + t]
            first += run
        for dy in range(patch_size):
            for phase in range(step):
                target = phases[phase, rows[row] - rows[0] + dy]
                for x in range(width):
                    target[x] += line[phase, x]


@jit
def _store(source, phase, step, target):
    """Write the columns of one phase into a row of an image."""
    for i in range((target.shape[0] - phase + step - 1) // step):
        target[phase + i * step] = source[i]


@jit
def _denoise_band(image, rows, cols, band, patch_size, remove_mean, center, bank, sums, spill):
    """Sum the posterior means of the patches of a ``band``, its first grid row and its end."""
    first, last = band
    d = patch_size * patch_size
    room = bank.forward.shape[2]
    grid = rows[first:last]
    top = grid[0]
    bottom = rows[last] if last < rows.shape[0] else image.shape[0]
    step = np.intp(1) if center else column_step(cols)
    pixels = column_phases(image, top, grid[-1] + patch_size, step)
    total = np.zeros((2, *pixels.shape), image.dtype)
    scratch = new_scratch(bank, bank.forward.shape[0], image.dtype)
    noisy = new_lanes(room, image.dtype)
    noisy[:] = 0.0
    clean = new_lanes(room, image.dtype)
    mean = np.zeros(LANES, image.dtype)
    precision = np.empty(LANES, image.dtype)
    traces = bank.traces.reshape(-1)
    n_patches = grid.shape[0] * cols.shape[0]
    weights = np.empty((grid.shape[0], cols.shape[0]), image.dtype)
    listed = weights.reshape(-1)
    for start in range(0, n_patches, LANES):
        count = min(LANES, n_patches - start)
        gather_phases(pixels, grid, cols, start, count, patch_size, top, noisy)
        if remove_mean:
            subtract_mean(noisy, d, mean)
        for i in range(room):
            for t in range(LANES):
                clean[i, t] = mean[t]
        add_posterior_mean(noisy, bank, scratch, clean)
        if center:
            scatter_centres(clean, grid, cols, start, count, patch_size, top, total[0, 0])
        else:
            fill_precisions(scratch.log_prob, traces, precision)
            for i in range(d):
                for t in range(LANES):
                    clean[i, t] *= precision[t]
            for t in range(count):
                listed[start + t] = precision[t]
            scatter_phases(clean, grid, cols, start, count, patch_size, top, total[0])
    if not center:
        _add_weights(weights, grid, cols, patch_size, total[1])
    own = bottom - top
    for part in range(len(sums)):
        target = sums[part]
        for phase in range(step):
            for y in range(own):
                _store(total[part, phase, y], phase, step, target[top + y])
            for y in range(spill.shape[1]):
                if own + y < total.shape[2]:
                    _store(total[part, phase, own + y], phase, step, spill[part, y])
                else:
                    spill[part, y] = 0.0


@Kernel.with_flops(
    lambda cols, bands, bank, **_: (bands[-1] - bands[0]) * cols.size * 4 * bank.forward.size
)
def denoise_bands(image, rows, cols, bands, patch_size, remove_mean, center, bank, sums, spill):
    """Sum the posterior means of the patches of ``image`` (H, W), band by band.

    ``rows`` and ``cols`` are the grid (see ``kernels.patches``); band b is the grid rows
    ``bands[b]`` to ``bands[b + 1]``. With ``remove_mean`` every patch is restored about its own
    mean. Fills ``sums``, a tuple of two arrays (H, W): the patches, weighted by their precisions,
    and the weights. With ``center``, it is a tuple of one array, which gets the patches' central
    pixels, unweighted. ``spill[b]`` (2 or 1, patch_size - 1, W) is band b's part of the rows that
    the next band owns.
    """
    for task in prange(bands.shape[0] - 1):
        band = np.intp(task)
        _denoise_band(
            image, rows, cols, (bands[band], bands[band + 1]),
            patch_size, remove_mean, center, bank, sums, spill[band],
        )  # fmt: skip
