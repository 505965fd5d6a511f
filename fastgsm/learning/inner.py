"""A mixture of K shapes at J scales as an M-step changes it: covariances within the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.support import Support
from fastgsm.learning.whitened import WhitenedMixture

COLLAPSED = (
    "a component lost its extent in some direction, and its covariance its inverse. Raise "
    "reg_covar, the least extent (1e-6 by default), ask for fewer components, or give more samples."
)


@dataclass(frozen=True, eq=False)
class InnerMixture:
    """Parameters of a mixture, its covariances in coordinates of the support.

    E-steps need only their Cholesky factors. An eigendecomposition in every iteration would cost
    many times as much, so it waits until `density` is asked for.

    Attributes
    ----------
    weights, scales : ndarray of shape (K, J)
        pi and r2.
    means : ndarray of shape (K, d)
    inner : ndarray of shape (K, rank, rank)
    support : Support
    """

    weights: FloatArray
    scales: FloatArray
    means: FloatArray
    inner: FloatArray
    support: Support

    @classmethod
    def of(cls, density: ScaleMixtureDensity, support: Support) -> InnerMixture:
        """Convert a density whose shapes have the given support."""
        inner = support.inner(density.covariances)
        return cls(density.weights, density.scales, density.means, inner, support)

    def density(self) -> ScaleMixtureDensity:
        """Return the same mixture with eigenvalues and eigenvectors."""
        basis = self.support.basis
        eigenvalues, eigenvectors = self.support.eigendecomposition(basis @ self.inner @ basis.T)
        return ScaleMixtureDensity(self.weights, self.scales, self.means, eigenvalues, eigenvectors)

    def whitened(self) -> WhitenedMixture:
        """Return the same mixture with whiteners; raise ValueError if a shape has no inverse."""
        try:
            factors = np.linalg.cholesky(self.inner)
        except np.linalg.LinAlgError:
            raise ValueError(COLLAPSED) from None
        log_dets = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        # The product of a lower triangle and the support's lower-trapezoidal basis.
        whiteners = np.tril(np.linalg.inv(factors)) @ self.support.basis.T
        return WhitenedMixture(self.weights, self.scales, self.means, whiteners, log_dets)
