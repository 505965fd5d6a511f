"""Fitting: from samples, wherever they are, to learned parameters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from fastgsm._arrays import is_dask
from fastgsm._checks import caller_level, check_random_state
from fastgsm._progress import Progress
from fastgsm.learning.checkpoint import FitCheckpoint
from fastgsm.learning.chunks import Moments
from fastgsm.learning.dask import array_data
from fastgsm.learning.data import Data
from fastgsm.learning.em import ConvergenceWarning, EMIteration, EMSteps, FitRun, History, run_em
from fastgsm.learning.monitor import Monitor
from fastgsm.learning.samples import (
    check_magnitude,
    check_sample_weight,
    check_samples,
    total_weight,
)
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.support import Support
from fastgsm.learning.updates import LOST
from fastgsm.models._model import Model


class FitsSamples(Model):
    """The part of a model that learns from all samples at once."""

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
            Samples, e.g. from `fastgsm.sample_patches`. float32 is processed in float32 (sums in
            float64), everything else in float64. A `dask.array.Array` is never held as a whole:
            see `fastgsm.distributed.fit_dask`.
        y : None
            Ignored; for scikit-learn's pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            How much each sample counts, relative to the others; not negative.
        callback : callable, optional
            Called once in each EM iteration with an `EMIteration`: ``iteration``,
            ``log_likelihood``, ``gain`` and ``seconds``. If it returns true, the fit ends there,
            without a warning, with the parameters that have this log-likelihood; `converged_` is
            then False, unless EM had just converged. Not an option of the model, so that ``clone``
            and files need not hold it. In a pipeline give it as ``gsm__callback``.
        progress : bool
            Show progress on standard error: iterations and log-likelihood.
        checkpoint : path, optional
            File that keeps the state of EM, written at most once a second. If it exists, EM
            resumes from it and reaches the same parameters as without an interruption, on the
            same machine to the bit. Samples and options must be those of that fit, except for
            `max_iter`, `tol`, `verbose` and those that only matter at the start (`random_state`,
            `warm_start`). Removed once EM has converged.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `callback` is not callable.
        ValueError
            If X is not 2-D, holds NaN or values whose squares leave the range of its type, or has
            too few or only equal samples, if an option of the model is out of range, or if the
            options permit Gaussians without extent.

        After any exception, also from the callback or by Ctrl-C, the model is as it was before.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`, if the log-likelihood fell by more than rounding, or if
            Gaussians lost all their samples. Such Gaussians keep their last mean, covariance and
            scale, with weight 0, and are not started again.

        Examples
        --------
        >>> import fastgsm
        >>> image = fastgsm.datasets.dead_leaves((64, 64), random_state=0)
        >>> X = fastgsm.sample_patches(image, n_patches=500, random_state=0)
        >>> model = fastgsm.GSM().fit(X, callback=lambda em: em.iteration == 3)
        >>> model.n_iter_
        3
        """
        if is_dask(X):
            data = array_data(X, sample_weight)
        else:
            X = check_samples(X)
            check_magnitude(X)
            weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
            data = Data.of_samples(X, weights, total_weight(sample_weight, X.shape[0]))
        return self._fit_data(data, callback, progress, checkpoint)

    def _check_number(self, n_samples: int) -> None:
        if n_samples < self._min_samples():
            raise ValueError(
                f"X has n_samples = {n_samples}; {self!r} needs at least {self._min_samples()} "
                f"samples. Draw more, or ask for fewer components."
            )

    def _fit_data(
        self,
        data: Data,
        callback: Callable[[EMIteration], Any] | None,
        progress: bool,
        checkpoint: str | os.PathLike[str] | None,
    ) -> Self:
        """Learn from samples, wherever they are."""
        self._check_options()
        self._check_number(data.n_samples)
        rng = check_random_state(self.random_state)
        name = type(self).__name__
        with Progress(None, name, enabled=progress) as bar, self._all_or_nothing():
            log = None if checkpoint is None else FitCheckpoint(checkpoint)
            run = FitRun(rng, Monitor(name, self.verbose, callback, bar), log)
            with np.errstate(all="ignore"):  # the checks at the end find what is not finite
                history = self._fit(data, run)
            self.n_features_in_ = data.n_features
            self.n_samples_seen_ = data.weight
            self._collected = None
            self._note(history)
        self._warn_of_the_dead()
        return self

    def _continues(self, shape: tuple[int, int], support: Support) -> bool:
        """Return whether `warm_start` has learned parameters of the sizes that are wanted now."""
        if not (self.warm_start and self.__sklearn_is_fitted__()):
            return False
        learned = self._arrays()
        sizes = learned["weights"].shape, learned["eigenvectors"].shape[-2:]
        return sizes == (shape, support.basis.shape)

    def _run_em(self, steps: EMSteps, run: FitRun, moments: Moments, data: Data) -> History:
        name, checkpoint = type(self).__name__, run.checkpoint
        if checkpoint is not None:
            options = self.get_params()
            checkpoint.belongs_to(name, options, moments, steps.state, in_memory=data.in_memory)
        history = run_em(
            steps,
            tol=self.tol,
            max_iter=self.max_iter,
            monitor=run.monitor,
            name=name,
            checkpoint=checkpoint,
        )
        if checkpoint is not None and history.converged:
            checkpoint.remove()
        return history

    def _warn_of_the_dead(self) -> None:
        weights = self._arrays()["weights"]
        n_dead = np.count_nonzero(weights < LOST)
        if n_dead:
            warnings.warn(
                f"{n_dead} of the {weights.size} Gaussians of {type(self).__name__} lost all their "
                f"samples and have weight 0. They cost time and explain nothing: ask for fewer, or "
                f"start from other values or another random_state.",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
