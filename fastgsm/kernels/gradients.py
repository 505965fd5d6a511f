"""Derivatives of a loss through a single pass, for filters that are learnt by gradient.

The forward pass is `denoise_bands`. Here every patch is restored once more, LANES at a time, and
the derivatives flow back through it. All products use the micro-kernel: a derivative by a matrix is
a sum over the lanes, a product with the other factor transposed. Both directions of a cascade take
a third of the time that automatic differentiation took with PyTorch, on one thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.patches import (
    column_phases,
    column_step,
    gather_phases,
    scatter_phases,
    subtract_mean,
)
from fastgsm.kernels.products import COLUMNS, ROWS, add_products
from fastgsm.kernels.rotation import LANES, new_lanes, rotate
from fastgsm.kernels.wiener import fill_precisions, fill_responsibilities, new_scratch


class Lanes(NamedTuple):
    """Working memory for the patches side by side; a name with "by" is a derivative."""

    noisy: Any  # (d', T)
    restored: Any  # (d', T), without the means
    by_restored: Any  # (d', T)
    by_weights: Any  # (d', T)
    filtered: Any  # (R', T)
    by_filtered: Any  # (R', T)
    by_squares: Any  # (R', T)
    by_posterior: Any  # (J', T)
    mean: Any  # (T,)
    by_mean: Any  # (T,)
    precision: Any  # (T,)
    turned_pixels: Any  # (T, d'), padded to whole COLUMNS
    turned_filters: Any  # (T, R'), padded to whole COLUMNS


class Totals(NamedTuple):
    """Derivatives by the arrays of a bank with one shape; matrices are padded to whole COLUMNS."""

    forward: Any  # (R', d')
    backward: Any  # (d', R')
    log_weights: Any  # (J',)
    precisions: Any  # (J', R')
    shrinkages: Any  # (J', R'), transposed
    traces: Any  # (J',)


class Transposed(NamedTuple):
    """The matrices of a bank with one shape, transposed."""

    forward: Any
    backward: Any
    precisions: Any
    shrinkages: Any


@jit
def _whole_columns(n):
    return (n + COLUMNS - 1) // COLUMNS * COLUMNS


@jit
def _new_lanes(room, kept, n_scales, dtype):
    noisy, by_weights = new_lanes(room, dtype), new_lanes(room, dtype)
    by_restored = new_lanes(room, dtype)
    noisy[:] = 0.0
    by_weights[:] = 0.0
    by_restored[:] = 0.0
    return Lanes(
        noisy, new_lanes(room, dtype), by_restored, by_weights, new_lanes(kept, dtype),
        new_lanes(kept, dtype), new_lanes(kept, dtype), new_lanes(n_scales, dtype),
        np.empty(LANES, dtype), np.empty(LANES, dtype), np.empty(LANES, dtype),
        np.zeros((LANES, _whole_columns(room)), dtype),
        np.zeros((LANES, _whole_columns(kept)), dtype),
    )  # fmt: skip


@jit
def _turned(A, turned):
    """Return A (M, T) transposed, in the leading columns of ``turned``."""
    for first in range(0, A.shape[0], ROWS):  # so few rows at a time stay in the cache
        for t in range(LANES):
            for i in range(first, first + ROWS):
                turned[t, i] = A[i, t]
    return turned


@jit
def _add_outer(A, turned, total):
    """Total (M, N) += A (M, T) @ turned (T, N), N a multiple of COLUMNS."""
    a, b, c = A.reshape(-1), turned.reshape(-1), total.reshape(-1)
    n = turned.shape[1]
    for i in range(0, A.shape[0], ROWS):
        add_products(a[i * LANES :], LANES, 1, LANES, b, n, c[i * n : (i + ROWS) * n], n, n)


@jit
def _multiply(A, B, C):
    """Fill C with the products of the elements of A and B, all (M, T)."""
    for i in range(A.shape[0]):
        for t in range(LANES):
            C[i, t] = A[i, t] * B[i, t]


@jit
def _restore(bank, scratch, lanes):
    """Restore the patches in ``lanes.noisy``; the responsibilities stay in ``scratch``."""
    fill_responsibilities(lanes.noisy, bank, scratch)
    fill_precisions(scratch.log_prob, bank.traces[0], lanes.precision)
    rotate(bank.shrinkages[0], scratch.log_prob, scratch.factors)
    _multiply(scratch.factors, scratch.coefficients, lanes.filtered)
    lanes.restored[:] = lanes.noisy
    rotate(bank.backward[0], lanes.filtered, lanes.restored, True)


@jit
def _through_sums(d, lanes):
    """Return the derivatives by the precisions (T,), and fill those by the restored patches.

    The sums got ``precision * (restored + mean)`` and ``precision``. The derivatives by them are in
    ``by_restored`` and ``by_weights``.
    """
    by_precision = np.zeros(LANES, lanes.precision.dtype)
    lanes.by_mean[:] = 0.0
    for i in range(d):
        by, weight, restored = lanes.by_restored[i], lanes.by_weights[i], lanes.restored[i]
        for t in range(LANES):
            by_precision[t] += by[t] * (restored[t] + lanes.mean[t]) + weight[t]
            by[t] *= lanes.precision[t]
            lanes.by_mean[t] += by[t]
    return by_precision


@jit
def _through_filters(turned_bank, scratch, lanes, totals):
    """Fill the derivatives by the coefficients and the responsibilities, and add the matrices'."""
    gains, z, filtered = scratch.factors, scratch.coefficients, lanes.filtered
    _add_outer(lanes.by_restored, _turned(filtered, lanes.turned_filters), totals.backward)
    rotate(turned_bank.backward, lanes.by_restored, lanes.by_filtered)
    # filtered = gains * z; from here on it holds the derivative by the gains.
    _multiply(lanes.by_filtered, z, filtered)
    _multiply(lanes.by_filtered, gains, lanes.by_filtered)
    _add_outer(scratch.log_prob, _turned(filtered, lanes.turned_filters), totals.shrinkages)
    rotate(turned_bank.shrinkages, filtered, lanes.by_posterior)


