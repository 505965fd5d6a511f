"""M-steps: parameters from sums over the samples, and the mixture in the form that they change."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from fastgsm._checks import caller_level
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Moments
from fastgsm.learning.density import ScaleGroups, ScaleMixtureDensity
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.support import Support, eigh
from fastgsm.learning.whitened import WhitenedMixture

# A Gaussian responsible for less than this has lost all its samples.
LOST = float(np.finfo(np.float32).tiny)
# The factor from which on it matters that a floor raised a variance.
MATERIAL_LIFT = 2.0


def updated_scales(
    statistics: SufficientStatistics,
    scales: FloatArray,
    dimension: int,
    floor: float | FloatArray,
    *,
    by_row: bool,
) -> tuple[FloatArray, FloatArray]:
    """M-step of weights and scales (K, J): of one mixture, or of one ``by_row``.

    A scale that lost all its samples keeps its value, with weight 0. None falls below ``floor``,
    which keeps samples at distance 0 (flat patches) from pulling a scale to 0 and the
    likelihood to infinity.
    """
    assert statistics.distances is not None
    counts = statistics.counts
    weights = counts / (counts.sum(axis=1, keepdims=True) if by_row else counts.sum())
    alive = counts > LOST
    r2 = statistics.distances / (dimension * np.where(alive, counts, 1.0))
    return weights, np.maximum(np.where(alive, r2, scales), floor)


# --- one covariance, that of the samples -------------------------------------------------------


def updated_groups(
    groups: ScaleGroups, statistics: SufficientStatistics, scales: FloatArray, reg_covar: float
) -> tuple[ScaleMixtureDensity, FloatArray, FloatArray, float]:
    """M-step of mixtures of scales (G, J) and the covariance of the samples.

    The distances that the scales are learned from use the previous covariance. Where the new one
    is larger, the scales shrink by the same factor, so that the increase is not counted twice.
    Last comes the factor by which the floor raised the least variance.
    """
    assert statistics.products is not None
    old = groups.gaussian
    covariance = statistics.products[0] / statistics.weight
    support = old.support()
    moments = Moments(1.0, np.zeros(old.n_features), covariance)
    gaussian, lift = moments.gaussian_on(support, reg_covar)
    weights, new_scales = updated_scales(
        statistics, scales, groups.dimension, reg_covar, by_row=True
    )
    axes = old.eigenvectors[0]
    excess = (axes * (gaussian.covariances[0] @ axes)).sum(axis=0) / old.eigenvalues[0]
    if not groups.by_axis:
        return gaussian, weights, new_scales / excess.mean(), lift
    from scipy.optimize import linear_sum_assignment  # here, because it is slow to import

    # Axes of nearly equal variances may have changed places.
    overlap = np.square(gaussian.eigenvectors[0].T @ axes)
    order = linear_sum_assignment(overlap, maximize=True)[1]
    return gaussian, weights[order], (new_scales / excess[:, None])[order], lift


# --- covariances of their own ------------------------------------------------------------------

COLLAPSED = (
    "a component lost its extent in some direction, and its covariance its inverse. Raise "
    "reg_covar, the least extent (1e-6 by default), ask for fewer components, or give more samples."
)


@dataclass(frozen=True, eq=False)
class InnerMixture:
    """Parameters of a mixture, its covariances in coordinates of the support.

    E-steps need only their Cholesky factors. An eigendecomposition in every iteration would cost
    many times as much, so it waits until `density` is asked for.
    """

    weights: FloatArray  # pi, (K, J)
    scales: FloatArray  # r2, (K, J)
    means: FloatArray  # (K, d)
    inner: FloatArray  # (K, rank, rank)
    lifts: FloatArray  # by which the floor raised the least variance of each shape, (K,)
    support: Support

    @classmethod
    def of(cls, density: ScaleMixtureDensity, support: Support) -> InnerMixture:
        """Convert a density whose shapes have the given support."""
        inner = support.inner(density.covariances)
        lifts = np.ones(len(inner))
        return cls(density.weights, density.scales, density.means, inner, lifts, support)

    def density(self) -> ScaleMixtureDensity:
        """Return the same mixture with eigenvalues and eigenvectors."""
        eigenvalues, eigenvectors = self.support.eigendecomposition(self.inner)
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


def updated_shapes(
    mixture: InnerMixture,
    statistics: SufficientStatistics,
    floor: float,
    *,
    fit_weights: bool = False,
    fit_means: bool = False,
) -> InnerMixture:
    """M-step of covariances and, in a mixture without scales, of weights and means.

    No Gaussian gets a variance below ``floor`` in any direction. A shape that lost all its samples
    keeps its mean and covariance.
    """
    assert statistics.sums is not None
    assert statistics.products is not None
    counts = statistics.counts.sum(axis=1)
    alive = counts > LOST
    divisor = np.where(alive, counts, 1.0)[:, None]
    shifts = statistics.sums / divisor if fit_means else np.zeros_like(statistics.sums)
    covariances = statistics.products / divisor[:, None] - shifts[:, :, None] * shifts[:, None, :]
    learned = mixture.support.inner(covariances)
    inner = mixture.inner.copy()
    lifts = np.ones(len(inner))
    floors = floor / mixture.scales.min(axis=1)
    inner[alive], lifts[alive] = mixture.support.raised(learned[alive], floors[alive])
    return replace(
        mixture,
        weights=(counts / counts.sum())[:, None] if fit_weights else mixture.weights,
        means=mixture.means + shifts,
        inner=inner,
        lifts=lifts,
    )


def rescaled(mixture: InnerMixture, statistics: SufficientStatistics, floor: float) -> InnerMixture:
    """M-step of weights and scales."""
    least = least_scales(mixture, floor)
    weights, scales = updated_scales(
        statistics, mixture.scales, mixture.support.rank, least, by_row=False
    )
    return replace(mixture, weights=weights, scales=scales)


def least_scales(mixture: InnerMixture, floor: float) -> FloatArray:
    """Return the scales (K, 1) at which each shape's least standardised variance is ``floor``."""
    return floor / eigh(mixture.support.standardised(mixture.inner))[0][:, :1]


