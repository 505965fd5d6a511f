"""Groups of coordinates that have scales of their own, on one covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.whitened import normalised_log_weights


@dataclass(frozen=True)
class ScaleGroups:
    """The coordinates that share scales: all of the support, or each principal axis on its own.

    Attributes
    ----------
    gaussian : ScaleMixtureDensity
        Mean 0 and the covariance of the samples.
    by_axis : bool
    """

    gaussian: ScaleMixtureDensity
    by_axis: bool

    @property
    def n_groups(self) -> int:
        """Number G of groups."""
        return self.gaussian.rank if self.by_axis else 1

    @property
    def dimension(self) -> int:
        """Dimension of each group."""
        return 1 if self.by_axis else self.gaussian.rank

    def distances(self, X: FloatArray) -> FloatArray:
        """Return squared Mahalanobis distances (G, n) of X (n, d) at scale 1."""
        if not self.by_axis:
            return self.gaussian.distances(X)
        coordinates = X @ self.gaussian.eigenvectors[0].astype(X.dtype)
        squares = np.ascontiguousarray(np.square(coordinates).T)
        squares /= self.gaussian.eigenvalues[0][:, None].astype(X.dtype)
        return squares

    def log_weights(self, weights: FloatArray, scales: FloatArray) -> FloatArray:
        """Return logarithms (G, J) of weights over normalising constants."""
        log_variances = np.log(self.gaussian.eigenvalues)
        log_dets = log_variances[0] if self.by_axis else log_variances.sum(axis=1)
        return normalised_log_weights(weights, scales, log_dets, self.dimension)
