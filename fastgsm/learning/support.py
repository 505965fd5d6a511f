"""The subspace that samples lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.kernels import symmetric


@dataclass(frozen=True)
class Support:
    """The subspace that the data lie in, and how much they vary in it."""

    basis: FloatArray
    """Orthonormal, (d, rank), its transpose lower trapezoidal; the identity if rank = d."""
    variance: float  # mean along the basis

    @classmethod
    def of(cls, covariance: FloatArray, dtype: Any) -> Support:
        """Find the support of data of type ``dtype`` with the given covariance (d, d)."""
        eigenvalues, vectors = eigh(covariance)
        d, top = eigenvalues.size, eigenvalues[-1]
        # The eigenvalue of a direction without variance is the rounding error of the covariance,
        # and the rounding errors of the samples have a variance too.
        eps = np.finfo(np.float64).eps
        tolerance = top * max(d * eps, (d * float(np.finfo(dtype).eps)) ** 2)
        rank = int(np.count_nonzero(eigenvalues > tolerance)) if top > 0 else 0
        if rank == 0:
            raise ValueError(
                f"all samples of X are the same: there is no variance to learn from in {d} "
                f"features. Wanted at least 2 different samples."
            )
        return cls.spanned(vectors[:, d - rank :], float(eigenvalues[d - rank :].mean()))

    @classmethod
    def spanned(cls, vectors: FloatArray, variance: float) -> Support:
        """Return the support with the orthonormal ``vectors`` (d, rank) and a mean variance."""
        d, rank = vectors.shape
        return cls(np.eye(d) if rank == d else lower_trapezoidal(vectors.T).T, variance)

    @property
    def rank(self) -> int:
        """Dimension of the subspace."""
        return self.basis.shape[1]

    def inner(self, covariances: FloatArray) -> FloatArray:
        """Return covariances (K, d, d) in coordinates of the basis, (K, rank, rank)."""
        return self.basis.T @ covariances @ self.basis

    def eigendecomposition(self, covariances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return eigenvalues (K, rank), descending, and eigenvectors (K, d, rank)."""
        eigenvalues, vectors = eigh(self.inner(covariances))
        return eigenvalues[:, ::-1], self.basis @ vectors[:, :, ::-1]


def raised(inner: FloatArray, floors: FloatArray) -> FloatArray:
    """Return covariances (K, rank, rank) with eigenvalues of at least ``floors`` (K,).

    Lower eigenvalues are raised to the floor. Among the covariances above the floor, the result is
    the most likely one for samples of covariance ``inner``.
    """
    result = inner.copy()
    for k, floor in enumerate(floors):
        try:
            # Mostly there is nothing to raise, and a Cholesky factor is a cheap test.
            np.linalg.cholesky(inner[k] - floor * np.eye(len(inner[k])))
        except np.linalg.LinAlgError:
            eigenvalues, vectors = eigh(inner[k])
            result[k] = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    return result


def lower_trapezoidal(matrices: FloatArray) -> FloatArray:
    """Rotate the rows of (..., rank, d) so that all entries with column > d - rank + row are 0.

    The products of the columns, and so the length of A x, do not change.
    """
    # Reversed in both axes, the lower factor is the upper one of the QR decomposition.
    upper = np.asarray(np.linalg.qr(matrices[..., ::-1, ::-1], mode="r"))
    return np.ascontiguousarray(upper[..., ::-1, ::-1])


def eigh(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues (..., n), ascending, and eigenvectors (..., n, n) of matrices."""
    stack = matrices.reshape(-1, *matrices.shape[-2:])
    eigenvalues, eigenvectors = np.empty(stack.shape[:2]), np.empty(stack.shape)
    symmetric.eigh(stack, eigenvalues, eigenvectors)
    return eigenvalues.reshape(matrices.shape[:-1]), eigenvectors.reshape(matrices.shape)
