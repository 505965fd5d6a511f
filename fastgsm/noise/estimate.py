"""The noise of an image, estimated from the image alone: what kind it is, and how strong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import peak_of, real_array
from fastgsm._checks import check_positive
from fastgsm._data_range import Extent
from fastgsm._images import (
    as_float_image,
    channels_first,
    check_peak,
    default_data_range,
    trusted_pixels,
    with_median,
    without_ones,
)
from fastgsm._types import FloatArray
from fastgsm.noise.affine import AffineVariance, rises_in_a_channel
from fastgsm.noise.camera import camera_confidence, camera_covariance, texture_of
from fastgsm.noise.channels import MIN_NOISY, PATCH, Channel, channels_of, starts_inside
from fastgsm.noise.coloured import coloured_covariance, is_coloured
from fastgsm.noise.covariance import covariance_of_channels
from fastgsm.noise.kinds import Kind, check_kind, known_noise
from fastgsm.noise.model import NoiseModel
from fastgsm.noise.spectra import LEAST_TO_CHOOSE, TINY, NoiseSpectra

# Where no covariance of the channels' noise differs by more than this share of the variance from
# that of equal and independent noise, it counts as such. On Kodak's images with independent noise
# of 5, 10 and 25 of 255, texture makes it 0.19, 0.07 and 0.04 at most; demosaicking 0.4 to 0.7.
EVEN = 0.25


def estimate_noise(
    image: ArrayLike,
    *,
    channel_axis: int | None = None,
    mask: ArrayLike | None = None,
    kind: str = "auto",
    data_range: float | None = None,
) -> NoiseModel:
    """Estimate the noise in an image: what kind it is, and how strong.

    `denoise` does the same where neither `sigma` nor a model of the noise is given.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image of at least 8x8 pixels, floats or integers.
    channel_axis : int, optional
        Axis of the channels; None for a grey image.
    mask : array_like of bool, shape (height, width) or the image's, optional
        True where a pixel is to be trusted. NaN pixels count as masked.
    kind : {"auto", "white", "camera"}
        Kind of noise to look for, as the argument `noise` of `denoise`; "auto" decides.
    data_range : float, optional
        Contrast of the scene: noise that is weak relative to it counts as white, and the levels of
        "camera" depend on it. By default as in `denoise`.

    Returns
    -------
    NoiseModel
        In the image's own units.

    Raises
    ------
    TypeError, ValueError
        As `estimate_sigma`; also if `kind` is unknown.

    See Also
    --------
    estimate_sigma : The level of white noise alone.
    fastgsm.plot.plot_noise : A figure of the result.

    Notes
    -----
    "auto" asks in turn whether the noise is

    - that of photons: its variance, measured in classes of brightness, lies on a line that rises by
      a factor of at least 2.2, and its level is above 2/255 of the data range;
    - the same everywhere and correlated between pixels: its level at the middle frequencies is at
      least 2.2 times that at the highest and 1.8/255, and it looks Gaussian in every other respect;
    - that of a photograph: the first ratio is above 2.6 and the level above 1.4/255, and patches
      that are strong at one half of the frequencies are not so at the other, as texture is. Between
      these limits and 3.2 and 2/255, a part of the estimated level is used.

    Otherwise it is white. Images below 256x256 pixels are judged less surely.

    Examples
    --------
    >>> import fastgsm
    >>> clean = fastgsm.datasets.dead_leaves((256, 256), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=1)
    >>> fastgsm.estimate_noise(noisy).sigma.round(2)
    array([0.1])
    """
    wanted = check_kind(kind)
    original, mask = without_ones(channel_axis, real_array(image, "image"), mask)
    trusted = trusted_pixels(original, mask, channel_axis)
    if data_range is None:
        extent = Extent.unless_likely(channels_first(original, channel_axis), trusted)
        dtype = original.dtype
        data_range = default_data_range(dtype) if extent is None else extent.data_range(dtype)
    else:
        data_range = check_positive(data_range, "data_range")
    return estimated(wanted, None, original, channel_axis, data_range, trusted)


def estimated(
    kind: Kind,
    sigma: float | None,
    image: NDArray[Any],
    channel_axis: int | None,
    data_range: float,
    trusted: NDArray[np.bool_] | None,
) -> NoiseModel:
    """Return the noise of a checked image, as `estimate_noise`.

    With ``sigma``, only what the channels' noise has in common is estimated.
    """
    planes = channels_first(image, channel_axis)
    noise = known_noise(kind, sigma, len(planes))
    if noise is not None:
        return noise
    if sigma is not None and not _has_patches(planes, trusted):
        return NoiseModel.white(sigma)
    known = image if trusted is None else with_median(image, trusted, channel_axis)
    # In the range of the type: the estimate of white noise does not depend on the other.
    pixels, unit = as_float_image(known)
    planes = channels_first(pixels, channel_axis)
    channels = channels_of(planes, trusted)
    return noise_of_channels(kind, sigma, channels, peak_of(planes), unit, data_range)


def noise_of_channels(
    kind: Kind,
    sigma: float | None,
    channels: list[Channel],
    peak: float,
    unit: float,
    data_range: float,
) -> NoiseModel:
    """Return the noise of an image with pixels of up to ``peak`` from its channels' patches.

    The patches and the peak are in units of ``unit``.
    """
    first = channels[0].patches
    if len(channels) > 1 and all((each.patches == first).all() for each in channels[1:]):
        grey = noise_of_channels(kind, sigma, channels[:1], peak, unit, data_range)
        return _in_equal_channels(grey, len(channels))
    check_peak(peak * unit / data_range, data_range)
    if kind != "white":
        channels_in_range = _in_units_of(channels, data_range / unit)
        noise = _other_than_white(kind, channels_in_range, data_range)
        if noise is not None:
            return noise
    return white_noise(*covariance_of_channels(channels, peak, unit, warn=sigma is None), sigma)


def _other_than_white(kind: Kind, channels: list[Channel], unit: float) -> NoiseModel | None:
    """Return noise that is not white, or None if it seems to be, in units of ``unit``."""
    spectra, sure = NoiseSpectra.of(channels), 1.0
    if kind == "auto":
        if spectra.brightness.size < LEAST_TO_CHOOSE:
            return None
        affine, texture = AffineVariance.of(spectra), texture_of(spectra)
        if affine.is_of_photons and rises_in_a_channel(spectra):
            return NoiseModel.poisson(*affine.photons(unit))
        if is_coloured(spectra, texture):
            return _scaled(coloured_covariance(spectra), unit)
        sure = camera_confidence(spectra, texture, affine.level)
        if sure == 0:
            return None
    return _scaled(camera_covariance(spectra), sure * unit, camera=True)


def _in_units_of(channels: list[Channel], factor: float) -> list[Channel]:
    """Return channels in units that are larger by a factor."""
    if factor == 1:
        return channels
    return [Channel(*(values / factor for values in each)) for each in channels]


def _scaled(covariance: FloatArray, unit: float, *, camera: bool = False) -> NoiseModel:
    """Return noise whose covariance is given in units of an image's ``unit``."""
    noise = NoiseModel.from_covariance(covariance, camera=camera)
    return replace(noise, sigma=noise.sigma * unit)


