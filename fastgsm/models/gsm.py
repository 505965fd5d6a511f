"""The Gaussian scale mixture: one shape at several contrasts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from fastgsm._checks import as_ndarray
from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.given import given_covariances, given_density, given_scales
from fastgsm.learning.start import initial_weights
from fastgsm.models._scale_groups import ScaleGroupModel
from fastgsm.models._scale_mixture import ScaleMixtureModel


class GSM(ScaleGroupModel, ScaleMixtureModel):
    """Gaussian scale mixture with mean 0: ``sum_j pi_j N(0, r2_j Sigma)``.

    All components share the shape of the data's covariance and differ in contrast. The posterior
    selects the contrast of each patch, so that flat patches are smoothed hard and edges are kept.

    Sigma is the second moment of the data. Weights and scales are learned by EM, which needs only
    the squared Mahalanobis distances ``q_i = x_i^T Sigma^-1 x_i``, computed once.

    Parameters
    ----------
    n_scales : int
        Number J of scales. 6 to 8 suffice for natural patches.
    tol : float
        EM stops when an iteration gains less than this, in nats per sample.
    max_iter : int
        Most EM iterations.
    reg_covar : float
        Floor of the eigenvalues of the correlations of the features, and of the scales. A warning
        says where it raised a variance to more than twice.
    init_params : {"quantiles", "random"}
        Starting scales: quantiles of the distances, or those of randomly chosen samples.
    weights_init, scales_init : array_like of shape (n_scales,), optional
        Starting weights and scales. The scales must differ: equal components never separate.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed for ``init_params="random"``.
    warm_start : bool
        Start the next `fit` from the learned weights and scales, if their number is the same and
        the data lie in the model's subspace. If only the rank differs, a warning says so.
    verbose : int
        1 to print a line for each iteration to stderr.

    Attributes
    ----------
    weights_, scales_ : ndarray of shape (n_scales,)
        Mixture weights pi and scales r2, the latter relative to the covariance.
    means_ : ndarray of shape (1, n_features)
        Zero.
    covariances_ : ndarray of shape (1, n_features, n_features)
        Sigma.
    eigenvalues_, eigenvectors_ : ndarray of shape (1, rank) and (1, n_features, rank)
        Of Sigma, descending, on the support of the data.
    lower_bounds_, lower_bound_ : list of float, float
        Mean log-likelihood per sample, in nats, at each iteration (falls only by rounding), and the
        last of them. If EM stopped at `max_iter`, that is the one before the last update; `score`
        returns the final one.
    n_iter_, converged_, n_features_in_, feature_names_in_
        As in scikit-learn's mixtures.

    References
    ----------
    .. [1] J. Portilla, V. Strela, M. Wainwright, E. Simoncelli, "Image denoising using scale
       mixtures of Gaussians in the wavelet domain", IEEE Trans. Image Processing 12(11), 2003.

    Examples
    --------
    >>> import fastgsm
    >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
    >>> X = fastgsm.sample_patches(image, n_patches=2000, random_state=0)
    >>> model = fastgsm.GSM(n_scales=4).fit(X)
    >>> model.scales_.shape
    (4,)
    >>> bool(model.lower_bound_ > fastgsm.MVN().fit(X).lower_bound_)
    True
    """

    @classmethod
    def from_parameters(cls, weights: Any, scales: Any, covariances: Any) -> Self:
        """Return a mixture with given parameters, as if it had been fitted.

        Parameters
        ----------
        weights, scales : array_like of shape (J,)
            Weights of at least 0, which sum to 1, and scales above 0.
        covariances : array_like of shape (1, n_features, n_features) or (n_features, n_features)
            Sigma, as for `GMM.from_parameters`.

        Returns
        -------
        model : GSM
            With J scales, and defaults for all other options. It has seen no samples.

        Raises
        ------
        TypeError, ValueError
            As for `GMM.from_parameters`, and for scales that are not above 0.

        Examples
        --------
        >>> import fastgsm
        >>> model = fastgsm.GSM.from_parameters([0.5, 0.5], [0.1, 1.9], [[2.0, 1.0], [1.0, 2.0]])
        >>> model.score_samples([[0.0, 0.0]]).round(3)
        array([-0.726])
        """
        one = as_ndarray(covariances, "covariances")
        matrices, eps = given_covariances(one[None] if one.ndim == 2 else one)
        shape = 1, as_ndarray(scales, "scales").size
        if shape[1] == 0:
            raise ValueError("scales is empty; wanted (n_scales,), at least one.")
        if len(matrices) != 1:
            raise ValueError(
                f"covariances has shape {matrices.shape}; wanted one matrix (n_features, "
                f"n_features). A MoGSM has several."
            )
        density = given_density(
            initial_weights(weights, shape, "weights"),
            given_scales(scales, shape),
            np.zeros((1, matrices.shape[1])),
            matrices,
            eps,
        )
        return cls._of(density, n_scales=shape[1])

    @property
    def _learned(self) -> tuple[ScaleMixtureDensity, FloatArray, FloatArray]:
        ones = np.ones((1, 1))
        gaussian = replace(self._density, weights=ones, scales=ones)
        return gaussian, self._density.weights, self._density.scales

    def _learn_groups(
        self, gaussian: ScaleMixtureDensity, weights: FloatArray, scales: FloatArray
    ) -> None:
        self._learn(replace(gaussian, weights=weights, scales=scales))
