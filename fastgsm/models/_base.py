"""The base of all models: learning, scores, criteria and files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.learning.samples import check_samples
from fastgsm.models._by_parts import LearnsByParts
from fastgsm.models._save import save_model


class PatchModel(LearnsByParts):
    """Base of all patch priors: a density on vectors that is learned, scores and denoises.

    A new model implements what is abstract here and in `models._model`, and is in `_registry`.
    """

    @abstractmethod
    def score_samples(self, X: Any) -> FloatArray:
        """Return the log-likelihood of every sample.

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
        """Return the responsibilities: the posterior probability of every Gaussian."""

    @abstractmethod
    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[FloatArray, Any]:
        """Draw samples from the model, with the Gaussian that each came from."""

    @abstractmethod
    def denoise_patches(self, Y: Any, sigma: float, return_std: bool = False) -> Any:
        """Return the posterior mean of noisy patches."""

    @property
    @abstractmethod
    def n_parameters_(self) -> int:
        """Number of free parameters."""

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
