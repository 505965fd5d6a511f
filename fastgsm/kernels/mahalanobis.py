"""Squared Mahalanobis distances of samples to components.

They are ``|A_k (x - mu_k)|^2``, where ``A_k^T A_k`` is the (pseudo-)inverse of the covariance. Any
such root will do; the caller passes the lower-trapezoidal one, whose zeros above the diagonal are
not multiplied, which halves the work.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import PRODUCT_FLOPS, Kernel, jit
from fastgsm.kernels.products import ROWS
from fastgsm.kernels.rotation import LANES, add_trapezoid_energy, new_lanes

# Samples that are transposed together.
SIDE = 8


@jit
def load_transposed(X, first, count, lanes):
    """Write the ``count`` samples of X (n, d) from ``first`` on into ``lanes``.

    SIDE samples at a time fill a cache line of each row. Rows are so far apart that, one sample
    at a time, those of 64 features in float64 drive each other out of the L1 cache: distances to
    one shape then took four times as long.
    """
    d = X.shape[1]
    whole = count // SIDE * SIDE
    for begin in range(0, whole, SIDE):
        for i in range(d):
            for t in range(SIDE):
                lanes[i, begin + t] = X[first + begin + t, i]
    for i in range(d):
        for t in range(whole, count):
            lanes[i, t] = X[first + t, i]
        for t in range(count, lanes.shape[1]):
            lanes[i, t] = 0.0


@Kernel.with_flops(lambda X, distances, **_: distances.size * X.shape[1] ** 2 * PRODUCT_FLOPS)
def mahalanobis(X, means, whiteners, rank, distances):
    """Fill ``distances`` (K, n) for the samples X (n, d).

    ``means`` is (K, d); ``whiteners`` is (K, r', d'), the lower-trapezoidal roots of the given
    rank, padded with zeros to r' and d' (see ``rotation.padded``).
    """
    n, d = X.shape
    n_components, _, room = whiteners.shape
    for task in prange((n + LANES - 1) // LANES):
        first = np.intp(task) * LANES
        count = min(LANES, n - first)
        samples = new_lanes(room, X.dtype)
        samples[:] = 0.0
        centred = new_lanes(room, X.dtype)
        centred[:] = 0.0
        scratch = new_lanes(ROWS, X.dtype)
        energy = np.empty(LANES, X.dtype)
        load_transposed(X, first, count, samples)
        for k in range(n_components):
            deviation = samples
            if np.any(means[k]):  # else no copy, which saves a sixth of the time
                deviation = centred
                for i in range(d):
                    mean = means[k, i]
                    for t in range(LANES):
                        centred[i, t] = samples[i, t] - mean
            energy[:] = 0.0
            add_trapezoid_energy(whiteners[k], d - rank, deviation, scratch, energy)
            for t in range(count):
                distances[k, first + t] = energy[t]
