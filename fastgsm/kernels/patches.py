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
def column_step(cols):
    """Return the distance between the columns of a grid, whose first and last may be nearer."""
    n = cols.shape[0]
    return cols[2] - cols[1] if n > 2 else np.intp(1)


@jit
def column_phases(image, top, bottom, step):
    """Return rows ``top`` to ``bottom`` of ``image`` (H, W), their columns dealt out into phases.

    Column x of the image is column ``x // step`` of phase ``x % step``. So patches that are
    ``step`` columns apart are copied as whole stretches.
    """
    width = image.shape[1]
    phases = np.zeros((step, bottom - top, (width + step - 1) // step), image.dtype)
    for phase in range(step):
        for y in range(bottom - top):
            source, target = image[top + y], phases[phase, y]
            for x in range((width - phase + step - 1) // step):
                target[x] = source[step * x + phase]
    return phases


@jit
def regular_run(cols, step, grid_col, most):
    """Return how many columns from ``grid_col`` on, at most ``most``, are ``step`` apart."""
    run = min(most, cols.shape[0] - grid_col)
    while cols[grid_col + run - 1] - cols[grid_col] != step * (run - 1):
        run -= 1
    return run


@jit
def gather_phases(phases, rows, cols, first, count, patch_size, top_row, lanes):
    """Do the work of `gather` for an image in phases, whose row 0 is image row ``top_row``."""
    n_cols = cols.shape[0]
    step, height, width = phases.shape
    n_lanes = lanes.shape[1]
    # With flat views: slicing rows of two-dimensional arrays in the loops took seven times as long.
    pixels, entries = phases.reshape(-1), lanes.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = regular_run(cols, step, grid_col, count - lane)
        for dx in range(patch_size):
            place, phase = divmod(cols[grid_col] + dx, step)
            corner = (phase * height + rows[grid_row] - top_row) * width + place
            for dy in range(patch_size):
                source = pixels[corner + dy * width : corner + dy * width + run]
                begin = (dy * patch_size + dx) * n_lanes + lane
                target = entries[begin : begin + run]
                for t in range(run):
                    target[t] = source[t]
        lane += run
    for i in range(patch_size * patch_size):
        for t in range(count, n_lanes):
            lanes[i, t] = 0.0


@jit
def scatter_phases(lanes, rows, cols, first, count, patch_size, top_row, phases):
    """Add the patches in ``lanes`` to sums in phases, whose row 0 is image row ``top_row``.

    Every pixel receives its patches in the order of their numbers, whichever ``first`` is. So dx
    runs downwards: a pixel at the right of one patch is further left in the next.
    """
    n_cols = cols.shape[0]
    step, height, width = phases.shape
    n_lanes = lanes.shape[1]
    entries, pixels = lanes.reshape(-1), phases.reshape(-1)
    lane = 0
    while lane < count:
        grid_row, grid_col = divmod(first + lane, n_cols)
        run = regular_run(cols, step, grid_col, count - lane)
        for dx in range(patch_size - 1, -1, -1):
            place, phase = divmod(cols[grid_col] + dx, step)
            corner = (phase * height + rows[grid_row] - top_row) * width + place
            for dy in range(patch_size):
                begin = (dy * patch_size + dx) * n_lanes + lane
                source = entries[begin : begin + run]
                target = pixels[corner + dy * width : corner + dy * width + run]
                for t in range(run):
                    target[t] += source[t]
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
