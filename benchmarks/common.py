"""The models, images and thread counts that every benchmark shares."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

import fastgsm

IMAGE_SHAPE = (256, 256)
N_PATCHES = 10_000
PATCH_SIZE = 8

# Thread counts: one, and all that Numba has.
THREADS = sorted({1, numba.config.NUMBA_NUM_THREADS})
DTYPES = ["float32", "float64"]

MODELS: dict[str, Callable[..., Any]] = {
    "MVN": fastgsm.MVN,
    "GSM": lambda **options: fastgsm.GSM(n_scales=6, **options),
    "GMM": lambda **options: fastgsm.GMM(n_components=16, **options),
    "MoGSM": lambda **options: fastgsm.MoGSM(n_components=8, n_scales=6, **options),
    "ICA": lambda **options: fastgsm.ICA(n_scales=6, **options),
}


def image(seed: int, shape: tuple[int, int] = IMAGE_SHAPE) -> NDArray[Any]:
    """Draw a dead-leaves image in [0, 1]."""
    return fastgsm.datasets.dead_leaves(shape, seed)


def patches(seed: int, n_patches: int = N_PATCHES) -> NDArray[Any]:
    """Draw patches, their means removed, from two dead-leaves images."""
    images = [image(seed), image(seed + 1)]
    return fastgsm.sample_patches(images, PATCH_SIZE, n_patches, center="patch", random_state=seed)


def fit(model: Any, X: NDArray[Any]) -> Any:
    """Fit a model that may be stopped before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
        return model.fit(X)


def rms(difference: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