def updated_mixture(
    mixture: InnerMixture, statistics: SufficientStatistics, floor: float
) -> InnerMixture:
    """M-step of a mixture of K shapes at J scales from the statistics of one E-step.

    The best scales depend on the covariance, and the best covariance on the scales. So each shape
    has only one of them updated, whichever gains more expected log-likelihood: that cannot lower
    the likelihood. Updating both at once can, by many nats.

    References
    ----------
    .. [1] X.-L. Meng and D. Rubin, "Maximum likelihood estimation via the ECM algorithm: a general
       framework", Biometrika 80(2), 1993.
    """
    assert statistics.distances is not None
    assert statistics.products is not None
    by_scales = rescaled(mixture, statistics, floor)
    by_shapes = updated_shapes(mixture, statistics, floor)
    log_ratios = np.log(by_scales.scales / mixture.scales)
    precisions = 1 / by_scales.scales - 1 / mixture.scales
    gain_of_scales = -(
        mixture.support.rank * statistics.counts * log_ratios + statistics.distances * precisions
    ).sum(axis=1)
    old_cost, new_cost = (_shape_cost(each, statistics) for each in (mixture, by_shapes))
    reshaped = old_cost - new_cost > gain_of_scales
    rows = reshaped[:, None]
    return replace(
        by_scales,
        scales=np.where(rows, mixture.scales, by_scales.scales),
        inner=np.where(rows[:, None], by_shapes.inner, mixture.inner),
        lifts=np.where(reshaped, by_shapes.lifts, 1.0),
    )


def _shape_cost(mixture: InnerMixture, statistics: SufficientStatistics) -> FloatArray:
    """Return the part of -2 times each shape's expected log-likelihood, (K,), with covariances."""
    assert statistics.products is not None
    whitened = mixture.whitened()
    A = whitened.whiteners
    squared_distances = np.einsum("kri,kri->k", A, A @ statistics.products)
    cost: FloatArray = statistics.counts.sum(axis=1) * whitened.log_dets + squared_distances
    return cost


def updated_at_once(
    mixture: InnerMixture, statistics: SufficientStatistics, floor: float
) -> InnerMixture:
    """Small step of a mixture of K shapes at J scales towards the statistics of a batch.

    Here weights, scales and covariances all move. A covariance has so many parameters that the
    noise of a batch lets it gain more than scales do in every step, and `updated_mixture` would
    never learn scales. Where a shape's samples are farther away than it expected, scales and
    covariances would both grow by that factor. So that it counts once, the covariances are
    divided by it.
    """
    assert statistics.distances is not None
    assert statistics.products is not None
    counts = statistics.counts.sum(axis=1)
    alive = counts > LOST
    excess = (statistics.distances / mixture.scales).sum(axis=1) / mixture.support.rank
    excess = np.where(alive, excess, 1.0) / np.where(alive, counts, 1.0)
    of_shapes = replace(statistics, products=statistics.products / excess[:, None, None])
    return updated_shapes(rescaled(mixture, statistics, floor), of_shapes, floor)


def warn_of_lifts(lifts: FloatArray, name: str, reg_covar: float) -> None:
    """Warn if the floor raised the variances of Gaussians (K,) by factors that matter."""
    n_raised = np.count_nonzero(lifts > MATERIAL_LIFT)
    if n_raised:
        warnings.warn(
            f"{name}: the floor of variances, reg_covar = {reg_covar:g} of those of the features, "
            f"is above the least variance of {n_raised} of {len(lifts)} covariances, and raised "
            f"it by a factor of up to {lifts.max():.2g}. So the model is wider there than the "
            f"samples. Lower reg_covar, leave out features that follow from others, or ask for "
            f"fewer components; if nearly equal samples (flat patches) are the cause, all is well.",
            stacklevel=caller_level(),
        )
