"""The base of all models: learning from all samples at once, from parts, and from batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import is_dask, peak_of
from fastgsm._checks import check_choice, check_positive, check_random_state
from fastgsm._progress import Progress
from fastgsm.learning.checkpoint import FitCheckpoint
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.dask import array_data
from fastgsm.learning.data import Data, warn_far_from_zero
from fastgsm.learning.em import EMIteration, FitRun, History, Monitor, check_likelihood
from fastgsm.learning.feature_names import feature_names
from fastgsm.learning.samples import check_deviations
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.models._model import Model
from fastgsm.models._save import save_model

# Exponent of the decaying step. Between 0.5 and 1 stepwise EM converges. Nearer to 1 it remembers
# the first batches, which poor parameters have judged, for longer.
DECAY = 0.6
STEPS = ("decay", "equal", "exact")


class PatchModel(Model):
    """Base of all patch priors: a density on vectors that is learned, scores and denoises.

    A new model implements what is abstract in `models._model.Model`, and is in `_registry`.
    """

    # Whether means are learned.
    _learns_means = False
    # What `partial_fit` does if no step is given.
    _default_step = "decay"
    # Statistics of a pass of exact steps that no M-step has ended yet.
    _collected: SufficientStatistics | None = None

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        callback: Callable[[EMIteration], Any] | None = None,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn the model from samples.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Samples, e.g. from `fastgsm.sample_patches`, or a table, whose column names later
            samples must have too. float32 is processed in float32 (sums in float64), everything
            else in float64. A Dask array is never held as a whole (`fastgsm.distributed.fit_dask`).
        y : None
            Ignored; for scikit-learn's pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            How much each sample counts, relative to the others; not negative.
        callback : callable, optional
            Called once in each EM iteration with an `EMIteration`. If it returns true, the fit
            ends there, without a warning, with the parameters that have this log-likelihood;
            `converged_` is then False, unless EM had just converged. With ``n_init`` above 1,
            iterations count from 1 for each start, and a fit that ends there keeps the best start
            so far. In a pipeline give it as ``gsm__callback``.
        progress : bool
            Show progress on standard error: iterations and log-likelihood.
        checkpoint : path, optional
            File that keeps the state of EM, written at most once a second. If it exists, EM
            resumes from it and reaches the same parameters as without an interruption, on the
            same machine to the bit. Samples and options must be those of that fit, except for
            `max_iter`, `tol`, `verbose` and those that only matter at the start (`random_state`,
            `warm_start`). Removed once EM has converged. A fit with ``n_init`` above 1 has none.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `callback` is not callable, or X or `sample_weight` hold anything that is no number.
        ValueError
            If X is not 2-D, holds NaN or values whose squares leave the range of its type, has too
            few or only equal samples, or if the options are out of range or permit no extent.

        After any exception, also from the callback or by Ctrl-C, the model is as it was before.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`, if the log-likelihood fell by more than rounding, or if
            Gaussians lost all their samples. Such Gaussians keep their last mean, covariance and
            scale, with weight 0, and are not started again.
        UserWarning
            If the floor `reg_covar` makes a Gaussian much wider than its samples, if a model whose
            means are 0 gets samples far from 0, or if a feature varies too little beside others.

        Examples
        --------
        >>> import fastgsm
        >>> image = fastgsm.datasets.dead_leaves((64, 64), random_state=0)
        >>> X = fastgsm.sample_patches(image, n_patches=500, random_state=0)
        >>> model = fastgsm.GSM().fit(X, callback=lambda em: em.iteration == 3)
        >>> model.n_iter_
        3
        """
        read = array_data if is_dask(X) else Data.of_samples
        data = read(X, sample_weight)
        return self._fit_data(data, callback, progress, checkpoint, feature_names(X))

    def _fit_data(
        self,
        data: Data,
        callback: Callable[[EMIteration], Any] | None,
        progress: bool,
        checkpoint: str | os.PathLike[str] | None,
        names: NDArray[np.object_] | None = None,
    ) -> Self:
        """Learn from samples, wherever they are."""
        self._check_options()
        least = max(2, getattr(self, "n_components", 1))
        if data.n_samples < least:
            raise ValueError(
                f"X has n_samples = {data.n_samples}; {self!r} needs at least {least} samples. "
                f"Draw more, or ask for fewer components."
            )
        rng = check_random_state(self.random_state)
        name = type(self).__name__
        with Progress(None, name, enabled=progress) as bar, self._all_or_nothing():
            log = None if checkpoint is None else FitCheckpoint(checkpoint)
            run = FitRun(rng, Monitor(name, self.verbose, callback, bar), log)
            with np.errstate(all="ignore"):  # the checks at the end find what is not finite
                about_mean = self._learns_means
                survey = data.survey(about_mean=about_mean, reg_covar=self.reg_covar)
                if not about_mean:
                    warn_far_from_zero(survey.X, survey.sample_weight, name)
                history = self._fit(survey, run)
            self.n_features_in_ = data.n_features
            self._set_names(names)
            self.n_samples_seen_ = survey.moments.weight
            self._collected = None
            self._note(history)
            history.warn()
        self._warn_of_the_dead()
        return self

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
        TypeError, ValueError
            If X or `sample_weight` are not real, finite numbers, or X does not fit the model or has
            samples outside of the subspace that it was first fitted to.

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
        self._check_names(X)
        if is_dask(X):
            data = array_data(X, sample_weight)
            statistics: SufficientStatistics = data.reduce(_statistics, self, self._digest())
            return statistics
        return _statistics(Chunk.of(X, sample_weight, self.n_features_in_), self, self._digest())

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
        if isinstance(step, str):
            check_choice(step, "step", STEPS)
        elif check_positive(step, "step") > 1:
            raise ValueError(
                f"step is {step:g}; wanted a share of the model above 0, up to 1, or one of "
                f"{STEPS}."
            )
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
        if step == "decay" and not self.lower_bounds_:
            raise ValueError(
                "the model's parameters were given, so it is not known how many steps they are "
                "worth, and the first would replace them; wanted another step, e.g. step=0.1."
            )
        if step == "decay":
            share = (len(self.lower_bounds_) + 1) ** -DECAY
        elif step == "equal" and self.n_samples_seen_ == 0:
            raise ValueError(
                "it is not known how many samples the model has learned from, so this batch has no "
                "known share of all; wanted another step, e.g. step=0.1."
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

    def save(self, path: str | Path) -> None:
        """Write the model to an ``.npz`` file that `fastgsm.load` reads.

        The file appears whole or not at all. It is a plain NumPy archive with a JSON header and
        no pickled objects.

        Parameters
        ----------
        path : str or path
            Must end in ``.npz``. An existing file is replaced.
        """
        self._check_fitted()
        save_model(self, path)


def _statistics(chunk: Chunk, model: PatchModel, parameters: str) -> SufficientStatistics:
    """Check a chunk, and return its statistics."""
    if len(chunk.X):
        check_deviations(peak_of(chunk.X), model._density.spread, chunk.X.dtype, "X")
        model._density.check_support(chunk.X)
    with np.errstate(all="ignore"):
        return model._statistics(chunk, parameters)
