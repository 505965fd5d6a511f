"""The second half of a pass of EPLL: patches are restored shape by shape.

A patch is restored under one shape only, with all its scales blended. So the caller sorts the
patches by the shapes that kernels/shapes.py has chosen, and the lanes hold patches of one shape.
Choosing costs one rotation for every shape, restoring two in all.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.patches import subtract_mean
from fastgsm.kernels.responsibilities import normalise_lanes
from fastgsm.kernels.rotation import LANES, new_lanes
from fastgsm.kernels.wiener import add_filtered, new_scratch, rotate_in, shape_log_prob


@jit
def _gather_listed(image, rows, cols, numbers, patch_size, lanes):
    """Write the patches with the given numbers into ``lanes``, and zero the other lanes."""
    width, n_cols = image.shape[1], cols.shape[0]
    pixels, entries = image.reshape(-1), lanes.reshape(-1)
    for t in range(numbers.shape[0]):
        grid_row, grid_col = divmod(numbers[t], n_cols)
        corner = rows[grid_row] * width + cols[grid_col]
        for dy in range(patch_size):
            for dx in range(patch_size):
                entry = (dy * patch_size + dx) * LANES + t
                entries[entry] = pixels[corner + dy * width + dx]
    for i in range(patch_size * patch_size):
        for t in range(numbers.shape[0], LANES):
            lanes[i, t] = 0.0


@Kernel.with_flops(lambda bank, numbers, **_: numbers.size * 4 * bank.forward[0].size)
def restore_patches(
    image, rows, cols, patch_size, remove_mean, bank, numbers, starts, shapes, patches
):
    """Fill ``patches`` (n, d) with the posterior means of the patches of ``image`` (H, W).

    Task i restores the patches ``numbers[starts[i]]`` to ``numbers[starts[i + 1]]``, at most LANES,
    under shape ``shapes[i]``.
    """
    d = patch_size * patch_size
    room = bank.forward.shape[2]
    for task in prange(shapes.shape[0]):
        i = np.intp(task)
        mine = numbers[starts[i] : starts[i + 1]]
        k = shapes[i]
        scratch = new_scratch(bank, 1, image.dtype)
        noisy = new_lanes(room, image.dtype)
        noisy[:] = 0.0
        clean = new_lanes(room, image.dtype)
        mean = np.zeros(LANES, image.dtype)
        _gather_listed(image, rows, cols, mine, patch_size, noisy)
        if remove_mean:
            subtract_mean(noisy, d, mean)
        for j in range(room):
            for t in range(LANES):
                clean[j, t] = mean[t]
        centred = rotate_in(noisy, bank, k, scratch)
        shape_log_prob(centred, bank, k, scratch, scratch.log_prob)
        normalise_lanes(scratch.log_prob, scratch.lane)
        add_filtered(centred, scratch.log_prob, bank, k, scratch, clean)
        for t in range(mine.shape[0]):
            patch = patches[mine[t]]
            for j in range(d):
                patch[j] = clean[j, t]
