"""Weighted first and second moments of samples about the components' means, for the M-step.

The moments are about the current means, not about zero, so that components far from the origin
lose no digits. They are summed in the means' type over GRAM_SAMPLES samples, and in float64 over
all.

Samples of weight 0 are skipped. The caller gives weight 0 also where a component's responsibility
is negligible (see ``NEGLIGIBLE`` in kernels.responsibilities, which says what that costs).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import PRODUCT_FLOPS, Kernel, jit
from fastgsm.kernels.fma import fma
from fastgsm.kernels.products import COLUMNS
from fastgsm.kernels.rotation import add_gram, new_rows

# Samples gathered before their outer products are added up: these stay in the L2 cache.
GRAM_SAMPLES = 256


@jit
def _flush(gathered, roots, filled, gram, sums, products):
    """Add the moments of the first ``filled`` samples to ``sums`` (d,) and ``products`` (d, d).

    ``gathered`` (GRAM_SAMPLES, d') holds the centred samples times ``roots``, the square roots of
    their weights.
    """
    d = sums.shape[0]
    total = np.zeros(d, gathered.dtype)
    for n in range(filled):
        root = roots[n]
        for j in range(d):
            total[j] = fma(root, gathered[n, j], total[j])
    gram[:] = 0.0
    add_gram(gathered[:filled], gram)
    for i in range(d):
        sums[i] += total[i]
        for j in range(i, d):
            products[i, j] += gram[i, j]


@Kernel.with_flops(lambda X, weights, **_: weights.size * X.shape[1] ** 2 * PRODUCT_FLOPS)
def moments(X, means, weights, sums, products):
    """Sum the moments of the samples X (n, d) in every component, segment by segment.

    ``means`` is (K, d), in the type to compute in; ``weights`` (K, n) are at least 0, and samples
    of weight 0 are skipped. For segment s and component k, fills in float64: ``sums[s, k]`` (d,),
    sums of weight times ``x - mean``, and ``products[s, k]`` (d, d), sums of weight times the outer
    product of ``x - mean`` (upper triangle).
    """
    n, d = X.shape
    n_segments, n_components = sums.shape[:2]
    length = (n + n_segments - 1) // n_segments
    room = (d + COLUMNS - 1) // COLUMNS * COLUMNS
    for task in prange(n_segments * n_components):
        segment, k = divmod(np.intp(task), n_components)
        # One factor of each product has to hold the weight. With its root in both, one array does.
        gathered = new_rows(GRAM_SAMPLES, room, means.dtype)
        gathered[:] = 0.0
        roots = np.empty(GRAM_SAMPLES, means.dtype)
        gram = new_rows(room, room, means.dtype)
        mean = means[k]
        sums[segment, k] = 0.0
        products[segment, k] = 0.0
        filled = 0
        for i in range(segment * length, min(n, (segment + 1) * length)):
            weight = weights[k, i]
            if weight == 0.0:
                continue
            root = np.sqrt(means.dtype.type(weight))
            roots[filled] = root
            for j in range(d):
                gathered[filled, j] = root * (X[i, j] - mean[j])
            filled += 1
            if filled == GRAM_SAMPLES:
                _flush(gathered, roots, filled, gram, sums[segment, k], products[segment, k])
                filled = 0
        if filled > 0:
            _flush(gathered, roots, filled, gram, sums[segment, k], products[segment, k])
