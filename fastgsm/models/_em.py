"""The one EM loop, and the steps that the models plug into it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastgsm._validation import FloatArray, caller_level
from fastgsm.kernels import responsibilities as kernels
from fastgsm.kernels.moments import moments
from fastgsm.models._density import (
    ScaleMixtureDensity,
    Support,
    eigh,
    mahalanobis_distances,
    normalised_log_weights,
    raised,
    shape_groups,
)
from fastgsm.models._monitor import EMIteration

if TYPE_CHECKING:
    from fastgsm.models._checkpoint import FitCheckpoint

# A fall of the log-likelihood by more than this share of it is no matter of float32's rounding.
ROUNDING = 1e-6


# Exponentials in an E-step of scales below which one thread does it: they take a fraction of a
# millisecond, and waking the threads in each of hundreds of iterations takes as long, or ten times
# as long where other programs keep the cores busy.
SMALL_WORK = 200_000
# Exponentials left to one call of the kernel, half a second on two cores: Ctrl-C is heard between.
EXPONENTIALS_PER_CALL = 2**27

# A Gaussian responsible for less than this has lost all its samples.
LOST = float(np.finfo(np.float32).tiny)

COLLAPSED = (
    "a component lost its extent in some direction, and its covariance its inverse. Raise "
    "reg_covar, the least extent (1e-6 by default), ask for fewer components, or give more samples."
)

# Most that a step of EM on scales is prolonged.
LONGEST_STEP = 64.0


class ConvergenceWarning(UserWarning):
    """EM did not end as it should: it never settled, lost digits, or lost components."""


@dataclass(frozen=True)
class History:
    """How EM went: mean log-likelihood per sample at each E-step, and whether it settled."""

    lower_bounds: list[float]
    converged: bool


def run_em(
    steps: EMSteps,
    *,
    tol: float,
    max_iter: int,
    monitor: Callable[[EMIteration], bool],
    name: str,
    checkpoint: FitCheckpoint | None = None,
) -> History:
    """Alternate E- and M-steps until the log-likelihood gains less than ``tol`` in an iteration.

    On convergence no M-step follows, so that the last value belongs to the parameters that stay;
    nor does one where the monitor asks to stop. With a checkpoint, EM goes on where that was left.
    """
    lower_bounds: list[float] = []
    if checkpoint is not None and checkpoint.saved is not None:
        steps.state, lower_bounds = checkpoint.saved
    gain = float(np.diff(lower_bounds)[-1]) if len(lower_bounds) > 1 else np.inf
    start = time.perf_counter()
    for iteration in range(len(lower_bounds) + 1, max_iter + 1):
        lower_bounds.append(steps.e_step())
        gain = lower_bounds[-1] - lower_bounds[-2] if iteration > 1 else np.inf
        check_likelihood(lower_bounds[-1], name, iteration)
        seconds = time.perf_counter() - start
        stop = monitor(EMIteration(iteration, lower_bounds[-1], gain, seconds))
        if gain < -max(tol, ROUNDING * max(1.0, abs(lower_bounds[-1]))):
            warnings.warn(
                f"{name}: the log-likelihood fell by {-gain:.2g} nats per sample in iteration "
                f"{iteration}, so EM stopped. It can only fall by rounding, here of components "
                f"too thin for the type of X: use float64, or raise reg_covar.",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
            return History(lower_bounds, False)
        if gain < tol:
            return History(lower_bounds, True)
        if stop:
            return History(lower_bounds, False)
        steps.m_step()
        if checkpoint is not None:
            checkpoint.save(steps.state, lower_bounds)
    warnings.warn(
        f"{name} did not converge in {len(lower_bounds)} iterations: the log-likelihood still "
        f"gained {gain:.2g} nats per sample (tol={tol:g}). Raise max_iter or tol, or try another "
        f"random_state or init_params.",
        ConvergenceWarning,
        stacklevel=caller_level(),
    )
    return History(lower_bounds, False)


def check_extent(eigenvalues: FloatArray) -> None:
    """Raise ValueError if covariances (K, rank) have directions of no variance."""
    if not (eigenvalues.min(axis=1) > np.finfo(np.float64).eps * eigenvalues.max(axis=1)).all():
        raise ValueError(COLLAPSED)


def check_likelihood(value: float, name: str, iteration: int) -> None:
    """Raise ValueError unless a mean log-likelihood is a number."""
    if not np.isfinite(value):
        raise ValueError(
            f"{name}: the log-likelihood became {value} in iteration {iteration}. A component may "
            f"have shrunk to a point, or X or sample_weight hold values too large or too small: "
            f"raise reg_covar, rescale X, or use float64."
        )


def scale_statistics(
    distances: FloatArray,
    log_weights: FloatArray,
    scales: FloatArray,
    sample_weight: FloatArray,
) -> tuple[float, FloatArray, FloatArray]:
    """E-step of G independent mixtures of scales on the distances (G, K, n) alone.

    ``log_weights`` and ``scales`` are (G, K, J). Returns the weighted sum of the log-likelihoods
    of all groups, and (G, K, J) sums of the responsibilities and of responsibilities times
    distances.
    """
    dtype = distances.dtype
    n_groups, _, n = distances.shape
    n_chunks = -(-n // kernels.CHUNK)
    sums = np.empty((n_groups, n_chunks, 2, log_weights[0].size + 1))
    kernel = kernels.scale_statistics
    run = kernel.serial if n * scales.size < SMALL_WORK else kernel
    log_weights, precisions = log_weights.astype(dtype), (1 / scales).astype(dtype)
    step = max(1, EXPONENTIALS_PER_CALL // (n * scales[0].size))
    for first in range(0, n_groups, step):
        part = slice(first, first + step)
        run(distances[part], log_weights[part], precisions[part], sample_weight, sums[part])
    sums = sums.sum(axis=1)
    log_likelihood = float(sums[:, 0, -1].sum())
    return log_likelihood, *(sums[:, i, :-1].reshape(scales.shape) for i in range(2))


def updated_scales(
    counts: FloatArray,
    weighted: FloatArray,
    scales: FloatArray,
    dimension: int,
    floor: float | FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """M-step of weights and scales from the sums over the samples, all (G, K, J).

    A scale that lost all its samples keeps its value, with weight 0. None falls below ``floor``,
    which keeps samples at distance 0 (flat patches) from pulling a scale to 0 and the
    likelihood to infinity.
    """
    weights = counts / counts.sum(axis=(1, 2), keepdims=True)
    alive = counts > LOST
    r2 = weighted / (dimension * np.where(alive, counts, 1.0))
    return weights, np.maximum(np.where(alive, r2, scales), floor)


class EMSteps(Protocol):
    """An E- and an M-step, and what passes between them."""

    state: dict[str, FloatArray]
    """What EM goes on from after an M-step."""

    def e_step(self) -> float:
        """Give the mean log-likelihood per sample, in nats."""

    def m_step(self) -> None:
        """Take over what the E-step found."""


class ScaleSteps:
    """EM on the weights and scales of G groups of one shape each, whose covariances are fixed.

    A GSM is one group of the data's rank; an ICA has one group of dimension 1 per coordinate.

    Near its end EM creeps along one direction. So every second step is prolonged (SQUAREM, see
    `prolonged`), and taken back where that lowers the likelihood. On Kodak patches a GSM of 6
    scales settles after 16 iterations instead of 45, one of 16 after 66 instead of 246, and an ICA
    after 22 instead of 66, with likelihoods that are no lower.

    References
    ----------
    .. [1] R. Varadhan and C. Roland, "Simple and globally convergent methods for accelerating the
       convergence of any EM algorithm", Scandinavian J. Statistics 35(2), 2008, scheme S3.
    """

    def __init__(
        self,
        sums: Callable[[FloatArray, FloatArray], tuple[float, FloatArray, FloatArray]],
        total_weight: float,
        dimension: int,
        weights: FloatArray,
        scales: FloatArray,
        floor: float,
    ) -> None:
        """``sums`` gives the E-step of weights and scales (G, J); see `ScaleGroups.sums`."""
        self._sums = sums
        self._total_weight = total_weight
        self._dimension = dimension
        self._floor = floor
        self.weights, self.scales = weights, scales
        self._path = [(weights, scales)]
        self._reached = -np.inf

    @property
    def state(self) -> dict[str, FloatArray]:
        """What EM goes on from."""
        return {
            "weights": self.weights,
            "scales": self.scales,
            "path": np.array(self._path),
            "reached": np.array(self._reached),
        }

    @state.setter
    def state(self, state: dict[str, FloatArray]) -> None:
        self.weights, self.scales = state["weights"], state["scales"]
        self._path = [(weights, scales) for weights, scales in state["path"]]
        self._reached = float(state["reached"])

    def e_step(self) -> float:
        plain = self.weights, self.scales
        prolong = len(self._path) == 3
        if prolong:
            self.weights, self.scales = prolonged(self._path, self._floor)
        log_likelihood = self._expectation()
        if prolong:
            if log_likelihood < self._reached:
                self.weights, self.scales = plain
                log_likelihood = self._expectation()
            self._path = [(self.weights, self.scales)]
        self._reached = log_likelihood
        return log_likelihood

    def _expectation(self) -> float:
        total, self._counts, self._weighted = self._sums(self.weights, self.scales)
        return total / self._total_weight

    def m_step(self) -> None:
        weights, scales = updated_scales(
            self._counts[:, None],
            self._weighted[:, None],
            self.scales[:, None],
            self._dimension,
            self._floor,
        )
        self.weights, self.scales = weights[:, 0], scales[:, 0]
        self._path.append((self.weights, self.scales))


def prolonged(
    path: list[tuple[FloatArray, FloatArray]], floor: float
) -> tuple[FloatArray, FloatArray]:
    """Extrapolate two EM steps on the weights and scales (G, J), by as much as each group permits.

    With theta the logarithms, r = theta_1 - theta_0 and v = theta_2 - 2 theta_1 + theta_0, the
    result is theta_0 + 2 a r + a^2 v, where a = |r| / |v|; a = 1 would give theta_2.
    """
    tiny = np.finfo(np.float64).tiny
    theta = [np.stack([np.log(np.maximum(w, tiny)), np.log(r2)]) for w, r2 in path]
    r, v = theta[1] - theta[0], theta[2] - 2 * theta[1] + theta[0]
    lengths = (np.sqrt(np.square(x).sum(axis=(0, 2), keepdims=True)) for x in (r, v))
    step = np.clip(next(lengths) / np.maximum(next(lengths), tiny), 1, LONGEST_STEP)
    log_weights, log_scales = theta[0] + 2 * step * r + step**2 * v
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, np.maximum(np.exp(log_scales), floor)


class ShapeSteps:
    """EM on all parameters of a mixture of K shapes at J scales.

    For J > 1 the M-step is an ECM cycle: weights and scales given the covariances, then, with
    fresh responsibilities, the covariances given the scales. Each part raises the likelihood as
    far as ``floor`` permits, the least variance of any Gaussian in any direction. Samples at
    distance 0 (flat patches) would shrink r2 or Sigma for ever; as only their product counts, the
    floor is the product's. What starts above it stays there, which keeps EM monotone.

    The covariances are kept in coordinates of the support and factored by Cholesky. An
    eigendecomposition in every iteration would cost many times as much, so it waits for the end.
    """

    def __init__(
        self,
        X: FloatArray,
        sample_weight: FloatArray,
        start: ScaleMixtureDensity,
        support: Support,
        *,
        fit_means: bool = False,
        fit_scales: bool = False,
        floor: float,
    ) -> None:
        self._X = X
        self._sample_weight = sample_weight
        self._support = support
        self._fit_means = fit_means
        self._fit_scales = fit_scales
        self._floor = floor
        self._weights, self._means = start.weights, start.means
        inner = support.inner(start.covariances)
        self._inner = raised(inner, floor / start.scales.max(axis=1))
        self._scales = (
            np.maximum(start.scales, self._least_scales()) if fit_scales else start.scales
        )

    @property
    def density(self) -> ScaleMixtureDensity:
        """The current parameters, with trace(Sigma) = rank where there are scales to absorb it."""
        basis = self._support.basis
        eigenvalues, eigenvectors = self._support.eigendecomposition(basis @ self._inner @ basis.T)
        factors = eigenvalues.mean(axis=1, keepdims=True) if self._fit_scales else 1.0
        return ScaleMixtureDensity(
            self._weights, self._scales * factors, self._means, eigenvalues / factors, eigenvectors
        )

    @property
    def state(self) -> dict[str, FloatArray]:
        """What EM goes on from."""
        return {
            "weights": self._weights,
            "scales": self._scales,
            "means": self._means,
            "inner": self._inner,
        }

    @state.setter
    def state(self, state: dict[str, FloatArray]) -> None:
        self._weights, self._scales = state["weights"], state["scales"]
        self._means, self._inner = state["means"], state["inner"]

    def _least_scales(self) -> FloatArray:
        """Least scales (K, 1) that the shapes permit."""
        return self._floor / eigh(self._inner)[0][:, :1]

    @property
    def _log_weights(self) -> FloatArray:
        return normalised_log_weights(
            self._weights, self._scales, self._log_dets, self._support.rank
        )

    def e_step(self) -> float:
        try:
            factors = np.linalg.cholesky(self._inner)
        except np.linalg.LinAlgError:
            raise ValueError(COLLAPSED) from None
        self._log_dets = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        # The product of a lower triangle and the support's lower-trapezoidal basis.
        whiteners = np.tril(np.linalg.inv(factors)) @ self._support.basis.T
        self._distances = mahalanobis_distances(self._X, self._means, whiteners)
        if not self._fit_scales:
            return self._weigh_samples()
        total, self._counts, self._weighted = scale_statistics(
            self._distances[None],
            self._log_weights[None],
            self._scales[None],
            self._sample_weight,
        )
        return total / float(self._sample_weight.sum(dtype=np.float64))

    def m_step(self) -> None:
        if self._fit_scales:
            weights, scales = updated_scales(
                self._counts,
                self._weighted,
                self._scales[None],
                self._support.rank,
                self._least_scales(),
            )
            self._weights, self._scales = weights[0], scales[0]
            self._weigh_samples()
        self._update_shapes()

    def _weigh_samples(self) -> float:
        """Turn the distances into the samples' weights in each covariance, in place."""
        log_norm, self._shape_counts = component_weights(
            self._distances, self._log_weights, self._scales, self._sample_weight
        )
        return weighted_mean(log_norm, self._sample_weight)

    def _update_shapes(self) -> None:
        """M-step of the covariances and, without scales, of weights and means.

        A component that lost all its samples keeps its mean and covariance.
        """
        counts = self._shape_counts
        alive = counts > LOST
        divisor = np.where(alive, counts, 1.0)[:, None]
        sums, products = weighted_moments(self._X, self._distances, self._means)
        shifts = sums / divisor if self._fit_means else np.zeros_like(sums)
        covariances = products / divisor[:, None] - shifts[:, :, None] * shifts[:, None, :]
        inner = self._support.inner(covariances)
        self._inner[alive] = raised(inner[alive], self._floor / self._scales.min(axis=1)[alive])
        if not self._fit_scales:
            self._weights = (counts / counts.sum())[:, None]
            self._means = self._means + shifts


