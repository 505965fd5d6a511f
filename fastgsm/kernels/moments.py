"""Weighted first and second moments of samples about the components' means, for the M-step.

The moments are taken about the current means, not about zero, so that components far from the
origin lose no digits. They are summed in the samples' type within a batch and in float64 across
batches.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.rotation import add_outer_products

# Samples gathered before their outer products are added up: the batch stays in the L2 cache.
BATCH = 256


@jit
def _flush(batch, weighted, filled, gram, sums, products):
    """Add the moments of the first ``filled`` rows of ``batch`` to ``sums`` and ``products``.

    ``weighted`` holds the same rows times their weights.
    """
    d = sums.shape[0]
    weighted[filled:] = 0.0
    for n in range(filled):
        for i in range(d):
            sums[i] += weighted[n, i]
    gram[:] = 0.0
    rows = (filled + 3) // 4 * 4
    add_outer_products(weighted[:rows], batch[:rows], gram)
    for i in range(d):
        for j in range(i, d):
            products[i, j] += gram[i, j]


@Kernel
def moments(X, means, weights, sums, products):
    """Moments of the samples X (n, d) in every component, by segments of the samples.

    ``means`` is (K, d), ``weights`` (K, n); samples of weight 0 are passed over. Fills, for
    segment s and component k, in float64: ``sums[s, k]`` (d,), of weight times ``x - mean``, and
    ``products[s, k]`` (d, d), of weight times the outer product of ``x - mean`` (upper triangle).
    """
    n, d = X.shape
    n_segments, n_components = sums.shape[:2]
    length = (n + n_segments - 1) // n_segments
    room = (d + 3) // 4 * 4
    for task in prange(n_segments * n_components):
        segment, k = divmod(np.intp(task), n_components)
        batch = np.zeros((BATCH, room), X.dtype)
        weighted = np.zeros((BATCH, room), X.dtype)
        gram = np.empty((room, room), X.dtype)
        sums[segment, k] = 0.0
        products[segment, k] = 0.0
        filled = 0
        for i in range(segment * length, min(n, (segment + 1) * length)):
            weight = weights[k, i]
            if weight == 0.0:
                continue
            for j in range(d):
                batch[filled, j] = X[i, j] - means[k, j]
                weighted[filled, j] = weight * batch[filled, j]
            filled += 1
            if filled == BATCH:
                _flush(batch, weighted, filled, gram, sums[segment, k], products[segment, k])
                filled = 0
        if filled > 0:
            _flush(batch, weighted, filled, gram, sums[segment, k], products[segment, k])
