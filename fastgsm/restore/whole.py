"""One image in memory: into planes in the units of the prior, restored, and back."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import peak_of
from fastgsm._images import (
    as_float_image,
    as_type,
    channels_back,
    channels_first,
    noise_level,
    warn_unlikely_range,
    with_median,
)
from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.colour import mixing_matrix, noise_adapted_matrix
from fastgsm.kernels._jit import limit_workers
from fastgsm.noise.anscombe import stabilised_image, unbiased_inverse
from fastgsm.noise.camera import camera_covariance
from fastgsm.noise.white import sigma_of_planes
from fastgsm.restore.method import Setting
from fastgsm.restore.options import Options
from fastgsm.restore.uneven import filled

Level = float | FloatArray

# A plane without noise is restored as if it had this share of the first plane's.
LEAST_RATIO = 0.01


def denoise_array(
    original: NDArray[Any],
    sigma: Level | None,
    options: Options,
    trusted: NDArray[np.bool_] | None = None,
    inner: Part | None = None,
) -> tuple[NDArray[Any], FloatArray | None]:
    """Denoise an image in memory, whose options, noise level and mask have been checked.

    Return a new image of the original's shape and type, and the standard deviation of its errors
    where the options ask for it.

    ``sigma`` is in the image's own units, or None to estimate it. ``trusted`` (height, width) is
    False where a pixel is missing. With ``inner``, the part of the result that is wanted (see
    `Setting`), ``original`` is a tile with its margins, and the grids are drawn like those of the
    whole image.
    """
    axis, noise = options.channel_axis, options.noise
    known = original if trusted is None else with_median(original, trusted, axis)
    photons = None if isinstance(noise, str) else noise
    if photons is None:
        pixels, unit = as_float_image(known, data_range=options.data_range)
        if options.data_range is None:
            warn_unlikely_range(peak_of(pixels), unit)
        if sigma is None and noise == "white":
            # In the range of the type, whatever was given: the estimate does not depend on it.
            given = options.data_range is not None
            own, own_unit = as_float_image(known) if given else (pixels, unit)
            sigma = sigma_of_planes(channels_first(own, axis), own_unit, trusted)
    else:
        pixels, unit = stabilised_image(known, photons, axis, options.data_range)
        sigma = 1.0
    planes = channels_first(pixels, axis)
    if noise == "camera":
        mixing = Mixing.adapted_to(camera_covariance(planes, trusted))
    else:
        assert sigma is not None
        mixing = Mixing.even(len(planes), noise_level(sigma, unit, pixels))
    level = mixing.level
    if trusted is not None:
        level = np.where(trusted, level, np.inf)
    if np.all(level == 0):
        std = np.zeros_like(pixels, order="C") if options.return_std else None
        return original.copy(), std
    with limit_workers(options.workers):
        if trusted is not None:
            planes = filled(planes, trusted)
        restored, variance = _restore(planes, mixing._replace(level=level), options, inner)
    result = channels_back(restored, axis)
    if photons is not None:
        result, unit = unbiased_inverse(result * result.dtype.type(unit), photons), 1.0
    denoised = as_type(result, original.dtype, unit)
    if isinstance(level, np.ndarray):
        noiseless = level == 0 if axis is None else np.expand_dims(level == 0, axis)
        np.copyto(denoised, original, where=noiseless)
    if variance is None:
        return denoised, None
    std = np.sqrt(variance) * variance.dtype.type(unit)
    return denoised, np.ascontiguousarray(channels_back(std, axis))


class Mixing(NamedTuple):
    """How channels become planes whose noise is uncorrelated, and the noise of the planes."""

    matrix: FloatArray
    """Rows (n, n): the weights of the channels in each plane."""
    inverse: FloatArray
    level: Level
    """Noise of the first plane, in units of the data range."""
    ratios: tuple[float, ...] | None
    """Noise of every plane relative to that of the first; None if all are equal."""

    @classmethod
    def even(cls, n_channels: int, level: Level) -> Self:
        """Return the mixing for noise of one level in all channels."""
        matrix = mixing_matrix(n_channels)
        return cls(matrix, matrix.T * n_channels, level / math.sqrt(n_channels), None)

    @classmethod
    def adapted_to(cls, covariance: FloatArray) -> Self:
        """Return the mixing for noise with a covariance (n, n) between the channels."""
        matrix = noise_adapted_matrix(covariance)
        levels = np.sqrt(np.einsum("mi,ij,mj->m", matrix, covariance, matrix))
        ratios = np.maximum(levels / levels[0], LEAST_RATIO).tolist()
        return cls(matrix, np.linalg.inv(matrix), float(levels[0]), tuple(ratios))


def _restore(
    planes: FloatArray, mixing: Mixing, options: Options, inner: Part | None
) -> tuple[FloatArray, FloatArray | None]:
    """Denoise channels (n, height, width) in units of the data range.

    Returns the expected squared errors too, where the options ask for a standard deviation.
    """
    n_channels = planes.shape[0]
    matrix, inverse = (each.astype(planes.dtype) for each in mixing[:2])
    mixed = _weighted_sums(matrix, planes) if n_channels > 1 else planes
    # Every tile draws the same grids: those of the whole image.
    rng = options.rng if inner is None else copy.deepcopy(options.rng)
    setting = options.setting(planes.dtype, rng, inner, mixing.ratios)
    preset, level = options.preset, mixing.level
    new: Callable[[Setting, Any], Any] | None = preset.new
    if isinstance(level, np.ndarray):
        new = preset.new_uneven
    assert new is not None
    method, variance = new(setting, level), None
    with Progress(method.n_steps(planes.shape), "denoising", enabled=options.progress) as bar:
        if options.return_std:
            restored, variance = method.with_variance(mixed, bar)
        else:
            restored = method(mixed, bar)
    if n_channels > 1:
        restored = _weighted_sums(inverse, restored)
        if variance is not None:  # the errors of the planes count as uncorrelated
            variance = _weighted_sums(np.square(inverse), variance)
    return restored, variance


def _weighted_sums(weights: FloatArray, planes: FloatArray) -> FloatArray:
    """Mix planes: ``weights`` (m, n) times ``planes`` (n, height, width).

    Not by BLAS: its threads would spin for a tenth of a second and keep a core from the kernels,
    which made ``denoise(quality="fast")`` of a colour image of 481x321 pixels take twice as long.
    """
    return np.einsum("mn,nhw->mhw", weights, planes)
