"""The contract of a method of restoration.

A method takes the planes of an image and returns clean ones. It knows neither files nor Dask nor
the units of the image: planes are in the units of the prior. Tiles rely on its `Reach`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.models._base import PatchModel


class Reach(NamedTuple):
    """How far a method looks, in pixels."""

    halo: int
    """A pixel of the result does not depend on pixels farther away than this."""
    step: int
    """A crop that starts at a multiple of this sees the same patches, summed in the same order,
    as the whole image."""


class Method(Protocol):
    """Restoration of planes at the noise level that the method was made for."""

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""


@dataclass(frozen=True)
class Setting:
    """Everything that a method is made for, apart from the noise."""

    model: PatchModel
    chroma: PatchModel | None
    """For the planes after the first. None if `model` is for all planes."""
    patch_size: int
    stride: int
    dtype: np.dtype[Any]
    """Type of the planes: float32 or float64."""
    rng: np.random.Generator
    """Draws the positions of the patch grids."""
    center: bool = False
    """Keep only each patch's central pixel."""
    ratios: tuple[float, ...] | None = None
    """The noise of every plane relative to that of the first; None if all are equal."""
    correlated: bool = False
    """The noise is correlated between pixels, and so is strong at low frequencies."""
    inner: Part | None = None
    """Part of the planes that is wanted, from multiples of the preset's step on; the rest of the
    result may hold anything."""

    def levels(self, sigma: float, n_planes: int) -> list[float]:
        """Return the noise of all planes where that of the first is ``sigma``."""
        ratios = (1.0,) * n_planes if self.ratios is None else self.ratios
        return [sigma * ratio for ratio in ratios]


@dataclass(frozen=True)
class Within:
    """A method applied to a part of the planes; the rest stays as it is."""

    method: Method
    part: Part

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        return self.method.n_steps(shape_of(self.part, shape))

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise the part of ``planes`` (n, height, width)."""
        result = planes.copy()
        result[:, *self.part] = self.method(planes[:, *self.part], bar)
        return result


def shape_of(part: Part, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a part of planes of ``shape`` (n, height, width)."""
    return np.broadcast_to(0, shape)[:, *part].shape
