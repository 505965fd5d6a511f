"""Weighted first and second moments of samples about the components' means, for the M-step.

The moments are about the current means, not about zero, so that components far from the origin
lose no digits. They are summed in the samples' type over GRAM_SAMPLES samples, and in float64 over
all.

Samples of weight 0 are skipped. The caller gives weight 0 also where a component's responsibility
is negligible (see ``NEGLIGIBLE`` in kernels.responsibilities, which says what that costs).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.rotation import PANEL, add_gram

# Samples gathered before their outer products are added up: these stay in the L2 cache.
GRAM_SAMPLES = 256


@jit
def _flush(gathered, weighted, filled, gram, sums, products):
    """Add the moments of the first ``filled`` rows of ``gathered`` to ``sums`` and ``products``.

    ``gathered`` (panels, GRAM_SAMPLES, PANEL) holds the samples' columns panel by panel;
    ``weighted`` holds the same samples times their weights, in whole rows.
    """
    d = sums.shape[0]
    rows = (filled + 3) // 4 * 4
    weighted[filled:rows] = 0.0
    total = gram[0, :]
    for panel in range(gathered.shape[0]):
        start = panel * PANEL
        width = min(PANEL, d - start)
        total[:] = 0.0
        for n in range(filled):
            row = weighted[n, start:]
            for i in range(width):
                total[i] += row[i]
        for i in range(width):
            sums[start + i] += total[i]
    for panel in range(gathered.shape[0]):
        start = panel * PANEL
        gram[:] = 0.0
        add_gram(weighted[:rows], gathered[panel, :rows], start, gram)
        for i in range(min(d, start + PANEL)):
            for j in range(max(i, start), min(d, start + PANEL)):
                products[i, j] += gram[i, j - start]


@Kernel.with_flops(lambda X, weights, **_: weights.size * X.shape[1] ** 2)
def moments(X, means, weights, sums, products):
    """Sum the moments of the samples X (n, d) in every component, segment by segment.

    ``means`` is (K, d), ``weights`` (K, n); samples of weight 0 are skipped. For segment s and
    component k, fills in float64: ``sums[s, k]`` (d,), sums of weight times ``x - mean``, and
    ``products[s, k]`` (d, d), sums of weight times the outer product of ``x - mean`` (upper
    triangle).
    """
    n, d = X.shape
    n_segments, n_components = sums.shape[:2]
    length = (n + n_segments - 1) // n_segments
    room = (d + 3) // 4 * 4
    for task in prange(n_segments * n_components):
        segment, k = divmod(np.intp(task), n_components)
        gathered = np.zeros(((d + PANEL - 1) // PANEL, GRAM_SAMPLES, PANEL), X.dtype)
        weighted = np.zeros((GRAM_SAMPLES, room), X.dtype)
        gram = np.empty((room, PANEL), X.dtype)
        sums[segment, k] = 0.0
        products[segment, k] = 0.0
        filled = 0
        for i in range(segment * length, min(n, (segment + 1) * length)):
            weight = weights[k, i]
            if weight == 0.0:
                continue
            for panel in range(gathered.shape[0]):
                start = panel * PANEL
                x, mean = X[i, start:], means[k, start:]
                centred, product = gathered[panel, filled], weighted[filled, start:]
                for j in range(min(PANEL, d - start)):
                    centred[j] = x[j] - mean[j]
                    product[j] = weight * centred[j]
            filled += 1
            if filled == GRAM_SAMPLES:
                _flush(gathered, weighted, filled, gram, sums[segment, k], products[segment, k])
                filled = 0
        if filled > 0:
            _flush(gathered, weighted, filled, gram, sums[segment, k], products[segment, k])
