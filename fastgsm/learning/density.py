"""The density that four of the models share: a mixture of K shapes at J scales.

    p(x) = sum_k sum_j  pi_kj  N(x; mu_k, r2_kj Sigma_k),    Sigma_k = U_k diag(lambda_k) U_k^T

on the support of the data, a subspace of ``rank`` dimensions (all of them, or one less for
patches whose mean was removed).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import caller_level
from fastgsm._types import FloatArray
from fastgsm.kernels.responsibilities import responsibilities
from fastgsm.kernels.rotation import padded
from fastgsm.kernels.wiener import WienerBank
from fastgsm.learning.support import NARROW_EPS, Support, lower_trapezoidal
from fastgsm.learning.whitened import LOG_2PI, WhitenedMixture, normalised_log_weights, pad

# Samples whose K*J responsibilities are held at once if only their sum is wanted.
SAMPLES_AT_ONCE = 16_384


@dataclass(frozen=True)
class ScaleMixtureDensity:
    """Parameters of the mixture, and quantities derived from them."""

    weights: FloatArray  # pi, (K, J)
    scales: FloatArray  # r2, (K, J)
    means: FloatArray  # mu, (K, d)
    eigenvalues: FloatArray  # lambda, (K, rank), descending
    eigenvectors: FloatArray  # U, (K, d, rank)

    def check(self) -> None:
        """Raise ValueError unless the arrays are the parameters of a density."""
        w, v = self.weights, self.eigenvectors
        shapes_fit = (
            w.ndim == 2
            and v.ndim == 3
            and self.scales.shape == w.shape
            and self.means.shape == v.shape[:2]
            and self.eigenvalues.shape == (v.shape[0], v.shape[2])
            and w.shape[0] == v.shape[0]
            and 0 < v.shape[2] <= v.shape[1]
            and w.size > 0
        )
        if not shapes_fit:
            raise ValueError("the shapes of its arrays do not fit together")
        if not all(np.isfinite(getattr(self, field.name)).all() for field in fields(self)):
            raise ValueError("its parameters hold NaN or infinity")
        if (w < 0).any() or abs(w.sum() - 1) > 1e-5:
            raise ValueError("its weights are not at least 0 with sum 1")
        if (self.scales <= 0).any() or (self.eigenvalues <= 0).any():
            raise ValueError("its scales or eigenvalues are not above 0")
        if (np.diff(self.eigenvalues) > 0).any():
            raise ValueError("its eigenvalues are not in descending order")
        with np.errstate(over="ignore", under="ignore"):
            largest = self.scales.max() * self.eigenvalues.max()
            least = self.scales.min() * self.eigenvalues.min()
        if not (np.isfinite(largest) and least > 0):
            raise ValueError("its variances, scales times eigenvalues, leave the range of floats")
        gram = v.transpose(0, 2, 1) @ v
        if np.abs(gram - np.eye(v.shape[2])).max() > 1e-4:
            raise ValueError("its eigenvectors are not orthonormal")

    @property
    def n_features(self) -> int:
        """Dimension d of the samples."""
        return self.eigenvectors.shape[1]

    @property
    def rank(self) -> int:
        """Dimension of the support."""
        return self.eigenvectors.shape[2]

    @cached_property
    def covariances(self) -> FloatArray:
        """Sigma_k, (K, d, d)."""
        scaled = self.eigenvectors * self.eigenvalues[:, None, :]
        return scaled @ self.eigenvectors.transpose(0, 2, 1)

    @property
    def mean(self) -> FloatArray:
        """Mean of the whole mixture, (d,)."""
        return self.weights.sum(axis=1) @ self.means

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the whole mixture, (d, d)."""
        variances = (self.weights * self.scales).sum(axis=1)
        deviations = self.means - self.mean
        between = (deviations * self.weights.sum(axis=1)[:, None]).T @ deviations
        return np.tensordot(variances, self.covariances, 1) + between

    @cached_property
    def spread(self) -> float:
        """Standard deviation along the support, root mean square over its directions."""
        return float(np.sqrt(np.trace(self.covariance) / self.rank))

    @cached_property
    def whitened(self) -> WhitenedMixture:
        """The mixture as E-steps need it."""
        roots = (self.eigenvectors / np.sqrt(self.eigenvalues)[:, None, :]).transpose(0, 2, 1)
        log_dets = np.log(self.eigenvalues).sum(axis=1)
        whiteners = lower_trapezoidal(roots)
        return WhitenedMixture(self.weights, self.scales, self.means, whiteners, log_dets)

    def of_unit_trace(self) -> ScaleMixtureDensity:
        """Move the factor that scales and covariances share to the scales: trace(Sigma) = rank."""
        factors = self.eigenvalues.mean(axis=1, keepdims=True)
        scales, eigenvalues = self.scales * factors, self.eigenvalues / factors
        return replace(self, scales=scales, eigenvalues=eigenvalues)

    @cached_property
    def null_basis(self) -> FloatArray:
        """Orthonormal basis (d, d - rank) of the directions in which the density has no extent."""
        return np.linalg.svd(self.eigenvectors[0])[0][:, self.rank :]

    @cached_property
    def _units(self) -> FloatArray:
        """Deviation (d,) of each feature, and what its rounding allows of a constant."""
        units = np.hypot(np.sqrt(self.covariance.diagonal()), 1e4 * NARROW_EPS * self.mean)
        return np.where(units > 0, units, self.spread)

    def distances(self, X: FloatArray) -> FloatArray:
        """Return squared Mahalanobis distances (K, n) of X (n, d) at scale 1."""
        return self.whitened.distances(X)

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return responsibilities (K*J, n) and log-likelihoods (n,) in nats of X (n, d).

        Only the parts of samples in the support count: all shapes share it, so the rest changes no
        responsibility.
        """
        posterior = np.empty((self.weights.size, X.shape[0]), X.dtype)
        log_norm = np.empty(X.shape[0], X.dtype)
        log_weights = self.whitened.log_weights.astype(X.dtype)
        precisions = (1 / self.scales).astype(X.dtype)
        responsibilities(self.distances(X), log_weights, precisions, posterior, log_norm)
        return posterior, log_norm

    def off_support(self, X: FloatArray) -> NDArray[np.bool_]:
        """Return whether each sample of X (n, d) leaves the support by more than rounding.

        That is measured in the deviation of each feature, so that none hides another.
        """
        d = self.n_features
        if self.rank == d:
            return np.zeros(len(X), bool)
        null, units = self.null_basis.astype(X.dtype), self._units.astype(X.dtype)
        deviation = X - self.means[0].astype(X.dtype)
        with np.errstate(under="ignore"):
            distance = np.square(deviation @ null @ null.T / units).sum(axis=1)
            allowed = 1e-6 * np.maximum(np.square(deviation / units).sum(axis=1), d)
        outside: NDArray[np.bool_] = distance > allowed
        return outside

    def without_density_off_support(self, X: FloatArray, log_likelihood: FloatArray) -> FloatArray:
        """Return ``log_likelihood`` (n,), with -inf (and a warning) where X leaves the support."""
        outside = self.off_support(X)
        if not outside.any():
            return log_likelihood
        warnings.warn(
            f"{np.count_nonzero(outside)} of {X.shape[0]} samples lie outside of the subspace of "
            f"the training data, which has rank {self.rank} of {self.n_features}: their "
            f"log-likelihood is -inf. If the model was trained on patches whose mean was removed, "
            f'remove it here too (center="patch"); otherwise train on more samples.',
            stacklevel=caller_level(),
        )
        return np.where(outside, X.dtype.type(-np.inf), log_likelihood)

    def check_support(self, X: FloatArray) -> None:
        """Raise ValueError if samples to learn from leave the support."""
        if n_outside := np.count_nonzero(self.off_support(X)):
            raise ValueError(
                f"{n_outside} of {X.shape[0]} samples lie outside of the subspace of the samples "
                f"that the model was first fitted to, which has rank {self.rank} of "
                f"{self.n_features}, and it cannot learn what is there. If those were patches "
                f'whose mean was removed, remove it here too (center="patch"); otherwise fit to '
                f"more samples first."
            )

    def support(self, dtype: Any = np.float32) -> Support:
        """Return the support, with the mean variance of the whole mixture, for samples of a type.

        float32 stands for a type that is not known.
        """
        return Support.spanned(self.eigenvectors[0], self.covariance, dtype)

    def flat_tail_ranks(self, noise_variance: float, tolerance: float) -> NDArray[np.intp]:
        """Return the fewest eigenvectors (K,) of each shape that restore nearly as well as all.

        The others share their mean eigenvalue, so that they are filtered with a gain f' instead
        of f = v / (v + s2), which adds (f' - f)^2 (v + s2) to the mean squared error. The sum of
        this may be ``tolerance`` times the error v s2 / (v + s2) that the right gains leave.
        """
        v = self.scales[:, :, None] * self.eigenvalues[:, None, :]
        gains = v / (v + noise_variance)
        allowed = tolerance * noise_variance * self._mixed(gains).sum(axis=1, keepdims=True)
        # Sums over the tails that begin at each eigenvalue.
        n = np.arange(self.rank, 0, -1)
        sum_v, sum_gv = (np.cumsum(x[:, :, ::-1], axis=2)[:, :, ::-1] for x in (v, gains * v))
        shared = sum_v / (sum_v + n * noise_variance)
        # The sum of (f' - f)^2 (v + s2) is f'^2 (sum v + n s2) - 2 f' sum v + sum f v, and
        # f' (sum v + n s2) = sum v.
        added = self._mixed(sum_gv - shared * sum_v)
        fits = added[:, ::4] <= allowed  # kernels pad to multiples of 4
        return np.where(fits.any(axis=1), 4 * fits.argmax(axis=1), self.rank)

    def _mixed(self, values: FloatArray) -> FloatArray:
        """Return weighted sums (K, n) over the scales of values (K, J, n)."""
        return np.einsum("kj,kji->ki", self.weights, values)

    def wiener_bank(
        self, noise_variance: float, dtype: Any, ranks: NDArray[np.intp] | None = None
    ) -> WienerBank:
        """Return what the denoising kernels need at one noise level.

        Patches are rotated into only ``ranks`` (K,) leading eigenvectors of each shape; the others
        share their mean eigenvalue (the flat tail). The patches must then lie in the support.
        """
        n_shapes, n_scales = self.weights.shape
        ranks = np.full(n_shapes, self.rank) if ranks is None else ranks
        kept = np.arange(self.rank) < ranks[:, None]
        n_tail = self.rank - ranks[:, None]
        lbar = np.where(kept, 0.0, self.eigenvalues).sum(axis=1) / np.maximum(n_tail[:, 0], 1)
        tail = self.scales * lbar[:, None]
        tail_precisions = np.where(n_tail, 1 / (tail + noise_variance), 0.0)
        tail_shrinkages = tail * tail_precisions
        v = self.scales[:, :, None] * self.eigenvalues[:, None, :]
        noisy = v + noise_variance
        log_det = np.where(kept[:, None], np.log(noisy), 0.0).sum(axis=2)
        log_det += n_tail * np.log(tail + noise_variance)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) - 0.5 * (self.rank * LOG_2PI + log_det)
        precisions = np.where(kept[:, None], 1 / noisy - tail_precisions[:, :, None], 0.0)
        shrinkages = np.where(kept[:, None], v / noisy - tail_shrinkages[:, :, None], 0.0)
        forward, backward = self._rotations(np.dtype(dtype))
        K, J, (d, R) = n_shapes, padded(n_scales), backward.shape[1:]
        return WienerBank(
            ranks=np.array([padded(int(rank)) for rank in ranks]),
            forward=forward,
            backward=backward,
            means=pad(self.means, (K if self.means.any() else 0, d), dtype),
            log_weights=pad(log_weights, (K, J), dtype, -np.inf),
            precisions=pad(precisions, (K, J, R), dtype),
            shrinkages=pad(shrinkages.transpose(0, 2, 1), (K, R, J), dtype),
            tail_precisions=pad(tail_precisions, (K, J), dtype),
            tail_shrinkages=pad(tail_shrinkages, (K, J), dtype),
            support=pad(np.square(self.eigenvectors[0]).sum(axis=1), (d,), dtype),
            traces=pad((v / noisy).sum(axis=2) + self.n_features - self.rank, (K, J), dtype),
        )

    @cached_property
    def _rotations(self) -> Callable[[np.dtype[Any]], tuple[NDArray[Any], NDArray[Any]]]:
        """U_k^T (K, R', d') and U_k (K, d', R') of a type, zero-padded; its banks share them."""

        @cache
        def rotations(dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            K, d, R = len(self.weights), padded(self.n_features), padded(self.rank)
            forward = pad(self.eigenvectors.transpose(0, 2, 1), (K, R, d), dtype)
            return forward, pad(self.eigenvectors, (K, d, R), dtype)

        return rotations

    @cached_property
    def wiener_bank_of(self) -> Callable[[float, np.dtype[Any], float], WienerBank]:
        """`wiener_bank` for a noise variance, a type and the tail's tolerance (0 for no tail).

        Keeps the last banks. Otherwise, for image after image at one noise level, they would take
        a fifth of the time of ``denoise(quality="balanced")`` at 481x321.
        """

        @lru_cache(maxsize=32)
        def bank(noise_variance: float, dtype: np.dtype[Any], tolerance: float) -> WienerBank:
            ranks = self.flat_tail_ranks(noise_variance, tolerance) if tolerance else None
            return self.wiener_bank(noise_variance, dtype, ranks)

        return bank

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles leave out what can be computed again, except for the whiteners: in
        # another process, with another number of threads, LAPACK may give them other last bits.
        state = {name: self.__dict__[name] for name in ("whitened",) if name in self.__dict__}
        return type(self), tuple(getattr(self, field.name) for field in fields(self)), state

    def __deepcopy__(self, memo: dict[int, Any]) -> ScaleMixtureDensity:
        return self  # never changed


@dataclass(frozen=True)
class ScaleGroups:
    """The coordinates that share scales: all of the support, or each principal axis on its own."""

    gaussian: ScaleMixtureDensity  # mean 0 and the covariance of the samples
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
        return normalised_log_weights(weights, scales, self._log_dets, self.dimension)

    @cached_property
    def _log_dets(self) -> FloatArray:
        """Logarithms (G,) of the determinants of the groups' covariances."""
        log_variances = np.log(self.gaussian.eigenvalues)
        return np.asarray(log_variances[0] if self.by_axis else log_variances.sum(axis=1))


def in_blocks(samples: FloatArray) -> list[FloatArray]:
    """Return views of at most SAMPLES_AT_ONCE rows of ``samples`` (n, d) each."""
    return [samples[i : i + SAMPLES_AT_ONCE] for i in range(0, samples.shape[0], SAMPLES_AT_ONCE)]
