"""Base of the models that learn weights and scales on the covariance of the samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from fastgsm._checks import check_choice, check_integer
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.data import Data
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.e_steps import group_statistics
from fastgsm.learning.em import FitRun, History
from fastgsm.learning.scale_groups import ScaleGroups
from fastgsm.learning.start import check_distinct, gaussian_of, initial_scales, row_weights
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.steps import ScaleSteps
from fastgsm.learning.updates import updated_groups
from fastgsm.models._base import PatchModel


class ScaleGroupModel(PatchModel):
    """A model of G groups of J scales each, whose covariance is that of the samples.

    A GSM has one group, the whole support. An ICA has one group for each principal axis.
    """

    n_scales: int
    init_params: str
    weights_init: Any
    scales_init: Any

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

    def _fit(self, data: Data, run: FitRun) -> History:
        moments = data.moments(about_mean=False)
        gaussian, support = gaussian_of(moments, data.dtype, self.reg_covar)
        groups = ScaleGroups(gaussian, self.separable)
        X, sample_weight = data.start
        distances = groups.distances(X)
        if self._continues((groups.n_groups, self.n_scales), support):
            _, weights, scales = self._learned
        else:
            weights, scales = self._start(groups, distances, sample_weight, run.rng)
        kept = data.kept_distances(groups, distances)
        del distances
        steps = ScaleSteps(data.reduce, kept, weights, scales, self.reg_covar)
        history = self._run_em(steps, run, moments, data)
        self._learn_groups(gaussian, steps.weights, steps.scales)
        return history

    def _start(
        self,
        groups: ScaleGroups,
        distances: FloatArray,
        sample_weight: FloatArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the weights and scales that EM starts from."""
        shape = groups.n_groups, self.n_scales
        weights = row_weights(self.weights_init, shape)
        scales = initial_scales(
            self.scales_init,
            distances if self.separable else distances / groups.dimension,
            sample_weight,
            shape,
            self.init_params,
            rng,
            self.reg_covar,
        )
        for row in scales:
            check_distinct(row, "scales")
        return weights, scales

    def _groups(self) -> ScaleGroups:
        return ScaleGroups(self._learned[0], self.separable)

    def _statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        _, weights, scales = self._learned
        return group_statistics(chunk, self._groups(), weights, scales, parameters, moments=True)

    def _own_statistics(self) -> SufficientStatistics:
        gaussian, weights, scales = self._learned
        return SufficientStatistics(
            self._digest(),
            n_samples=0,
            weight=1.0,
            log_likelihood=0.0,
            counts=weights,
            distances=self._groups().dimension * weights * scales,
            sums=np.zeros_like(gaussian.means),
            products=gaussian.covariances,
        )

    def _take(self, statistics: SufficientStatistics, blended: bool = False) -> None:
        _, _, scales = self._learned
        self._learn_groups(*updated_groups(self._groups(), statistics, scales, self.reg_covar))
