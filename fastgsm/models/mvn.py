"""The multivariate normal: one Gaussian, learned in closed form."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastgsm.learning.data import Data
from fastgsm.learning.em import EMIteration, FitRun, History, check_likelihood
from fastgsm.learning.start import gaussian_of
from fastgsm.models._scale_mixture import ScaleMixtureModel


class MVN(ScaleMixtureModel):
    """Multivariate normal distribution.

    Its posterior mean is the classical Wiener filter, ``m + C (C + s2 I)^-1 (y - m)``. Every other
    model improves on this baseline.

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
        Descending; the rank is below n_features if the mean of each sample was removed.
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

    _learns_means = True
    _default_step = "equal"

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

    def _fit(self, data: Data, run: FitRun) -> History:
        start = time.perf_counter()
        density, _ = gaussian_of(data.moments(about_mean=True), data.dtype, self.reg_covar)
        log_likelihood = data.log_likelihood(density)
        check_likelihood(log_likelihood, "MVN", 1)
        run.monitor(EMIteration(1, log_likelihood, np.inf, time.perf_counter() - start))
        self._learn(density)
        return History([log_likelihood], True)
