"""One image in memory: into planes in the units of the prior, restored, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._images import (
    as_float_image,
    as_type,
    channels_back,
    channels_first,
    noise_level,
    with_median,
)
from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels._jit import limit_workers
from fastgsm.noise.anscombe import stabilised_image, unbiased_inverse
from fastgsm.noise.model import NoiseModel
from fastgsm.restore.method import Setting
from fastgsm.restore.options import Options
from fastgsm.restore.planes import Mixing
from fastgsm.restore.uneven import filled


def denoise_array(
    original: NDArray[Any],
    noise: NoiseModel | FloatArray,
    options: Options,
    trusted: NDArray[np.bool_] | None = None,
    inner: Part | None = None,
) -> tuple[NDArray[Any], FloatArray | None]:
    """Denoise an image in memory, whose options, noise and mask have been checked.

    Return a new image of the original's shape and type, and the standard deviation of its errors
    where the options ask for it.

    ``noise``, in the image's own units, is a model or a level for each pixel (height, width).
    ``trusted`` (height, width) is False where a pixel is missing. With ``inner``, the part of the
    result that is wanted (see `Setting`), ``original`` is a tile with its margins, and the grids
    are drawn like those of the whole image.
    """
    axis = options.channel_axis
    known = original if trusted is None else with_median(original, trusted, axis)
    if not isinstance(noise, NoiseModel) or noise.photons is None:
        photons = None
        unit = options.unit(original.dtype)
        if options.extent is not None and options.extent.needs_float64(unit):
            known = known.astype(np.float64)
        pixels, unit = as_float_image(known, data_range=unit)
    else:
        photons = noise.photons
        pixels, unit = stabilised_image(known, photons, options.data_range, options.extent)
        noise = replace(noise, sigma=np.ones(noise.n_channels), photons=None)
    planes = channels_first(pixels, axis)
    mixing = _mixing(noise, planes, unit)
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
    noiseless = mixing.silent[:, None, None] & np.isfinite(level) | (np.asarray(level) == 0)
    if noiseless.any():
        into, given = (channels_first(each, axis) for each in (denoised, original))
        np.copyto(into, given, where=noiseless)
    if variance is None:
        return denoised, None
    std = np.sqrt(variance) * variance.dtype.type(unit)
    return denoised, np.ascontiguousarray(channels_back(std, axis))


def _mixing(noise: NoiseModel | FloatArray, planes: FloatArray, unit: float) -> Mixing:
    """Return how channels (n, height, width), in units of ``unit``, become planes."""
    n_channels = len(planes)
    if not isinstance(noise, NoiseModel):
        return Mixing.even(n_channels, noise_level(noise, unit, planes))
    level = noise_level(float(noise.sigma.max()), unit, planes)
    if level == 0 or (noise.is_white and noise.n_channels == 1):
        return Mixing.even(n_channels, level)
    levels = noise.sigma / unit
    covariance = np.outer(levels, levels)[:, :, None, None] * noise.correlation
    if noise.n_channels < n_channels:
        covariance = covariance * np.eye(n_channels)[:, :, None, None]
    return Mixing.adapted_to(covariance, camera=noise.camera)


def _restore(
    planes: FloatArray, mixing: Mixing, options: Options, inner: Part | None
) -> tuple[FloatArray, FloatArray | None]:
    """Denoise channels (n, height, width) in units of the data range.

    Returns the expected squared errors too, where the options ask for a standard deviation.
    """
    n_channels = len(planes)
    matrix, inverse = (each.astype(planes.dtype) for each in mixing[:2])
    mixed = _weighted_sums(matrix, planes) if n_channels > 1 else planes
    # Every tile draws the same grids: those of the whole image.
    rng = options.rng if inner is None else copy.deepcopy(options.rng)
    setting = options.setting(planes.dtype, rng, inner, mixing.noise)
    preset, level = options.preset, mixing.level
    new: Callable[[Setting, Any], Any] | None = preset.new
    if isinstance(level, np.ndarray):
        new = preset.new_uneven
    assert new is not None
    method, variance = new(setting, level), None
    with Progress(method.n_steps(mixed.shape), "denoising", enabled=options.progress) as bar:
        if options.return_std:
            restored, variance = method.with_variance(mixed, bar)
        else:
            restored = method(mixed, bar)
    if n_channels > 1:
        restored = _weighted_sums(inverse, restored)
        restored[mixing.silent] = planes[mixing.silent]
        if variance is not None:  # the errors of the planes count as uncorrelated
            variance = _weighted_sums(np.square(inverse), variance)
    return restored, variance


def _weighted_sums(weights: FloatArray, planes: FloatArray) -> FloatArray:
    """Mix planes: ``weights`` (m, n) times ``planes`` (n, height, width).

    Not by BLAS: its threads would spin for a tenth of a second and keep a core from the kernels,
    which made ``denoise(quality="fast")`` of a colour image of 481x321 pixels take twice as long.
    """
    return np.einsum("mn,nhw->mhw", weights, planes)
