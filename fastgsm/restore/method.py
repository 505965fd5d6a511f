"""What a method of restoration promises, and how methods are composed."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels.patches import extract
from fastgsm.models._base import PatchModel
from fastgsm.restore.nonlocal_mvn import NonlocalMVN


class Method(Protocol):
    """What restores the planes of an image, at the noise level that it was made for."""

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape (n, height, width) take."""

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""


class Within:
    """A method, applied to a part of the planes; the rest stays as it is."""

    def __init__(self, method: Method, part: Part) -> None:
        self._method = method
        self._part = (slice(None), *part)

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape take."""
        return self._method.n_steps(_shape_of(self._part, shape))

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width)."""
        result = planes.copy()
        result[self._part] = self._method(planes[self._part], bar)
        return result


class Refined:
    """A method, and the non-local refinement of its result, or of a part of it.

    Where pixels are missing (height, width), the method's result stands in for them. An image
    smaller than a patch of the refinement is left at that result.
    """

    def __init__(
        self,
        pilot: Method,
        refinement: NonlocalMVN,
        missing: NDArray[np.bool_] | None = None,
        part: Part | None = None,
    ) -> None:
        self._pilot = pilot
        self._refinement = refinement
        self._missing = missing
        self._part: Any = ... if part is None else (slice(None), *part)

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape take."""
        steps = self._pilot.n_steps(shape)
        if self._refines(shape):
            steps += self._refinement.n_steps(_shape_of(self._part, shape))
        return steps

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width)."""
        restored = self._pilot(planes, bar)
        if not self._refines(planes.shape):
            return restored
        if self._missing is not None:
            planes = np.where(self._missing, restored, planes)
        restored[self._part] = self._refinement(planes[self._part], restored[self._part], bar)
        return restored

    def _refines(self, shape: tuple[int, ...]) -> bool:
        return min(shape[1:]) >= self._refinement.patch_size


def _shape_of(part: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a part of an array of the given shape."""
    return np.broadcast_to(0, shape)[part].shape


def restored_patches(
    model: PatchModel,
    sigma: float,
    image: FloatArray,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    patch_size: int,
    remove_mean: bool,
) -> FloatArray:
    """Posterior means (n, d) of the patches on a grid, by the model's own `denoise_patches`."""
    noisy = np.empty((rows.size * cols.size, patch_size**2), image.dtype)
    extract(image, rows, cols, patch_size, noisy)
    mean = noisy.mean(axis=1, keepdims=True) if remove_mean else 0
    return np.ascontiguousarray(model.denoise_patches(noisy - mean, sigma) + mean)


def centring(model: PatchModel) -> tuple[bool, bool]:
    """Tell from a model whether its patches had their own mean, or the data's mean, removed."""
    covariance = np.asarray(model.covariances_)  # type: ignore[attr-defined]
    weights = np.asarray(model.weights_)  # type: ignore[attr-defined]
    means = np.asarray(model.means_)  # type: ignore[attr-defined]
    d = covariance.shape[-1]
    brightness = covariance.sum(axis=(1, 2)).max() / d
    spread = np.trace(covariance, axis1=1, axis2=2).max() / d
    # Well above the floor that the models put under their eigenvalues.
    if brightness < 1e-5 * spread:
        return True, False
    shape_weights = weights.reshape(len(means), -1).sum(axis=1) if len(means) > 1 else np.ones(1)
    level = float((shape_weights @ means).mean())
    return False, abs(level) < 1e-3 * math.sqrt(brightness)
