"""The samples that a model is fitted to: in memory, or in chunks of which only sums are seen."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import peak_of
from fastgsm._checks import caller_level
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, InProcess, Moments, Reduction
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.samples import (
    check_magnitude,
    check_sample_weight,
    check_samples,
    total_weight,
)
from fastgsm.learning.support import Support

# About how many samples EM starts from: of more, these are drawn at random. The same are drawn from
# samples in memory and from chunks of any size, so that one fit leads where the other does.
START_SAMPLES = 100_000
# Standard deviations from which on samples are far from 0. The greys of images, at 1 to 3, are not.
FAR = 5.0
# Samples, evenly spaced, in which that is looked for.
FAR_SAMPLES = 500


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of the samples before EM, and sums over them."""

    reduce: Reduction
    moments: Moments
    gaussian: ScaleMixtureDensity
    """Has these moments, raised to the floor."""
    lift: float
    """The factor by which that raised its least variance."""
    support: Support
    X: FloatArray
    """Samples that EM's starting values come from."""
    sample_weight: FloatArray
    in_memory: bool
    """Whether all samples are held."""
    whole: bool
    """Whether they are held, and are those that EM's starting values come from."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples before a fit, in chunks of which only sums are seen, or in memory."""

    n_samples: int  # of all chunks together
    n_features: int
    dtype: np.dtype[Any]  # float32 or float64
    reduce: Reduction
    held: tuple[FloatArray, FloatArray, float] | None = None
    """Samples, weights and the sum of the weights as they were given, if all are in memory."""

    @classmethod
    def of_samples(cls, X: Any, sample_weight: Any) -> Data:
        """Check samples in memory and their weights; all distances of the one chunk are kept."""
        X = check_samples(X)
        check_magnitude(X)
        n_samples, n_features = X.shape
        weights = check_sample_weight(sample_weight, n_samples, X.dtype)
        chunk = Chunk(X, weights, 1.0, range(n_samples), whole=True)
        held = X, weights, total_weight(sample_weight, n_samples)
        return cls(n_samples, n_features, X.dtype, InProcess([chunk], math.inf), held)

    def survey(self, *, about_mean: bool, reg_covar: float) -> Survey:
        """Find out what a fit needs to know before EM; raise ValueError if it cannot learn."""
        whole = False
        if self.held is not None:
            X, sample_weight, weight = self.held
            moments: Moments = self.reduce(partial(Moments.of, about_mean=about_mean))
            moments = replace(moments, weight=weight)
            rows = _start_rows(sample_weight)
            whole = len(rows) == len(X)
            if not whole:
                X = X[rows]
                sample_weight = check_sample_weight(sample_weight[rows], len(X), self.dtype)
        else:
            look = partial(self.reduce, _ChunkSurvey.of, about_mean)
            share = start_share(self.n_samples, self.n_samples)
            found: _ChunkSurvey = look(share)
            if found.moments.weight == 0:
                raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
            if (larger := start_share(self.n_samples, found.n_used)) > share:
                found = look(larger)
            check_magnitude(np.full((1, 1), found.peak, self.dtype))
            X, moments = found.X, found.moments
            sample_weight = check_sample_weight(found.sample_weight, len(X), self.dtype)
        support = Support.of(moments, self.dtype)
        gaussian, lift = moments.gaussian_on(support, reg_covar)
        start = X, sample_weight, self.held is not None, whole
        return Survey(self.reduce, moments, gaussian, lift, support, *start)


def start_share(n_samples: int, n_used: int) -> float:
    """Return the share of all samples that EM starts from, ``n_used`` of which have weight."""
    # As a rule the share is that of all samples, so that chunks draw before anybody has counted.
    return min(1.0, START_SAMPLES / (n_used if 2 * n_used < n_samples else n_samples))


def _start_rows(sample_weight: FloatArray) -> NDArray[np.intp]:
    """Return which samples in memory EM starts from, some of those of weight above 0."""
    used = sample_weight > 0
    n_samples = len(sample_weight)
    share = start_share(n_samples, int(np.count_nonzero(used)))
    return np.flatnonzero(used & drawn(range(n_samples), share))


def warn_far_from_zero(X: FloatArray, sample_weight: FloatArray, name: str) -> None:
    """Warn if samples (n, d), which a model without means is to learn from, lie far from 0."""
    step = -(-len(X) // FAR_SAMPLES)
    X, sample_weight = X[::step], sample_weight[::step]
    weights = sample_weight.astype(np.float64) / sample_weight.sum(dtype=np.float64)
    mean = np.einsum("n,nd->d", weights, X, dtype=np.float64)
    deviations = np.sqrt(np.einsum("n,nd->d", weights, np.square(X - mean)))
    # What is constant has nothing that its mean could hide.
    varies = np.ptp(X, axis=0) > 4 * np.finfo(X.dtype).eps * np.abs(mean)
    far = varies & (np.abs(mean) > FAR * deviations)
    if far.any():
        j = int(np.flatnonzero(far)[0])
        warnings.warn(
            f"X is far from 0 (feature {j} has mean {mean[j]:.3g} and standard deviation "
            f"{deviations[j]:.3g}), but the means of {name} are 0, so that it learns little else "
            f'than that. Subtract the mean first (of patches, with center="patch" or "global"), or '
            + ("set fit_means=True." if name == "GMM" else "use GMM or MVN, which learn means."),
            stacklevel=caller_level(),
        )


def drawn(numbers: range | NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Return which samples are drawn if a ``share`` of all, at most 1, is wanted: always the same.

    The random number is the sample's number, mixed by multiplications and shifts [1]_, so that
    workers need not agree on a seed, and no number of chunks changes what is drawn.

    References
    ----------
    .. [1] G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA
       2014, figure 16.
    """
    if share >= 1:
        return np.ones(len(numbers), bool)
    if isinstance(numbers, range):
        numbers = np.arange(numbers.start, numbers.stop)
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    chosen: NDArray[np.bool_] = z < share * 2.0**64
    return chosen


@dataclass(frozen=True, eq=False)
class _ChunkSurvey:
    """What is known of a chunk before EM: its moments, its peak, and some of its samples."""

    n_used: int
    """Number of samples of weight above 0."""
    moments: Moments
    peak: float
    X: FloatArray
    sample_weight: FloatArray

    @classmethod
    def of(cls, chunk: Chunk, about_mean: bool, share: float) -> _ChunkSurvey:
        rows = np.flatnonzero(drawn(chunk.numbers, share))
        return cls(
            len(chunk.X),
            Moments.of(chunk, about_mean=about_mean),
            peak_of(chunk.X) if len(chunk.X) else 0.0,
            chunk.X[rows],
            chunk.unit * chunk.sample_weight[rows].astype(np.float64),
        )

    def __add__(self, other: _ChunkSurvey) -> _ChunkSurvey:
        return _ChunkSurvey(
            self.n_used + other.n_used,
            self.moments + other.moments,
            max(self.peak, other.peak),
            np.concatenate([self.X, other.X]),
            np.concatenate([self.sample_weight, other.sample_weight]),
        )
