"""The contract of a model: what each model gives, and what all of them need to keep it."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastgsm._arrays import peak_of
from fastgsm._checks import check_integer, check_nonnegative
from fastgsm._estimator import Estimator
from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.data import Data
from fastgsm.learning.em import FitRun, History
from fastgsm.learning.samples import check_deviations, check_samples
from fastgsm.learning.statistics import SufficientStatistics


class NotFittedError(ValueError, AttributeError):
    """A model was used before `fit`."""


class Model(Estimator, ABC):
    """A density whose options are attributes, and whose learned parameters are arrays."""

    tol: float
    max_iter: int
    reg_covar: float
    verbose: int
    warm_start: bool
    random_state: Any

    # Set by every fit.
    n_features_in_: int
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

    def _check_options(self) -> None:
        """Raise unless the options are valid, as far as that is known without samples."""
        check_nonnegative(self.tol, "tol")
        check_integer(self.max_iter, "max_iter")
        if check_nonnegative(self.reg_covar, "reg_covar") > 1:
            raise ValueError(
                f"reg_covar is {self.reg_covar:g}; wanted at most 1: it is a fraction of the mean "
                f"variance."
            )

    def _min_samples(self) -> int:
        return 2

    @abstractmethod
    def _fit(self, data: Data, run: FitRun) -> History:
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
    def _check_support(self, X: FloatArray) -> None:
        """Raise ValueError if samples lie where the model has no extent."""

    @property
    @abstractmethod
    def _spread(self) -> float:
        """Standard deviation of a feature, over all that vary."""

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
            raise _not_fitted_error()(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
                f"appropriate arguments before using this estimator."
            )

    # --- what all models share --------------------------------------------------------------

    def _checked(self, X: Any, name: str = "X") -> FloatArray:
        """Check and return samples to be scored or denoised."""
        self._check_fitted()
        X = check_samples(X, self.n_features_in_, name)
        check_deviations(peak_of(X), self._spread, X.dtype, name)
        return X

    def _checked_sigma(self, sigma: Any, dtype: Any) -> float:
        """Check and return the noise level of patches of type ``dtype``."""
        sigma = check_nonnegative(sigma, "sigma")
        check_deviations(sigma, self._spread, dtype, "sigma")
        return sigma

    def _no_density(self, error: ValueError) -> ValueError:
        """Return the error for a fit whose parameters are not a density."""
        return ValueError(
            f"{self!r} cannot learn a density from X: {error}. Raise reg_covar, which is "
            f"{self.reg_covar:g}, ask for fewer components, or use float64."
        )

    def _note(self, history: History) -> None:
        self.lower_bounds_ = history.lower_bounds
        self.lower_bound_ = history.lower_bounds[-1]
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


def _not_fitted_error() -> type[NotFittedError]:
    """Return an error that `except sklearn.exceptions.NotFittedError` catches too, if loaded."""
    if "sklearn.exceptions" not in sys.modules:
        return NotFittedError
    theirs = sys.modules["sklearn.exceptions"].NotFittedError
    return type("NotFittedError", (NotFittedError, theirs), {})
