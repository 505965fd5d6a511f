"""Copying patches out of images and adding them back.

A patch is a vector of ``patch_size**2`` pixels in row-major order. Patches stand on a grid: their
top-left corners are all pairs of ``rows`` and ``cols``, numbered row by row.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit


@jit
def subtract_mean(lanes, d, mean):
    """Remove every lane's mean over the first ``d`` rows of ``lanes``; fill ``mean`` (T,)."""
    n_lanes = lanes.shape[1]
    n_rows = lanes.dtype.type(d)  # an integer would make float64 of float32
    for t in range(n_lanes):
        mean[t] = 0.0
    for i in range(d):
        for t in range(n_lanes):
            mean[t] += lanes[i, t]
    for t in range(n_lanes):
        mean[t] /= n_rows
    for i in range(d):
        for t in range(n_lanes):
            lanes[i, t] -= mean[t]


@jit
def gather(image, rows, cols, first, count, patch_size, lanes):
    """Write patches ``first`` to ``first + count`` into ``lanes`` (>= d, T).

    Lanes beyond ``count`` are zeroed, so that all are computed always and a patch's result does not
    depend on its place among them. If the grid is dense, runs of patches from one grid row are
    copied as whole stretches of an image row.
    """
    n_cols = cols.shape[0]
    width, n_lanes = image.shape[1], lanes.shape[1]
    dense = cols[n_cols - 1] - cols[0] == n_cols - 1
    # With flat views: slicing rows of two-dimensional arrays in the loops took seven times as long.
    pixels, entries = image.reshape(-1), lanes.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = min(count - lane, n_cols - grid_col)
        for dy in range(patch_size):
            above = (rows[grid_row] + dy) * width
            for dx in range(patch_size):
                begin = (dy * patch_size + dx) * n_lanes + lane
                target = entries[begin : begin + run]
                if dense:
                    left = above + cols[grid_col] + dx
                    source = pixels[left : left + run]
                    for t in range(run):
                        target[t] = source[t]
                else:
                    for t in range(run):
                        target[t] = pixels[above + cols[grid_col + t] + dx]
        lane += run
    for i in range(patch_size * patch_size):
        for t in range(count, n_lanes):
            lanes[i, t] = 0.0


@jit
def scatter_add(lanes, rows, cols, first, count, patch_size, top_row, sums):
    """Add the patches in ``lanes`` to ``sums``, whose row 0 is image row ``top_row``.

    Every pixel receives its patches in the order of their numbers, whichever ``first`` is. So dx
    runs downwards: a pixel at the right of one patch is further left in the next.
    """
    n_cols = cols.shape[0]
    width, n_lanes = sums.shape[1], lanes.shape[1]
    dense = cols[n_cols - 1] - cols[0] == n_cols - 1
    entries, pixels = lanes.reshape(-1), sums.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = min(count - lane, n_cols - grid_col)
        corner = (rows[grid_row] - top_row) * width
        if dense:
            for dx in range(patch_size - 1, -1, -1):
                for dy in range(patch_size):
                    left = corner + dy * width + cols[grid_col] + dx
                    begin = (dy * patch_size + dx) * n_lanes + lane
                    source, target = entries[begin : begin + run], pixels[left : left + run]
                    for t in range(run):
                        target[t] += source[t]
        else:
            for t in range(run):
                left = corner + cols[grid_col + t]
                for dy in range(patch_size):
                    for dx in range(patch_size):
                        entry = (dy * patch_size + dx) * n_lanes + lane + t
                        pixels[left + dy * width + dx] += entries[entry]
        lane += run


@jit
def scatter_centres(lanes, rows, cols, first, count, patch_size, top_row, sums):
    """Write the central pixel of every patch in ``lanes`` to ``sums``."""
    n_cols = cols.shape[0]
    middle = patch_size // 2
    source = lanes[middle * patch_size + middle]
    for t in range(count):
        grid_row, grid_col = divmod(first + t, n_cols)
        sums[rows[grid_row] - top_row + middle, cols[grid_col] + middle] = source[t]


@Kernel.with_flops(lambda patches, **_: patches.size)
def extract(image, rows, cols, patch_size, patches):
    """Copy the patches of ``image`` (H, W) on the grid into ``patches`` (n, d)."""
    n_cols = cols.shape[0]
    for task in prange(rows.shape[0]):
        grid_row = np.intp(task)
        for grid_col in range(n_cols):
            patch = patches[grid_row * n_cols + grid_col]
            for dy in range(patch_size):
                for dx in range(patch_size):
                    patch[dy * patch_size + dx] = image[rows[grid_row] + dy, cols[grid_col] + dx]


@Kernel.with_flops(lambda patches, **_: patches.size)
def add_patches(patches, rows, cols, patch_size, sums):
    """Add the ``patches`` (n, d) on the grid to ``sums`` (H, W), in the order of their numbers.

    Parallel over rows of the image: a task writes its own row and reads all patches that cover it,
    so nothing is shared.
    """
    n_rows, n_cols = rows.shape[0], cols.shape[0]
    top = rows[0]
    for task in prange(rows[n_rows - 1] + patch_size - top):
        y = top + np.intp(task)
        line = sums[y]
        for grid_row in range(n_rows):
            dy = y - rows[grid_row]
            if 0 <= dy < patch_size:
                for grid_col in range(n_cols):
                    patch = patches[grid_row * n_cols + grid_col]
                    begin = dy * patch_size
                    for dx in range(patch_size):
                        line[cols[grid_col] + dx] += patch[begin + dx]


def scatter_patches(patches, rows, cols, patch_size, center, sums):
    """Add the ``patches`` (n, d), or with ``center`` write their central pixels, to ``sums``."""
    if center:
        middle = patch_size // 2
        pixels = patches[:, middle * patch_size + middle]
        sums[np.ix_(rows + middle, cols + middle)] = pixels.reshape(rows.size, cols.size)
    else:
        add_patches(patches, rows, cols, patch_size, sums)
