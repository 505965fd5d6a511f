"""The multivariate normal: one Gaussian, learned in closed form."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from fastgsm.learning.chunks import KeptDistances
from fastgsm.learning.data import Survey
from fastgsm.learning.em import EMIteration, FitRun, History, check_likelihood
from fastgsm.learning.statistics import shape_statistics
from fastgsm.models._scale_mixture import ScaleMixtureModel


@dataclass(eq=False, repr=False, kw_only=True)
class MVN(ScaleMixtureModel):
    """Multivariate normal distribution.

    Its posterior mean is the classical Wiener filter, ``m + C (C + s2 I)^-1 (y - m)``. Every other
    model improves on this baseline.

    Parameters
    ----------
    reg_covar : float
        Floor of the eigenvalues of the correlations of the features. A warning says where it raised
        a variance to more than twice.
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
    n_features_in_, feature_names_in_
        As in scikit-learn's mixtures.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> X = np.random.default_rng(0).normal(3.0, 2.0, size=(5000, 2))
    >>> model = fastgsm.MVN().fit(X)
    >>> model.means_.round(1)
    array([[3., 3.]])
    """

    tol: float = 0.0
    max_iter: int = 1

    _learns_means = True
    _default_step = "equal"

    def _fit(self, data: Survey, run: FitRun) -> History:
        start = time.perf_counter()
        statistics = data.reduce(
            partial(shape_statistics, scales=True, moments=False),
            kept=data.reduce.share(KeptDistances(data.gaussian.whitened)),
        )
        log_likelihood = float(statistics.log_likelihood / statistics.weight)
        check_likelihood(log_likelihood, "MVN", 1)
        run.monitor(EMIteration(1, log_likelihood, np.inf, time.perf_counter() - start))
        self._learn(data.gaussian)
        self._warn_of_lifts(np.array([data.lift]))
        return History([log_likelihood], True)
