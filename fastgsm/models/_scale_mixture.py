"""Base of the models that are mixtures of K shapes at J scales."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from typing import Any, NamedTuple, Self

import numpy as np

from fastgsm._arrays import is_dask
from fastgsm._checks import check_choice, check_integer
from fastgsm._types import FloatArray
from fastgsm.kernels.wiener import WienerBank, posterior_patches
from fastgsm.learning.chunks import Chunk, KeptDistances
from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.em import FitRun, History
from fastgsm.learning.statistics import (
    SufficientStatistics,
    expected_statistics,
    shape_statistics,
)
from fastgsm.learning.steps import ShapeSteps
from fastgsm.learning.updates import (
    InnerMixture,
    updated_at_once,
    updated_mixture,
    updated_shapes,
)
from fastgsm.models._base import PatchModel


class ScaleMixtureModel(PatchModel):
    """A model whose learned state is one `ScaleMixtureDensity`."""

    # Whether `weights_` and `scales_` are (K, J) arrays, as inside, or flat.
    _two_indices = False
    _learns_scales = False

    @property
    def _shape(self) -> tuple[int, int]:
        """(K, J), by the options; 1 where there is no option."""
        return getattr(self, "n_components", 1), getattr(self, "n_scales", 1)

    def _learn(self, density: ScaleMixtureDensity) -> None:
        """Set what was learned, or raise ValueError if it is not a density."""
        try:
            density.check()
        except ValueError as error:
            raise self._no_density(error) from None
        self._density = density

    @classmethod
    def _of(cls, density: ScaleMixtureDensity, **options: Any) -> Self:
        """Return a model with given parameters, which has seen no samples."""
        model = cls(**options)
        model._set_arrays({each.name: getattr(density, each.name) for each in fields(density)})
        model.n_samples_seen_ = 0.0
        model._note(History([], False))
        return model

    def _statistics(self, chunk: Chunk, parameters: str) -> SufficientStatistics:
        kept = KeptDistances(self._density.whitened)
        return shape_statistics(chunk, parameters, kept=kept, scales=self._learns_scales)

    def _own_statistics(self) -> SufficientStatistics:
        density = self._density
        distances = density.rank * density.weights * density.scales if self._learns_scales else None
        return expected_statistics(density, density.weights, distances, self._digest())

    def _take(self, statistics: SufficientStatistics, blended: bool = False) -> None:
        support = self._density.support(np.float32 if statistics.n_narrow else np.float64)
        mixture = InnerMixture.of(self._density, support)
        floor = self.reg_covar
        if not self._learns_scales:
            means = self._learns_means
            new = updated_shapes(mixture, statistics, floor, fit_weights=True, fit_means=means)
        elif blended:
            new = updated_at_once(mixture, statistics, floor)
        else:
            new = updated_mixture(mixture, statistics, floor)
        density = new.density()
        self._learn(density.of_unit_trace() if self._learns_scales else density)
        self._warn_of_lifts(new.lifts)

    def _natural(self, name: str) -> FloatArray:
        values = self._copy_of(name)
        return values if self._two_indices else values.ravel()

    @property
    def weights_(self) -> FloatArray:
        """Mixture weights: (J,), (K,) or (K, J); they sum to 1."""
        return self._natural("weights")

    @property
    def scales_(self) -> FloatArray:
        """Scales r2, which multiply the covariances; shaped as `weights_`."""
        return self._natural("scales")

    def _posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._density.posterior(X)

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

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Learn the model from samples, and return the most probable Gaussian of each.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        y : None
            Ignored; for scikit-learn's pipelines.
        sample_weight : array_like of shape (n_samples,), optional
            As for `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Those of ``fit(X, y, sample_weight).predict(X)``.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; also for a Dask array, whose samples are never held together.

        Examples
        --------
        >>> import numpy as np, fastgsm
        >>> X = np.repeat([[0.0, 0.0], [9.0, 9.0]], 50, axis=0)
        >>> X += np.random.default_rng(0).normal(size=X.shape)
        >>> labels = fastgsm.GMM(2, random_state=0).fit_predict(X)
        >>> np.unique(labels[:50]).size, bool(labels[0] != labels[50])
        (1, True)
        """
        if is_dask(X):
            raise TypeError(
                "X is a Dask array, and labels are found in memory; wanted an array in memory. "
                "Call fit(X), and then predict for one part of the samples after another."
            )
        return self.fit(X, y, sample_weight).predict(X)

    def _drawn(self, n_samples: int, rng: np.random.Generator) -> tuple[FloatArray, Any]:
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

    def _denoised(self, Y: FloatArray, sigma: float, return_std: bool) -> Any:
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
        return {field.name: getattr(self._density, field.name) for field in fields(self._density)}

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


class Fitted(NamedTuple):
    """Where EM led from one start."""

    density: ScaleMixtureDensity
    lifts: FloatArray
    """The factors (K,) by which the floor raised the least variances."""
    history: History


class ShapeModel(ScaleMixtureModel):
    """A model whose K shapes have covariances of their own, all of which EM learns."""

    n_components: int
    n_init: int
    init_params: str
    # Values of `init_params`.
    _partitions: tuple[str, ...]

    @abstractmethod
    def _start(self, data: Survey, rng: np.random.Generator) -> ScaleMixtureDensity:
        """Return the parameters that EM starts from."""

    @property
    @abstractmethod
    def _starts_at_random(self) -> bool:
        """Whether the options leave some starting values to chance."""

    def _check_options(self) -> None:
        super()._check_options()
        for size, name in zip(self._shape, ("n_components", "n_scales"), strict=True):
            check_integer(size, name)
        check_choice(self.init_params, "init_params", self._partitions)
        if check_integer(self.n_init, "n_init") > 1 and not self._starts_at_random:
            raise ValueError(
                f"n_init is {self.n_init}, but all starting values are given, so all starts would "
                f"be the same; wanted n_init=1, or starting values that are left out."
            )

    def _fit(self, data: Survey, run: FitRun) -> History:
        if run.checkpoint is not None and self.n_init > 1:
            raise ValueError(
                f"checkpoint is given, but n_init is {self.n_init}, and a checkpoint holds one "
                f"start of EM; wanted n_init=1: fit with several values of random_state, each with "
                f"a checkpoint of its own, and keep the model of the highest lower_bound_."
            )
        warm = self._continues(self._shape, data.support)
        best: Fitted | None = None
        for _ in range(1 if warm else self.n_init):
            start = self._density if warm else self._start(data, run.rng)
            fitted = self._fit_from(start, data, run)
            if best is None or fitted.history.lower_bounds[-1] > best.history.lower_bounds[-1]:
                best = fitted
            if fitted.history.stopped:
                break
        assert best is not None
        self._learn(best.density)
        self._warn_of_lifts(best.lifts)
        return best.history

    def _fit_from(self, start: ScaleMixtureDensity, data: Survey, run: FitRun) -> Fitted:
        """Run EM from one start."""
        steps = ShapeSteps(
            data.reduce,
            start,
            data.support,
            self.reg_covar,
            fit_means=self._learns_means,
            fit_scales=self._learns_scales,
        )
        history = self._run_em(steps, run, data)
        return Fitted(steps.density, steps.lifts, history)
