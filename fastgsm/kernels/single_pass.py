"""A whole image in one pass: extraction, posterior mean and aggregation, tile by tile.

No array of all patches is made. A task owns a band of consecutive rows of the patch grid and
sums the restored patches in a buffer of its own; the rows at its bottom that the next band
covers too are spilled, and added by the caller in the order of the bands.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.patches import gather, scatter_add, scatter_centres, subtract_mean
from fastgsm.kernels.rotation import TILE
from fastgsm.kernels.wiener import add_posterior_mean, new_scratch


@jit
def _denoise_band(
    image, rows, cols, first, last, patch_size, remove_mean, center, bank, sums, spill
):
    """Sum the posterior means of the patches of grid rows ``first`` to ``last``."""
    d = patch_size * patch_size
    width = image.shape[1]
    room = bank.forward.shape[2]
    grid = rows[first:last]
    top = grid[0]
    bottom = rows[last] if last < rows.shape[0] else image.shape[0]
    total = np.zeros((grid[-1] - top + patch_size, width), image.dtype)
    scratch = new_scratch(bank, image.dtype)
    noisy = np.zeros((room, TILE), image.dtype)
    clean = np.empty((room, TILE), image.dtype)
    mean = np.zeros(TILE, image.dtype)
    n_patches = grid.shape[0] * cols.shape[0]
    for start in range(0, n_patches, TILE):
        count = min(TILE, n_patches - start)
        gather(image, grid, cols, start, count, patch_size, noisy)
        if remove_mean:
            subtract_mean(noisy, d, mean)
        for i in range(room):
            for t in range(TILE):
                clean[i, t] = mean[t]
        add_posterior_mean(noisy, bank, scratch, clean)
        if center:
            scatter_centres(clean, grid, cols, start, count, patch_size, top, total)
        else:
            scatter_add(clean, grid, cols, start, count, patch_size, top, total)
    # Pixel by pixel: the error message that an assignment of rows could need takes 4 s to compile.
    own = bottom - top
    for y in range(own):
        for x in range(width):
            sums[top + y, x] = total[y, x]
    for y in range(spill.shape[0]):
        for x in range(width):
            spill[y, x] = total[own + y, x] if own + y < total.shape[0] else 0.0


@Kernel
def denoise_bands(image, rows, cols, bands, patch_size, remove_mean, center, bank, sums, spill):
    """Sum the posterior means of the patches of ``image`` (H, W), band by band.

    ``rows`` and ``cols`` are the grid (see ``kernels.patches``); band b is the grid rows
    ``bands[b]`` to ``bands[b + 1]``. With ``remove_mean`` every patch is restored about its own
    mean; with ``center`` only its central pixel is kept. Fills ``sums`` (H, W), but for what
    ``spill[b]`` (patch_size - 1, W) holds: band b's part of the rows that the next band owns.
    """
    for task in prange(bands.shape[0] - 1):
        band = np.intp(task)
        _denoise_band(
            image, rows, cols, bands[band], bands[band + 1],
            patch_size, remove_mean, center, bank, sums, spill[band],
        )  # fmt: skip
