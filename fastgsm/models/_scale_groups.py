"""Base of the models that learn weights and scales on the covariance of the samples."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from fastgsm._checks import check_choice, check_integer
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk, KeptDistances
from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleGroups, ScaleMixtureDensity
from fastgsm.learning.em import FitRun, History
from fastgsm.learning.start import check_distinct, initial_scales, row_weights
from fastgsm.learning.statistics import (
    SufficientStatistics,
    expected_statistics,
    group_statistics,
)
from fastgsm.learning.steps import ScaleSteps
from fastgsm.learning.updates import updated_groups
from fastgsm.models._base import PatchModel


@dataclass(eq=False, repr=False)
class ScaleGroupModel(PatchModel):
    """A model of G groups of J scales each, whose covariance is that of the samples.

    A GSM has one group, the whole support. An ICA has one group for each principal axis.
    """

    n_scales: int = 6
    _: KW_ONLY
    tol: float = 1e-5
    max_iter: int = 1000
    init_params: str = "quantiles"
    weights_init: Any = None
    scales_init: Any = None

    @property
    @abstractmethod
    def _learned(self) -> tuple[ScaleMixtureDensity, FloatArray, FloatArray]:
        """The Gaussian of the samples, and weights and scales (G, J)."""

    @abstractmethod
    def _learn_groups(
        self, gaussian: ScaleMixtureDensity, weights: FloatArray, scales: FloatArray
    ) -> None:
        """Set what was learned, or raise ValueError if it is not a density."""

    def _check_options(self) -> None:
        super()._check_options()
        check_integer(self.n_scales, "n_scales")
        check_choice(self.init_params, "init_params", ("quantiles", "random"))

    def _fit(self, data: Survey, run: FitRun) -> History:
        groups = ScaleGroups(data.gaussian, self.separable)
        distances = groups.distances(data.X)
        shape = groups.n_groups, self.n_scales
        if self._continues(shape, data.support):
            _, weights, scales = self._learned
        else:
            weights = row_weights(self.weights_init, shape)
            scales = initial_scales(
                self.scales_init,
                distances if self.separable else distances / groups.dimension,
                data.sample_weight,
                shape,
                self.init_params,
                run.rng,
                self.reg_covar,
            )
            for row in scales:
                check_distinct(row, "scales")
        kept = KeptDistances(groups, data.reduce.kept_bytes)
        if data.whole:  # the distances of all samples are known
            data.reduce(kept.keep, distances)
        del distances
        steps = ScaleSteps(data.reduce, kept, weights, scales, self.reg_covar)
        history = self._run_em(steps, run, data)
        self._learn_groups(data.gaussian, steps.weights, steps.scales)
        self._warn_of_lifts(np.array([data.lift]))
        return history

    def _groups(self) -> ScaleGroups:
        return ScaleGroups(self._learned[0], self.separable)

    def _statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        _, weights, scales = self._learned
        kept = KeptDistances(self._groups())
        return group_statistics(chunk, weights, scales, parameters, kept=kept, moments=True)

    def _own_statistics(self) -> SufficientStatistics:
        gaussian, weights, scales = self._learned
        distances = self._groups().dimension * weights * scales
        return expected_statistics(gaussian, weights, distances, self._digest())

    def _take(self, statistics: SufficientStatistics, blended: bool = False) -> None:
        _, _, scales = self._learned
        gaussian, weights, scales, lift = updated_groups(
            self._groups(), statistics, scales, self.reg_covar
        )
        self._learn_groups(gaussian, weights, scales)
        self._warn_of_lifts(np.array([lift]))
