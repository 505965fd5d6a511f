"""Additive sufficient statistics: everything EM needs from the data.

Statistics of parts, added in a fixed order, are the same to the bit wherever each was computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastgsm._types import FloatArray


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
        """Return the statistics of both parts of the data.

        Parameters
        ----------
        other : SufficientStatistics
            From the same model with the same parameters.

        Raises
        ------
        TypeError
            If `other` is something else.
        ValueError
            If its parameters are others.
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
        """Return the statistics of samples whose weights are ``factor`` times as large."""
        if factor == 1:
            return self
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
