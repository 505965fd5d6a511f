"""The multivariate normal: one Gaussian, learned in closed form."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastgsm._validation import FloatArray
from fastgsm.models._em import History, check_likelihood, weighted_mean
from fastgsm.models._init import gaussian_of
from fastgsm.models._monitor import EMIteration, Monitor
from fastgsm.models._scale_mixture import ScaleMixtureModel


class MVN(ScaleMixtureModel):
    """Multivariate normal distribution.

    Its posterior mean is the classical Wiener filter, ``m + C (C + s2 I)^-1 (y - m)``. The
    baseline that every other model improves on.

    Parameters
    ----------
    reg_covar : float
        Floor of the covariance's eigenvalues, as a fraction of their mean.
    tol, max_iter, random_state, warm_start
        Accepted for uniformity; a normal distribution is learned in one step.
    verbose : int
        1 to print a line for that step to stderr.

    Attributes
    ----------
    means_ : ndarray of shape (1, n_features)
    covariances_ : ndarray of shape (1, n_features, n_features)
    eigenvalues_ : ndarray of shape (1, rank)
        Descending; rank is below n_features for data of which the mean was removed.
    eigenvectors_ : ndarray of shape (1, n_features, rank)
    lower_bound_ : float
        Mean log-likelihood per training sample, in nats.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> X = np.random.default_rng(0).normal(3.0, 2.0, size=(5000, 2))
    >>> model = fastgsm.MVN().fit(X)
    >>> model.means_.round(1)
    array([[3., 3.]])
    """

    def __init__(
        self,
        *,
        tol: float = 0.0,
        max_iter: int = 1,
        reg_covar: float = 1e-6,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.tol = tol
        self.max_iter = max_iter
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    @property
    def _shape(self) -> tuple[int, int]:
        return (1, 1)

    def _fit(
        self,
        X: FloatArray,
        sample_weight: FloatArray,
        rng: np.random.Generator,
        monitor: Monitor,
    ) -> History:
        start = time.perf_counter()
        density, _ = gaussian_of(X, sample_weight, self.reg_covar, about_mean=True)
        used = sample_weight > 0  # the others may well lie outside of the support
        samples, weights = (X, sample_weight) if used.all() else (X[used], sample_weight[used])
        log_likelihood = weighted_mean(density.score_samples(samples), weights)
        check_likelihood(log_likelihood, "MVN", 1)
        monitor(EMIteration(1, log_likelihood, np.inf, time.perf_counter() - start))
        self._learn(density)
        return History([log_likelihood], True)
