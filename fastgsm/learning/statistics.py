"""Additive sufficient statistics: everything EM needs from the data.

Statistics of parts, added in a fixed order, are the same to the bit wherever each was computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, KeptDistances, Moments
from fastgsm.learning.density import ScaleGroups, ScaleMixtureDensity
from fastgsm.learning.sums import (
    component_weights,
    scale_statistics,
    weighted_moments,
    weighted_sum,
)
from fastgsm.learning.whitened import WhitenedMixture


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """Sums over samples: all that an M-step needs from them.

    Statistics of several parts of the data add: ``a + b``, or ``a.merge(b)``. The sum is the same
    to rounding in any order, and to the bit in the same order.

    Attributes
    ----------
    parameters : str
        Digest of the parameters that gave the responsibilities and distances. Only statistics with
        the same parameters add.
    n_samples : int
        Number of samples of weight above 0.
    weight : float
        Sum of their weights, which the log-likelihood and all sums use.
    log_likelihood : float
        Sum of the samples' log-likelihoods, in nats.
    counts : ndarray
        Sums of the responsibilities, (K, J); (rank, J) for an ICA.
    distances : ndarray of the same shape, or None
        Sums of the responsibilities times the squared Mahalanobis distances at scale 1. None for
        models with one scale, which do not need them.
    sums : ndarray of shape (K, d), or None
        Sums of weight times ``x - mean`` for each covariance's mean. The weights are
        responsibilities over scales, or 1 for a GSM and an ICA, whose covariance is that of the
        samples. None where they were not asked for.
    products : ndarray of shape (K, d, d), or None
        Sums of weight times the outer product of ``x - mean``.
    n_narrow : int
        Number of samples that were float32, whose sums lose more digits.
    """

    parameters: str
    n_samples: int
    weight: float
    log_likelihood: float
    counts: FloatArray
    distances: FloatArray | None
    sums: FloatArray | None
    products: FloatArray | None
    n_narrow: int = 0

    def merge(self, other: SufficientStatistics) -> SufficientStatistics:
        """Return the statistics of both parts of the data.

        Parameters
        ----------
        other : SufficientStatistics
            From the same model with the same parameters.

        Raises
        ------
        TypeError, ValueError
            If `other` is something else, or its parameters are others.
        """
        if not isinstance(other, SufficientStatistics):
            raise TypeError(
                f"other is a {type(other).__name__}; wanted SufficientStatistics, as a model's "
                f"sufficient_statistics returns them."
            )
        if self.parameters != other.parameters:
            raise ValueError(
                "these statistics belong to different parameters, so their sum means nothing; "
                "wanted statistics that one model computed between two M-steps."
            )
        names = [field.name for field in fields(self) if field.name != "parameters"]
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        sums: list[Any] = [None if a is None or b is None else a + b for a, b in pairs]
        return SufficientStatistics(self.parameters, *sums)

    def __add__(self, other: Any) -> SufficientStatistics:
        return self.merge(other) if isinstance(other, SufficientStatistics) else NotImplemented

    def __radd__(self, other: Any) -> SufficientStatistics:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # for `sum`

    def times(self, factor: float) -> SufficientStatistics:
        """Return the statistics of samples whose weights are ``factor`` times as large."""
        if factor == 1:
            return self
        names = ("weight", "log_likelihood", "counts", "distances", "sums", "products")
        values = {name: getattr(self, name) for name in names}
        return replace(
            self, **{name: factor * value for name, value in values.items() if value is not None}
        )


def _of_chunk(chunk: Chunk, parameters: str, *sums: Any) -> SufficientStatistics:
    """Return the statistics of a chunk from sums with its weights, in the units of the given ones.

    ``sums`` are the attributes of `SufficientStatistics` from `log_likelihood` to `products`, in
    their order.
    """
    n_narrow = len(chunk.X) if chunk.X.dtype == np.float32 else 0
    statistics = SufficientStatistics(parameters, len(chunk.X), chunk.total, *(*sums, n_narrow))
    return statistics.times(chunk.unit)


def shape_statistics(
    chunk: Chunk,
    parameters: str = "",
    at: tuple[FloatArray, FloatArray] | None = None,
    *,
    kept: KeptDistances[WhitenedMixture],
    scales: bool = False,
    moments: bool = True,
) -> SufficientStatistics:
    """E-step of the kept shapes: for their ``scales``, and with ``moments`` for themselves.

    ``at`` gives other weights and scales (K, J). Without ``scales`` the counts are (K, 1), over all
    scales. Distances stay kept for the next pass unless moments are asked for.
    """
    mixture = kept.origin
    if at is not None:
        mixture = replace(mixture, weights=at[0], scales=at[1])
    K, d = mixture.means.shape
    log_weights = mixture.log_weights
    log_likelihood = 0.0
    counts = np.zeros(mixture.weights.shape if scales else (K, 1))
    distances = np.zeros_like(counts)
    sums, products = (np.zeros((K, d)), np.zeros((K, d, d))) if moments else (None, None)
    for part in chunk.held():
        weights = part.sample_weight
        near = kept.of(part)
        if scales:
            of_part = scale_statistics(
                near[None], log_weights[None], mixture.scales[None], weights
            )[0]
            log_likelihood += float(of_part[0, -1])
            counts += of_part[0, :-1].reshape(counts.shape)
            distances += of_part[1, :-1].reshape(counts.shape)
        if sums is None or products is None:
            kept.keep(part, near)
            continue
        log_norm, shape_counts = component_weights(near, log_weights, mixture.scales, weights)
        more_sums, more_products = weighted_moments(part.X, near, mixture.means)
        sums += more_sums
        products += more_products
        if not scales:
            log_likelihood += weighted_sum(log_norm, weights)
            counts += shape_counts[:, None]
    of_scales = distances if scales else None
    return _of_chunk(chunk, parameters, log_likelihood, counts, of_scales, sums, products)


def group_statistics(
    chunk: Chunk,
    weights: FloatArray,
    scales: FloatArray,
    parameters: str = "",
    *,
    kept: KeptDistances[ScaleGroups],
    moments: bool = False,
) -> SufficientStatistics:
    """E-step of the kept groups under weights and scales (G, J).

    With ``moments`` it sums the samples' products too. Distances stay kept for the next pass.
    """
    log_weights = kept.origin.log_weights(weights, scales)[:, None]
    of_scales = np.zeros((len(weights), 2, weights.shape[1] + 1))
    for part in chunk.held():
        near = kept.of(part)
        kept.keep(part, near)
        of_scales += scale_statistics(
            near[:, None], log_weights, scales[:, None], part.sample_weight
        )
    log_likelihood = float(of_scales[:, 0, -1].sum())
    counts, distances = of_scales[:, 0, :-1], of_scales[:, 1, :-1]
    sums = products = None
    if moments:
        products = Moments.of(chunk, about_mean=False).covariance[None] * chunk.total
        sums = np.zeros(products.shape[:2])
    return _of_chunk(chunk, parameters, log_likelihood, counts, distances, sums, products)


def expected_statistics(
    density: ScaleMixtureDensity,
    weights: FloatArray,
    distances: FloatArray | None,
    parameters: str,
) -> SufficientStatistics:
    """Return the statistics of weight 1 from which an M-step would give the same parameters.

    Those of the shapes are in ``density``, and ``distances`` are the expected ones times weights.
    """
    return SufficientStatistics(
        parameters,
        n_samples=0,
        weight=1.0,
        log_likelihood=0.0,
        counts=weights,
        distances=distances,
        sums=np.zeros_like(density.means),
        products=density.weights.sum(axis=1)[:, None, None] * density.covariances,
    )
