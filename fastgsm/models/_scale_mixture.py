"""Base of the models that are mixtures of K shapes at J scales."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from fastgsm._checks import check_integer, check_random_state
from fastgsm._types import FloatArray
from fastgsm.kernels.wiener import WienerBank, posterior_patches
from fastgsm.learning.chunks import Chunk
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.e_steps import shape_statistics
from fastgsm.learning.inner import InnerMixture
from fastgsm.learning.statistics import SufficientStatistics
from fastgsm.learning.updates import updated_at_once, updated_mixture, updated_shapes
from fastgsm.models._base import PatchModel


class ScaleMixtureModel(PatchModel):
    """A model whose learned state is one `ScaleMixtureDensity`."""

    _density: ScaleMixtureDensity
    # Whether `weights_` and `scales_` are (K, J) arrays, as inside, or flat.
    _two_indices = False
    # Whether means and scales are learned.
    _learns_means = False
    _learns_scales = False

    @property
    @abstractmethod
    def _shape(self) -> tuple[int, int]:
        """(K, J), by the options."""

    def _natural(self, values: FloatArray) -> FloatArray:
        self._check_fitted()
        return values.copy() if self._two_indices else values.ravel().copy()

    @property
    def _spread(self) -> float:
        return self._density.spread

    def _learn(self, density: ScaleMixtureDensity) -> None:
        """Set what was learned, or raise ValueError if it is not a density."""
        try:
            density.check()
        except ValueError as error:
            raise self._no_density(error) from None
        self._density = density

    def _check_support(self, X: FloatArray) -> None:
        self._density.check_support(X)

    def _statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        return shape_statistics(chunk, self._density.whitened, parameters, self._learns_scales)

    def _own_statistics(self) -> SufficientStatistics:
        density = self._density
        weights = density.weights
        return SufficientStatistics(
            self._digest(),
            n_samples=0,
            weight=1.0,
            log_likelihood=0.0,
            counts=weights,
            distances=density.rank * weights * density.scales if self._learns_scales else None,
            sums=np.zeros_like(density.means),
            products=weights.sum(axis=1)[:, None, None] * density.covariances,
        )

    def _take(self, statistics: SufficientStatistics, blended: bool = False) -> None:
        support = self._density.support
        mixture = InnerMixture.of(self._density, support)
        floor = self.reg_covar * support.variance
        if not self._learns_scales:
            means = self._learns_means
            new = updated_shapes(mixture, statistics, floor, fit_weights=True, fit_means=means)
        elif blended:
            new = updated_at_once(mixture, statistics, floor)
        else:
            new = updated_mixture(mixture, statistics, floor)
        density = new.density()
        self._learn(density.of_unit_trace() if self._learns_scales else density)

    # Learned parameters are copies from one density, so that they cannot disagree.

    @property
    def weights_(self) -> FloatArray:
        """Mixture weights: (J,), (K,) or (K, J); they sum to 1."""
        self._check_fitted()
        return self._natural(self._density.weights)

    @property
    def scales_(self) -> FloatArray:
        """Scales r2, which multiply the covariances; shaped as `weights_`."""
        self._check_fitted()
        return self._natural(self._density.scales)

    @property
    def means_(self) -> FloatArray:
        """Means of the shapes, (K, d)."""
        self._check_fitted()
        return self._density.means.copy()

    @property
    def covariances_(self) -> FloatArray:
        """Covariances of the shapes, (K, d, d)."""
        self._check_fitted()
        return self._density.covariances.copy()

    @property
    def eigenvalues_(self) -> FloatArray:
        """Eigenvalues of the covariances on their support, descending, (K, rank)."""
        self._check_fitted()
        return self._density.eigenvalues.copy()

    @property
    def eigenvectors_(self) -> FloatArray:
        """Eigenvectors as columns, (K, d, rank)."""
        self._check_fitted()
        return self._density.eigenvectors.copy()

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
        ValueError
            If X does not fit the model.
        """
        X = self._checked(X)
        return self._density.score_samples(X)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the responsibilities: the posterior probability of every Gaussian.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_gaussians)
            Rows sum to 1. With K shapes at J scales column ``k * J + j`` is shape k at scale j.
        """
        X = self._checked(X)
        return np.ascontiguousarray(self._density.posterior(X)[0].T)

    def predict(self, X: Any) -> Any:
        """Return the most probable Gaussian of every sample: its column in `predict_proba`."""
        return self.predict_proba(X).argmax(axis=1)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[FloatArray, Any]:
        """Draw samples from the model.

        Parameters
        ----------
        n_samples : int
        random_state : None, int, numpy.random.Generator or numpy.random.RandomState

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        labels : ndarray of shape (n_samples,)
            The Gaussian that each sample came from, as in `predict`.
        """
        self._check_fitted()
        n_samples = check_integer(n_samples, "n_samples")
        rng = check_random_state(random_state)
        density = self._density
        # The sum of weights stored as float32 is less close to 1 than NumPy demands.
        weights = density.weights.ravel() / density.weights.sum()
        labels = rng.choice(weights.size, size=n_samples, p=weights)
        shapes = labels // density.weights.shape[1]
        X = rng.standard_normal((n_samples, density.rank))
        X *= np.sqrt(density.eigenvalues[shapes] * density.scales.ravel()[labels, None])
        result = np.empty((n_samples, density.n_features))
        for k in range(density.weights.shape[0]):
            mine = shapes == k
            result[mine] = density.means[k] + X[mine] @ density.eigenvectors[k].T
        return result, labels

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
            Gaussian of the mixture.

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
        sigma = self._checked_sigma(sigma, Y.dtype)
        if sigma == 0:
            return (Y.copy(), np.zeros_like(Y)) if return_std else Y.copy()
        bank = self.wiener_bank(sigma, Y.dtype)
        X = np.empty_like(Y)
        variance = np.empty_like(Y) if return_std else np.empty((0, Y.shape[1]), Y.dtype)
        posterior_patches(Y, bank, Y.dtype.type(sigma**2), X, variance)
        return (X, np.sqrt(variance)) if return_std else X

    def wiener_bank(self, sigma: float, dtype: Any, tail_loss: float = 0.0) -> WienerBank:
        """Return what the kernels of `kernels.wiener` need to denoise at noise ``sigma``.

        ``tail_loss`` is the largest relative increase in expected squared error that the flat tail
        may cause.
        """
        self._check_fitted()
        return self._density.wiener_bank_of(sigma**2, np.dtype(dtype), tail_loss)

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters: of weights, scales, means and covariances."""
        self._check_fitted()
        n_shapes, n_scales = self._density.weights.shape
        d, rank = self._density.n_features, self._density.rank
        covariances = n_shapes * rank * (rank + 1) // 2
        means = n_shapes * d if self._density.means.any() else 0
        # The factor that scales and covariances share is not a parameter.
        scales = n_shapes * (n_scales - 1)
        return n_shapes * n_scales - 1 + scales + means + covariances

    def _arrays(self) -> dict[str, FloatArray]:
        density = self._density
        return {
            "weights": density.weights,
            "scales": density.scales,
            "means": density.means,
            "eigenvalues": density.eigenvalues,
            "eigenvectors": density.eigenvectors,
        }

    def _set_arrays(self, arrays: dict[str, FloatArray]) -> None:
        density = ScaleMixtureDensity(**arrays)
        density.check()
        if density.weights.shape != self._shape:
            raise ValueError(
                f"it holds a mixture of {density.weights.shape} shapes and scales, and its options "
                f"ask for {self._shape}"
            )
        self._density = density
        self.n_features_in_ = density.n_features
