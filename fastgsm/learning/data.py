"""Where the samples are that a model is fitted to: in memory, or in chunks that others look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import peak_of
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, Moments, Reduction
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.samples import check_magnitude, check_sample_weight
from fastgsm.learning.statistics import (
    KeptDistances,
    ScaleGroups,
    kept_group_statistics,
    shape_statistics,
)
from fastgsm.learning.steps import ScaleSteps, ShapeSteps, StatisticsSteps
from fastgsm.learning.sums import weighted_mean
from fastgsm.learning.support import Support

# About how many samples EM on chunks starts from: drawn from all of them, and held.
START_SAMPLES = 100_000


class Data(ABC):
    """Samples, as the models' fits see them.

    Attributes
    ----------
    n_samples, n_features : int
    weight : float
        Sum of the samples' weights, as they were given.
    dtype : numpy.dtype
        float32 or float64.
    """

    n_samples: int
    n_features: int
    weight: float
    dtype: np.dtype[Any]

    @abstractmethod
    def moments(self, *, about_mean: bool) -> Moments:
        """Moments of all samples; wanted before anything else."""

    @property
    @abstractmethod
    def start(self) -> tuple[FloatArray, FloatArray]:
        """Samples and weights that EM's starting values are taken from."""

    @abstractmethod
    def log_likelihood(self, density: ScaleMixtureDensity) -> float:
        """Mean log-likelihood per sample, in nats."""

    @abstractmethod
    def scale_steps(
        self,
        groups: ScaleGroups,
        start_distances: FloatArray,
        weights: FloatArray,
        scales: FloatArray,
        floor: float,
    ) -> ScaleSteps:
        """EM on weights and scales; ``start_distances`` are those of the samples in `start`."""

    @abstractmethod
    def shape_steps(
        self,
        start: ScaleMixtureDensity,
        support: Support,
        floor: float,
        *,
        fit_means: bool = False,
        fit_scales: bool = False,
    ) -> ShapeSteps | StatisticsSteps:
        """EM on all parameters."""


class Samples(Data):
    """Samples in memory; the weights in ``sample_weight`` have mean 1."""

    def __init__(self, X: FloatArray, sample_weight: FloatArray, weight: float) -> None:
        self.weight = weight
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self._X, self._sample_weight = X, sample_weight

    def moments(self, *, about_mean: bool) -> Moments:
        everything = Chunk(self._X, self._sample_weight, 1.0, np.arange(self.n_samples))
        return Moments.of(everything, about_mean=about_mean)

    @property
    def start(self) -> tuple[FloatArray, FloatArray]:
        return self._X, self._sample_weight

    def log_likelihood(self, density: ScaleMixtureDensity) -> float:
        X, weights = self.start
        used = weights > 0  # the others may well lie outside of the support
        if not used.all():
            X, weights = X[used], weights[used]
        return weighted_mean(density.score_samples(X), weights)

    def scale_steps(
        self,
        groups: ScaleGroups,
        start_distances: FloatArray,
        weights: FloatArray,
        scales: FloatArray,
        floor: float,
    ) -> ScaleSteps:
        total = float(self._sample_weight.sum(dtype=np.float64))
        sums = partial(groups.sums, start_distances, self._sample_weight)
        return ScaleSteps(sums, total, groups.dimension, weights, scales, floor)

    def shape_steps(
        self,
        start: ScaleMixtureDensity,
        support: Support,
        floor: float,
        *,
        fit_means: bool = False,
        fit_scales: bool = False,
    ) -> ShapeSteps:
        return ShapeSteps(
            self._X,
            self._sample_weight,
            start,
            support,
            fit_means=fit_means,
            fit_scales=fit_scales,
            floor=floor,
        )


class Chunks(Data):
    """Samples in chunks, of which only sums are seen here.

    Parameters
    ----------
    n_samples, n_features, dtype
        Of all chunks together.
    reduce : Reduction
        Of `Chunk` objects.
    """

    def __init__(self, n_samples: int, n_features: int, dtype: Any, reduce: Reduction) -> None:
        self.n_samples, self.n_features, self.dtype = n_samples, n_features, np.dtype(dtype)
        self._reduce = reduce

    def moments(self, *, about_mean: bool) -> Moments:
        survey = self._reduce(_Survey.of, about_mean, START_SAMPLES / self.n_samples)
        if survey.moments.weight == 0:
            raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
        if 2 * survey.n_used < self.n_samples:  # few were drawn: the others have no weight
            survey = self._reduce(_Survey.of, about_mean, START_SAMPLES / survey.n_used)
        check_magnitude(np.full((1, 1), survey.peak, self.dtype))
        self.weight = survey.moments.weight
        self._start = survey.X, check_sample_weight(survey.sample_weight, len(survey.X), self.dtype)
        moments: Moments = survey.moments
        return moments

    @property
    def start(self) -> tuple[FloatArray, FloatArray]:
        return self._start

    def log_likelihood(self, density: ScaleMixtureDensity) -> float:
        _ = density.whiteners  # here, not by every worker
        statistics = self._reduce(shape_statistics, density, "", True, False)
        return float(statistics.log_likelihood / statistics.weight)

    def scale_steps(
        self,
        groups: ScaleGroups,
        start_distances: FloatArray,
        weights: FloatArray,
        scales: FloatArray,
        floor: float,
    ) -> ScaleSteps:
        _ = groups.gaussian.whiteners  # here, not by every worker
        kept = self._reduce.share(KeptDistances(groups))

        def sums(weights: FloatArray, scales: FloatArray) -> tuple[float, FloatArray, FloatArray]:
            statistics = self._reduce(kept_group_statistics, weights, scales, kept=kept)
            return statistics.log_likelihood, statistics.counts, statistics.distances

        return ScaleSteps(sums, self.weight, groups.dimension, weights, scales, floor)

    def shape_steps(
        self,
        start: ScaleMixtureDensity,
        support: Support,
        floor: float,
        *,
        fit_means: bool = False,
        fit_scales: bool = False,
    ) -> StatisticsSteps:
        return StatisticsSteps(
            self._reduce, start, support, floor, fit_means=fit_means, fit_scales=fit_scales
        )


def drawn(numbers: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Say which samples are drawn where a ``share`` of all is wanted: by chance, always the same.

    The chance is the number, mixed by multiplications and shifts [1]_, so that those who look at
    the samples need not agree on them.

    References
    ----------
    .. [1] G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA
       2014, figure 16.
    """
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    chosen: NDArray[np.bool_] = z < min(share, 1.0) * 2.0**64
    return chosen


@dataclass(frozen=True, eq=False)
class _Survey:
    """What is looked at before EM: the moments of a chunk, its peak, and some of its samples."""

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
