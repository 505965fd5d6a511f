"""Densities of an image's patches with each shape.

`best_shapes` chooses the likeliest shape of every patch, for EPLL. From the densities that
`shape_evidence` returns, kernels/local_weights.py learns the weights of the shapes.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.patches import gather, subtract_mean
from fastgsm.kernels.responsibilities import normalise_lanes
from fastgsm.kernels.rotation import LANES, new_lanes
from fastgsm.kernels.vmath import exp
from fastgsm.kernels.wiener import new_scratch, rotate_in, shape_log_prob


@jit
def _log_densities(image, rows, cols, first, count, patch_size, remove_mean, bank):
    """Return (K, T): log-densities of ``count`` patches with each shape, scales summed.

    The patches are those from number ``first`` on of the grid ``rows`` and ``cols``. Lanes beyond
    ``count`` belong to no patch.
    """
    scratch = new_scratch(bank, 1, image.dtype)
    noisy = new_lanes(bank.forward.shape[2], image.dtype)
    noisy[:] = 0.0
    mean = np.empty(LANES, image.dtype)
    gather(image, rows, cols, first, count, patch_size, noisy)
    if remove_mean:
        subtract_mean(noisy, patch_size * patch_size, mean)
    n_components = bank.forward.shape[0]
    result = new_lanes(n_components, image.dtype)
    log_norm = scratch.lane
    for k in range(n_components):
        centred = rotate_in(noisy, bank, k, scratch)
        shape_log_prob(centred, bank, k, scratch, scratch.log_prob)
        normalise_lanes(scratch.log_prob, log_norm)
        for t in range(LANES):
            result[k, t] = log_norm[t]
    return result


@Kernel.with_flops(lambda bank, shapes, **_: shapes.size * 2 * bank.forward.size)
def best_shapes(
    image, rows, cols, patch_size, remove_mean, bank, log_ratios, row_blocks, col_blocks, shapes
):
    """Fill ``shapes`` (n,), int32, with the most likely shape of every patch of ``image`` (H, W).

    ``rows`` and ``cols`` are the grid (see ``kernels.patches``). A patch in grid row i and column j
    belongs to the block ``log_ratios[row_blocks[i], col_blocks[j]]`` (K,), the logarithms of the
    shapes' weights there over those of the prior.
    """
    n, n_cols = shapes.shape[0], cols.shape[0]
    n_components = log_ratios.shape[2]
    for task in prange((n + LANES - 1) // LANES):
        first = np.intp(task) * LANES
        count = min(LANES, n - first)
        densities = _log_densities(image, rows, cols, first, count, patch_size, remove_mean, bank)
        for t in range(count):
            i, j = divmod(first + t, n_cols)
            block = log_ratios[row_blocks[i], col_blocks[j]]
            for k in range(n_components):
                densities[k, t] += block[k]
        best = densities[0]
        chosen = np.zeros(LANES, np.int32)
        for k in range(1, n_components):
            row = densities[k]
            for t in range(LANES):
                better = row[t] > best[t]
                best[t] = row[t] if better else best[t]
                chosen[t] = k if better else chosen[t]
        for t in range(count):
            shapes[first + t] = chosen[t]


@Kernel.with_flops(lambda bank, evidence, **_: evidence.shape[1] * 2 * bank.forward.size)
def shape_evidence(image, rows, cols, patch_size, remove_mean, bank, evidence):
    """Fill ``evidence`` (K, n) with every patch's density with each shape, over its largest.

    ``rows`` and ``cols`` are the grid (see ``kernels.patches``). A density is summed over scales
    and includes the weight of the shape.
    """
    n_components, n = evidence.shape
    for task in prange((n + LANES - 1) // LANES):
        first = np.intp(task) * LANES
        count = min(LANES, n - first)
        densities = _log_densities(image, rows, cols, first, count, patch_size, remove_mean, bank)
        peak = np.empty(LANES, image.dtype)
        peak[:] = -np.inf
        for k in range(n_components):
            row = densities[k]
            for t in range(LANES):
                peak[t] = row[t] if row[t] > peak[t] else peak[t]
        for k in range(n_components):
            row = densities[k]
            for t in range(LANES):
                row[t] = exp(row[t] - peak[t])
            for t in range(count):
                evidence[k, first + t] = row[t]
