"""From distances to responsibilities: log-sum-exp and the statistics that EM needs of it.

Samples run along the lanes (the last axis), so that every operation is on whole vectors and
a sample's result does not depend on its neighbours.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.vmath import exp, log

# Lanes of a tile here: all components of all lanes stay in the L1/L2 cache.
LANES = 64
# Samples whose statistics are summed by one task; the tasks' sums are added in their order.
CHUNK = 2048
# A responsibility below this adds nothing that can be seen to a covariance: leaving it out moves
# the M-step's optimum by about as much, and the likelihood, flat at its maximum, by its square.
NEGLIGIBLE = 1e-6


@jit
def normalise_tile(log_prob, log_norm):
    """Turn ``log_prob`` (M, T) into responsibilities in place; ``log_norm`` (T,) is their log sum.

    A lane whose components are all -inf has no density: its log sum is -inf and its
    responsibilities are 0.
    """
    components, lanes = log_prob.shape
    peak = np.empty(lanes, log_prob.dtype)
    total = np.empty(lanes, log_prob.dtype)
    lowest = -np.finfo(log_prob.dtype).max
    for t in range(lanes):
        peak[t] = lowest
        total[t] = 0.0
    for m in range(components):
        for t in range(lanes):
            peak[t] = max(peak[t], log_prob[m, t])
    for m in range(components):
        for t in range(lanes):
            value = exp(log_prob[m, t] - peak[t])
            log_prob[m, t] = value
            total[t] += value
    for t in range(lanes):
        log_norm[t] = peak[t] + log(total[t])
        total[t] = 1.0 / total[t] if total[t] > 0.0 else 0.0
    for m in range(components):
        for t in range(lanes):
            log_prob[m, t] *= total[t]


@jit
def scaled_log_prob(distances, log_weights, precisions, first, count, log_prob):
    """Fill ``log_prob`` (K*J, T): ``log_weights[k, j] - precisions[k, j] * distances[k] / 2``."""
    n_components, n_scales = log_weights.shape
    for k in range(n_components):
        row = distances[k]
        for j in range(n_scales):
            log_weight = log_weights[k, j]
            half = precisions[k, j] * log_prob.dtype.type(0.5)
            target = log_prob[k * n_scales + j]
            for t in range(count):
                target[t] = log_weight - half * row[first + t]
            for t in range(count, target.shape[0]):
                target[t] = 0.0


@Kernel
def responsibilities(distances, log_weights, precisions, posterior, log_norm):
    """Responsibilities and log-likelihood of every sample.

    ``distances`` is (K, n); ``log_weights`` and ``precisions`` (K, J) hold, for each Gaussian, the
    logarithm of weight times normalising constant and 1 / r2. Fills ``posterior`` (K*J, n) and
    ``log_norm`` (n,), in nats.
    """
    n = distances.shape[1]
    size = log_weights.size
    for block in prange((n + LANES - 1) // LANES):
        first = np.intp(block) * LANES
        count = min(LANES, n - first)
        tile = np.empty((size, LANES), distances.dtype)
        total = np.empty(LANES, distances.dtype)
        scaled_log_prob(distances, log_weights, precisions, first, count, tile)
        normalise_tile(tile, total)
        for t in range(count):
            log_norm[first + t] = total[t]
        for m in range(size):
            for t in range(count):
                posterior[m, first + t] = tile[m, t]


@Kernel
def scale_statistics(distances, log_weights, precisions, sample_weight, statistics):
    """Sums over the samples of G independent mixtures of scales: all an EM step on scales needs.

    ``distances`` is (G, K, n); ``log_weights`` and ``precisions`` are (G, K, J); ``sample_weight``
    (n,). Fills ``statistics`` (G, chunks, 2, K*J + 1), float64, with one row of sums per CHUNK
    samples: [0] the responsibilities and, last, the log-likelihood; [1] the responsibilities
    times the distances.
    """
    n_groups, n_components, n = distances.shape
    n_scales = log_weights.shape[2]
    size = n_components * n_scales
    n_chunks = statistics.shape[1]
    for task in prange(n_groups * n_chunks):
        group, chunk = divmod(np.intp(task), n_chunks)
        sums = statistics[group, chunk]
        sums[:] = 0.0
        tile = np.empty((size, LANES), distances.dtype)
        total = np.empty(LANES, distances.dtype)
        counts = np.zeros((size, LANES), distances.dtype)
        weighted = np.zeros((size, LANES), distances.dtype)
        last = min(n, (chunk + 1) * CHUNK)
        for first in range(chunk * CHUNK, last, LANES):
            count = min(LANES, last - first)
            scaled_log_prob(
                distances[group], log_weights[group], precisions[group], first, count, tile
            )
            normalise_tile(tile, total)
            for t in range(count):
                if sample_weight[first + t] > 0.0:
                    sums[0, size] += sample_weight[first + t] * total[t]
            for k in range(n_components):
                row = distances[group, k]
                for j in range(n_scales):
                    m = k * n_scales + j
                    for t in range(count):
                        value = tile[m, t] * sample_weight[first + t]
                        counts[m, t] += value
                        weighted[m, t] += value * row[first + t]
        for m in range(size):
            for t in range(LANES):
                sums[0, m] += counts[m, t]
                sums[1, m] += weighted[m, t]


@Kernel
def component_weights(distances, log_weights, precisions, sample_weight, weights, log_norm, counts):
    """Weight of every sample in each covariance's M-step: ``sum_j c_kj / r2_kj``.

    Arguments as in ``responsibilities``. Fills ``weights`` (K, n), which may be ``distances``
    itself (for J = 1 and r2 = 1 it then holds the responsibilities), ``log_norm`` (n,) and
    ``counts`` (chunks, K), float64: the sums of the responsibilities of CHUNK samples each.
    Components responsible for less than NEGLIGIBLE of a sample get weight 0, which lets the
    moments pass over it.
    """
    n_components, n = distances.shape
    n_scales = log_weights.shape[1]
    for task in prange(counts.shape[0]):
        chunk = np.intp(task)
        tile = np.empty((n_components * n_scales, LANES), distances.dtype)
        total = np.empty(LANES, distances.dtype)
        responsibility = np.empty(LANES, distances.dtype)
        weight = np.empty(LANES, distances.dtype)
        counts[chunk] = 0.0
        last = min(n, (chunk + 1) * CHUNK)
        for first in range(chunk * CHUNK, last, LANES):
            count = min(LANES, last - first)
            scaled_log_prob(distances, log_weights, precisions, first, count, tile)
            normalise_tile(tile, total)
            for t in range(count):
                log_norm[first + t] = total[t]
            for k in range(n_components):
                responsibility[:] = 0.0
                weight[:] = 0.0
                for j in range(n_scales):
                    row = tile[k * n_scales + j]
                    for t in range(LANES):
                        responsibility[t] += row[t]
                        weight[t] += row[t] * precisions[k, j]
                for t in range(count):
                    kept = sample_weight[first + t] if responsibility[t] > NEGLIGIBLE else 0.0
                    weights[k, first + t] = weight[t] * kept
                    counts[chunk, k] += responsibility[t] * kept
