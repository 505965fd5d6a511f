"""M-steps: parameters from sums over the samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Moments
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.statistics import ScaleGroups, SufficientStatistics
from fastgsm.learning.support import Support


def own_statistics(
    groups: ScaleGroups, weights: FloatArray, scales: FloatArray, parameters: str
) -> SufficientStatistics:
    """Statistics, of weight 1, from which `updated_groups` gives the same parameters."""
    covariances = groups.gaussian.covariances
    return SufficientStatistics(
        parameters,
        n_samples=0,
        weight=1.0,
        log_likelihood=0.0,
        counts=weights,
        distances=groups.dimension * weights * scales,
        sums=np.zeros(covariances.shape[:2]),
        products=covariances,
    )


def updated_groups(
    groups: ScaleGroups, statistics: SufficientStatistics, scales: FloatArray, reg_covar: float
) -> tuple[ScaleMixtureDensity, FloatArray, FloatArray]:
    """M-step of mixtures of scales (G, J) and the covariance of the samples.

    The distances that the scales are learned from are of the covariance that was. Where a group
    varies more under the new one, its scales become smaller by that: it counts once.
    """
    assert statistics.distances is not None
    assert statistics.products is not None
    old = groups.gaussian
    covariance = statistics.products[0] / statistics.weight
    support = old.support
    moments = Moments(1.0, np.zeros(old.n_features), covariance)
    gaussian = moments.gaussian_on(support, reg_covar * support.variance)
    weights, new_scales = updated_scales(
        statistics.counts[:, None],
        statistics.distances[:, None],
        scales[:, None],
        groups.dimension,
        reg_covar,
    )
    axes = old.eigenvectors[0]
    excess = (axes * (gaussian.covariances[0] @ axes)).sum(axis=0) / old.eigenvalues[0]
    if not groups.by_axis:
        return gaussian, weights[:, 0], new_scales[:, 0] / excess.mean()
    from scipy.optimize import linear_sum_assignment  # here, because it is slow to import

    # Axes of nearly equal variances may have come in another order.
    overlap = np.square(gaussian.eigenvectors[0].T @ axes)
    order = linear_sum_assignment(overlap, maximize=True)[1]
    return gaussian, weights[order, 0], (new_scales[:, 0] / excess[:, None])[order]


def updated_shapes(
    density: ScaleMixtureDensity,
    statistics: SufficientStatistics,
    support: Support,
    floor: float,
    *,
    fit_means: bool,
) -> ScaleMixtureDensity:
    """M-step of covariances and, without scales, of weights and means."""
    assert statistics.sums is not None
    assert statistics.products is not None
    counts = statistics.counts.sum(axis=1)
    alive = counts > LOST
    divisor = np.where(alive, counts, 1.0)
    shifts = statistics.sums / divisor[:, None] * (1.0 if fit_means else 0.0)
    covariances = statistics.products / divisor[:, None, None]
    covariances -= shifts[:, :, None] * shifts[:, None, :]
    if not alive.all():
        covariances[~alive] = density.covariances[~alive]
    eigenvalues, eigenvectors = support.eigendecomposition(covariances)
    floors = floor / density.scales.min(axis=1, keepdims=True)
    one_scale = density.weights.shape[1] == 1
    return ScaleMixtureDensity(
        (counts / counts.sum())[:, None] if one_scale else density.weights,
        density.scales,
        density.means + shifts,
        np.maximum(eigenvalues, floors),
        eigenvectors,
    )


def rescaled(
    density: ScaleMixtureDensity, statistics: SufficientStatistics, floor: float
) -> ScaleMixtureDensity:
    """M-step of weights and scales."""
    assert statistics.distances is not None
    weights, scales = updated_scales(
        statistics.counts[None],
        statistics.distances[None],
        density.scales[None],
        density.rank,
        floor / density.eigenvalues[:, -1:],
    )
    return density.with_scales(weights[0], scales[0])


def of_unit_trace(density: ScaleMixtureDensity) -> ScaleMixtureDensity:
    """Move the factor that scales and covariances share to the scales: trace(Sigma) = rank."""
    factors = density.eigenvalues.mean(axis=1, keepdims=True)
    return replace(
        density, scales=density.scales * factors, eigenvalues=density.eigenvalues / factors
    )


def updated_mixture(
    density: ScaleMixtureDensity,
    statistics: SufficientStatistics,
    support: Support,
    floor: float,
) -> ScaleMixtureDensity:
    """M-step of a mixture of K shapes at J scales from the statistics of one E-step.

    How well scales suit depends on the covariance, and the other way round. So each shape has
    either updated, whichever gains more expected log-likelihood: that cannot lower the likelihood.
    To update both at once can, by many nats.

    References
    ----------
    .. [1] X.-L. Meng and D. Rubin, "Maximum likelihood estimation via the ECM algorithm: a general
       framework", Biometrika 80(2), 1993.
    """
    assert statistics.distances is not None
    assert statistics.products is not None
    by_scales = rescaled(density, statistics, floor)
    by_shapes = updated_shapes(density, statistics, support, floor, fit_means=False)
    log_ratios = np.log(by_scales.scales / density.scales)
    precisions = 1 / by_scales.scales - 1 / density.scales
    gain_of_scales = -(
        density.rank * statistics.counts * log_ratios + statistics.distances * precisions
    ).sum(axis=1)
    log_ratio = np.log(by_shapes.eigenvalues / density.eigenvalues).sum(axis=1)
    gain_of_shapes = -(
        statistics.counts.sum(axis=1) * log_ratio
        + _squared_distances(by_shapes, statistics.products)
        - _squared_distances(density, statistics.products)
    )
    reshaped = gain_of_shapes > gain_of_scales
    rows = reshaped[:, None]
    return of_unit_trace(
        ScaleMixtureDensity(
            by_scales.weights,
            np.where(rows, density.scales, by_scales.scales),
            density.means,
            np.where(rows, by_shapes.eigenvalues, density.eigenvalues),
            np.where(rows[:, None], by_shapes.eigenvectors, density.eigenvectors),
        )
    )


def _squared_distances(density: ScaleMixtureDensity, products: FloatArray) -> FloatArray:
    """Sums (K,) of the samples' squared Mahalanobis distances, trace(Sigma^-1 products)."""
    U = density.eigenvectors
    variances = np.einsum("kdi,kdi->ki", U, products @ U)
    total: FloatArray = (variances / density.eigenvalues).sum(axis=1)
    return total


def updated_at_once(
    density: ScaleMixtureDensity, statistics: SufficientStatistics, support: Support, floor: float
) -> ScaleMixtureDensity:
    """Small step of a mixture of K shapes at J scales towards the statistics of a batch.

    Here weights, scales and covariances all move: a covariance has so many parameters that the
    noise of a batch lets it gain more than scales do in every step, and `updated_mixture` would
    never learn scales. Both take up by how much a shape's samples are farther away than it
    expected. So that this counts once, the covariances are divided by it.
    """
    assert statistics.distances is not None
    assert statistics.products is not None
    counts = statistics.counts.sum(axis=1)
    alive = counts > LOST
    excess = (statistics.distances / density.scales).sum(axis=1) / density.rank
    excess = np.where(alive, excess, 1.0) / np.where(alive, counts, 1.0)
    of_shapes = replace(statistics, products=statistics.products / excess[:, None, None])
    new = updated_shapes(
        rescaled(density, statistics, floor), of_shapes, support, floor, fit_means=False
    )
    return of_unit_trace(new)


# A Gaussian responsible for less than this has lost all its samples.
LOST = float(np.finfo(np.float32).tiny)


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
