"""A whole image in one pass: extraction, posterior mean and aggregation, tile by tile.

No array of all patches is made. A task owns a band of consecutive rows of the patch grid and
sums the restored patches in a buffer of its own; the rows at its bottom that the next band
covers too are spilled, and added by the caller in the order of the bands.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel
from fastgsm.kernels.patches import gather, scatter_add, scatter_centres, subtract_mean
from fastgsm.kernels.rotation import TILE
from fastgsm.kernels.wiener import add_posterior_mean, new_scratch


@Kernel
def denoise_bands(image, rows, cols, bands, patch_size, remove_mean, center, bank, sums, spill):
    """Sum the posterior means of the patches of ``image`` (H, W), band by band.

    ``rows`` and ``cols`` are the grid (see ``kernels.patches``); band b is the grid rows
    ``bands[b]`` to ``bands[b + 1]``. With ``remove_mean`` every patch is restored about its own
    mean; with ``center`` only its central pixel is kept. Fills ``sums`` (H, W), but for what
    ``spill[b]`` (patch_size - 1, W) holds: band b's part of the rows that the next band owns.
    """
    d = patch_size * patch_size
    width = image.shape[1]
    room = bank.forward.shape[2]
    n_bands = bands.shape[0] - 1
    for task in prange(n_bands):
        band = np.intp(task)
        grid = rows[bands[band] : bands[band + 1]]
        top = grid[0]
        last = bands[band + 1]
        bottom = rows[last] if last < rows.shape[0] else image.shape[0]
        total = np.zeros((grid[-1] - top + patch_size, width), image.dtype)
        scratch = new_scratch(bank, image.dtype)
        noisy = np.zeros((room, TILE), image.dtype)
        clean = np.empty((room, TILE), image.dtype)
        mean = np.zeros(TILE, image.dtype)
        n_patches = grid.shape[0] * cols.shape[0]
        for first in range(0, n_patches, TILE):
            count = min(TILE, n_patches - first)
            gather(image, grid, cols, first, count, patch_size, noisy)
            if remove_mean:
                subtract_mean(noisy, d, mean)
            for i in range(room):
                for t in range(TILE):
                    clean[i, t] = mean[t]
            add_posterior_mean(noisy, bank, scratch, clean)
            if center:
                scatter_centres(clean, grid, cols, first, count, patch_size, top, total)
            else:
                scatter_add(clean, grid, cols, first, count, patch_size, top, total)
        spill[band] = 0.0
        for y in range(total.shape[0]):
            if top + y < bottom:
                sums[top + y] = total[y]
            else:
                spill[band, top + y - bottom] = total[y]
