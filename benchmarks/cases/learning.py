"""Cases of the kernels that EM runs on."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from fastgsm.kernels import responsibilities as kernels
from fastgsm.kernels.symmetric import eigh as eigh_kernel
from fastgsm.learning.sums import weighted_moments
from fastgsm.learning.whitened import mahalanobis_distances

from ..common import Array, shrunk
from .case import EXP_FLOPS, N_SCALES, N_SHAPES, Case, D, normal

N_GROUPS = 8  # independent mixtures of scales, as an ICA has one for each coordinate
Arrays = tuple[Array, ...]


def mahalanobis(dtype: str) -> Case:
    X, means = normal(dtype, shrunk(50_000, 400), D), normal(dtype, N_SHAPES, D)
    whiteners = np.tril(normal(dtype, N_SHAPES, D, D))

    def numpy() -> Array:
        pairs = zip(means, whiteners, strict=True)
        return np.stack([np.square((X - mean) @ A.T).sum(axis=1) for mean, A in pairs])

    flops = N_SHAPES * len(X) * (D * (D + 1.0) + 3 * D)
    moved = X.nbytes + X.itemsize * N_SHAPES * len(X)
    return Case(lambda: mahalanobis_distances(X, means, whiteners), numpy, flops, moved)


def moments(dtype: str) -> Case:
    X, means = normal(dtype, shrunk(50_000, 400), D), np.zeros((N_SHAPES, D), dtype)
    weights = np.square(normal(dtype, N_SHAPES, len(X)))

    def numpy() -> Arrays:
        weighted = [X * row[:, None] for row in weights]
        return np.stack([Y.sum(axis=0) for Y in weighted]), np.stack([Y.T @ X for Y in weighted])

    flops = N_SHAPES * len(X) * D * (D + 3.0)
    return Case(
        lambda: weighted_moments(X, weights, means), numpy, flops, X.nbytes + weights.nbytes
    )


def _mixture(dtype: str, *shape: int) -> Arrays:
    """Draw distances of the given shape, log weights and precisions (K, J), and weights (n,)."""
    distances = D * np.square(normal(dtype, *shape))
    log_weights = normal(dtype, N_SHAPES, N_SCALES)
    precisions = 1 / np.square(1 + np.arange(log_weights.size, dtype=dtype))
    sample_weight = np.abs(normal(dtype, shape[-1]))
    return distances, log_weights, precisions.reshape(log_weights.shape), sample_weight


def _posterior(distances: Array, log_weights: Array, precisions: Array) -> Arrays:
    """Return responsibilities (K*J, n) and log-likelihoods (n,), by NumPy and SciPy."""
    log_prob = log_weights[:, :, None] - precisions[:, :, None] * distances[:, None] / 2
    log_prob = log_prob.reshape(log_weights.size, -1)
    log_norm = logsumexp(log_prob, axis=0)
    return np.exp(log_prob - log_norm), log_norm


def responsibilities(dtype: str) -> Case:
    n = shrunk(100_000, 400)
    distances, log_weights, precisions, _ = _mixture(dtype, N_SHAPES, n)
    posterior, log_norm = np.empty((log_weights.size, n), dtype), np.empty(n, dtype)

    def ours() -> Arrays:
        kernels.responsibilities(distances, log_weights, precisions, posterior, log_norm)
        return posterior, log_norm

    flops = (EXP_FLOPS[dtype] + 6.0) * posterior.size
    return Case(
        ours,
        lambda: _posterior(distances, log_weights, precisions),
        flops,
        distances.nbytes + posterior.nbytes + log_norm.nbytes,
    )


def scale_statistics(dtype: str) -> Case:
    """An EM step on the scales of independent mixtures, each with one shape."""
    n = shrunk(50_000, 400)
    distances, log_weights, precisions, sample_weight = _mixture(dtype, N_GROUPS, n)
    parts = distances[:, None], log_weights[:, None], precisions[:, None]
    statistics = np.empty((N_GROUPS, -(-n // kernels.TASK_SAMPLES), 2, N_SCALES + 1))

    def ours() -> Arrays:
        kernels.scale_statistics(*parts, sample_weight, statistics)
        counts, weighted = statistics.sum(axis=1).transpose(1, 0, 2)
        return counts, weighted[:, :-1]

    def numpy() -> Arrays:
        counts, weighted = [], []
        for near, log_weight, precision in zip(*parts, strict=True):
            posterior, log_norm = _posterior(near, log_weight, precision)
            counts.append(np.append(posterior @ sample_weight, log_norm @ sample_weight))
            weighted.append(posterior @ (sample_weight * near[0]))
        return np.stack(counts), np.stack(weighted)

    flops = (EXP_FLOPS[dtype] + 10.0) * N_SCALES * distances.size
    return Case(ours, numpy, flops, distances.nbytes + sample_weight.nbytes)


def component_weights(dtype: str) -> Case:
    n = shrunk(100_000, 400)
    distances, log_weights, precisions, sample_weight = _mixture(dtype, N_SHAPES, n)
    weights, log_norm = np.empty((N_SHAPES, n), dtype), np.empty(n, dtype)
    counts = np.empty((-(-n // kernels.TASK_SAMPLES), N_SHAPES))

    def ours() -> Arrays:
        kernels.component_weights(
            distances, log_weights, precisions, sample_weight, weights, log_norm, counts
        )
        return weights, log_norm, counts.sum(axis=0)

    def numpy() -> Arrays:
        posterior, log_norm = _posterior(distances, log_weights, precisions)
        posterior = posterior.reshape(N_SHAPES, N_SCALES, n)
        total = posterior.sum(axis=1)
        kept = np.where(total > kernels.NEGLIGIBLE, sample_weight, 0)
        weights = np.einsum("kjn,kj->kn", posterior, precisions)
        return weights * kept, log_norm, (total * kept).sum(axis=1)

    flops = (EXP_FLOPS[dtype] + 9.0) * N_SCALES * distances.size
    moved = distances.nbytes + sample_weight.nbytes + weights.nbytes + log_norm.nbytes
    return Case(ours, numpy, flops, moved)


def eigh(dtype: str) -> Case:
    """The covariances of a MoGSM(64); the kernel has no other type than float64."""
    matrices = np.random.default_rng(0).standard_normal((shrunk(64, 3), D, D))
    matrices += matrices.transpose(0, 2, 1)
    eigenvalues, eigenvectors = np.empty(matrices.shape[:2]), np.empty(matrices.shape)

    def ours() -> Arrays:
        eigh_kernel(matrices, eigenvalues, eigenvectors)
        return eigenvalues, eigenvectors

    def numpy() -> Arrays:
        values, vectors = np.linalg.eigh(matrices)
        signs = np.sign((vectors * eigenvectors).sum(axis=1, keepdims=True))  # which are free
        return values, vectors * signs

    # 9 n^3 with the eigenvectors: Golub and Van Loan, section 8.3.
    return Case(ours, numpy, 9.0 * D * matrices.size, matrices.nbytes + eigenvectors.nbytes)