def white_noise(covariance: FloatArray, unit: float, sigma: float | None) -> NoiseModel:
    """Return white noise of a measured covariance (n, n), or of level ``sigma`` in all channels.

    With ``sigma``, only the correlations of the channels are those measured. The covariance is in
    units of ``unit``, ``sigma`` in those of the image.
    """
    if sigma is not None and sigma < TINY * unit:
        return NoiseModel.white(sigma)
    given = None if sigma is None else sigma / unit
    levels = np.sqrt(np.diagonal(covariance))
    level = float(np.sqrt(np.square(levels).mean()))
    if level == 0:
        return NoiseModel.white(level if sigma is None else sigma)
    if given is not None:
        # What exceeds sigma is texture, and mostly the same in all channels.
        texture = min(level**2 - given**2, float(covariance.min()))
        covariance = covariance - max(texture, 0.0)
        levels = np.sqrt(np.maximum(np.diagonal(covariance), 0))
        products = np.outer(levels, levels)
        correlations = np.divide(covariance, products, out=np.eye(len(levels)), where=products > 0)
        covariance, level = given**2 * correlations, given
    uneven = np.abs(covariance - level**2 * np.eye(len(levels))).max()
    if uneven <= EVEN * level**2:
        return NoiseModel.white(level * unit if sigma is None else sigma)
    return _scaled(covariance, unit)


def _in_equal_channels(noise: NoiseModel, n_channels: int) -> NoiseModel:
    """Return the noise of one channel where others are copies of it."""
    shape = n_channels, n_channels, *noise.correlation.shape[2:]
    correlation = np.broadcast_to(noise.correlation, shape)
    return replace(noise, sigma=noise.sigma.repeat(n_channels), correlation=correlation)


def _has_patches(planes: NDArray[Any], trusted: NDArray[np.bool_] | None) -> bool:
    """Return whether the noise can be estimated at all."""
    if min(planes.shape[1:]) < PATCH:
        return False
    return trusted is None or int(np.count_nonzero(starts_inside(trusted))) >= MIN_NOISY
