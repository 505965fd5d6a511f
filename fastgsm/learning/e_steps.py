"""E-steps: the sufficient statistics of one chunk of samples."""

from __future__ import annotations

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, Moments
from fastgsm.learning.kept import KeptDistances
from fastgsm.learning.scale_groups import ScaleGroups
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.sums import (
    component_weights,
    scale_statistics,
    weighted_moments,
    weighted_sum,
)
from fastgsm.learning.whitened import WhitenedMixture


def shape_statistics(
    chunk: Chunk,
    mixture: WhitenedMixture,
    parameters: str = "",
    scales: bool = False,
    moments: bool = True,
    kept: KeptDistances[WhitenedMixture] | None = None,
) -> SufficientStatistics:
    """E-step of a mixture of K shapes: for its ``scales``, and with ``moments`` for its shapes.

    Without ``scales`` the counts are (K, 1), over all scales. Distances are taken from ``kept``,
    and left there for the next pass unless moments are asked for.
    """
    K, d = mixture.means.shape
    log_weights = mixture.log_weights
    log_likelihood = 0.0
    counts = np.zeros(mixture.weights.shape if scales else (K, 1))
    distances = np.zeros_like(counts)
    sums, products = (np.zeros((K, d)), np.zeros((K, d, d))) if moments else (None, None)
    for part in chunk.held():
        weights = part.sample_weight
        near = mixture.distances(part.X) if kept is None else kept.of(part)
        if scales:
            more, more_counts, more_distances = scale_statistics(
                near[None], log_weights[None], mixture.scales[None], weights
            )
            log_likelihood += more
            counts += more_counts[0]
            distances += more_distances[0]
        if sums is not None and products is not None:
            log_norm, shape_counts = component_weights(near, log_weights, mixture.scales, weights)
            more_sums, more_products = weighted_moments(part.X, near, mixture.means)
            sums += more_sums
            products += more_products
            if not scales:
                log_likelihood += weighted_sum(log_norm, weights)
                counts += shape_counts[:, None]
        elif kept is not None:
            kept.keep(part, near)
    return SufficientStatistics(
        parameters,
        len(chunk.X),
        chunk.total,
        log_likelihood,
        counts,
        distances if scales else None,
        sums,
        products,
    ).times(chunk.unit)


def kept_scale_statistics(
    chunk: Chunk, *, kept: KeptDistances[WhitenedMixture]
) -> SufficientStatistics:
    """E-step of the kept shapes for weights and scales; distances stay kept."""
    return shape_statistics(chunk, kept.origin, scales=True, moments=False, kept=kept)


def kept_shape_statistics(
    chunk: Chunk,
    weights: FloatArray,
    scales: FloatArray,
    *,
    kept: KeptDistances[WhitenedMixture],
) -> SufficientStatistics:
    """E-step of the kept shapes, at new weights and scales (K, J), for their covariances."""
    return shape_statistics(chunk, kept.origin.with_scales(weights, scales), kept=kept)


def group_statistics(
    chunk: Chunk,
    groups: ScaleGroups,
    weights: FloatArray,
    scales: FloatArray,
    parameters: str = "",
    *,
    moments: bool = False,
    kept: KeptDistances[ScaleGroups] | None = None,
) -> SufficientStatistics:
    """E-step of mixtures of scales on the covariance of the samples, with its products if asked.

    Distances are taken from ``kept``, and left there for the next pass.
    """
    log_weights = groups.log_weights(weights, scales)[:, None]
    log_likelihood = 0.0
    counts, distances = np.zeros(weights.shape), np.zeros(weights.shape)
    for part in chunk.held():
        near = groups.distances(part.X) if kept is None else kept.of(part)
        if kept is not None:
            kept.keep(part, near)
        more, more_counts, more_distances = scale_statistics(
            near[:, None], log_weights, scales[:, None], part.sample_weight
        )
        log_likelihood += more
        counts += more_counts[:, 0]
        distances += more_distances[:, 0]
    total = chunk.total
    products = Moments.of(chunk, about_mean=False).covariance[None] * total if moments else None
    return SufficientStatistics(
        parameters,
        len(chunk.X),
        total,
        log_likelihood,
        counts,
        distances,
        None if products is None else np.zeros(products.shape[:2]),
        products,
    ).times(chunk.unit)


def kept_group_statistics(
    chunk: Chunk, weights: FloatArray, scales: FloatArray, *, kept: KeptDistances[ScaleGroups]
) -> SufficientStatistics:
    """E-step of the kept groups under weights and scales (G, J)."""
    return group_statistics(chunk, kept.origin, weights, scales, kept=kept)
