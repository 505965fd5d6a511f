"""The samples that a model is fitted to: in memory, or in chunks of which only sums are seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastgsm._arrays import peak_of
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, InProcess, Moments, Reduction
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.e_steps import shape_statistics
from fastgsm.learning.kept import KeptDistances
from fastgsm.learning.samples import check_magnitude, check_sample_weight
from fastgsm.learning.scale_groups import ScaleGroups

# About how many samples EM on chunks starts from. They are drawn from all chunks, and held.
START_SAMPLES = 100_000


class Data:
    """Samples, as the models' fits see them.

    Parameters
    ----------
    n_samples, n_features : int
        Of all chunks together.
    dtype : dtype
        float32 or float64.
    reduce : Reduction
        Sums over the chunks.

    Attributes
    ----------
    weight : float
        Sum of the samples' weights, as they were given. Known after `moments`.
    start : tuple of ndarray
        Samples and weights that EM's starting values come from. Known after `moments`.
    in_memory : bool
        Whether `start` has all samples.
    """

    weight: float
    start: tuple[FloatArray, FloatArray]
    in_memory = False

    def __init__(
        self, n_samples: int, n_features: int, dtype: DTypeLike, reduce: Reduction
    ) -> None:
        self.n_samples, self.n_features, self.dtype = n_samples, n_features, np.dtype(dtype)
        self.reduce = reduce

    @classmethod
    def of_samples(cls, X: FloatArray, sample_weight: FloatArray, weight: float) -> Data:
        """Wrap checked samples in memory.

        ``sample_weight`` has mean 1 over its values above 0; ``weight`` is the sum as given.
        """
        n_samples, n_features = X.shape
        data = cls(n_samples, n_features, X.dtype, InProcess.in_memory(X, sample_weight))
        data.weight, data.start, data.in_memory = weight, (X, sample_weight), True
        return data

    def moments(self, *, about_mean: bool) -> Moments:
        """Return the moments of all samples. Must be called first."""
        if self.in_memory:
            moments: Moments = self.reduce(partial(Moments.of, about_mean=about_mean))
            return moments
        survey = self._survey(about_mean, self.n_samples)
        if survey.moments.weight == 0:
            raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
        if 2 * survey.n_used < self.n_samples:  # few were drawn, as the others have no weight
            survey = self._survey(about_mean, survey.n_used)
        check_magnitude(np.full((1, 1), survey.peak, self.dtype))
        self.weight = survey.moments.weight
        self.start = survey.X, check_sample_weight(survey.sample_weight, len(survey.X), self.dtype)
        return survey.moments

    def _survey(self, about_mean: bool, n_samples: int) -> _Survey:
        survey: _Survey = self.reduce(_Survey.of, about_mean, START_SAMPLES / n_samples)
        return survey

    def log_likelihood(self, density: ScaleMixtureDensity) -> float:
        """Return the mean log-likelihood per sample, in nats."""
        statistics = self.reduce(shape_statistics, density.whitened, "", True, False)
        return float(statistics.log_likelihood / statistics.weight)

    def kept_distances(
        self, groups: ScaleGroups, start_distances: FloatArray
    ) -> KeptDistances[ScaleGroups]:
        """Return a store of distances; in memory it holds those of `start`, that is, all."""
        kept = KeptDistances(groups, self.reduce.kept_bytes)
        if self.in_memory:
            self.reduce(kept.keep, start_distances)
        return kept


def drawn(numbers: range | NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Return which samples are drawn if a ``share`` of all is wanted: at random, always the same.

    The random number is the sample's number, mixed by multiplications and shifts [1]_, so that
    workers need not agree on a seed.

    References
    ----------
    .. [1] G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA
       2014, figure 16.
    """
    if isinstance(numbers, range):
        numbers = np.arange(numbers.start, numbers.stop)
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    chosen: NDArray[np.bool_] = z < min(share, 1.0) * 2.0**64
    return chosen


@dataclass(frozen=True, eq=False)
class _Survey:
    """What is known of a chunk before EM: its moments, its peak, and some of its samples."""

    n_used: int
    """Number of samples of weight above 0."""
    moments: Moments
    peak: float
    X: FloatArray
    sample_weight: FloatArray

    @classmethod
    def of(cls, chunk: Chunk, about_mean: bool, share: float) -> _Survey:
        rows = np.flatnonzero(drawn(chunk.numbers, share))
        return cls(
            len(chunk.X),
            Moments.of(chunk, about_mean=about_mean),
            peak_of(chunk.X) if len(chunk.X) else 0.0,
            chunk.X[rows],
            chunk.unit * chunk.sample_weight[rows].astype(np.float64),
        )

    def __add__(self, other: _Survey) -> _Survey:
        return _Survey(
            self.n_used + other.n_used,
            self.moments + other.moments,
            max(self.peak, other.peak),
            np.concatenate([self.X, other.X]),
            np.concatenate([self.sample_weight, other.sample_weight]),
        )
