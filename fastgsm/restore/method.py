"""The contract of a method of restoration.

A method takes the planes of an image and returns clean ones. It knows neither files nor Dask nor
the units of the image: planes are in the units of the prior. Tiles rely on its `Reach`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.models._base import PatchModel
from fastgsm.models.cascade import Cascade
from fastgsm.restore.planes import PlaneModel, PlaneNoise


class Reach(NamedTuple):
    """How far a method looks, in pixels."""

    halo: int
    """A pixel of the result does not depend on pixels farther away than this."""
    step: int
    """A crop that starts at a multiple of this sees the same patches, summed in the same order,
    as the whole image."""

    def and_of(self, other: Reach) -> Reach:
        """Return how far the farther of two methods looks."""
        return Reach(max(self.halo, other.halo), math.lcm(self.step, other.step))


class Method(Protocol):
    """Restoration of planes at the noise level that the method was made for."""

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width) in the units of the prior."""


class Cascades(NamedTuple):
    """The cascades of an image's planes."""

    first: Cascade
    others: Cascade
    stride: int
    """Distance between their patches."""

    def of_planes(self, n_planes: int) -> list[Cascade]:
        """Return the cascade of each plane."""
        return [self.first, *(self.others,) * (n_planes - 1)]


@dataclass(frozen=True)
class Setting:
    """Everything that a method is made for, apart from the level of the noise."""

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
    noise: PlaneNoise | None = None
    """Of all planes, relative to that of the first; None if it is white and equal."""
    cascades: Cascades | None = None
    """Take the models' place where a preset has them; for white noise."""
    inner: Part | None = None
    """Part of the planes that is wanted, from multiples of the preset's step on; the rest of the
    result may hold anything."""

    def plane_models(self, n_planes: int) -> list[PlaneModel]:
        """Return the model of each plane, as seen through its noise."""
        chroma = self.model if self.chroma is None else self.chroma
        noise = PlaneNoise((1.0,) * n_planes) if self.noise is None else self.noise
        correlations = noise.correlations or (None,) * n_planes
        models = (self.model, *(chroma,) * (n_planes - 1))
        return [
            PlaneModel.of(*each) for each in zip(models, noise.ratios, correlations, strict=True)
        ]

    @property
    def is_white(self) -> bool:
        """Whether the noise is white in all planes, whatever its levels."""
        return self.noise is None or not (self.noise.correlations or self.noise.strong_lows)

    def halved(self, level: float) -> tuple[Setting, float]:
        """Return the setting and the level of the first plane's noise at half of the size."""
        if self.noise is None:
            return self, level / 2
        ratio, noise = self.noise.halved()
        return replace(self, noise=noise), level * ratio


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
