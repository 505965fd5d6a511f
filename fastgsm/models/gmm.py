"""The Gaussian mixture: K shapes at one scale each."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np

from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.given import given_covariances, given_density
from fastgsm.learning.start import (
    check_distinct,
    given_array,
    given_shapes,
    initial_shapes,
    initial_weights,
)
from fastgsm.models._model import not_fitted_error
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
        Least variance of a Gaussian in any direction, as a fraction of that of the data, each
        feature in its own units. A warning says where it raised a variance to more than twice.
    n_init : int
        Number of random starts. The fit that ends at the highest log-likelihood is kept. A fit that
        `warm_start` continues has one start.
    init_params : {"kmeans", "random"}
        The partition of the samples whose moments EM starts from. k-means sees plain distances:
        standardise features in unlike units first.
    weights_init, means_init, covariances_init : array_like, optional
        Starting values, of shapes (K,), (K, n_features) and (K, n_features, n_features).
        Components must differ: equal ones never separate.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the initialisation.
    warm_start : bool
        Start the next `fit` from the learned parameters, if their number is the same and the data
        lie in the model's subspace. If only the rank differs, a warning says that it starts anew.
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
    n_iter_, converged_, n_features_in_, feature_names_in_
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

    @classmethod
    def from_parameters(cls, weights: Any, means: Any, covariances: Any) -> Self:
        """Return a mixture with given parameters, as if it had been fitted.

        For mixtures that were trained elsewhere. It has seen no samples: `lower_bounds_` is empty
        and `n_iter_` is 0. A fit with `warm_start` learns on from these parameters, as does
        `partial_fit`; give it a number as its `step` in every call, because it is not known how
        many samples and steps the parameters are worth.

        Parameters
        ----------
        weights : array_like of shape (K,)
            At least 0, with sum 1.
        means : array_like of shape (K, n_features), or None
            None for means of 0. If all are 0, the model's `fit_means` is False.
        covariances : array_like of shape (K, n_features, n_features)
            Symmetric. They may be singular, like those of patches without their own mean, if all
            have the same null space. The density is then that on the support, the subspace of the
            other directions. Features are the pixels of a patch, row by row.

        Returns
        -------
        model : GMM
            With K components, and defaults for all other options.

        Raises
        ------
        TypeError, ValueError
            If the parameters are not real and finite, do not fit together, or are no weights or
            covariances.

        Examples
        --------
        >>> import numpy as np, fastgsm
        >>> covariances = np.array([np.eye(2), 4 * np.eye(2)])
        >>> model = fastgsm.GMM.from_parameters([0.5, 0.5], [[0, 0], [9, 9]], covariances)
        >>> model.predict([[0, 1], [8, 7]])
        array([0, 1])
        """
        matrices, eps = given_covariances(covariances)
        K, d = matrices.shape[:2]
        centres = np.zeros((K, d)) if means is None else given_array(means, (K, d), "means")
        density = given_density(
            initial_weights(weights, (K, 1), "weights"), np.ones((K, 1)), centres, matrices, eps
        )
        return cls._of(density, n_components=K, fit_means=bool(centres.any()))

    @classmethod
    def from_sklearn(cls, mixture: Any) -> Self:
        """Return the same mixture as a fitted one of scikit-learn.

        Parameters
        ----------
        mixture : sklearn.mixture.GaussianMixture or BayesianGaussianMixture
            Fitted, with any `covariance_type`.

        Returns
        -------
        model : GMM
            As of `from_parameters`, with the names of the features. Of a Bayesian mixture, the
            Gaussians at the means of its parameters: its own scores, which allow for their
            uncertainty, differ slightly.

        Raises
        ------
        TypeError
            If `mixture` is something else.
        NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> import numpy as np, fastgsm
        >>> from sklearn.mixture import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> theirs = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
        >>> ours = fastgsm.GMM.from_sklearn(theirs)
        >>> bool(np.allclose(ours.score_samples(X), theirs.score_samples(X)))
        True
        """
        if not hasattr(mixture, "covariance_type"):
            raise TypeError(
                f"mixture is a {type(mixture).__name__}; wanted scikit-learn's GaussianMixture or "
                f"BayesianGaussianMixture. Give other parameters to from_parameters."
            )
        if not hasattr(mixture, "covariances_"):
            raise not_fitted_error()("mixture is not fitted; call its fit first.")
        means, given = np.asarray(mixture.means_), np.asarray(mixture.covariances_)
        eye = np.eye(means.shape[1], dtype=given.dtype)
        kind = mixture.covariance_type
        if kind == "tied":  # (d, d)
            given = np.repeat(given[None], len(means), axis=0)
        elif kind in ("diag", "spherical"):  # (K, d), (K,)
            given = given.reshape(len(means), -1)[:, :, None] * eye
        model = cls.from_parameters(mixture.weights_, means, given)
        model._set_names(getattr(mixture, "feature_names_in_", None))
        return model

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
