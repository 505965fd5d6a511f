"""What test files of several folders share: images, samples, and a fit without its warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.restore.presets import PRESETS

QUALITIES = tuple(PRESETS)
ITERATIVE = [name for name, entry in MODELS.items() if entry.iterates]
CLOSED_FORM = [name for name in MODELS if name not in ITERATIVE]


def photograph(name: str) -> NDArray[np.float64]:
    """Return a photograph of scikit-image in [0, 1]; its wheel must hold it, as nothing downloads.

    A grey photograph has shape (height, width), a colour photograph (height, width, 3).
    """
    import skimage.data  # slow to import

    return getattr(skimage.data, name)() / 255.0


def noisy_leaves(
    shape: tuple[int, int], *, sigma: float = 0.1, seed: int = 0, dtype: Any = np.float32
) -> NDArray[Any]:
    """Draw dead leaves with white noise, both from ``seed`` and in float32, then converted."""
    clean = fastgsm.datasets.dead_leaves(shape, random_state=seed)
    return fastgsm.datasets.add_noise(clean, sigma, random_state=seed).astype(dtype)


def heavy_tailed(n: int, d: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw ``n`` correlated samples of ``d`` features at random contrasts, like patches."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((d, d)) / np.sqrt(d)
    return np.exp(rng.standard_normal((n, 1))) * (rng.standard_normal((n, d)) @ mixing)


def new_model(name: str, size: int = 3, **options: Any) -> Any:
    """Return a model of the registry, with ``size`` shapes and scales where it has several."""
    return MODELS[name].new(dict.fromkeys(MODELS[name].tiny, size), **options)


def new_models(size: int = 3, **options: Any) -> dict[str, Any]:
    """Return one of every model, not yet fitted, by name."""
    return {name: new_model(name, size, **options) for name in MODELS}


def fit_quietly(model: Any, X: Any, sample_weight: Any = None) -> Any:
    """Fit a model, whether or not EM converges and the samples suit it, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
        warnings.filterwarnings("ignore", r".*the floor of variances")
        warnings.filterwarnings("ignore", r".*is far from 0")
        return model.fit(X, sample_weight=sample_weight)
