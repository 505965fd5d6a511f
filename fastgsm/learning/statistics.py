"""Sums over samples that add, whoever took them: all that EM needs of the data.

Statistics of parts, added in a fixed order, are the same to the bit wherever each was computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, Moments
from fastgsm.learning.density import ScaleMixtureDensity, normalised_log_weights
from fastgsm.learning.sums import (
    component_weights,
    scale_statistics,
    weighted_mean,
    weighted_moments,
)

# Bytes of distances that one worker keeps between two passes over its chunks.
KEPT_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """Sums over samples, all that an M-step needs of them.

    Those of several parts of the data add: ``a + b``, or ``a.merge(b)``. Their sum is the same to
    rounding in any order, and to the bit in the same order.

    Attributes
    ----------
    parameters : str
        Digest of the parameters that responsibilities and distances are of. Only statistics of the
        same parameters add.
    n_samples : int
        Number of samples of weight above 0.
    weight : float
        Sum of their weights; the log-likelihood and all sums are weighted by them.
    log_likelihood : float
        Sum of the samples' log-likelihoods, in nats.
    counts : ndarray
        Sums of the responsibilities, shaped as the model's weights are inside: (K, J), of an ICA
        (rank, J).
    distances : ndarray of the same shape, or None
        Sums of the responsibilities times the squared Mahalanobis distances at scale 1. None for
        models of one scale, which do without.
    sums : ndarray of shape (K, d), or None
        Sums of weight times ``x - mean`` for each covariance's mean. The weights are
        responsibilities over scales; of a GSM and an ICA, whose covariance is that of the samples,
        1. None where they were not asked for.
    products : ndarray of shape (K, d, d), or None
        Sums of weight times the outer product of ``x - mean``.
    """

    parameters: str
    n_samples: int
    weight: float
    log_likelihood: float
    counts: FloatArray
    distances: FloatArray | None
    sums: FloatArray | None
    products: FloatArray | None

    def merge(self, other: SufficientStatistics) -> SufficientStatistics:
        """Give the statistics of both parts of the data.

        Parameters
        ----------
        other : SufficientStatistics
            Of the same model with the same parameters.

        Raises
        ------
        TypeError
            If it is something else.
        ValueError
            If they are of other parameters.
        """
        if not isinstance(other, SufficientStatistics):
            raise TypeError(
                f"other is a {type(other).__name__}; wanted SufficientStatistics, as a model's "
                f"sufficient_statistics gives them."
            )
        if self.parameters != other.parameters:
            raise ValueError(
                "these statistics are of different parameters, so their sum means nothing; wanted "
                "statistics that one model gave between two M-steps."
            )
        return SufficientStatistics(
            self.parameters,
            self.n_samples + other.n_samples,
            self.weight + other.weight,
            self.log_likelihood + other.log_likelihood,
            self.counts + other.counts,
            _sum(self.distances, other.distances),
            _sum(self.sums, other.sums),
            _sum(self.products, other.products),
        )

    def __add__(self, other: Any) -> SufficientStatistics:
        return self.merge(other) if isinstance(other, SufficientStatistics) else NotImplemented

    def __radd__(self, other: Any) -> SufficientStatistics:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # for `sum`

    def times(self, factor: float) -> SufficientStatistics:
        """Give the statistics of samples whose weights are ``factor`` times as large."""
        return SufficientStatistics(
            self.parameters,
            self.n_samples,
            factor * self.weight,
            factor * self.log_likelihood,
            factor * self.counts,
            *(
                None if each is None else factor * each
                for each in (self.distances, self.sums, self.products)
            ),
        )


def _sum(a: FloatArray | None, b: FloatArray | None) -> FloatArray | None:
    return None if a is None or b is None else a + b


class KeptDistances:
    """Squared Mahalanobis distances of blocks of samples, kept by who computes them.

    For passes over the data between which weights and scales change, but no shape: the next finds
    what the last left here. Copies begin empty, and what is not here is computed again, to the same
    bits.
    """

    def __init__(self, origin: ScaleMixtureDensity | ScaleGroups) -> None:
        self.origin = origin
        self._kept: dict[int, FloatArray] = {}
        self._room = KEPT_BYTES
        self._lock = Lock()

    def of(self, block: Chunk) -> FloatArray:
        """Distances (K, n) of a block. They are not kept any more."""
        with self._lock:
            kept = self._kept.pop(int(block.numbers[0]), None)
            if kept is not None:
                self._room += kept.nbytes
                return kept
        return self.origin.distances(block.X)

    def keep(self, block: Chunk, distances: FloatArray) -> None:
        """Keep the distances of a block, if there is room for them."""
        number = int(block.numbers[0])
        with self._lock:
            if number not in self._kept and distances.nbytes <= self._room:
                self._kept[number] = distances
                self._room -= distances.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.origin,)


def shape_statistics(
    chunk: Chunk,
    density: ScaleMixtureDensity,
    parameters: str = "",
    scales: bool = False,
    moments: bool = True,
    kept: KeptDistances | None = None,
) -> SufficientStatistics:
    """E-step of a mixture of K shapes: what ``scales``, and what covariances are learned from.

    Without ``scales`` the counts are (K, 1), over all scales. Distances are taken from ``kept``,
    and left there where no moments are asked for.
    """
    n_components, d = density.means.shape
    log_weights = density.log_weights
    log_likelihood = 0.0
    counts = np.zeros(density.weights.shape if scales else (n_components, 1))
    distances = np.zeros_like(counts)
    sums, products = np.zeros((n_components, d)), np.zeros((n_components, d, d))
    for block in chunk.blocks():
        weights = block.sample_weight
        near = density.distances(block.X) if kept is None else kept.of(block)
        if scales:
            more, more_counts, more_distances = scale_statistics(
                near[None], log_weights[None], density.scales[None], weights
            )
            log_likelihood += more
            counts += more_counts[0]
            distances += more_distances[0]
        if moments:
            log_norm, shape_counts = component_weights(near, log_weights, density.scales, weights)
            more_sums, more_products = weighted_moments(block.X, near, density.means)
            sums += more_sums
            products += more_products
            if not scales:
                total = float(weights.sum(dtype=np.float64))
                log_likelihood += total * weighted_mean(log_norm, weights)
                counts += shape_counts[:, None]
        elif kept is not None:
            kept.keep(block, near)
    statistics = SufficientStatistics(
        parameters,
        len(chunk.X),
        float(chunk.sample_weight.sum(dtype=np.float64)),
        log_likelihood,
        counts,
        distances if scales else None,
        sums if moments else None,
        products if moments else None,
    )
    return statistics.times(chunk.unit)


def kept_statistics(
    chunk: Chunk, weights: FloatArray, scales: FloatArray, *, moments: bool, kept: KeptDistances
) -> SufficientStatistics:
    """E-step of the kept shapes under weights and scales (K, J): for the scales, or the moments."""
    assert isinstance(kept.origin, ScaleMixtureDensity)
    density = kept.origin.with_scales(weights, scales)
    return shape_statistics(chunk, density, scales=not moments, moments=moments, kept=kept)


@dataclass(frozen=True)
class ScaleGroups:
    """What has scales of its own: the whole support, or every principal axis on its own.

    Attributes
    ----------
    gaussian : ScaleMixtureDensity
        Mean 0 and the covariance of the samples.
    by_axis : bool
    """

    gaussian: ScaleMixtureDensity
    by_axis: bool

    @property
    def dimension(self) -> int:
        """Of each group."""
        return 1 if self.by_axis else self.gaussian.rank

    def distances(self, X: FloatArray) -> FloatArray:
        """Squared Mahalanobis distances (G, n) at scale 1."""
        if not self.by_axis:
            return self.gaussian.distances(X)
        coordinates = X @ self.gaussian.eigenvectors[0].astype(X.dtype)
        squares = np.ascontiguousarray(np.square(coordinates).T)
        squares /= self.gaussian.eigenvalues[0][:, None].astype(X.dtype)
        return squares

    def log_weights(self, weights: FloatArray, scales: FloatArray) -> FloatArray:
        """Logarithms (G, J) of weights over normalising constants."""
        log_variances = np.log(self.gaussian.eigenvalues)
        log_dets = log_variances[0] if self.by_axis else log_variances.sum(axis=1)
        return normalised_log_weights(weights, scales, log_dets, self.dimension)

    def sums(
        self,
        distances: FloatArray,
        sample_weight: FloatArray,
        weights: FloatArray,
        scales: FloatArray,
    ) -> tuple[float, FloatArray, FloatArray]:
        """E-step: the log-likelihood, and what `scale_statistics` gives, (G, J)."""
        log_likelihood, counts, weighted = scale_statistics(
            distances[:, None],
            self.log_weights(weights, scales)[:, None],
            scales[:, None],
            sample_weight,
        )
        return log_likelihood, counts[:, 0], weighted[:, 0]


def group_statistics(
    chunk: Chunk,
    groups: ScaleGroups,
    weights: FloatArray,
    scales: FloatArray,
    parameters: str = "",
    *,
    moments: bool = False,
    kept: KeptDistances | None = None,
) -> SufficientStatistics:
    """E-step of mixtures of scales on the covariance of the samples, with its products if asked.

    Distances are taken from ``kept``, and left there.
    """
    log_likelihood = 0.0
    counts, distances = np.zeros(weights.shape), np.zeros(weights.shape)
    for block in chunk.blocks():
        near = groups.distances(block.X) if kept is None else kept.of(block)
        if kept is not None:
            kept.keep(block, near)
        more, more_counts, more_distances = groups.sums(near, block.sample_weight, weights, scales)
        log_likelihood += more
        counts += more_counts
        distances += more_distances
    total = float(chunk.sample_weight.sum(dtype=np.float64))
    products = Moments.of(chunk, about_mean=False).covariance[None] * total if moments else None
    statistics = SufficientStatistics(
        parameters,
        len(chunk.X),
        total,
        log_likelihood,
        counts,
        distances,
        None if products is None else np.zeros(products.shape[:2]),
        products,
    )
    return statistics.times(chunk.unit)


def kept_group_statistics(
    chunk: Chunk, weights: FloatArray, scales: FloatArray, *, kept: KeptDistances
) -> SufficientStatistics:
    """E-step of the groups whose distances are kept, under weights and scales (G, J)."""
    assert isinstance(kept.origin, ScaleGroups)
    return group_statistics(chunk, kept.origin, weights, scales, kept=kept)
