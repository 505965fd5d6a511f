"""Weights of a mixture's shapes, learned for every block of an image.

`shape_evidence` in kernels/shapes.py computes the densities from which they are learned.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.fma import fma


@jit
def _learn(by_shape, by_patch, inverse_weights, concentration, n_steps, ratios):
    """Learn by EM the ``ratios`` (K,) of the shapes' weights in a block to those of the prior.

    The evidence of the block's patches is passed twice, as ``by_shape`` (K, n) and ``by_patch``
    (n, K), so that every sum runs over rows: in one order, and in vectors.
    """
    n_components, n = by_shape.shape
    totals = np.empty(n, ratios.dtype)
    sums = np.empty(n_components, ratios.dtype)
    # In the type of the evidence: with Python's 1.0 the loop over shapes would run in float64.
    one, n_patches = ratios.dtype.type(1.0), ratios.dtype.type(n)
    imagined = concentration * n_patches
    ratios[:] = 1.0
    for _ in range(n_steps if n > 0 else 0):
        totals[:] = 0.0
        for k in range(n_components):
            ratio, row = ratios[k], by_shape[k]
            for i in range(n):
                totals[i] = fma(ratio, row[i], totals[i])
        sums[:] = 0.0
        for i in range(n):
            share, row = one / totals[i], by_patch[i]
            for k in range(n_components):
                sums[k] = fma(share, row[k], sums[k])
        for k in range(n_components):
            found = ratios[k] * sums[k] * inverse_weights[k]
            ratios[k] = (imagined + found) / (imagined + n_patches)


@Kernel.with_flops(lambda evidence, n_steps, **_: evidence.size * 4 * n_steps)
def local_weights(
    evidence, n_cols, row_blocks, col_blocks, inverse_weights, concentration, n_steps, ratios,
    shapes,
):  # fmt: skip
    """Learn the weights of the shapes in each block of a grid of patches, and choose the shapes.

    Patch (i, j) of the grid has column ``i * n_cols + j`` of ``evidence`` (K, n). Each row of
    ``row_blocks`` (R, 4) holds four grid rows: where a block's window begins, where the block
    begins, where the block ends and where the window ends; ``col_blocks`` (C, 4) likewise. Fills
    ``ratios`` (R, C, K) with the weights over the prior's. They are the maximum a posteriori, given
    the patches of the window and ``concentration`` times as many imagined ones from the prior.
    Fills ``shapes`` (n,) with the likeliest shape of every patch under the weights of its block.
    """
    n_components = evidence.shape[0]
    dtype = evidence.dtype
    for task in prange(row_blocks.shape[0] * col_blocks.shape[0]):
        r, c = divmod(np.intp(task), col_blocks.shape[0])
        top, first_row, last_row, bottom = row_blocks[r]
        left, first_col, last_col, right = col_blocks[c]
        width = right - left
        n = (bottom - top) * width
        by_shape = np.empty((n_components, n), dtype)
        by_patch = np.empty((n, n_components), dtype)
        for k in range(n_components):
            for y in range(bottom - top):
                begin = (top + y) * n_cols + left
                for x in range(width):
                    by_shape[k, y * width + x] = evidence[k, begin + x]
        for i in range(n):
            for k in range(n_components):
                by_patch[i, k] = by_shape[k, i]
        mine = ratios[r, c]
        _learn(by_shape, by_patch, inverse_weights, concentration, n_steps, mine)
        for row in range(first_row, last_row):
            for col in range(first_col, last_col):
                densities = by_patch[(row - top) * width + col - left]
                best, greatest = 0, densities[0] * mine[0]
                for k in range(1, n_components):
                    density = densities[k] * mine[k]
                    if density > greatest:
                        best, greatest = k, density
                shapes[row * n_cols + col] = best
