"""The models that a method uses: bundled or the user's, and how their patches are centred."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastgsm.models._base import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.priors import load_prior

Prior = PatchModel | str
Priors = Prior | tuple[Prior, Prior]
Models = tuple[PatchModel, PatchModel | None]


def resolve_priors(
    prior: Prior | Sequence[Prior], n_channels: int, quality: str, *, shapes_correspond: bool
) -> Models:
    """Return the model for the luminance, and the one for the other planes if they have their own.

    If ``shapes_correspond``, a pair must be mixtures with equally many shapes.
    """
    if not isinstance(prior, (tuple, list)):
        return _resolve_prior(prior), None  # type: ignore[arg-type]
    if len(prior) != 2 or n_channels == 1:
        raise ValueError(
            f"prior is a sequence of {len(prior)}, for {n_channels} channels; wanted one prior, or "
            f"for several channels a pair: for the mean of the channels and for their differences."
        )
    model, chroma = (_resolve_prior(each) for each in prior)
    if model.n_features_in_ != chroma.n_features_in_:
        raise ValueError(
            f"the priors have {model.n_features_in_} and {chroma.n_features_in_} features; "
            f"wanted patches of one size."
        )
    if shapes_correspond and (_n_shapes(model) != _n_shapes(chroma) or not _n_shapes(model)):
        raise ValueError(
            f"the priors have {_n_shapes(model)} and {_n_shapes(chroma)} shapes; with quality "
            f"{quality!r} wanted mixtures of as many shapes, which correspond one to one."
        )
    return model, chroma


def _n_shapes(model: PatchModel) -> int:
    """Return the number of shapes; 0 for a model without shapes."""
    return len(model._density.means) if isinstance(model, ScaleMixtureModel) else 0


def _resolve_prior(prior: Prior) -> PatchModel:
    """Return a bundled prior by its name, or a fitted model as it is."""
    if isinstance(prior, str):
        return load_prior(prior)
    if not isinstance(prior, PatchModel):
        raise TypeError(
            f"prior is a {type(prior).__name__}; wanted a fitted fastgsm model or the name of a "
            f"bundled prior (see fastgsm.list_priors())."
        )
    prior._check_fitted()
    return prior


def patch_size_of(model: PatchModel) -> int:
    """Return the side of the square patches that a model describes."""
    d = model.n_features_in_
    if math.isqrt(d) ** 2 != d:
        raise ValueError(
            f"prior has {d} features, which is not a square number; wanted a model of square "
            f"patches."
        )
    return math.isqrt(d)


def centring(model: PatchModel) -> tuple[bool, bool]:
    """Return whether a model's patches had their own mean, and the data's mean, removed."""
    covariance = np.asarray(model.covariances_)
    weights = np.asarray(model.weights_)  # type: ignore[attr-defined]
    means = np.asarray(model.means_)
    d = covariance.shape[-1]
    brightness = covariance.sum(axis=(1, 2)).max() / d
    spread = np.trace(covariance, axis1=1, axis2=2).max() / d
    # Well above the floor that the models put under their eigenvalues.
    if brightness < 1e-5 * spread:
        return True, False
    # Models trained elsewhere have a higher floor: scikit-learn's is 1e-6, where patches vary by
    # 1e-3. Brightness varies most in patches that have it, and their means are not 0.
    if brightness < 1e-2 * spread and np.square(means.mean(axis=1)).max() * d <= brightness:
        return True, False
    shape_weights = weights.reshape(len(means), -1).sum(axis=1) if len(means) > 1 else np.ones(1)
    mean = float((shape_weights @ means).mean())
    return False, abs(mean) < 1e-3 * math.sqrt(brightness)
