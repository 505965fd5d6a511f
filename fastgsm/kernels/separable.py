"""Posterior means of independent coordinates, each with its own mixture of scales (ICA)."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import EXP_FLOPS, Kernel
from fastgsm.kernels.fma import fma
from fastgsm.kernels.vmath import exp

TASK_SAMPLES = 1024


@Kernel.with_flops(lambda z, log_weights, **_: z.size * len(log_weights) * EXP_FLOPS)
def shrink_coordinates(z, log_weights, half_precisions, shrinkages, restored):
    """Fill ``restored`` (n, r) with the posterior means of the noisy coordinates z (n, r).

    ``log_weights``, ``half_precisions`` and ``shrinkages`` are (J, r): for each scale and
    coordinate the logarithm of weight times normalising constant, 1 / (2 (v + s2)) and
    v / (v + s2). Coordinates run along the lanes.
    """
    n, r = z.shape
    n_scales = log_weights.shape[0]
    for task in prange((n + TASK_SAMPLES - 1) // TASK_SAMPLES):
        first = np.intp(task) * TASK_SAMPLES
        log_prob = np.empty((n_scales, r), z.dtype)
        peak = np.empty(r, z.dtype)
        total = np.empty(r, z.dtype)
        blended = np.empty(r, z.dtype)
        for sample in range(first, min(n, first + TASK_SAMPLES)):
            row = z[sample]
            for i in range(r):
                log_prob[0, i] = fma(-half_precisions[0, i], row[i] * row[i], log_weights[0, i])
                peak[i] = log_prob[0, i]
                total[i] = 0.0
                blended[i] = 0.0
            for j in range(1, n_scales):
                for i in range(r):
                    value = fma(-half_precisions[j, i], row[i] * row[i], log_weights[j, i])
                    log_prob[j, i] = value
                    peak[i] = max(peak[i], value)
            for j in range(n_scales):
                for i in range(r):
                    value = exp(log_prob[j, i] - peak[i])
                    total[i] += value
                    blended[i] = fma(value, shrinkages[j, i], blended[i])
            for i in range(r):
                restored[sample, i] = row[i] * blended[i] / total[i]
