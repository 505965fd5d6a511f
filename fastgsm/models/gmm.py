"""The Gaussian mixture: K shapes at one scale each."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np

from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.start import check_distinct, given_shapes, initial_shapes, initial_weights
from fastgsm.models._scale_mixture import ShapeModel


@dataclass(eq=False, repr=False)
class GMM(ShapeModel):
    """Gaussian mixture with full covariances: ``sum_k pi_k N(mu_k, Sigma_k)``.

    Parameters
    ----------
    n_components : int
        Number K of components. On natural patches, more are better, up to a few hundred.
    fit_means : bool
        Learn the means; otherwise they are 0, which suits patches without their own mean.
    tol : float
        EM stops when an iteration gains less than this, in nats per sample.
    max_iter : int
        Most EM iterations.
    reg_covar : float
        Floor of the covariances' eigenvalues, as a fraction of the data's mean variance.
    n_init : int
        Number of random starts. The fit that ends at the highest log-likelihood is kept. A fit that
        `warm_start` continues has one start.
    init_params : {"kmeans", "random"}
        The partition of the samples whose moments EM starts from.
    weights_init, means_init, covariances_init : array_like, optional
        Starting values, of shapes (K,), (K, n_features) and (K, n_features, n_features).
        Components must differ: equal ones never separate.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the initialisation.
    warm_start : bool
        Start the next `fit` from the learned parameters, if their number and the rank of the data
        are the same.
    verbose : int
        1 to print a line for each iteration to stderr.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
    means_ : ndarray of shape (K, n_features)
    covariances_ : ndarray of shape (K, n_features, n_features)
    eigenvalues_, eigenvectors_ : ndarray of shape (K, rank) and (K, n_features, rank)
        Descending, on the support of the data.
    lower_bounds_, lower_bound_ : list of float, float
        Mean log-likelihood per sample, in nats, at each iteration (falls only by rounding), and the
        last of them. If EM stopped at `max_iter`, that is the one before the last update; `score`
        returns the final one.
    n_iter_, converged_, n_features_in_
        As in scikit-learn's mixtures.

    Notes
    -----
    A sample of weight 2 counts in EM as the same sample twice. But EM starts from samples drawn at
    random, where a repeated sample is drawn more often, and from another start it may end at
    another maximum. So `sample_weight` and repeated samples give the same model only from the
    same start (`weights_init`, `means_init` and `covariances_init`), and scikit-learn's
    ``check_sample_weight_equivalence_on_dense_data``, alone of its checks, is expected to fail.

    References
    ----------
    .. [1] A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM
       algorithm", J. Royal Statistical Society B 39(1), 1977.
    .. [2] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-4, 1, (500, 2)), rng.normal(4, 1, (500, 2))])
    >>> model = fastgsm.GMM(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_[:, 0]).round()
    array([-4.,  4.])
    """

    n_components: int = 64
    _: KW_ONLY
    fit_means: bool = True
    n_init: int = 1
    init_params: str = "kmeans"
    weights_init: Any = None
    means_init: Any = None
    covariances_init: Any = None

    _partitions = ("kmeans", "random")

    @property
    def _learns_means(self) -> bool:  # type: ignore[override]
        return self.fit_means

    def _check_options(self) -> None:
        super()._check_options()
        if self.means_init is not None and not self.fit_means:
            raise ValueError("means_init is given, but fit_means is False: the means are 0.")

    @property
    def _starts_at_random(self) -> bool:
        means_are_drawn = self.fit_means and self.means_init is None
        return means_are_drawn or self.weights_init is None or self.covariances_init is None

    def _start(self, data: Survey, rng: np.random.Generator) -> ScaleMixtureDensity:
        start = initial_shapes(
            data, self.n_components, self.init_params, rng, fit_means=self.fit_means
        )
        start = given_shapes(start, data.support, self.means_init, self.covariances_init)
        if self.weights_init is not None:
            start = replace(start, weights=initial_weights(self.weights_init, self._shape))
        check_distinct(
            np.hstack([start.means, start.covariances.reshape(len(start.means), -1)]),
            "means and covariances",
        )
        return start
