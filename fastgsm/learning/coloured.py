"""A mixture seen through noise that is correlated between pixels.

With noise of covariance s2 N, N = L L^T, the noise of L^-1 y is white and shape k has there the
covariance L^-1 Sigma_k L^-T = U_k diag(lambda_k) U_k^T. So the filters are those for white noise,
with U_k^T L^-1 and L U_k in place of U_k^T and U_k.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.kernels.nonlocal_mvn import LEAST_VARIANCE
from fastgsm.kernels.wiener import WienerBank
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.support import eigh
from fastgsm.learning.whitened import pad


@dataclass(frozen=True)
class ColouredDensity:
    """A mixture in coordinates in which the noise is white, of variance 1."""

    density: ScaleMixtureDensity
    """Its eigenvectors (K, d, rank) are L U_k, which are not orthonormal."""
    forward: FloatArray
    """U_k^T L^-1, (K, rank, d)."""
    off_support: float
    """Variance of the noise outside of the support, which filters do not touch."""

    @classmethod
    def of(cls, density: ScaleMixtureDensity, noise: FloatArray) -> ColouredDensity:
        """Return a density as seen through noise of covariance ``noise`` (d, d)."""
        basis = density.support().basis
        variances, axes = eigh(basis.T @ noise @ basis)
        # A covariance that was cut off or measured may have variances of 0 and below.
        variances = np.maximum(variances, LEAST_VARIANCE * variances.mean())
        unwhiten, whiten = axes * np.sqrt(variances), (axes / np.sqrt(variances)).T
        inner = whiten @ (basis.T @ density.covariances @ basis) @ whiten.T
        eigenvalues, vectors = eigh(inner)
        tiny = np.finfo(np.float64).eps * eigenvalues[:, -1:]
        seen = replace(
            density,
            eigenvalues=np.maximum(eigenvalues[:, ::-1], tiny),
            eigenvectors=basis @ unwhiten @ vectors[:, :, ::-1],
        )
        forward = vectors[:, :, ::-1].transpose(0, 2, 1) @ whiten @ basis.T
        return cls(seen, forward, float(np.trace(noise) - np.trace(basis.T @ noise @ basis)))

    def wiener_bank(self, noise_variance: float, dtype: Any) -> WienerBank:
        """Return what the denoising kernels need, where the noise has ``noise_variance`` times N.

        The trace of a filter is the squared error that it leaves, in units of ``noise_variance``.
        """
        bank = self.density.wiener_bank(noise_variance, dtype)
        lengths = np.square(self.density.eigenvectors).sum(axis=1)
        lengths = pad(lengths, bank.shrinkages.shape[:2], np.float64)
        traces = np.einsum("kr,krj->kj", lengths, bank.shrinkages) + self.off_support
        return bank._replace(
            forward=pad(self.forward, bank.forward.shape, dtype), traces=traces.astype(dtype)
        )
