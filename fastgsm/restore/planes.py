"""The planes of an image: how channels are mixed into them, and the noise that each then has."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.colour import mixing_matrix, noise_adapted_matrix
from fastgsm.kernels.nonlocal_mvn import LEAST_VARIANCE
from fastgsm.kernels.wiener import WienerBank
from fastgsm.learning.coloured import ColouredDensity
from fastgsm.learning.support import eigh
from fastgsm.models._base import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel

Level = float | FloatArray

# A plane without noise is restored as if it had this share of the first plane's, and the first as
# if it had this share of the largest.
LEAST_RATIO = 0.01


class PlaneNoise(NamedTuple):
    """Noise of all planes, relative to the level of the first plane's."""

    ratios: tuple[float, ...]
    """Standard deviation of each."""
    correlations: tuple[FloatArray, ...] | None = None
    """Correlation of each at all distances (height, width), 1 in the middle; None if it is white
    in all planes."""
    strong_lows: bool = False
    """The noise is stronger at low frequencies than white noise of the same level."""

    def patch_correlations(self, patch_size: int, dtype: Any) -> FloatArray:
        """Return the correlations in a patch of every plane, (planes, d, d), or none (0, d, d)."""
        d = patch_size**2
        result = np.empty((len(self.correlations or ()), d, d), dtype)
        for correlation, of_patch in zip(self.correlations or (), result, strict=True):
            variances, axes = eigh(patch_covariance(correlation, patch_size))
            of_patch[:] = axes * np.maximum(variances, LEAST_VARIANCE) @ axes.T
        return result

    def halved(self) -> tuple[float, PlaneNoise]:
        """Return the level in means over 2x2 pixels, relative to the one before, and the noise.

        Such means are correlated with each other as sums of (1, 2, 1) / 4 along both axes are,
        every other pixel.
        """
        if self.correlations is None:
            return 0.5, self
        roots, correlations = zip(*(_halved(each) for each in self.correlations), strict=True)
        level, ratios = _relative(np.multiply(self.ratios, roots))
        return level, PlaneNoise(ratios, correlations, self.strong_lows)


class Mixing(NamedTuple):
    """How channels become planes whose noise is uncorrelated, and the noise of the planes."""

    matrix: FloatArray
    """Weights of the channels in each plane, (planes, channels)."""
    inverse: FloatArray
    """Weights of the planes in each channel, (channels, planes)."""
    level: Level
    """Noise of the first plane, in units of the data range."""
    noise: PlaneNoise | None = None
    """Of all planes; None if it is white and equal."""

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which channels have no noise, and are in no plane (channels,)."""
        return np.asarray(~self.inverse.any(axis=1))

    @classmethod
    def even(cls, n_channels: int, level: Level) -> Self:
        """Return the mixing for white noise of one level in all channels."""
        matrix = mixing_matrix(n_channels)
        return cls(matrix, matrix.T * n_channels, level / math.sqrt(n_channels))

    @classmethod
    def adapted_to(cls, covariance: FloatArray, *, camera: bool) -> Self:
        """Return the mixing for noise with a covariance (n, n, height, width), see `NoiseModel`.

        Channels without noise are in no plane.
        """
        middle = tuple(n // 2 for n in covariance.shape[2:])
        noisy = np.diagonal(covariance[:, :, *middle]) > 0
        matrix = np.zeros((np.count_nonzero(noisy), len(noisy)))
        matrix[:, noisy] = noise_adapted_matrix(covariance[:, :, *middle][np.ix_(noisy, noisy)])
        of_planes = np.einsum("mi,ij...,mj->m...", matrix, covariance, matrix)
        variances = np.maximum(of_planes[:, *middle], 0)
        level, ratios = _relative(np.sqrt(variances))
        correlations = None
        if covariance[0, 0].size > 1:
            correlations = tuple(
                each / variance if variance > 0 else np.ones((1, 1))
                for each, variance in zip(of_planes, variances, strict=True)
            )
        noise = PlaneNoise(ratios, correlations)
        noise = noise._replace(strong_lows=camera or noise.halved()[0] > 0.5)
        return cls(matrix, np.linalg.pinv(matrix), level, noise)


class PlaneModel(NamedTuple):
    """The model of a plane, as seen through the plane's noise."""

    model: PatchModel
    ratio: float
    """Noise of the plane relative to the level of the first plane's."""
    coloured: ColouredDensity | None
    """For noise that is correlated between pixels."""

    @classmethod
    def of(cls, model: PatchModel, ratio: float, correlation: FloatArray | None) -> Self:
        """Return the model as seen through noise with a ``correlation`` (None for white noise)."""
        if correlation is None or correlation.size == 1:
            return cls(model, ratio, None)
        assert isinstance(model, ScaleMixtureModel)
        density = model._density
        noise = patch_covariance(correlation, math.isqrt(density.n_features))
        return cls(model, ratio, ColouredDensity.of(density, noise))

    @property
    def shape_weights(self) -> FloatArray:
        """Weights (K,) of a mixture's shapes."""
        assert isinstance(self.model, ScaleMixtureModel)
        return np.asarray(self.model._density.weights.sum(axis=1))

    def bank(self, level: float, dtype: Any, tail_loss: float) -> WienerBank | None:
        """Return the filters where the first plane's noise has the given level.

        None for a model that has only `denoise_patches`.
        """
        if not isinstance(self.model, ScaleMixtureModel):
            return None
        sigma = level * self.ratio
        if self.coloured is None:
            return self.model.wiener_bank(sigma, dtype, tail_loss)
        return self.coloured.wiener_bank(sigma**2, dtype)


def patch_covariance(correlation: FloatArray, patch_size: int) -> FloatArray:
    """Return the covariance (d, d) of stationary noise in a patch of ``patch_size`` squared pixels.

    ``correlation`` (height, width) is that of pixels some rows and columns apart, none apart in the
    middle, and 0 beyond.
    """
    most = patch_size - 1
    distances = np.arange(patch_size) - np.arange(patch_size)[:, None]
    padded = np.pad(correlation, most)
    middle = [n // 2 for n in padded.shape]
    rows, cols = (distances + n for n in middle)
    covariance = padded[rows[:, None, :, None], cols[None, :, None, :]]
    return np.asarray(covariance.reshape(patch_size**2, -1))


def _relative(levels: FloatArray) -> tuple[float, tuple[float, ...]]:
    """Return the level of the first plane, and the levels of all relative to it."""
    first = max(float(levels[0]), LEAST_RATIO * float(levels.max()))
    return first, tuple(np.maximum(levels / first, LEAST_RATIO).tolist())


def _halved(correlation: FloatArray) -> tuple[float, FloatArray]:
    """Return the level of means over 2x2 pixels, and their correlation at all distances."""
    kernel = np.array([1, 2, 1]) / 4
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, correlation, kernel)
        first = blurred.shape[axis] // 2 % 2
        correlation = np.take(blurred, np.arange(first, blurred.shape[axis], 2), axis)
    middle = tuple(n // 2 for n in correlation.shape)
    variance = max(float(correlation[middle]), LEAST_VARIANCE)
    correlation = np.clip(correlation / variance, -1, 1)
    correlation[middle] = 1
    return math.sqrt(variance), correlation
