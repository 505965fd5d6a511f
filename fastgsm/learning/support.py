"""The subspace that samples lie in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from fastgsm._checks import caller_level
from fastgsm._types import FloatArray
from fastgsm.kernels import symmetric

# Eigenvalues below this share of the largest lose digits in `eigh`, which is accurate to a share of
# about 1e-16 of that.
GRADED = 1e-10
# Features whose deviations are below this share of the largest lose digits everywhere.
LEAST_DEVIATION = 1e-13
# Rounding of float32, which samples in float64 may have been before.
NARROW_EPS = float(np.finfo(np.float32).eps)


def null_share(rank: int) -> float:
    """Return the share of the largest eigenvalue that rounding of the samples may give another."""
    return (rank * NARROW_EPS) ** 2


class Moments(Protocol):
    """Mean (d,) and covariance (d, d) of samples."""

    @property
    def mean(self) -> FloatArray:
        """Their mean; 0 where the covariance is about 0."""

    @property
    def covariance(self) -> FloatArray:
        """Their covariance."""


@dataclass(frozen=True)
class Support:
    """The subspace that the data lie in, and how much they vary in it."""

    basis: FloatArray
    """Orthonormal, (d, rank), its transpose lower trapezoidal; the identity if rank = d."""
    variance: float  # mean along the basis
    standardiser: FloatArray
    """T, (rank, rank), which turns a covariance C in coordinates of the basis into T C T^T, that of
    standardised features. So it makes the units of the features irrelevant."""
    null: float
    """Share of its largest eigenvalue at which an eigenvalue of a component's covariance may be
    rounding."""

    @classmethod
    def of(cls, moments: Moments, dtype: Any) -> Support:
        """Find the support of data of type ``dtype`` with the given moments.

        It is looked for among standardised features, so that no feature is lost because another
        has a much larger unit.
        """
        covariance = moments.covariance
        rounding = float(np.finfo(dtype).eps)
        d, deviations = len(covariance), _deviations(moments, rounding)
        inverse = np.divide(1, deviations, out=np.zeros(d), where=deviations > 0)
        eigenvalues, vectors = eigh(covariance * np.outer(inverse, inverse))
        # The eigenvalue of a direction without variance is the rounding error of the covariance,
        # and the rounding errors of the samples have a variance too.
        eps = np.finfo(np.float64).eps
        tolerance = eigenvalues[-1] * max(d * eps, (d * rounding) ** 2)
        rank = int(np.count_nonzero(eigenvalues > tolerance))
        if rank == 0:
            raise ValueError(
                f"all samples of X are the same: there is no variance to learn from in {d} "
                f"features. Wanted at least 2 different samples with a sample_weight that counts."
            )
        basis = np.linalg.qr(deviations[:, None] * vectors[:, d - rank :])[0]
        return cls.spanned(basis, covariance, dtype)

    @classmethod
    def spanned(cls, vectors: FloatArray, covariance: FloatArray, dtype: Any) -> Support:
        """Return the support with orthonormal ``vectors`` (d, rank) of data with a covariance."""
        d, rank = vectors.shape
        basis = np.eye(d) if rank == d else lower_trapezoidal(vectors.T).T
        variances = np.diagonal(covariance)
        inverse = np.divide(1, np.sqrt(variances), out=np.zeros(d), where=variances > 0)
        # The rows of the basis in standardised features, made orthonormal.
        standardiser = np.diag(inverse) if rank == d else np.linalg.qr(inverse[:, None] * basis)[1]
        # Sums over a component lose more digits in float32 than those over all samples.
        null = rank * NARROW_EPS if np.dtype(dtype) == np.float32 else null_share(rank)
        variance = float(np.trace(basis.T @ covariance @ basis)) / rank
        return cls(basis, variance, standardiser, null)

    @property
    def rank(self) -> int:
        """Dimension of the subspace."""
        return self.basis.shape[1]

    def inner(self, covariances: FloatArray) -> FloatArray:
        """Return covariances (K, d, d) in coordinates of the basis, (K, rank, rank)."""
        return self.basis.T @ covariances @ self.basis

    def eigendecomposition(self, inner: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return eigenvalues (K, rank), descending, and eigenvectors (K, d, rank) of covariances.

        Those are (K, rank, rank), in coordinates of the basis.
        """
        eigenvalues, vectors = graded_eigh(inner)
        return eigenvalues[:, ::-1], self.basis @ vectors[:, :, ::-1]

    def standardised(self, inner: FloatArray) -> FloatArray:
        """Return covariances (K, rank, rank) of standardised features."""
        return self.standardiser @ inner @ self.standardiser.T

    def raised(
        self, inner: FloatArray, floors: FloatArray, null: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Raise the eigenvalues of standardised covariances to at least ``floors`` (K,).

        Return the covariances (K, rank, rank), in coordinates of the basis like ``inner``, and by
        which factor (K,) the least variance of each was raised. The factor is 1 where that variance
        was at most ``null`` (by default that of the support) times the largest: equal or too few
        samples, and patches without their mean, have none to lose.

        Among the covariances above the floor, the result is the most likely one for samples of
        covariance ``inner``.
        """
        result, lifts = inner.copy(), np.ones(len(inner))
        null = self.null if null is None else null
        for k, floor in enumerate(floors):
            try:
                # Mostly there is nothing to raise, and a Cholesky factor is a cheap test.
                np.linalg.cholesky(inner[k] - floor * self._least)
            except np.linalg.LinAlgError:
                eigenvalues, vectors = eigh(self.standardised(inner[k]))
                vectors = self._back @ vectors
                result[k] = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
                if eigenvalues[0] > null * eigenvalues[-1]:
                    lifts[k] = max(1.0, floor / eigenvalues[0])
        return result, lifts

    @cached_property
    def _back(self) -> FloatArray:
        """The inverse of the standardiser."""
        return np.asarray(np.linalg.inv(self.standardiser))

    @cached_property
    def _least(self) -> FloatArray:
        """The covariance, in coordinates of the basis, of which a floor is a multiple."""
        return self._back @ self._back.T


def _deviations(moments: Moments, eps: float) -> FloatArray:
    """Return the standard deviations (d,) of the features, 0 where they count as constant.

    Warn of those that differ too much from the others to be computed with.
    """
    variances = np.diagonal(moments.covariance)
    # A constant that was computed varies by its rounding.
    rounding = np.square(eps * moments.mean)
    deviations = np.where(variances > rounding, np.sqrt(np.maximum(variances, 0)), 0.0)
    lost = (deviations > 0) & (deviations < LEAST_DEVIATION * deviations.max())
    if lost.any():
        j = int(np.flatnonzero(lost)[0])
        warnings.warn(
            f"{np.count_nonzero(lost)} of the {len(lost)} features of X (feature {j}, with a "
            f"standard deviation of {deviations[j]:.3g}) vary by less than {LEAST_DEVIATION:g} of "
            f"what another does ({deviations.max():.3g}), and count as constant. If that is not "
            f"rounding, give them in other units, e.g. by scikit-learn's StandardScaler.",
            stacklevel=caller_level(),
        )
    return np.where(lost, 0.0, deviations)


def lower_trapezoidal(matrices: FloatArray) -> FloatArray:
    """Rotate the rows of (..., rank, d) so that all entries with column > d - rank + row are 0.

    The products of the columns, and so the length of A x, do not change.
    """
    # Reversed in both axes, the lower factor is the upper one of the QR decomposition.
    upper = np.asarray(np.linalg.qr(matrices[..., ::-1, ::-1], mode="r"))
    return np.ascontiguousarray(upper[..., ::-1, ::-1])


def graded_eigh(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Do as `eigh`, but with all digits of the small eigenvalues of features in unlike units.

    The singular values of a Cholesky factor are the roots of the eigenvalues, which differ by far
    less.
    """
    eigenvalues, vectors = eigh(matrices)
    for k in np.flatnonzero(eigenvalues[:, 0] < GRADED * eigenvalues[:, -1]):
        try:
            left, roots, _ = np.linalg.svd(np.linalg.cholesky(matrices[k]))
        except np.linalg.LinAlgError:
            continue  # not positive definite
        eigenvalues[k], vectors[k] = np.square(roots[::-1]), left[:, ::-1]
    return eigenvalues, vectors


def eigh(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues (..., n), ascending, and eigenvectors (..., n, n) of matrices."""
    stack = matrices.reshape(-1, *matrices.shape[-2:])
    eigenvalues, eigenvectors = np.empty(stack.shape[:2]), np.empty(stack.shape)
    symmetric.eigh(stack, eigenvalues, eigenvectors)
    return eigenvalues.reshape(matrices.shape[:-1]), eigenvectors.reshape(matrices.shape)
