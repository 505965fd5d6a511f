"""What every model shares: scikit-learn's conventions, without importing scikit-learn."""

from __future__ import annotations

import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from fastgsm._arrays import is_dask, peak_of
from fastgsm._checks import caller_level, check_integer, check_nonnegative, check_random_state
from fastgsm._estimator import Estimator
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.learning.checkpoint import FitCheckpoint
from fastgsm.learning.chunks import Moments
from fastgsm.learning.data import Data, Samples
from fastgsm.learning.em import ConvergenceWarning, History, run_em
from fastgsm.learning.monitor import EMIteration, FitRun, Monitor
from fastgsm.learning.samples import (
    check_deviations,
    check_magnitude,
    check_sample_weight,
    check_samples,
    total_weight,
)
from fastgsm.learning.steps import EMSteps
from fastgsm.learning.support import Support
from fastgsm.learning.updates import LOST
from fastgsm.models._by_parts import LearnsByParts


class NotFittedError(ValueError, AttributeError):
    """A model was used before `fit`."""


class PatchModel(Estimator, LearnsByParts, ABC):
    """Base of all patch priors: a density on vectors that can be learned, scored and denoised with.

    Subclasses implement `_fit`, which sets what is learned.
    """

    tol: float
    max_iter: int
    reg_covar: float
    verbose: int
    warm_start: bool
    random_state: Any

    # --- scikit-learn's conventions -------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise _not_fitted_error()(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
                f"appropriate arguments before using this estimator."
            )

    # --- learning -------------------------------------------------------------------------

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
            Samples, e.g. from `fastgsm.sample_patches`. float32 is learned from in float32 (sums
            in float64), everything else in float64. A `dask.array.Array` is never held as a whole:
            see `fastgsm.distributed.fit_dask`.
        y : None
            Ignored; there for scikit-learn's pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            How much each sample counts, relative to the others; not negative.
        callback : callable, optional
            Called once in each EM iteration with an `EMIteration`: ``iteration``,
            ``log_likelihood``, ``gain`` and ``seconds``. If it returns true, the fit ends there,
            without a warning, with the parameters that have this log-likelihood; `converged_` is
            then False, unless EM had just converged. No option of the model, which stays clean for
            ``clone`` and for files; in a pipeline give it as ``gsm__callback``.
        progress : bool
            Show progress on standard error: iterations and log-likelihood.
        checkpoint : path, optional
            File to keep the state of EM in, at most once a second. If it exists, EM goes on from
            it, to the same parameters as without an interruption, on the same machine to the bit;
            samples and options have to be those of that fit, but for `max_iter`, `tol`, `verbose`
            and what counts at the start alone (`random_state`, `warm_start`). Removed once EM has
            converged.

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

        Whatever is raised, by the callback too or by Ctrl-C, the model is then as it was before.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`, if the log-likelihood fell by more than rounding, or if
            Gaussians lost all their samples. Those keep their last mean, covariance and scale,
            with weight 0, and are not started anew.

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
            from fastgsm.distributed import fit_dask

            return fit_dask(
                self, X, sample_weight, callback=callback, progress=progress, checkpoint=checkpoint
            )
        return self._fit_data(self._checked_data(X, sample_weight), callback, progress, checkpoint)

    def _checked_data(self, X: Any, sample_weight: Any) -> Samples:
        self._check_options()
        X = check_samples(X)
        check_magnitude(X)
        self._check_number(X.shape[0])
        weights = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        return Samples(X, weights, total_weight(sample_weight, X.shape[0]))

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
        """Learn from checked samples, wherever they are."""
        rng = check_random_state(self.random_state)
        name = type(self).__name__
        with Progress(None, name, enabled=progress) as bar, self._all_or_nothing():
            log = None if checkpoint is None else FitCheckpoint(checkpoint)
            run = FitRun(rng, Monitor(name, self.verbose, callback, bar), log)
            with np.errstate(all="ignore"):  # what is not finite is found by the checks at the end
                history = self._fit(data, run)
            self.n_features_in_ = data.n_features
            self.n_samples_seen_ = data.weight
            self._collected = None
            self._note(history)
        self._warn_of_the_dead()
        return self

    def _note(self, history: History) -> None:
        self.lower_bounds_ = history.lower_bounds
        self.lower_bound_ = history.lower_bounds[-1]
        self.n_iter_ = len(history.lower_bounds)
        self.converged_ = history.converged

    @abstractmethod
    def _fit(self, data: Data, run: FitRun) -> History:
        """Learn from checked samples."""

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

    def _continues(self, shape: tuple[int, int], support: Support) -> bool:
        """Whether `warm_start` has learned parameters of the sizes that are wanted now."""
        if not (self.warm_start and self.__sklearn_is_fitted__()):
            return False
        learned = self._arrays()
        sizes = learned["weights"].shape, learned["eigenvectors"].shape[-2:]
        return sizes == (shape, support.basis.shape)

    def _run_em(self, steps: EMSteps, run: FitRun, moments: Moments) -> History:
        name, checkpoint = type(self).__name__, run.checkpoint
        if checkpoint is not None:
            checkpoint.belongs_to(name, self.get_params(), moments, steps.state)
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

    def _check_options(self) -> None:
        """Raise unless the options are valid, as far as this can be said without samples."""
        check_nonnegative(self.tol, "tol")
        check_integer(self.max_iter, "max_iter")
        if check_nonnegative(self.reg_covar, "reg_covar") > 1:
            raise ValueError(
                f"reg_covar is {self.reg_covar:g}; wanted at most 1: it is a fraction of the mean "
                f"variance."
            )

    def _min_samples(self) -> int:
        return 2

    # --- what a learned density is good for -----------------------------------------------

    @abstractmethod
    def score_samples(self, X: Any) -> FloatArray:
        """Give the log-likelihood of every sample.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats.
        """

    @abstractmethod
    def predict_proba(self, X: Any) -> FloatArray:
        """Give the responsibilities: the posterior probability of every Gaussian."""

    @abstractmethod
    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[FloatArray, Any]:
        """Draw samples from the model, with the Gaussian that each came from."""

    @abstractmethod
    def denoise_patches(self, Y: Any, sigma: float, return_std: bool = False) -> Any:
        """Give the posterior mean of noisy patches."""

    def _checked(self, X: Any, name: str = "X") -> FloatArray:
        """Check samples that are to be scored or denoised."""
        self._check_fitted()
        X = check_samples(X, self.n_features_in_, name)
        check_deviations(peak_of(X), self._spread, X.dtype, name)
        return X

    def _checked_sigma(self, sigma: Any, dtype: Any) -> float:
        """Check the noise of patches of type ``dtype``."""
        sigma = check_nonnegative(sigma, "sigma")
        check_deviations(sigma, self._spread, dtype, "sigma")
        return sigma

    @property
    @abstractmethod
    def _spread(self) -> float:
        """Standard deviation of a feature, over all that vary."""

    def _no_density(self, error: ValueError) -> ValueError:
        """Give the error of a fit whose parameters are no density."""
        return ValueError(
            f"{self!r} cannot learn a density from X: {error}. Raise reg_covar, which is "
            f"{self.reg_covar:g}, ask for fewer components, or use float64."
        )

    @property
    @abstractmethod
    def n_parameters_(self) -> int:
        """Number of free parameters."""

    def score(self, X: Any, y: Any = None) -> float:
        """Give the mean log-likelihood per sample, in nats.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        y : None
            Ignored.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def bic(self, X: Any) -> float:
        """Give the Bayesian information criterion on X; lower is better."""
        n = check_samples(X).shape[0]
        return -2 * n * self.score(X) + self.n_parameters_ * float(np.log(n))

    def aic(self, X: Any) -> float:
        """Give Akaike's information criterion on X; lower is better."""
        n = check_samples(X).shape[0]
        return -2 * n * self.score(X) + 2 * self.n_parameters_

    def save(self, path: str | Path) -> None:
        """Write the model to an ``.npz`` file that `fastgsm.load` reads.

        The file appears whole or not at all. It is a plain NumPy archive with a JSON header and
        no pickled objects.

        Parameters
        ----------
        path : str or path
            Must end in ``.npz``. An existing file is replaced.
        """
        from fastgsm.models._load import save_model

        self._check_fitted()
        save_model(self, path)

    @abstractmethod
    def _arrays(self) -> dict[str, FloatArray]:
        """What `save` stores, by name."""

    @abstractmethod
    def _set_arrays(self, arrays: dict[str, FloatArray]) -> None:
        """Take over what `_arrays` gave; raise ValueError if it is not a model of this class."""


def _not_fitted_error() -> type[NotFittedError]:
    """Give the error that scikit-learn's own `except NotFittedError` catches too, if loaded."""
    if "sklearn.exceptions" not in sys.modules:
        return NotFittedError
    theirs = sys.modules["sklearn.exceptions"].NotFittedError
    return type("NotFittedError", (NotFittedError, theirs), {})
