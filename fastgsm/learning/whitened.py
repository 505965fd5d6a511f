"""A mixture of K shapes at J scales as an E-step needs it: its whiteners, not its covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.kernels.mahalanobis import mahalanobis
from fastgsm.kernels.rotation import padded

LOG_2PI = float(np.log(2 * np.pi))

# Multiplications that a step over samples and shapes leaves to one call of a kernel, half a second
# on two cores: Ctrl-C is heard between calls. No fewer shapes than this, so that all threads have
# something to do.
WORK_PER_CALL = 2**36
SHAPES_PER_CALL = 8


@dataclass(frozen=True, eq=False)
class WhitenedMixture:
    """What an E-step needs of a mixture."""

    weights: FloatArray  # pi, (K, J)
    scales: FloatArray  # r2, (K, J)
    means: FloatArray  # (K, d)
    whiteners: FloatArray
    """Lower-trapezoidal A_k, (K, rank, d), with ``A_k^T A_k`` the pseudo-inverse of Sigma_k."""
    log_dets: FloatArray  # logarithms of the pseudo-determinants of Sigma_k, (K,)

    @property
    def rank(self) -> int:
        """Dimension of the support."""
        return self.whiteners.shape[1]

    @property
    def log_weights(self) -> FloatArray:
        """Logarithms (K, J) of the weights over the Gaussians' normalising constants."""
        return normalised_log_weights(self.weights, self.scales, self.log_dets, self.rank)

    def distances(self, X: FloatArray) -> FloatArray:
        """Return squared Mahalanobis distances (K, n) of X (n, d) at scale 1."""
        return mahalanobis_distances(X, self.means, self.whiteners)


def normalised_log_weights(
    weights: FloatArray, scales: FloatArray, log_dets: FloatArray, dimension: int
) -> FloatArray:
    """Return logarithms (K, J) of weights over the normalising constants of Gaussians at J scales.

    ``log_dets`` (K,) are the log-determinants of the covariances of the given dimension at scale 1.
    """
    with np.errstate(divide="ignore"):  # the weight of a dead component is 0
        log_pi = np.log(weights)
    return log_pi - 0.5 * (dimension * (LOG_2PI + np.log(scales)) + log_dets[:, None])


def mahalanobis_distances(
    X: FloatArray, means: FloatArray, whiteners: FloatArray
) -> NDArray[np.floating[Any]]:
    """Return squared distances (K, n) of X (n, d), by lower-trapezoidal whiteners (K, rank, d)."""
    n_shapes, rank, d = whiteners.shape
    distances = np.empty((n_shapes, X.shape[0]), X.dtype)
    padded_whiteners = pad(whiteners, (n_shapes, padded(rank), padded(d)), X.dtype)
    centres = means.astype(X.dtype)
    for part in shape_groups(n_shapes, X):
        mahalanobis(X, centres[part], padded_whiteners[part], rank, distances[part])
    return distances


def shape_groups(n_shapes: int, X: FloatArray) -> list[slice]:
    """Return slices of the shapes that one call of a kernel on X (n, d) handles together."""
    step = max(SHAPES_PER_CALL, WORK_PER_CALL // (X.size * X.shape[1]))
    return [slice(first, first + step) for first in range(0, n_shapes, step)]


def pad(
    values: FloatArray, shape: tuple[int, ...], dtype: Any, fill: float = 0.0
) -> NDArray[np.floating[Any]]:
    """Copy ``values`` into the leading corner of an array of ``shape`` filled with ``fill``."""
    result = np.full(shape, fill, dtype)
    corner = tuple(slice(min(n, room)) for n, room in zip(values.shape, shape, strict=True))
    result[corner] = values[corner]
    return result
