"""Sums over samples in memory: wrappers of the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastgsm._types import FloatArray
from fastgsm.kernels import responsibilities as kernels
from fastgsm.kernels.moments import moments
from fastgsm.learning.whitened import shape_groups

# Exponentials in one call of the kernel, half a second on two cores: Ctrl-C is heard between calls.
EXPONENTIALS_PER_CALL = 2**27


def scale_statistics(
    distances: FloatArray,
    log_weights: FloatArray,
    scales: FloatArray,
    sample_weight: FloatArray,
) -> FloatArray:
    """E-step of G independent mixtures of scales on the distances (G, K, n) alone.

    ``log_weights`` and ``scales`` are (G, K, J). Returns weighted sums over the samples,
    (G, 2, K*J + 1): [:, 0] of the responsibilities and, last, of the log-likelihood; [:, 1] of the
    responsibilities times the distances.
    """
    dtype = distances.dtype
    n_groups, _, n = distances.shape
    n_parts = -(-n // kernels.TASK_SAMPLES)
    size = scales[0].size
    sums = np.empty((n_groups, n_parts, 2, size + 1))
    log_weights, precisions = log_weights.astype(dtype), (1 / scales).astype(dtype)
    step = max(1, EXPONENTIALS_PER_CALL // (n * size))
    for first in range(0, n_groups, step):
        part = slice(first, first + step)
        kernels.scale_statistics(
            distances[part], log_weights[part], precisions[part], sample_weight, sums[part]
        )
    return sums.sum(axis=1)


def component_weights(
    distances: FloatArray, log_weights: FloatArray, scales: FloatArray, sample_weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn distances (K, n), in place, into the samples' weights in each covariance.

    Returns the log-likelihoods (n,) and the sums (K,) of the responsibilities.
    """
    dtype, (n_components, n) = distances.dtype, distances.shape
    log_norm = np.empty(n, dtype)
    counts = np.empty((-(-n // kernels.TASK_SAMPLES), n_components))
    kernels.component_weights(
        distances,
        log_weights.astype(dtype),
        (1 / scales).astype(dtype),
        sample_weight,
        distances,
        log_norm,
        counts,
    )
    return log_norm, counts.sum(axis=0)


def weighted_sum(values: FloatArray, sample_weight: FloatArray) -> float:
    """Return the sum in float64; values of weight 0 do not count, even where infinite."""
    used = sample_weight > 0
    weights = sample_weight[used].astype(np.float64)
    # Not np.dot: after a long product the threads of a BLAS spin for a tenth of a second, and the
    # kernels have one core less. With it, an EM iteration on two threads took 1.5 times as long.
    return float((weights * values[used]).sum())


def weighted_moments(
    X: FloatArray, weights: FloatArray, means: FloatArray, dtype: DTypeLike | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return sums (K, d) and products (K, d, d) of X (n, d) about ``means``.

    Every sample counts by its ``weights`` (K, n). Products are computed in ``dtype``, by default
    that of X, and always summed in float64.
    """
    n, d = X.shape
    n_components = weights.shape[0]
    # Enough tasks for many threads. The number depends on the data alone, never on the threads, so
    # that the order of summation is fixed.
    n_segments = int(np.clip(-(-n // 4096), 1, max(4, 32 // n_components)))
    centres = means.astype(X.dtype if dtype is None else dtype)
    total, upper = np.empty((n_components, d)), np.empty((n_components, d, d))
    for part in shape_groups(n_components, X):
        sums = np.empty((n_segments, *total[part].shape))
        products = np.empty((n_segments, *upper[part].shape))
        moments(X, centres[part], weights[part], sums, products)
        total[part] = sums.sum(axis=0)
        upper[part] = np.triu(products.sum(axis=0))
    return total, upper + np.triu(upper, 1).transpose(0, 2, 1)