@jit
def _through_posterior(traces, posterior, by_precision, lanes, totals):
    """Turn the derivatives by the responsibilities into those by the log-probabilities."""
    by_posterior, precision = lanes.by_posterior, lanes.precision
    mean = np.zeros(LANES, posterior.dtype)
    for t in range(LANES):  # precision = 1 / trace
        by_precision[t] *= -precision[t] * precision[t]
    for j in range(posterior.shape[0]):
        for t in range(LANES):
            by_posterior[j, t] += traces[j] * by_precision[t]
            mean[t] += posterior[j, t] * by_posterior[j, t]
    for j in range(posterior.shape[0]):
        for t in range(LANES):
            by_posterior[j, t] = posterior[j, t] * (by_posterior[j, t] - mean[t])
        for t in range(LANES):
            totals.log_weights[j] += by_posterior[j, t]
            totals.traces[j] += posterior[j, t] * by_precision[t]


@jit
def _through_log_prob(turned_bank, scratch, lanes, totals):
    """Fill the derivatives by the patches less their means, and add the matrices'.

    log-probability = log-weight - precisions @ z^2 / 2.
    """
    z, squares, by_z = scratch.coefficients, scratch.factors, lanes.by_filtered
    _multiply(z, z, squares)
    _add_outer(lanes.by_posterior, _turned(squares, lanes.turned_filters), totals.precisions)
    rotate(turned_bank.precisions, lanes.by_posterior, lanes.by_squares)
    for i in range(z.shape[0]):
        for t in range(LANES):
            by_z[i, t] -= z[i, t] * lanes.by_squares[i, t]
    _add_outer(by_z, _turned(lanes.noisy, lanes.turned_pixels), totals.forward)
    # The patch also goes into the result as it is.
    rotate(turned_bank.forward, by_z, lanes.by_restored, True)


@jit
def _through_mean(by_centred, d, by_mean):
    """Turn the derivatives by a patch less its mean, and by the mean, into those by the patch."""
    share = by_mean.dtype.type(d)
    for i in range(d):
        for t in range(LANES):
            by_mean[t] -= by_centred[i, t]
    for i in range(d):
        for t in range(LANES):
            by_centred[i, t] += by_mean[t] / share


