"""Chunks of samples, their moments, sums over all chunks, and what is kept between two sums."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import check_numbers
from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleGroups, ScaleMixtureDensity
from fastgsm.learning.samples import check_sample_weight, check_samples, total_weight
from fastgsm.learning.sums import weighted_moments
from fastgsm.learning.support import Support, null_share
from fastgsm.learning.whitened import WhitenedMixture

T = TypeVar("T")
# Shapes that samples have squared Mahalanobis distances from.
Origin = TypeVar("Origin", WhitenedMixture, ScaleGroups)

# Samples whose moments are summed at once, and whose distances are held, unless all are in memory.
SAMPLES_AT_ONCE = 65_536

# Bytes of distances that one worker keeps between two passes over its chunks.
KEPT_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some of the samples, checked."""

    X: FloatArray
    sample_weight: FloatArray
    """With mean 1 over those above 0."""
    unit: float
    """Factor from these weights to the given ones."""
    numbers: range | NDArray[np.int64]
    """Numbers of the samples among those of all chunks, ascending."""
    whole: bool = False
    """Whether E-steps hold the distances of all its samples at once."""

    @classmethod
    def of(
        cls, X: Any, sample_weight: Any = None, n_features: int | None = None, first: int = 0
    ) -> Chunk:
        """Check samples and their weights, and leave out samples of weight 0.

        ``first`` is the number of the first sample among those of all chunks.
        """
        X = check_samples(X, n_features)
        numbers = range(first, first + len(X))
        if sample_weight is None:
            return cls(X, np.ones(len(X), X.dtype), 1.0, numbers)
        given = check_numbers(sample_weight, "sample_weight")
        if given.shape in ((), (len(X),)) and not given.any():
            return cls(X[:0], np.empty(0, X.dtype), 0.0, numbers[:0])
        weights = check_sample_weight(given, len(X), X.dtype)
        unit = total_weight(given, len(X)) / float(weights.sum(dtype=np.float64))
        used = weights > 0
        if used.all():
            return cls(X, weights, unit, numbers)
        return cls(X[used], weights[used], unit, first + np.flatnonzero(used))

    @functools.cached_property
    def total(self) -> float:
        """Sum of `sample_weight`."""
        return float(self.sample_weight.sum(dtype=np.float64))

    def parts(self) -> list[Chunk]:
        """Cut into parts of at most SAMPLES_AT_ONCE samples; an empty chunk has none."""
        starts = range(0, len(self.X), SAMPLES_AT_ONCE)
        rows = (slice(first, first + SAMPLES_AT_ONCE) for first in starts)
        return [Chunk(self.X[i], self.sample_weight[i], self.unit, self.numbers[i]) for i in rows]

    def held(self) -> list[Chunk]:
        """Return the parts whose distances E-steps hold at once."""
        return [self] if self.whole else self.parts()


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of samples. Those of several parts add."""

    weight: float  # sum of the samples' weights, as they were given
    mean: FloatArray  # (d,); 0 where the moments are about 0
    covariance: FloatArray  # (d, d)

    @classmethod
    def of(cls, chunk: Chunk, *, about_mean: bool) -> Moments:
        """Compute the moments about the mean, or about 0.

        Always in float64: directions without any variance are told by eigenvalues far below the
        rounding error of float32.
        """
        d = chunk.X.shape[1]
        if not len(chunk.X):
            return cls(0.0, np.zeros(d), np.zeros((d, d)))
        start = _weighted_centre(chunk) if about_mean else np.zeros(d)
        sums, products = np.zeros((1, d)), np.zeros((1, d, d))
        for part in chunk.parts():
            more_sums, more_products = weighted_moments(
                part.X, part.sample_weight[None], start[None], np.float64
            )
            sums += more_sums
            products += more_products
        total = chunk.total
        shift = sums[0] / total if about_mean else np.zeros(d)
        covariance = products[0] / total - np.outer(shift, shift)
        return cls(chunk.unit * total, start + shift, covariance)

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

    def gaussian_on(self, support: Support, floor: float) -> tuple[ScaleMixtureDensity, float]:
        """Return the Gaussian with these moments on a support, raised to a floor.

        Also return the factor by which its least variance was raised.
        """
        inner = support.inner(self.covariance[None])
        inner, lifts = support.raised(inner, np.array([floor]), null_share(support.rank))
        eigenvalues, eigenvectors = support.eigendecomposition(inner)
        ones = np.ones((1, 1))
        gaussian = ScaleMixtureDensity(ones, ones, self.mean[None], eigenvalues, eigenvectors)
        return gaussian, float(lifts[0])


def _weighted_centre(chunk: Chunk) -> FloatArray:
    """Return the mean (d,) in float64; squares about it may be summed without cancelling."""
    weights = chunk.sample_weight
    if (weights == weights[0]).all():
        return np.asarray(chunk.X.mean(axis=0, dtype=np.float64))
    total = weights.sum(dtype=np.float64)
    return np.asarray(np.einsum("n,nd->d", weights, chunk.X, dtype=np.float64) / total)


class Reduction(Protocol):
    """Sums over all chunks, wherever these are."""

    kept_bytes: float
    """Bytes of distances that each process may keep between two passes."""

    def __call__(self, function: Callable[..., Any], *args: Any, **shared: Any) -> Any:
        """Return the sum of ``function(chunk, *args, **shared)`` over all chunks.

        The order of summation never changes. The values in ``shared`` come from `share`.
        """

    def share(self, value: Any) -> Any:
        """Return a handle to a value that each worker receives once.

        The functions on one worker see one object, as a rule. A worker may drop its copy, and
        receive another.
        """


class InProcess:
    """A `Reduction` over chunks that this process goes through one by one.

    Every pass iterates over ``chunks``, which may make them as it goes, but is no iterator.
    """

    def __init__(self, chunks: Iterable[Chunk], kept_bytes: float = KEPT_BYTES) -> None:
        self._chunks = chunks
        self.kept_bytes = kept_bytes

    def __call__(self, function: Callable[..., Any], *args: Any, **shared: Any) -> Any:
        """Return the sum of ``function(chunk, *args, **shared)`` over all chunks, in order."""
        return added(function(chunk, *args, **shared) for chunk in self._chunks)

    def share(self, value: T) -> T:
        """Return the value itself."""
        return value


def added(parts: Iterable[Any]) -> Any:
    """Return the sum of parts, added from the first to the last."""
    return functools.reduce(operator.add, parts)


class KeptDistances(Generic[Origin]):
    """Squared Mahalanobis distances of parts of chunks, kept by the process that computes them.

    For passes over the data between which weights and scales change, but no shape: the next pass
    finds what the last one left here. Copies begin empty, and what is missing is computed again,
    to the same bits. ``room`` is the most bytes to keep.
    """

    def __init__(self, origin: Origin, room: float = 0.0) -> None:
        self.origin: Origin = origin
        self._kept: dict[int, FloatArray] = {}
        self._limit = self._room = room
        self._lock = Lock()

    def of(self, part: Chunk) -> FloatArray:
        """Return the distances (K, n) of a part, and keep them no longer."""
        with self._lock:
            kept = self._kept.pop(part.numbers[0], None)
            if kept is not None:
                self._room += kept.nbytes
                return kept
        return self.origin.distances(part.X)

    def keep(self, part: Chunk, distances: FloatArray) -> None:
        """Keep the distances of a part, if there is room for them."""
        number = part.numbers[0]
        with self._lock:
            if number not in self._kept and distances.nbytes <= self._room:
                self._kept[number] = distances
                self._room -= distances.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.origin, self._limit)
