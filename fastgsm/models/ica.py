"""Independent components: the principal coordinates, each with a scale mixture of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.kernels.separable import shrink_coordinates
from fastgsm.learning.density import ScaleMixtureDensity, in_blocks
from fastgsm.learning.whitened import LOG_2PI
from fastgsm.models._scale_groups import ScaleGroupModel


@dataclass(eq=False, repr=False, kw_only=True)
class ICA(ScaleGroupModel):
    """Independent scale mixtures along the eigenvectors of the covariance, with mean 0.

    ``x = P s`` with P the eigenvectors of the data's second moment and every ``s_i`` an independent
    one-dimensional mixture ``sum_j pi_ij N(0, r2_ij lambda_i)``. Denoising rotates once, shrinks
    every coordinate by a smooth function of its own, and rotates back.

    Parameters
    ----------
    n_scales : int
        Number J of scales of each coordinate.
    tol : float
        EM stops when an iteration gains less than this, in nats per sample.
    max_iter : int
        Most EM iterations.
    reg_covar : float
        Floor of the eigenvalues of the correlations of the features, and of the scales. A warning
        says where it raised a variance to more than twice.
    init_params : {"quantiles", "random"}
        Starting scales: quantiles of the squared coordinates, or those of random samples.
    weights_init, scales_init : array_like of shape (rank, n_scales), optional
        Starting weights, rows summing to 1, and scales, which must differ in each row.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed for ``init_params="random"``.
    warm_start : bool
        Start the next `fit` from the learned weights and scales, if their number is the same and
        the data are of the same rank. If only the rank differs, a warning says so.
    verbose : int
        1 to print a line for each iteration to stderr.

    Attributes
    ----------
    weights_, scales_ : ndarray of shape (rank, n_scales)
        Weights pi and scales r2 of each coordinate, the latter relative to its eigenvalue.
    eigenvalues_ : ndarray of shape (rank,)
        Descending.
    eigenvectors_ : ndarray of shape (n_features, rank)
        P.
    means_ : ndarray of shape (1, n_features)
        Zero.
    covariances_ : ndarray of shape (1, n_features, n_features)
        Second moment of the data.
    lower_bounds_, lower_bound_ : list of float, float
        Mean log-likelihood per sample, in nats, at each iteration (falls only by rounding), and the
        last of them. If EM stopped at `max_iter`, that is the one before the last update; `score`
        returns the final one.
    n_iter_, converged_, n_features_in_, feature_names_in_
        As in scikit-learn's mixtures.

    References
    ----------
    .. [1] A. Hyvarinen, "Sparse code shrinkage: denoising of nongaussian data by maximum likelihood
       estimation", Neural Computation 11(7), 1999.

    Examples
    --------
    >>> import fastgsm
    >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
    >>> X = fastgsm.sample_patches(image, n_patches=2000, random_state=0)
    >>> fastgsm.ICA(n_scales=3, tol=0.1).fit(X).weights_.shape
    (63, 3)
    """

    tol: float = 1e-3

    array_names = frozenset({"weights", "scales", "eigenvalues", "eigenvectors"})
    separable = True

    @property
    def _learned(self) -> tuple[ScaleMixtureDensity, FloatArray, FloatArray]:
        return self._density, self._weights, self._scales

    def _learn_groups(
        self, gaussian: ScaleMixtureDensity, weights: FloatArray, scales: FloatArray
    ) -> None:
        try:
            gaussian.check()
            _check_mixtures(weights, scales)
        except ValueError as error:
            raise self._no_density(error) from None
        self._density, self._weights, self._scales = gaussian, weights, scales

    @property
    def weights_(self) -> FloatArray:
        """Mixture weights of each coordinate, (rank, J)."""
        return self._copy_of("weights")

    @property
    def scales_(self) -> FloatArray:
        """Scales r2 of each coordinate, (rank, J)."""
        return self._copy_of("scales")

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters: of weights, scales and the covariance."""
        self._check_fitted()
        rank, n_scales = self._weights.shape
        return 2 * rank * (n_scales - 1) + rank * (rank + 1) // 2

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the responsibilities of every coordinate's Gaussians.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, rank, n_scales)
            Each coordinate's sum to 1.
        """
        return self._posterior(self._checked(X))[0]

    def predict(self, X: Any) -> Any:
        """Return the most probable scale of every coordinate, (n_samples, rank)."""
        X = self._checked(X)
        return np.concatenate([self._posterior(part)[0].argmax(axis=2) for part in in_blocks(X)])

    def _drawn(self, n_samples: int, rng: np.random.Generator) -> tuple[FloatArray, Any]:
        rank = self._weights.shape[0]
        steps = self._weights.cumsum(axis=1)[:, :-1]
        labels = (rng.random((n_samples, rank))[:, :, None] >= steps).sum(axis=2)
        variances = self._scales[np.arange(rank), labels] * self._density.eigenvalues[0]
        s = rng.standard_normal((n_samples, rank)) * np.sqrt(variances)
        return s @ self._density.eigenvectors[0].T, labels

    @np.errstate(under="ignore")  # what underflows counts for nothing, as the least probable
    def _denoised(self, Y: FloatArray, sigma: float, return_std: bool) -> Any:
        P = self._density.eigenvectors[0].astype(Y.dtype)
        z = Y @ P
        v = self._scales * self._density.eigenvalues[0][:, None]
        shrinkages = (v / (v + sigma**2)).astype(Y.dtype)
        if not return_std:
            log_weights, halves = self._constants(v + sigma**2, Y.dtype)
            restored = np.empty_like(z)
            tables = (np.ascontiguousarray(a.T) for a in (log_weights, halves, shrinkages))
            shrink_coordinates(z, *tables, restored)
            return restored @ P.T
        restored, variance = np.empty_like(z), np.empty_like(z)
        for part, mean, spread in zip(*map(in_blocks, (z, restored, variance)), strict=True):
            responsibilities, _ = self._mixtures(part, v + sigma**2)
            factor = np.einsum("nij,ij->ni", responsibilities, shrinkages)
            # From their differences, because those of squares cancel where all are nearly 1.
            squares = np.square(shrinkages - factor[:, :, None])
            mean[:] = factor * part
            spread[:] = Y.dtype.type(sigma**2) * factor
            spread += np.einsum("nij,nij->ni", responsibilities, squares) * part**2
        return restored @ P.T, np.sqrt(variance @ np.square(P).T)

    @np.errstate(under="ignore")
    def _posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = X @ self._density.eigenvectors[0].astype(X.dtype)
        return self._mixtures(z, self._scales * self._density.eigenvalues[0][:, None])

    def _mixtures(self, z: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return responsibilities (n, rank, J) and log-likelihoods (n,) of z under variances v."""
        log_weights, halves = self._constants(v, z.dtype)
        log_prob = log_weights - halves * np.square(z)[:, :, None]
        peak = log_prob.max(axis=2, keepdims=True)
        responsibilities = np.exp(log_prob - peak)
        total = responsibilities.sum(axis=2, keepdims=True)
        responsibilities /= total
        return responsibilities, (peak + np.log(total)).sum(axis=(1, 2))

    def _constants(self, v: FloatArray, dtype: Any) -> tuple[FloatArray, FloatArray]:
        """Return logarithms (rank, J) of weights over normalising constants, and 0.5 / v."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self._weights) - 0.5 * (LOG_2PI + np.log(v))
        return log_weights.astype(dtype), (0.5 / v).astype(dtype)

    def _arrays(self) -> dict[str, FloatArray]:
        return {
            "weights": self._weights,
            "scales": self._scales,
            "eigenvalues": self._density.eigenvalues[0],
            "eigenvectors": self._density.eigenvectors[0],
        }

    def _set_arrays(self, arrays: dict[str, FloatArray]) -> None:
        weights, scales = arrays["weights"], arrays["scales"]
        ones = np.ones((1, 1))
        gaussian = ScaleMixtureDensity(
            ones,
            ones,
            np.zeros((1, arrays["eigenvectors"].shape[0])),
            arrays["eigenvalues"][None],
            arrays["eigenvectors"][None],
        )
        gaussian.check()
        if not weights.shape == scales.shape == (gaussian.rank, self.n_scales):
            raise ValueError(
                f"it has weights of shape {weights.shape} and scales of shape {scales.shape}, and "
                f"its rank and its options ask for {(gaussian.rank, self.n_scales)}"
            )
        _check_mixtures(weights, scales)
        self._density, self._weights, self._scales = gaussian, weights, scales
        self.n_features_in_ = gaussian.n_features


def _check_mixtures(weights: FloatArray, scales: FloatArray) -> None:
    """Raise ValueError unless rows are the weights and scales of mixtures."""
    # Written so that NaN fails too.
    sums_to_one = np.abs(weights.sum(axis=1) - 1) < 1e-5
    if not ((weights >= 0).all() and sums_to_one.all() and (scales > 0).all()):
        raise ValueError("its weights are not at least 0 with sum 1, or its scales not above 0")