@jit
def _image_gradients(image, rows, cols, patch_size, bank, by_sums, by_image):
    """Fill ``by_image`` (H, W), and return the `Totals` of one image; see `pass_gradients`."""
    d, dtype = patch_size * patch_size, image.dtype
    _, kept, room = bank.forward.shape
    n_scales = bank.log_weights.shape[1]
    turned_bank = Transposed(
        bank.forward[0].T.copy(), bank.backward[0].T.copy(), bank.precisions[0].T.copy(),
        bank.shrinkages[0].T.copy(),
    )  # fmt: skip
    wide = _whole_columns(kept)
    totals = Totals(
        np.zeros((kept, _whole_columns(room)), dtype), np.zeros((room, wide), dtype),
        np.zeros(n_scales, dtype), np.zeros((n_scales, wide), dtype),
        np.zeros((n_scales, wide), dtype), np.zeros(n_scales, dtype),
    )  # fmt: skip
    step, height = column_step(cols), image.shape[0]
    pixels = column_phases(image, 0, height, step)
    by_patches = column_phases(by_sums[0], 0, height, step)
    by_weights = column_phases(by_sums[1], 0, height, step)
    by_pixels = np.zeros_like(pixels)
    scratch = new_scratch(bank, 1, dtype)
    lanes = _new_lanes(room, kept, n_scales, dtype)
    n_patches = rows.shape[0] * cols.shape[0]
    for start in range(0, n_patches, LANES):
        count = min(LANES, n_patches - start)
        gather_phases(pixels, rows, cols, start, count, patch_size, 0, lanes.noisy)
        gather_phases(by_patches, rows, cols, start, count, patch_size, 0, lanes.by_restored)
        gather_phases(by_weights, rows, cols, start, count, patch_size, 0, lanes.by_weights)
        subtract_mean(lanes.noisy, d, lanes.mean)
        _restore(bank, scratch, lanes)
        by_precision = _through_sums(d, lanes)
        _through_filters(turned_bank, scratch, lanes, totals)
        _through_posterior(bank.traces[0], scratch.log_prob, by_precision, lanes, totals)
        _through_log_prob(turned_bank, scratch, lanes, totals)
        _through_mean(lanes.by_restored, d, lanes.by_mean)
        scatter_phases(lanes.by_restored, rows, cols, start, count, patch_size, 0, by_pixels)
    for y in range(height):
        for x in range(image.shape[1]):
            by_image[y, x] = by_pixels[x % step, y, x // step]
    return totals


@jit
def _store(totals, by_bank, i):
    """Copy the totals of image i, without their padding.

    In a function of its own: in the loop over tasks, a parallel build leaves the copies out.
    """
    _, kept, room = by_bank.forward.shape
    minus_half = by_bank.precisions.dtype.type(-0.5)
    by_bank.forward[i] = totals.forward[:, :room]
    by_bank.backward[i] = totals.backward[:, :kept]
    by_bank.log_weights[i] = totals.log_weights
    by_bank.precisions[i] = totals.precisions[:, :kept] * minus_half
    by_bank.shrinkages[i] = totals.shrinkages[:, :kept]
    by_bank.traces[i] = totals.traces


@Kernel.with_flops(
    lambda images, rows, cols, bank, **_: (
        len(images) * rows.size * cols.size * 14 * bank.forward.size
    )
)
def pass_gradients(images, rows, cols, patch_size, bank, by_sums, by_images, by_bank):
    """Fill the derivatives of a loss by the noisy ``images`` (n, H, W) and by a ``bank``.

    The bank has one shape without a mean, and filters that are added to the patch itself (its
    ``tail_shrinkages`` are 1). Patches are restored about their own means. ``by_sums`` (n, 2, H, W)
    are the derivatives by the two sums of `denoise_bands`. Fills ``by_images`` (n, H, W) and
    ``by_bank``, a `Totals` of arrays (n, ...) that are not padded: each image's part of the
    derivatives by the bank.
    """
    for task in prange(images.shape[0]):
        i = np.intp(task)
        totals = _image_gradients(images[i], rows, cols, patch_size, bank, by_sums[i], by_images[i])
        _store(totals, by_bank, i)
