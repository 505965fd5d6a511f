"""The mixture of Gaussian scale mixtures: K shapes, each at J contrasts."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np

from fastgsm._checks import as_ndarray
from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.given import given_covariances, given_density, given_scales
from fastgsm.learning.start import (
    check_distinct,
    given_shapes,
    initial_scales,
    initial_shapes,
    initial_weights,
)
from fastgsm.models._scale_mixture import ShapeModel


@dataclass(eq=False, repr=False)
class MoGSM(ShapeModel):
    """Mixture of Gaussian scale mixtures with mean 0: ``sum_kj pi_kj N(0, r2_kj Sigma_k)``.

    K x J Gaussians for the price of K: the scales of a shape share its rotation. On natural
    patches it explains more than a Gaussian mixture of many times as many shapes.

    Learned by ECM: in each iteration weights and scales given the covariances, then the
    covariances ``Sigma_k = sum_ij c_ikj x_i x_i^T / r2_kj / sum_ij c_ikj`` given the scales. The
    factor that r2 and Sigma share is fixed by trace(Sigma_k) = rank.

    Parameters
    ----------
    n_components : int
        Number K of shapes.
    n_scales : int
        Number J of scales of each shape.
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
    init_params : {"directions", "random"}
        The partition of the samples whose moments EM starts from: by the seeded direction that
        a sample is most aligned with, or by chance.
    weights_init, scales_init : array_like of shape (K, J), optional
        Starting weights and scales.
    covariances_init : array_like of shape (K, n_features, n_features), optional
        Starting covariances. If their mean variance is 1, scales are in units of the data.
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
    weights_, scales_ : ndarray of shape (K, J)
        Mixture weights pi and scales r2: mean variances, in squared units of the data.
    means_ : ndarray of shape (K, n_features)
        Zero.
    covariances_ : ndarray of shape (K, n_features, n_features)
        Sigma_k, of trace equal to the rank.
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
    `sample_weight` and repeated samples give the same model only from the same start
    (`weights_init`, `scales_init` and `covariances_init`), for the reason given in `GMM`.

    In one dimension (one feature, or samples on a line) there is only one shape. The model is then
    a GSM of K J scales.

    References
    ----------
    .. [1] X.-L. Meng and D. Rubin, "Maximum likelihood estimation via the ECM algorithm: a general
       framework", Biometrika 80(2), 1993.

    Examples
    --------
    >>> import fastgsm
    >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
    >>> X = fastgsm.sample_patches(image, n_patches=4000, random_state=0)
    >>> model = fastgsm.MoGSM(n_components=2, n_scales=3, tol=0.1, random_state=0).fit(X)
    >>> model.scales_.shape
    (2, 3)
    >>> model.predict_proba(X[:5]).shape
    (5, 6)
    """

    n_components: int = 32
    n_scales: int = 8
    _: KW_ONLY
    n_init: int = 1
    init_params: str = "directions"
    weights_init: Any = None
    scales_init: Any = None
    covariances_init: Any = None

    _partitions = ("directions", "random")
    _two_indices = True
    _learns_scales = True

    @classmethod
    def from_parameters(cls, weights: Any, scales: Any, covariances: Any) -> Self:
        """Return a mixture with given parameters, as if it had been fitted.

        Parameters
        ----------
        weights, scales : array_like of shape (K, J)
            Weights of at least 0, which sum to 1, and scales above 0.
        covariances : array_like of shape (K, n_features, n_features)
            As for `GMM.from_parameters`. Those of the model have a trace equal to the rank: the
            factor is moved to the scales.

        Returns
        -------
        model : MoGSM
            With K shapes at J scales, and defaults for all other options. It has seen no samples.

        Raises
        ------
        TypeError, ValueError
            As for `GMM.from_parameters`, and for scales that are not above 0.

        Examples
        --------
        >>> import fastgsm
        >>> prior = fastgsm.load_prior("mogsm")
        >>> same = fastgsm.MoGSM.from_parameters(prior.weights_, prior.scales_, prior.covariances_)
        >>> same.weights_.shape == prior.weights_.shape
        True
        """
        matrices, eps = given_covariances(covariances)
        K, d = matrices.shape[:2]
        shape = as_ndarray(scales, "scales").shape
        if len(shape) != 2 or shape[0] != K or 0 in shape:
            raise ValueError(f"scales has shape {shape}; wanted (n_components, n_scales), of {K}.")
        density = given_density(
            initial_weights(weights, shape, "weights"),
            given_scales(scales, shape),
            np.zeros((K, d)),
            matrices,
            eps,
        )
        return cls._of(density.of_unit_trace(), n_components=K, n_scales=shape[1])

    @property
    def _starts_at_random(self) -> bool:
        # Scales that are not given are quantiles of all samples.
        return self.weights_init is None or self.covariances_init is None

    def _start(self, data: Survey, rng: np.random.Generator) -> ScaleMixtureDensity:
        K, J = self._shape
        start = initial_shapes(data, K, self.init_params, rng, fit_means=False)
        start = given_shapes(start, data.support, None, self.covariances_init)
        ratios = data.gaussian.distances(data.X) * (data.support.variance / data.support.rank)
        floor = self.reg_covar * data.support.variance
        # All shapes start from the same scales, unless the user's differ. But in one dimension all
        # shapes are the same, so that their scales have to differ.
        one_shape = data.support.rank == 1
        shape = (1, K * J if one_shape else J) if self.scales_init is None else (K, J)
        scales = initial_scales(
            self.scales_init, ratios, data.sample_weight, shape, "quantiles", rng, floor
        )
        scales = scales.reshape(K, J) if scales.size == K * J else np.repeat(scales, K, axis=0)
        if self.weights_init is not None:
            weights = initial_weights(self.weights_init, self._shape)
        elif one_shape:
            weights = np.full((K, J), 1 / (K * J))
        else:
            weights = np.repeat(start.weights, J, axis=1) / J
        eigenvalues = start.eigenvalues / start.eigenvalues.mean(axis=1, keepdims=True)
        start = replace(start, weights=weights, scales=scales, eigenvalues=eigenvalues)
        covariances = start.covariances[:, None] * start.scales[:, :, None, None]
        check_distinct(covariances.reshape(K * J, -1), "covariances and scales")
        return start
