"""Learning from parts of the data: statistics that add, and steps from batch to batch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fastgsm._arrays import is_dask, peak_of
from fastgsm._checks import check_choice, check_positive
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.dask import array_data
from fastgsm.learning.em import History, check_likelihood
from fastgsm.learning.samples import check_deviations
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.models._fitted import FitsSamples

# Exponent of the decaying step. Between 0.5 and 1 stepwise EM converges. Nearer to 1 it remembers
# the first batches, which poor parameters have judged, for longer.
DECAY = 0.6
STEPS = ("decay", "equal", "exact")


class LearnsByParts(FitsSamples):
    """The part of a model that learns from statistics of parts of the data."""

    # What `partial_fit` does if no step is given.
    _default_step = "decay"

    def sufficient_statistics(self, X: Any, sample_weight: Any = None) -> SufficientStatistics:
        """Do the E-step: return everything EM needs from the samples, as sums that add.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Any number of samples, processed in blocks, or on Dask by the workers.
        sample_weight : array_like of shape (n_samples,), optional
            How much each sample counts; not negative. All parts must use the same units.

        Returns
        -------
        statistics : SufficientStatistics
            Statistics of several parts of the data add with ``+``; `m_step` needs their sum.

        Raises
        ------
        NotFittedError
            If the model has no parameters yet: fit it to some of the data first.
        ValueError
            If X does not fit the model, or has samples outside of the subspace that it was first
            fitted to.

        Examples
        --------
        EM on data in two parts, as if they were together:

        >>> import fastgsm
        >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
        >>> X = fastgsm.sample_patches(image, n_patches=4000, random_state=0)
        >>> model = fastgsm.GMM(n_components=3, random_state=0, tol=1.0).fit(X[:2000])
        >>> for _ in range(3):
        ...     parts = [model.sufficient_statistics(part) for part in (X[:2500], X[2500:])]
        ...     model = model.m_step(parts[0] + parts[1])
        >>> bool(model.lower_bounds_[-1] > model.lower_bounds_[-2])
        True
        """
        self._check_fitted()
        if is_dask(X):
            sums = array_data(X, sample_weight).reduce
            statistics: SufficientStatistics = sums(_chunk_statistics, self, self._digest())
            return statistics
        chunk = Chunk.of(X, sample_weight, self.n_features_in_)
        return self._checked_statistics(chunk, self._digest())

    def _checked_statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        if len(chunk.X):
            check_deviations(peak_of(chunk.X), self._spread, chunk.X.dtype, "X")
            self._check_support(chunk.X)
        with np.errstate(all="ignore"):
            return self._statistics(chunk, parameters)

    def m_step(self, statistics: SufficientStatistics | None = None) -> Self:
        """Set the parameters that are most likely given statistics.

        Alternating with `sufficient_statistics` of all of the data, this is EM, whose likelihood
        does not fall; for a `GSM` and an `ICA` from the second such step on, as the first sets the
        covariance of the data. In a `MoGSM`, each shape has either its scales or its covariance
        updated, whichever gains more; its `fit` updates both, in two E-steps.

        Parameters
        ----------
        statistics : SufficientStatistics, optional
            From this model with its current parameters. By default those that ``partial_fit(...,
            step="exact")`` has collected since the last M-step.

        Returns
        -------
        self
            Its `lower_bounds_` has one more value: the mean log-likelihood of the samples under the
            previous parameters.

        Raises
        ------
        ValueError
            If there are no statistics, if they belong to other parameters or to no samples, if
            others are collected, or if they do not lead to a density. The model is then as it was.
        """
        self._check_fitted()
        if statistics is None:
            statistics = self._collected
        elif self._collected is not None:
            raise ValueError(
                "statistics are given, but exact steps of partial_fit have collected others; call "
                "m_step() for those first."
            )
        if statistics is not None and not isinstance(statistics, SufficientStatistics):
            raise TypeError(
                f"statistics is a {type(statistics).__name__}; wanted SufficientStatistics, as "
                f"sufficient_statistics returns them."
            )
        if statistics is None or statistics.weight == 0:
            raise ValueError(
                "there are no statistics of samples; wanted those of sufficient_statistics, or "
                "calls of partial_fit(X, step='exact') first."
            )
        if statistics.parameters != self._digest():
            raise ValueError(
                "the statistics belong to other parameters than the model has now; wanted those "
                "that its sufficient_statistics returns after the last M-step."
            )
        if statistics.products is None:
            raise ValueError("the statistics have no products; wanted those of all parts.")
        with self._all_or_nothing():
            self._step(statistics, statistics)
            self.n_samples_seen_ = statistics.weight
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        step: float | str | None = None,
    ) -> Self:
        """Learn from one more batch of samples, and keep what was learned before (stepwise EM).

        If the model was not fitted before, this is a `fit` to the batch, which should be large and
        varied.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            A batch. The larger and the more mixed, the better; several thousand samples for each
            of the model's shapes are worth it.
        y : None
            Ignored; for scikit-learn's pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            How much each sample counts; not negative.
        step : {"decay", "equal", "exact"} or float, optional
            Share of the batch in the new model:

            - "decay" (the default of all models except `MVN`): ``(n + 1)**-0.6`` after n steps,
              those of `fit` included, so that the model forgets the early batches, which poor
              parameters have judged;
            - "equal" (the default of `MVN`, for which it is exact): the batch's share of all
              samples so far;
            - a number above 0, up to 1;
            - "exact": 0 for now, and nothing that `save` would keep. The batch's statistics are
              added to those of the batches before, all with the same parameters. `m_step` ends the
              pass: one iteration of EM on all batches, however many.

        Returns
        -------
        self
            `lower_bounds_` has one more value, except for "exact": the batch's mean log-likelihood
            under the previous parameters.

        Raises
        ------
        TypeError, ValueError
            If X does not fit the model, `step` is none of these, or a pass of exact steps has not
            ended; if the model was not fitted, as for `fit`. The model is then as it was before.

        References
        ----------
        .. [1] O. Cappe and E. Moulines, "On-line expectation-maximization algorithm for latent data
           models", J. Royal Statistical Society B 71(3), 2009.
        .. [2] P. Liang and D. Klein, "Online EM for unsupervised models", NAACL 2009.

        Examples
        --------
        >>> import fastgsm
        >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
        >>> model = fastgsm.GSM(n_scales=4)
        >>> for seed in range(5):
        ...     X = fastgsm.sample_patches(image, n_patches=1000, random_state=seed)
        ...     model = model.partial_fit(X)
        >>> model.n_samples_seen_
        5000.0
        """
        with self._all_or_nothing():
            self._partial_fit(X, sample_weight, self._default_step if step is None else step)
        return self

    def _partial_fit(self, X: Any, sample_weight: Any, step: float | str) -> None:
        check_step(step)
        if self._collected is not None and step != "exact":
            raise ValueError(
                f"step is {step!r}, but a pass of exact steps has not ended; call m_step first."
            )
        if not hasattr(self, "n_features_in_"):
            self.fit(X, sample_weight=sample_weight)
            if step != "exact":
                return
        statistics = self.sufficient_statistics(X, sample_weight)
        if statistics.weight == 0:
            raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
        if step == "exact":
            held = self._collected
            self._collected = statistics if held is None else held + statistics
            return
        seen = self.n_samples_seen_ + statistics.weight
        if step == "decay":
            share = (len(self.lower_bounds_) + 1) ** -DECAY
        elif step == "equal" and self.n_samples_seen_ == 0:
            raise ValueError(
                "the model's file does not say how many samples it has learned from, so this batch "
                "has no known share of all; wanted another step, e.g. step=0.1."
            )
        elif step == "equal":
            share = statistics.weight / seen
        else:
            share = float(step)
        batch = statistics.times(share / statistics.weight)
        blend = batch if share == 1 else self._own_statistics().times(1 - share) + batch
        self._step(blend, statistics)
        self.n_samples_seen_ = seen

    def _step(self, statistics: SufficientStatistics, batch: SufficientStatistics) -> None:
        """Do an M-step, and record the likelihood of the samples that led to it."""
        log_likelihood = batch.log_likelihood / batch.weight
        check_likelihood(log_likelihood, type(self).__name__, len(self.lower_bounds_) + 1)
        with np.errstate(all="ignore"):
            self._take(statistics, blended=statistics is not batch)
        self._note(History([*self.lower_bounds_, log_likelihood], False))
        self._collected = None


def _chunk_statistics(chunk: Chunk, model: LearnsByParts, parameters: str) -> SufficientStatistics:
    """Check a chunk, and return its statistics."""
    return model._checked_statistics(chunk, parameters)


def check_step(step: Any) -> None:
    """Raise unless ``step`` is one that `partial_fit` knows."""
    if isinstance(step, str):
        check_choice(step, "step", STEPS)
    elif check_positive(step, "step") > 1:
        raise ValueError(
            f"step is {step:g}; wanted a share of the model above 0, up to 1, or one of {STEPS}."
        )
