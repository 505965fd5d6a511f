"""Posterior mean of noisy patches: Wiener filters blended by responsibilities.

LANES patches stand side by side, one in each lane. All three steps for a shape are matrix products
and share one micro-kernel: the rotation ``Z = U^T (Y - mu)``, the distances under all scales
``precisions @ Z**2``, and the blended filters ``shrinkages @ responsibilities``. So J scales cost
little more than one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.fma import fma
from fastgsm.kernels.mahalanobis import load_transposed
from fastgsm.kernels.responsibilities import NEGLIGIBLE, normalise_lanes
from fastgsm.kernels.rotation import LANES, new_lanes, rotate

# A patch that has hardly any contrast, and keeps its mean, expects hardly any error; this bounds
# the weight that it gets for that.
LEAST_TRACE = 1e-2


class WienerBank(NamedTuple):
    """A mixture of K shapes and J scales seen through noise of variance s2.

    v_kji = r2_kj lambda_ki. Shape k keeps its leading R_k eigenvectors; the other directions of the
    support share the eigenvalue lbar_k (the flat tail). J', d' and R' are J, d and the rank, padded
    with zeros.
    """

    ranks: Any  # (K,), R_k padded
    forward: Any  # (K, R', d'), U_k^T
    backward: Any  # (K, d', R'), U_k
    means: Any  # (K, d'), or (0, d') when all are zero
    log_weights: Any  # (K, J'), log(pi_kj) - log det(2 pi (r2_kj Sigma_k + s2 I)) / 2; padding -inf
    precisions: Any  # (K, J', R'), 1 / (v_kji + s2) - tail_precisions
    shrinkages: Any  # (K, R', J'), v_kji / (v_kji + s2) - tail_shrinkages
    tail_precisions: Any  # (K, J'), 1 / (r2_kj lbar_k + s2), or 0 without a tail
    tail_shrinkages: Any  # (K, J'), r2_kj lbar_k / (r2_kj lbar_k + s2), or 0 without a tail
    support: Any  # (d',), diagonal of the projection on the support
    traces: Any  # (K, J') of the filters; directions outside the support count 1 each


class Scratch(NamedTuple):
    """Working memory of one task."""

    centred: Any  # (d', T), used where shapes have means
    coefficients: Any  # (R', T)
    factors: Any  # (R', T)
    log_prob: Any  # (K*J', T), or (J', T) for one shape alone
    lane: Any  # (T,)


@jit
def new_scratch(bank, n_shapes, dtype):
    """Allocate the working memory of one task.

    ``n_shapes`` is the number of shapes whose log-probabilities are wanted at once: all, or 1.
    """
    _, kept, room = bank.forward.shape
    n_scales = bank.log_weights.shape[1]
    centred = new_lanes(room, dtype)
    centred[:] = 0.0
    return Scratch(
        centred,
        new_lanes(kept, dtype),
        new_lanes(kept, dtype),
        new_lanes(n_shapes * n_scales, dtype),
        np.empty(LANES, dtype),
    )


@jit
def rotate_in(Y, bank, k, scratch):
    """Rotate Y (d', T), less the mean of shape k, into the shape's eigenbasis.

    Returns Y less the mean: Y itself if the means are zero, which saves a copy.
    """
    if bank.means.shape[0] == 0:
        centred = Y
    else:
        centred = scratch.centred
        for i in range(Y.shape[0]):
            mean = bank.means[k, i]
            for t in range(LANES):
                centred[i, t] = Y[i, t] - mean
    rank = bank.ranks[k]
    rotate(bank.forward[k, :rank], centred, scratch.coefficients[:rank])
    return centred


@jit
def shape_log_prob(centred, bank, k, scratch, log_prob):
    """Fill ``log_prob`` (J', T) for the scales of shape k; ``rotate_in`` returned ``centred``."""
    rank = bank.ranks[k]
    squares = scratch.factors[:rank]
    for i in range(rank):
        z, square = scratch.coefficients[i], squares[i]
        for t in range(LANES):
            square[t] = z[t] * z[t]
    rotate(bank.precisions[k], squares, log_prob)
    energy = scratch.lane
    energy[:] = 0.0
    if bank.tail_precisions[k, 0] > 0.0:
        # The tail's distance needs no rotation: it is |y|^2 less the kept directions, which the
        # precisions subtract, since they are relative to the tail's.
        for i in range(centred.shape[0]):
            for t in range(LANES):
                energy[t] = fma(centred[i, t], centred[i, t], energy[t])
    half = log_prob.dtype.type(0.5)
    for j in range(log_prob.shape[0]):
        log_weight, tail = bank.log_weights[k, j], bank.tail_precisions[k, j]
        for t in range(LANES):
            log_prob[j, t] = fma(-half, fma(tail, energy[t], log_prob[j, t]), log_weight)


@jit
def fill_responsibilities(Y, bank, scratch):
    """Fill ``scratch.log_prob`` (K*J', T) with the responsibilities for the patches Y (d', T).

    Negligible ones become zero, lane by lane. So a shape to which no patch of Y belongs can be
    skipped, and yet a patch's result does not depend on its neighbours.
    """
    n_components, n_scales = bank.log_weights.shape
    for k in range(n_components):
        centred = rotate_in(Y, bank, k, scratch)
        rows = scratch.log_prob[k * n_scales : (k + 1) * n_scales]
        shape_log_prob(centred, bank, k, scratch, rows)
    normalise_lanes(scratch.log_prob, scratch.lane)
    if n_components > 1:
        flat = scratch.log_prob.reshape(-1)
        # In the type of the patches: Python's numbers would make float64 of float32.
        negligible, zero = flat.dtype.type(NEGLIGIBLE), flat.dtype.type(0.0)
        for t in range(flat.shape[0]):
            flat[t] = flat[t] if flat[t] > negligible else zero


@jit
def _any_positive(values):
    """Return whether any of the values is above 0."""
    flat = values.reshape(-1)
    top = flat[0]
    for t in range(flat.shape[0]):
        top = max(top, flat[t])
    return top > 0.0


@jit
def add_posterior_mean(Y, bank, scratch, X):
    """Add the posterior mean of Y (d', T) to X (d', T); responsibilities stay in ``scratch``."""
    n_components = bank.forward.shape[0]
    n_scales = bank.log_weights.shape[1]
    fill_responsibilities(Y, bank, scratch)
    for k in range(n_components):
        posterior = scratch.log_prob[k * n_scales : (k + 1) * n_scales]
        if n_components > 1:
            if not _any_positive(posterior):
                continue
            centred = rotate_in(Y, bank, k, scratch)
        else:
            centred = Y if bank.means.shape[0] == 0 else scratch.centred
        add_filtered(centred, posterior, bank, k, scratch, X)


@jit
def add_filtered(centred, posterior, bank, k, scratch, X):
    """Add shape k's part, weighted by the responsibilities ``posterior`` (J', T), to X (d', T)."""
    rank, lane = bank.ranks[k], scratch.lane
    factors, z = scratch.factors[:rank], scratch.coefficients
    rotate(bank.shrinkages[k, :rank], posterior, factors)
    for i in range(rank):
        for t in range(LANES):
            factors[i, t] *= z[i, t]
    rotate(bank.backward[k], factors, X, True)
    if bank.tail_shrinkages[k, 0] > 0.0:
        _weighted_sum(bank.tail_shrinkages[k], posterior, lane)
        for i in range(X.shape[0]):
            for t in range(LANES):
                X[i, t] = fma(lane[t], centred[i, t], X[i, t])
    if bank.means.shape[0] > 0:
        lane[:] = 0.0
        for j in range(posterior.shape[0]):
            for t in range(LANES):
                lane[t] += posterior[j, t]
        for i in range(X.shape[0]):
            mean = bank.means[k, i]
            for t in range(LANES):
                X[i, t] = fma(lane[t], mean, X[i, t])


@jit
def _weighted_sum(weights, rows, total):
    """Fill ``total`` (T,) with ``sum_j weights[j] * rows[j, t]``."""
    total[:] = 0.0
    for j in range(rows.shape[0]):
        for t in range(total.shape[0]):
            total[t] = fma(weights[j], rows[j, t], total[t])


@jit
def fill_precisions(posterior, traces, precision):
    """Fill ``precision`` (T,) with s2 over each lane's expected squared error.

    A filter W leaves an error of s2 trace(W) in a patch. ``posterior`` (M, T) holds the
    responsibilities of the M filters, which have the given ``traces`` (M,).
    """
    _weighted_sum(traces, posterior, precision)
    least = precision.dtype.type(LEAST_TRACE)
    for t in range(precision.shape[0]):
        precision[t] = 1.0 / max(precision[t], least)


@jit
def fill_posterior_variance(Y, bank, noise_variance, scratch, X, variance):
    """Fill ``variance`` (d', T) with every pixel's posterior variance about its mean X (d', T).

    It is the variance within each Gaussian plus that of the Gaussians' means about X; the means
    need one rotation for each scale. X is what ``add_posterior_mean`` added to zeros.
    """
    n_components, kept, room = bank.forward.shape
    n_scales = bank.log_weights.shape[1]
    squared = np.empty((room, kept), X.dtype)
    mean = np.empty_like(X)
    variance[:] = 0.0
    for k in range(n_components):
        posterior = scratch.log_prob[k * n_scales : (k + 1) * n_scales]
        if not _any_positive(posterior):
            continue
        centred = rotate_in(Y, bank, k, scratch)
        rotate(bank.shrinkages[k], posterior, scratch.factors)
        for i in range(room):
            for r in range(kept):
                squared[i, r] = noise_variance * bank.backward[k, i, r] * bank.backward[k, i, r]
        rotate(squared, scratch.factors, variance, True)
        _weighted_sum(bank.tail_shrinkages[k], posterior, scratch.lane)
        for i in range(room):
            inside = noise_variance * bank.support[i]
            for t in range(LANES):
                variance[i, t] = fma(inside, scratch.lane[t], variance[i, t])
        for j in range(n_scales):
            if _any_positive(posterior[j]):
                _component_mean(centred, bank, k, j, scratch, mean)
                for i in range(room):
                    for t in range(LANES):
                        deviation = mean[i, t] - X[i, t]
                        share = posterior[j, t] * deviation
                        variance[i, t] = fma(share, deviation, variance[i, t])


@jit
def _component_mean(centred, bank, k, j, scratch, mean):
    """Fill ``mean`` (d', T) with the posterior mean under the Gaussian (k, j) alone."""
    tail = bank.tail_shrinkages[k, j]
    for i in range(mean.shape[0]):
        centre = bank.means[k, i] if bank.means.shape[0] > 0 else mean.dtype.type(0.0)
        for t in range(LANES):
            mean[i, t] = fma(tail, centred[i, t], centre)
    rank = bank.ranks[k]
    for r in range(rank):
        shrinkage = bank.shrinkages[k, r, j]
        for t in range(LANES):
            scratch.factors[r, t] = shrinkage * scratch.coefficients[r, t]
    rotate(bank.backward[k], scratch.factors[:rank], mean, True)


@Kernel.with_flops(lambda Y, bank, **_: len(Y) * 4 * bank.forward.size)
def posterior_patches(Y, bank, noise_variance, X, variance):
    """Fill X (n, d) with the posterior means of the noisy patches Y (n, d).

    Fills ``variance`` (n, d) too, unless it has no rows.
    """
    n, d = Y.shape
    room = bank.forward.shape[2]
    for task in prange((n + LANES - 1) // LANES):
        first = np.intp(task) * LANES
        count = min(LANES, n - first)
        scratch = new_scratch(bank, bank.forward.shape[0], Y.dtype)
        noisy = new_lanes(room, Y.dtype)
        noisy[:] = 0.0
        clean = new_lanes(room, Y.dtype)
        load_transposed(Y, first, count, noisy)
        clean[:] = 0.0
        add_posterior_mean(noisy, bank, scratch, clean)
        for t in range(count):
            for i in range(d):
                X[first + t, i] = clean[i, t]
        if variance.shape[0] > 0:
            spread = new_lanes(room, Y.dtype)
            fill_posterior_variance(noisy, bank, noise_variance, scratch, clean, spread)
            for t in range(count):
                for i in range(d):
                    variance[first + t, i] = spread[i, t]
