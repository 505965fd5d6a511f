"""Copying patches out of images and adding them back.

A patch is a vector of ``patch_size**2`` pixels in row-major order. Patches stand on a grid: their
top-left corners are all pairs of ``rows`` and ``cols``, numbered row by row.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit


@jit
def subtract_mean(tile, d, mean):
    """Remove every lane's mean over the first ``d`` rows of ``tile``; fill ``mean`` (T,)."""
    lanes = tile.shape[1]
    n_rows = tile.dtype.type(d)  # an integer would make float64 of float32
    for t in range(lanes):
        mean[t] = 0.0
    for i in range(d):
        for t in range(lanes):
            mean[t] += tile[i, t]
    for t in range(lanes):
        mean[t] /= n_rows
    for i in range(d):
        for t in range(lanes):
            tile[i, t] -= mean[t]


@jit
def gather(image, rows, cols, first, count, patch_size, tile):
    """Write patches ``first`` to ``first + count`` into the lanes of ``tile`` (>= d, T).

    Lanes beyond ``count`` are zeroed, so that every tile is computed at its full width and a
    patch's result does not depend on its place in a tile. If the grid is dense, runs of patches
    from one grid row are copied as whole stretches of an image row.
    """
    n_cols = cols.shape[0]
    width, lanes = image.shape[1], tile.shape[1]
    dense = cols[n_cols - 1] - cols[0] == n_cols - 1
    # With flat views: slicing rows of two-dimensional arrays in the loops took seven times as long.
    pixels, entries = image.reshape(-1), tile.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = min(count - lane, n_cols - grid_col)
        for dy in range(patch_size):
            above = (rows[grid_row] + dy) * width
            for dx in range(patch_size):
                begin = (dy * patch_size + dx) * lanes + lane
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
        for t in range(count, tile.shape[1]):
            tile[i, t] = 0.0


@jit
def scatter_add(tile, rows, cols, first, count, patch_size, top_row, sums):
    """Add the patches in the lanes of ``tile`` to ``sums``, whose row 0 is image row ``top_row``.

    Every pixel receives its patches in the order of their numbers, wherever the tiles begin. So dx
    runs downwards: a pixel at the right of one patch is further left in the next.
    """
    n_cols = cols.shape[0]
    width, lanes = sums.shape[1], tile.shape[1]
    dense = cols[n_cols - 1] - cols[0] == n_cols - 1
    entries, pixels = tile.reshape(-1), sums.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = min(count - lane, n_cols - grid_col)
        corner = (rows[grid_row] - top_row) * width
        if dense:
            for dx in range(patch_size - 1, -1, -1):
                for dy in range(patch_size):
                    left = corner + dy * width + cols[grid_col] + dx
                    begin = (dy * patch_size + dx) * lanes + lane
                    source, target = entries[begin : begin + run], pixels[left : left + run]
                    for t in range(run):
                        target[t] += source[t]
        else:
            for t in range(run):
                left = corner + cols[grid_col + t]
                for dy in range(patch_size):
                    for dx in range(patch_size):
                        entry = (dy * patch_size + dx) * lanes + lane + t
                        pixels[left + dy * width + dx] += entries[entry]
        lane += run


@jit
def scatter_centres(tile, rows, cols, first, count, patch_size, top_row, sums):
    """Write the central pixel of every patch in the lanes of ``tile`` to ``sums``."""
    n_cols = cols.shape[0]
    middle = patch_size // 2
    source = tile[middle * patch_size + middle]
    for t in range(count):
        grid_row, grid_col = divmod(first + t, n_cols)
        sums[rows[grid_row] - top_row + middle, cols[grid_col] + middle] = source[t]


@jit
def scatter_patches(patches, rows, cols, patch_size, center, sums):
    """Add the ``patches`` (n, d) to ``sums`` in the order of their numbers.

    With ``center``, write the central pixel of each instead.
    """
    n_cols = cols.shape[0]
    middle = patch_size // 2
    for n in range(patches.shape[0]):
        grid_row, grid_col = divmod(n, n_cols)
        top, left = rows[grid_row], cols[grid_col]
        if center:
            sums[top + middle, left + middle] = patches[n, middle * patch_size + middle]
        else:
            for dy in range(patch_size):
                for dx in range(patch_size):
                    sums[top + dy, left + dx] += patches[n, dy * patch_size + dx]


@Kernel
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


@Kernel
def aggregate(patches, rows, cols, patch_size, image):
    """Set each pixel of ``image`` (H, W) to the mean of the ``patches`` (n, d) that cover it.

    Parallel over rows of the image: a task writes its own row and reads all patches that cover it,
    so nothing is shared and the order of summation is fixed.
    """
    n_rows, n_cols = rows.shape[0], cols.shape[0]
    height, width = image.shape
    for task in prange(height):
        y = np.intp(task)
        counts = np.zeros(width, image.dtype)
        image[y] = 0.0
        for grid_row in range(n_rows):
            dy = y - rows[grid_row]
            if 0 <= dy < patch_size:
                for grid_col in range(n_cols):
                    patch = patches[grid_row * n_cols + grid_col]
                    for dx in range(patch_size):
                        x = cols[grid_col] + dx
                        image[y, x] += patch[dy * patch_size + dx]
                        counts[x] += 1.0
        for x in range(width):
            image[y, x] /= counts[x]
