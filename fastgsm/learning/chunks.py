"""Chunks of samples, and their moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import check_numbers
from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.samples import check_sample_weight, check_samples, total_weight
from fastgsm.learning.sums import weighted_moments
from fastgsm.learning.support import Support

# Samples whose distances are held at once, and whose moments are taken in float64 at once.
BLOCK = 65_536


class Chunk(NamedTuple):
    """Some of the samples, checked."""

    X: FloatArray
    sample_weight: FloatArray
    """With mean 1 over those above 0."""
    unit: float
    """What those weights are to be multiplied by."""
    numbers: NDArray[np.int64]
    """Numbers of the samples among those of all chunks, ascending."""

    @classmethod
    def of(
        cls, X: Any, sample_weight: Any = None, n_features: int | None = None, first: int = 0
    ) -> Chunk:
        """Check samples, of which the first is number ``first`` of all, and their weights.

        Those of weight 0 are left out.
        """
        X = check_samples(X, n_features)
        numbers = np.arange(first, first + len(X))
        if sample_weight is None:
            return cls(X, np.ones(len(X), X.dtype), 1.0, numbers)
        given = check_numbers(sample_weight, "sample_weight")
        if given.shape in ((), (len(X),)) and not given.any():
            return cls(X[:0], np.empty(0, X.dtype), 0.0, numbers[:0])
        weights = check_sample_weight(given, len(X), X.dtype)
        unit = total_weight(given, len(X)) / float(weights.sum(dtype=np.float64))
        used = weights > 0
        return cls(X[used], weights[used], unit, numbers[used])

    @property
    def weight(self) -> float:
        """Sum of the weights as they were given."""
        return self.unit * float(self.sample_weight.sum(dtype=np.float64))

    def blocks(self) -> list[Chunk]:
        """Cut into parts of at most BLOCK samples; none of no samples."""
        return [
            Chunk(
                self.X[i : i + BLOCK],
                self.sample_weight[i : i + BLOCK],
                self.unit,
                self.numbers[i : i + BLOCK],
            )
            for i in range(0, len(self.X), BLOCK)
        ]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of samples; of several parts, added.

    Attributes
    ----------
    weight : float
        Sum of their weights.
    mean : ndarray of shape (d,)
        0 where the moments are about 0.
    covariance : ndarray of shape (d, d)
    """

    weight: float
    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, chunk: Chunk, *, about_mean: bool) -> Moments:
        """Take the moments about the mean, or about 0.

        In float64 whatever the type of X: which directions have no variance at all is told from
        eigenvalues far below float32's rounding error.
        """
        d = chunk.X.shape[1]
        if not len(chunk.X):
            return cls(0.0, np.zeros(d), np.zeros((d, d)))
        start = _weighted_centre(chunk) if about_mean else np.zeros(d)
        sums, products = np.zeros((1, d)), np.zeros((1, d, d))
        for block in chunk.blocks():
            more_sums, more_products = weighted_moments(
                block.X.astype(np.float64),
                block.sample_weight[None].astype(np.float64),
                start[None],
            )
            sums += more_sums
            products += more_products
        total = float(chunk.sample_weight.sum(dtype=np.float64))
        shift = sums[0] / total if about_mean else np.zeros(d)
        covariance = products[0] / total - np.outer(shift, shift)
        return cls(chunk.weight, start + shift, covariance)

    def __add__(self, other: Moments) -> Moments:
        weight = self.weight + other.weight
        # Relative, so that equal weights of any size give the same result.
        mine, theirs = (each.weight / weight if weight else 0.0 for each in (self, other))
        between = other.mean - self.mean
        return Moments(
            weight,
            self.mean + theirs * between,
            mine * self.covariance
            + theirs * other.covariance
            + mine * theirs * np.outer(between, between),
        )

    def gaussian_on(self, support: Support, floor: float) -> ScaleMixtureDensity:
        """Give the Gaussian of these moments on a support, its variances at least ``floor``."""
        eigenvalues, eigenvectors = support.eigendecomposition(self.covariance[None])
        ones = np.ones((1, 1))
        return ScaleMixtureDensity(
            ones, ones, self.mean[None], np.maximum(eigenvalues, floor), eigenvectors
        )


def _weighted_centre(chunk: Chunk) -> FloatArray:
    """Mean (d,) in float64, near which squares may be summed without cancelling."""
    weights = chunk.sample_weight
    if (weights == weights[0]).all():
        return np.asarray(chunk.X.mean(axis=0, dtype=np.float64))
    total = weights.sum(dtype=np.float64)
    return np.asarray(np.einsum("n,nd->d", weights, chunk.X, dtype=np.float64) / total)


class Reduction(Protocol):
    """What looks at samples in chunks that are elsewhere."""

    def __call__(self, function: Any, *args: Any, **shared: Any) -> Any:
        """Give the sum of ``function(chunk, *args, **shared)`` over all chunks.

        Added in an order that does not change. What is ``shared`` is what `share` gave.
        """

    def share(self, value: Any) -> Any:
        """Give what stands for a value that is sent once to each worker.

        A worker's functions see one object, as a rule: a copy may be dropped, and sent anew.
        """
