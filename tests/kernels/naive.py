"""The kernels' slow twins: the formulas in plain NumPy and SciPy, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

Array = NDArray[np.float64]


def extract(image: NDArray, rows: NDArray, cols: NDArray, p: int) -> NDArray:
    return np.array([image[y : y + p, x : x + p].ravel() for y in rows for x in cols])


def sums(patches: NDArray, rows: NDArray, cols: NDArray, p: int, shape: tuple[int, int]) -> Array:
    """Sum of the patches that cover each pixel."""
    total = np.zeros(shape)
    corners = [(y, x) for y in rows for x in cols]
    for (y, x), patch in zip(corners, patches, strict=True):
        total[y : y + p, x : x + p] += patch.reshape(p, p)
    return total


def aggregate(
    patches: NDArray, rows: NDArray, cols: NDArray, p: int, shape: tuple[int, int]
) -> Array:
    """Mean of the patches that cover each pixel."""
    counts = sums(np.ones_like(patches), rows, cols, p, shape)
    return sums(patches, rows, cols, p, shape) / counts


def centres(
    patches: NDArray, rows: NDArray, cols: NDArray, p: int, shape: tuple[int, int]
) -> Array:
    """Central pixel of each patch, 0 where there is none."""
    image = np.zeros(shape)
    image[np.ix_(rows + p // 2, cols + p // 2)] = patches.reshape(len(rows), len(cols), p, p)[
        :, :, p // 2, p // 2
    ]
    return image


def nearest(image: NDArray, y: int, x: int, p: int, n: int, radius: int) -> list[tuple[int, int]]:
    """List the corners of the n patches most similar to the one at (y, x), which comes first."""
    height, width = image.shape
    corners = [
        (i, j)
        for i in range(max(y - radius, 0), min(y + radius, height - p) + 1)
        for j in range(max(x - radius, 0), min(x + radius, width - p) + 1)
    ]
    own = image[y : y + p, x : x + p]
    distances = [
        -1.0 if (i, j) == (y, x) else np.sum((image[i : i + p, j : j + p] - own) ** 2)
        for i, j in corners
    ]
    return [corners[k] for k in np.argsort(distances, kind="stable")[:n]]


def mahalanobis(X: NDArray, means: Array, covariances: Array) -> Array:
    """Squared distances (K, n), under the pseudo-inverse of the covariances."""
    inverses = np.linalg.pinv(covariances, rcond=1e-9, hermitian=True)
    centred = X[None].astype(np.float64) - means[:, None]
    return np.einsum("kni,kij,knj->kn", centred, inverses, centred)


def responsibilities(
    distances: NDArray, log_weights: NDArray, precisions: NDArray
) -> tuple[Array, Array]:
    """Responsibilities (K*J, n) and log-likelihoods (n,)."""
    log_prob = log_weights[:, :, None] - precisions[:, :, None] * distances[:, None, :] / 2.0
    log_prob = log_prob.reshape(-1, distances.shape[1]).astype(np.float64)
    log_norm = logsumexp(log_prob, axis=0)
    return np.exp(log_prob - log_norm), log_norm


def scale_statistics(
    distances: NDArray, log_weights: NDArray, precisions: NDArray, sample_weight: NDArray
) -> Array:
    """Sums (2, K*J + 1) over all samples of one group; the last of the second row is 0."""
    posterior, log_norm = responsibilities(distances, log_weights, precisions)
    n_scales = log_weights.shape[1]
    weighted = posterior * sample_weight
    counts = np.append(weighted.sum(axis=1), np.sum(log_norm * sample_weight))
    energy = np.append((weighted * np.repeat(distances, n_scales, axis=0)).sum(axis=1), 0.0)
    return np.stack([counts, energy])


def component_weights(
    distances: NDArray,
    log_weights: NDArray,
    precisions: NDArray,
    sample_weight: NDArray,
    negligible: float,
) -> tuple[Array, Array, Array]:
    """Weights (K, n) of the samples, log-likelihoods (n,), and (K, n) responsibilities kept."""
    posterior, log_norm = responsibilities(distances, log_weights, precisions)
    posterior = posterior.reshape(*log_weights.shape, -1)
    total = posterior.sum(axis=1)
    kept = np.where(total > negligible, sample_weight, 0.0)
    weights = (posterior * precisions[:, :, None]).sum(axis=1)
    return weights * kept, log_norm, total * kept


def moments(X: NDArray, means: NDArray, weights: NDArray) -> tuple[Array, Array]:
    """Weighted first (K, d) and second (K, d, d) moments about the means."""
    centred = X[None].astype(np.float64) - means[:, None]
    sums = np.einsum("kn,kni->ki", weights, centred)
    return sums, np.einsum("kn,kni,knj->kij", weights, centred, centred)


def posterior(
    Y: NDArray,
    weights: Array,
    scales: Array,
    means: Array,
    covariances: Array,
    projection: Array,
    noise_variance: float,
) -> tuple[Array, Array, Array]:
    """Posterior mean and variance (n, d) of clean patches and filters' traces (n,), one by one.

    ``projection`` is the projection on the support, in which the noise lives too.
    """
    log_prob, gaussian_means, gaussian_variances, traces = [], [], [], []
    for pi, r2, mean, covariance in zip(weights, scales, means, covariances, strict=True):
        for j in range(pi.size):
            signal = r2[j] * covariance
            total = signal + noise_variance * projection
            gain = signal @ np.linalg.pinv(total, rcond=1e-9, hermitian=True)
            density = multivariate_normal(mean, total, allow_singular=True)
            log_prob.append(np.log(pi[j]) + np.reshape(density.logpdf(Y), -1))
            gaussian_means.append(mean + (Y - mean) @ gain.T)
            gaussian_variances.append(np.diag(signal - gain @ signal))
            traces.append(np.trace(gain) + len(mean) - np.trace(projection))
    c = np.exp(log_prob - logsumexp(log_prob, axis=0))[:, :, None]
    x = (c * gaussian_means).sum(axis=0)
    within = (c * np.array(gaussian_variances)[:, None, :]).sum(axis=0)
    between = (c * (np.array(gaussian_means) - x) ** 2).sum(axis=0)
    return x, within + between, traces @ c[:, :, 0]
