"""The case of the kernel that trains cascades."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import softmax

from fastgsm.kernels.gradients import Totals
from fastgsm.kernels.gradients import pass_gradients as gradients_kernel
from fastgsm.priors import load_cascade

from ..common import PATCH_SIZE, SIGMA, Array, add_noise, image, shrunk
from .case import Case, D, normal

STRIDE = 2
N_IMAGES = 8


def pass_gradients(dtype: str) -> Case:
    """The derivatives of a batch of crops, as in training."""
    side = shrunk(72, 24)
    scene = add_noise(image(seed=10)).astype(dtype)
    images = np.stack([np.roll(scene, -8 * i, axis=0)[:side, :side] for i in range(N_IMAGES)])
    places = np.arange(0, side - PATCH_SIZE + 1, STRIDE)
    bank = load_cascade("cascade-fast").bank(0, SIGMA, dtype)
    by_sums = normal(dtype, N_IMAGES, 2, side, side)
    arrays = (bank.forward, bank.backward, bank.log_weights, bank.precisions, bank.precisions,
              bank.traces)  # fmt: skip
    by_bank = Totals(*(np.empty((N_IMAGES, *each.shape[1:]), dtype) for each in arrays))
    by_images = np.empty_like(images)

    def ours() -> tuple[Array, ...]:
        gradients_kernel(images, places, places, PATCH_SIZE, bank, by_sums, by_images, by_bank)
        return by_images, *(each.sum(axis=0) for each in by_bank)

    windows = (PATCH_SIZE, PATCH_SIZE)

    def extracted(planes: Array) -> Array:
        cut = sliding_window_view(planes, windows, axis=(-2, -1))[:, ::STRIDE, ::STRIDE]
        return cut.reshape(-1, D)

    def numpy() -> tuple[Array, ...]:
        forward, backward = bank.forward[0], bank.backward[0]
        precisions, gains_of, traces = bank.precisions[0], bank.shrinkages[0], bank.traces[0]
        Y = extracted(images)
        mean = Y.mean(axis=1, keepdims=True)
        Y = Y - mean
        Z = Y @ forward.T
        shares = softmax(bank.log_weights[0] - np.square(Z) @ precisions.T / 2, axis=1)
        gains, weights = shares @ gains_of.T, 1 / (shares @ traces)
        by_patch, by_weight = extracted(by_sums[:, 0]), extracted(by_sums[:, 1])
        restored = Y + (gains * Z) @ backward.T + mean
        by_weights = (by_patch * restored + by_weight).sum(axis=1) * -np.square(weights)
        by_patch = by_patch * weights[:, None]
        by_filtered = by_patch @ backward
        by_gains = by_filtered * Z
        by_shares = by_gains @ gains_of + np.outer(by_weights, traces)
        by_log = shares * (by_shares - (shares * by_shares).sum(axis=1, keepdims=True))
        by_Z = by_filtered * gains - Z * (by_log @ precisions)
        by_Y = by_patch + by_Z @ forward
        by_Y += (by_patch.sum(axis=1, keepdims=True) - by_Y.sum(axis=1, keepdims=True)) / D
        n = places.size
        patches = by_Y.reshape(N_IMAGES, n, n, *windows)
        result = np.zeros_like(images)
        for dy in range(PATCH_SIZE):
            for dx in range(PATCH_SIZE):
                rows, cols = (slice(d, d + STRIDE * n, STRIDE) for d in (dy, dx))
                result[:, rows, cols] += patches[..., dy, dx]
        return (
            result, by_Z.T @ Y, by_patch.T @ (gains * Z), by_log.sum(axis=0),
            by_log.T @ np.square(Z) / -2, shares.T @ by_gains, shares.T @ by_weights,
        )  # fmt: skip

    M, J = bank.forward.shape[1], bank.log_weights.shape[1]
    flops = N_IMAGES * places.size**2 * (14.0 * D * M + 14.0 * J * M)
    return Case(ours, numpy, flops, 4.0 * by_sums.nbytes)
