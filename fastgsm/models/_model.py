"""The contract of a model: what each model gives, and what all of them need to keep it."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import peak_of
from fastgsm._checks import caller_level, check_integer, check_nonnegative, check_random_state
from fastgsm._estimator import Estimator
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity, in_blocks
from fastgsm.learning.em import ConvergenceWarning, EMSteps, FitRun, History, run_em
from fastgsm.learning.feature_names import check_feature_names
from fastgsm.learning.samples import check_deviations, check_samples
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.support import Support
from fastgsm.learning.updates import LOST, warn_of_lifts


class NotFittedError(ValueError, AttributeError):
    """A model was used before `fit`."""


@dataclass(eq=False, repr=False, kw_only=True)
class ModelOptions(Estimator):
    """The options of every model, and their defaults unless the model has its own."""

    tol: float = 1e-3
    max_iter: int = 100
    reg_covar: float = 1e-6
    random_state: Any = None
    warm_start: bool = False
    verbose: int = 0


class Model(ModelOptions, ABC):
    """A density whose options are attributes, and whose learned parameters are arrays."""

    # Set by every fit.
    _density: ScaleMixtureDensity  # of an ICA, the Gaussian of the same covariance
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]  # only if X had names
    n_samples_seen_: float
    lower_bounds_: list[float]
    lower_bound_: float
    n_iter_: int
    converged_: bool

    # Names of the arrays that `_arrays` returns.
    array_names = frozenset({"weights", "scales", "means", "eigenvalues", "eigenvectors"})
    # Whether each principal axis has a mixture of its own; otherwise whole patches have shapes.
    separable = False

    # --- what each model gives --------------------------------------------------------------

    @abstractmethod
    def predict_proba(self, X: Any) -> FloatArray:
        """Return the responsibilities: the posterior probability of every Gaussian."""

    @abstractmethod
    def _posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the responsibilities and the log-likelihoods (n,) of checked samples (n, d)."""

    @abstractmethod
    def _drawn(self, n_samples: int, rng: np.random.Generator) -> tuple[FloatArray, Any]:
        """Return samples drawn from the model, and the Gaussian that each came from."""

    @abstractmethod
    def _denoised(self, Y: FloatArray, sigma: float, return_std: bool) -> Any:
        """Denoise checked patches of a noise level above 0."""

    @property
    @abstractmethod
    def n_parameters_(self) -> int:
        """Number of free parameters."""

    def _check_options(self) -> None:
        """Raise unless the options are valid, as far as that is known without samples."""
        check_nonnegative(self.tol, "tol")
        check_integer(self.max_iter, "max_iter")
        if check_nonnegative(self.reg_covar, "reg_covar") > 1:
            raise ValueError(
                f"reg_covar is {self.reg_covar:g}; wanted at most 1: it is a fraction of variances."
            )

    @abstractmethod
    def _fit(self, data: Survey, run: FitRun) -> History:
        """Learn from checked samples."""

    @abstractmethod
    def _statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        """Return the statistics of the E-step on a chunk."""

    @abstractmethod
    def _own_statistics(self) -> SufficientStatistics:
        """Return statistics of weight 1 from which an M-step would give the same parameters."""

    @abstractmethod
    def _take(self, statistics: SufficientStatistics, blended: bool = False) -> None:
        """Do the M-step; ``blended`` statistics are mostly the model's own."""

    @abstractmethod
    def _arrays(self) -> dict[str, FloatArray]:
        """Return the learned parameters by name, as files hold them."""

    @abstractmethod
    def _set_arrays(self, arrays: dict[str, FloatArray]) -> None:
        """Set the learned parameters; raise ValueError unless they fit the class and options."""

    # --- scikit-learn's conventions ---------------------------------------------------------

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
            raise not_fitted_error()(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
                f"appropriate arguments before using this estimator."
            )

    # --- what all models share --------------------------------------------------------------

    def _copy_of(self, name: str) -> FloatArray:
        """Return a copy of a learned array, so that no change to it reaches the model."""
        self._check_fitted()
        return self._arrays()[name].copy()

    @property
    def eigenvalues_(self) -> FloatArray:
        """Eigenvalues on the support, descending: (K, rank), or (rank,) for an ICA."""
        return self._copy_of("eigenvalues")

    @property
    def eigenvectors_(self) -> FloatArray:
        """Eigenvectors as columns: (K, d, rank), or (d, rank) for an ICA."""
        return self._copy_of("eigenvectors")

    @property
    def means_(self) -> FloatArray:
        """Means of the shapes, (K, d); zero, (1, d), for an ICA."""
        self._check_fitted()
        return self._density.means.copy()

    @property
    def covariances_(self) -> FloatArray:
        """Covariances of the shapes, (K, d, d); the data's second moment, (1, d, d), for an ICA."""
        self._check_fitted()
        return self._density.covariances.copy()

    def score_samples(self, X: Any) -> FloatArray:
        """Return the log-likelihood of every sample.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats, with respect to the volume of the support: the subspace that the training
            data span. -inf, with a warning, for samples outside of it.

        Raises
        ------
        NotFittedError
            If the model has no parameters yet.
        TypeError, ValueError
            If X is not an array of real, finite numbers, or does not fit the model.
        """
        X = self._checked(X)
        blocks = [self._posterior(part)[1] for part in in_blocks(X)]
        return self._density.without_density_off_support(X, np.concatenate(blocks))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood per sample, in nats.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        y : None
            Ignored.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion on X; lower is better."""
        n = check_samples(X).shape[0]
        return -2 * n * self.score(X) + self.n_parameters_ * float(np.log(n))

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion on X; lower is better."""
        n = check_samples(X).shape[0]
        return -2 * n * self.score(X) + 2 * self.n_parameters_

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[FloatArray, Any]:
        """Draw samples from the model.

        Parameters
        ----------
        n_samples : int
        random_state : None, int, numpy.random.Generator or numpy.random.RandomState

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        labels : ndarray of shape (n_samples,), or (n_samples, rank) for an ICA
            The Gaussian that each sample, or each of its coordinates, came from, as in `predict`.
        """
        self._check_fitted()
        n_samples = check_integer(n_samples, "n_samples")
        return self._drawn(n_samples, check_random_state(random_state))

    def denoise_patches(self, Y: Any, sigma: float, return_std: bool = False) -> Any:
        """Return the posterior mean of patches seen through white Gaussian noise.

        Every Gaussian's Wiener filter, blended by the responsibilities under the noise.

        Parameters
        ----------
        Y : array_like of shape (n_patches, n_features)
            Noisy patches, centred as the training data were.
        sigma : float
            Standard deviation of the noise, in the units of Y.
        return_std : bool
            Also return the posterior standard deviation of every pixel. Costs a rotation for each
            Gaussian of a mixture.

        Returns
        -------
        X : ndarray of shape (n_patches, n_features)
            float32 if Y is, otherwise float64.
        std : ndarray of shape (n_patches, n_features)
            Only with `return_std`.

        References
        ----------
        .. [1] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole
           image restoration", ICCV 2011, section 2.
        """
        Y = self._checked(Y, "Y")
        sigma = check_nonnegative(sigma, "sigma")
        check_deviations(sigma, self._density.spread, Y.dtype, "sigma")
        if sigma**2 < np.finfo(Y.dtype).tiny:  # far below any variance of a model
            return (Y.copy(), np.full_like(Y, sigma)) if return_std else Y.copy()
        return self._denoised(Y, sigma, return_std)

    def _checked(self, X: Any, name: str = "X") -> FloatArray:
        """Check and return samples to be scored or denoised."""
        self._check_fitted()
        self._check_names(X, name)
        X = check_samples(X, self.n_features_in_, name)
        check_deviations(peak_of(X), self._density.spread, X.dtype, name)
        return X

    def _check_names(self, X: Any, name: str = "X") -> None:
        fitted = getattr(self, "feature_names_in_", None)
        check_feature_names(X, fitted, type(self).__name__, name)

    def _set_names(self, names: NDArray[np.object_] | None) -> None:
        """Set the names of the features, or remove them where there are none."""
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _continues(self, shape: tuple[int, int], support: Support) -> bool:
        """Return whether `warm_start` has learned parameters of the sizes that are wanted now.

        Those of a larger support than the data's are projected. Warn where the support forbids it.
        """
        if not (self.warm_start and self.__sklearn_is_fitted__()):
            return False
        same_weights: bool = self._arrays()["weights"].shape == shape
        learned, wanted = self._density.eigenvectors[0], support.basis
        if learned.shape == wanted.shape:
            return same_weights
        if len(learned) == len(wanted):
            outside = np.abs(wanted - learned @ (learned.T @ wanted)).max()
            if same_weights and outside < 1e-6:
                return True
            warnings.warn(
                f"warm_start: the model's rank, {learned.shape[1]}, is not that of X, "
                f"{wanted.shape[1]}, so that {type(self).__name__} starts anew. To go on, centre X "
                f"as the samples were that it was fitted to.",
                stacklevel=caller_level(),
            )
        return False

    def _run_em(self, steps: EMSteps, run: FitRun, data: Survey) -> History:
        name, moments = type(self).__name__, data.moments
        if run.checkpoint is not None:
            run.checkpoint.belongs_to(
                name, self.get_params(), moments, steps.state, in_memory=data.in_memory
            )
        return run_em(
            steps,
            tol=self.tol,
            max_iter=self.max_iter,
            monitor=run.monitor,
            name=name,
            checkpoint=run.checkpoint,
        )

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

    def _warn_of_lifts(self, lifts: FloatArray) -> None:
        warn_of_lifts(lifts, type(self).__name__, self.reg_covar)

    def _no_density(self, error: ValueError) -> ValueError:
        """Return the error for a fit whose parameters are not a density."""
        return ValueError(
            f"{self!r} cannot learn a density from X: {error}. Raise reg_covar, which is "
            f"{self.reg_covar:g}, ask for fewer components, or use float64."
        )

    def _note(self, history: History) -> None:
        self.lower_bounds_ = history.lower_bounds
        # A model whose parameters were given has seen no samples.
        self.lower_bound_ = history.lower_bounds[-1] if history.lower_bounds else float("nan")
        self.n_iter_ = len(history.lower_bounds)
        self.converged_ = history.converged

    def _digest(self) -> str:
        """Return a digest that identifies the current parameters."""
        digest = hashlib.sha256()
        for values in self._arrays().values():
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the model as it was if anything is raised, Ctrl-C too."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise


def not_fitted_error() -> type[NotFittedError]:
    """Return an error that `except sklearn.exceptions.NotFittedError` catches too, if loaded."""
    if "sklearn.exceptions" not in sys.modules:
        return NotFittedError
    theirs = sys.modules["sklearn.exceptions"].NotFittedError
    return type("NotFittedError", (NotFittedError, theirs), {})