def component_weights(
    distances: FloatArray, log_weights: FloatArray, scales: FloatArray, sample_weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn distances (K, n) into the samples' weights in each covariance, in place.

    Returns the log-likelihoods (n,) and the sums (K,) of the responsibilities.
    """
    dtype, (n_components, n) = distances.dtype, distances.shape
    log_norm = np.empty(n, dtype)
    counts = np.empty((-(-n // kernels.CHUNK), n_components))
    kernels.component_weights(
        distances,
        log_weights.astype(dtype),
        (1 / scales).astype(dtype),
        sample_weight,
        distances,
        log_norm,
        counts,
    )
    return log_norm, counts.sum(axis=0)


def weighted_mean(values: FloatArray, sample_weight: FloatArray) -> float:
    """Mean of ``values`` in float64; values of weight 0 do not count, even where infinite."""
    used = sample_weight > 0
    weights = sample_weight[used].astype(np.float64)
    # Not np.dot: after a long product the threads of a BLAS spin for a tenth of a second, and the
    # kernels have one core less. With it, an EM iteration on two threads took 1.5 times as long.
    return float((weights * values[used]).sum() / weights.sum())


def weighted_moments(
    X: FloatArray, weights: FloatArray, means: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sums (K, d) and products (K, d, d) of X (n, d) about ``means``, by ``weights`` (K, n)."""
    n, d = X.shape
    n_components = weights.shape[0]
    # Enough tasks for many threads; a function of the data alone, never of the threads, so that
    # the order of summation is fixed.
    n_segments = int(np.clip(-(-n // 4096), 1, max(4, 32 // n_components)))
    centres = means.astype(X.dtype)
    total, upper = np.empty((n_components, d)), np.empty((n_components, d, d))
    for part in shape_groups(n_components, X):
        sums = np.empty((n_segments, *total[part].shape))
        products = np.empty((n_segments, *upper[part].shape))
        moments(X, centres[part], weights[part], sums, products)
        total[part] = sums.sum(axis=0)
        upper[part] = np.triu(products.sum(axis=0))
    return total, upper + np.triu(upper, 1).transpose(0, 2, 1)
