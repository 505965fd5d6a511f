"""The level of white noise, estimated from the image alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import peak_of
from fastgsm._images import as_float_image, channels_first, check_image_2d
from fastgsm._types import FloatArray
from fastgsm.colour import dct_matrix

__all__ = ["estimate_sigma"]

PATCH = 8
# Most patches examined, and the share of them that is trusted: 1/20 was the best of 1/50 to 1/5 on
# 24 photographs. Fewer make the estimate noisier, more have texture.
MAX_PATCHES = 32768
SMOOTH_SHARE = 20
# Fewer patches than this would make the estimate of a small image too noisy.
MIN_SMOOTH = 256
# So few unclipped patches still give a better estimate than all the clipped ones, which halve it.
MIN_NOISY = 16


class Channel(NamedTuple):
    """What the estimate needs of one channel of an image."""

    patches: FloatArray
    """Some of its patches (8, 8, ...)."""
    low: Any
    high: Any
    """The least and the greatest value of the channel."""


def estimate_sigma(
    image: ArrayLike, *, channel_axis: int | None = None, mask: ArrayLike | None = None
) -> float:
    """Estimate the standard deviation of the white Gaussian noise in an image.

    The discrete cosine transform splits each 8x8 patch into low frequencies, which show how smooth
    the clean patch is, and high frequencies, which hold only noise if it is smooth. The estimate is
    the root mean square of the high frequencies in the twentieth of the patches whose low
    frequencies are weakest. White noise is independent between the two, so choosing patches by one
    does not bias the other.

    Over 24 photographs of 500x500 pixels the median error is about 1 % for noise of 10/255 or
    more and 4 % for 5/255. In an image without any smooth part, fine texture counts as noise, so
    weaker noise is overestimated; so do the edges of a drawing without noise. Noise that is
    correlated between pixels, as after demosaicing, resizing or JPEG compression, is
    underestimated.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image of at least 8x8 pixels, floats or integers. Patches with a row or column of a
        single value, or a pixel at the image's least or greatest value, are left out where
        others remain, so that borders, masked parts and clipping do not hide the noise.
    channel_axis : int or None, default None
        Axis of the channels; None for a grey image. The noise of a colour image is the root mean
        square of its channels' noise, measured in patches that are smooth in all of them.
    mask : array_like of bool, shape (height, width), optional
        Only patches whose pixels are all True are examined.

    Returns
    -------
    float
        Standard deviation in the image's own units (grey levels for integers); 0.0 for a
        constant image.

    Raises
    ------
    TypeError
        If the image does not hold integers or real floats.
    ValueError
        If it is not (height, width) apart from `channel_axis`, is smaller than 8x8, or holds NaN
        or infinity; if `mask` has another shape or type or leaves fewer than 16 patches.

    Notes
    -----
    At most some 32,768 patches on a regular grid are examined, so that a large image takes little
    longer than a small one. The estimate is deterministic.

    References
    ----------
    N. N. Ponomarenko, V. V. Lukin, M. S. Zriakhov, A. Kaarna and J. Astola, "An automatic
    approach to lossy compression of AVIRIS images", IEEE International Geoscience and Remote
    Sensing Symposium, 2007.

    M. Colom and A. Buades, "Analysis and extension of the Ponomarenko et al. method, estimating a
    noise curve from a single image", Image Processing On Line 3, 2013.

    Examples
    --------
    >>> from fastgsm import estimate_sigma
    >>> from fastgsm.datasets import add_noise, dead_leaves
    >>> noisy = add_noise(dead_leaves((256, 256), random_state=0), 0.1, random_state=1)
    >>> round(estimate_sigma(noisy), 1)
    0.1
    """
    pixels, data_range = as_float_image(image)
    planes = channels_first(pixels, channel_axis)
    inside = None if mask is None else _check_mask(mask, planes.shape[1:])
    return sigma_of_planes(planes, data_range, inside)


def sigma_of_planes(planes: FloatArray, data_range: float, mask: NDArray[np.bool_] | None) -> float:
    """Estimate like `estimate_sigma`, from checked planes (n, height, width) and a checked mask.

    The planes are in units of ``data_range``.
    """
    return sigma_of_channels(channels_of(planes, mask), peak_of(planes), data_range)


def covariance_of_planes(
    planes: FloatArray, data_range: float, mask: NDArray[np.bool_] | None
) -> FloatArray:
    """Estimate the covariance (n, n) of the white noise between the channels of an image.

    It is symmetric and, up to rounding, positive semidefinite. The mean of its diagonal is the
    square of what `sigma_of_planes` returns.

    Parameters
    ----------
    planes : ndarray of shape (n, height, width)
        Checked channels, in units of ``data_range``.
    data_range : float
        The covariance is in its square's units.
    mask : ndarray of bool, shape (height, width), or None
        Only patches whose pixels are all True are examined.

    Returns
    -------
    ndarray of shape (n, n), float64
    """
    return covariance_of_channels(channels_of(planes, mask), peak_of(planes), data_range)


def sigma_of_channels(channels: list[Channel], peak: float, data_range: float) -> float:
    """Return the noise level of an image with pixels of up to ``peak`` from its channels' patches.

    It is the root of the channels' mean variance.
    """
    channels, exponent = _rescaled(channels, peak)
    variance = _covariance(channels).diagonal().mean()
    return math.ldexp(data_range * math.sqrt(variance), exponent)


def covariance_of_channels(channels: list[Channel], peak: float, data_range: float) -> FloatArray:
    """Return the noise covariance of an image with pixels of up to ``peak``."""
    channels, exponent = _rescaled(channels, peak)
    unit = math.ldexp(data_range, exponent)
    covariance: FloatArray = _covariance(channels) * unit * unit
    return covariance


def _rescaled(channels: list[Channel], peak: float) -> tuple[list[Channel], int]:
    """Divide very large and very small pixels by a power of two, and return its exponent.

    This rounds nothing, and keeps squares inside the type's range.
    """
    exponent = 0 if 1e-9 < peak < 1e9 or peak == 0 else math.frexp(peak)[1]
    if exponent:
        channels = [Channel(*(np.ldexp(each, -exponent) for each in one)) for one in channels]
    return channels, exponent


def _check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.asarray(mask)
    if inside.dtype != np.bool_ or inside.shape != shape:
        raise ValueError(
            f"mask has shape {inside.shape} and dtype {inside.dtype}; wanted {shape}, one boolean "
            f"for each pixel."
        )
    return inside


def channels_of(planes: FloatArray, mask: NDArray[np.bool_] | None) -> list[Channel]:
    """Return what the estimate needs of planes (n, height, width) of at least a patch each."""
    for plane in planes:
        check_image_2d(plane, PATCH, "image" if len(planes) == 1 else "a channel of image")
    return [_channel(plane, mask) for plane in planes]


def _channel(image: FloatArray, mask: NDArray[np.bool_] | None) -> Channel:
    """Return what the estimate needs of one channel."""
    if mask is None:
        return Channel(grid_patches(image, grid_stride(image.shape)), image.min(), image.max())
    windows = sliding_window_view(image, (PATCH, PATCH))
    patches = np.ascontiguousarray(windows[_places_inside(mask)].transpose(1, 2, 0))
    pixels = image[mask]
    return Channel(patches, pixels.min(), pixels.max())


def grid_stride(shape: tuple[int, ...], most: int = MAX_PATCHES) -> int:
    """Return the distance between about ``most`` examined patches of an image (height, width)."""
    n_windows = (shape[0] - PATCH + 1) * (shape[1] - PATCH + 1)
    return max(1, math.ceil(math.sqrt(n_windows / most)))


def grid_patches(image: FloatArray, stride: int) -> FloatArray:
    """Return patches (8, 8, rows, columns) on a regular grid.

    Pixels come first: minima and maxima over so short an axis are slow unless it is the outer one.
    """
    windows = sliding_window_view(image, (PATCH, PATCH))
    return windows[::stride, ::stride].transpose(2, 3, 0, 1)


def _covariance(channels: list[Channel]) -> FloatArray:
    """Return the covariance (n, n) of the noise of channels, float64.

    Each channel's variance is first measured in its own smoothest patches. Divided by these, the
    low frequencies of all channels together choose the patches that are smooth in all of them.
    Channels that share too few usable patches keep their own variances, uncorrelated.
    """
    noisy = [_noisy(each) for each in channels]
    coefficients = [_coefficients(each) for each in channels]
    textures = [(each[LOW] ** 2).sum(axis=0) for each in coefficients]
    highs = [each[HIGH] for each in coefficients]
    variances = [
        _mean_product(*[high[:, _smoothest(texture, usable)]] * 2)
        for high, texture, usable in zip(highs, textures, noisy, strict=True)
    ]
    shared = np.logical_and.reduce(noisy)
    if len(channels) == 1 or np.count_nonzero(shared) < MIN_NOISY:
        return np.diag(variances)
    # A channel without noise has no say: its low frequencies would drown the others'.
    of_noise = [t / v for t, v in zip(textures, variances, strict=True) if v > 0]
    if not of_noise:
        return np.zeros((len(channels),) * 2)
    smooth = _smoothest(np.sum(of_noise, axis=0), shared)
    highs = [high[:, smooth] for high in highs]
    return np.array([[_mean_product(one, other) for other in highs] for one in highs])


def _noisy(channel: Channel) -> NDArray[np.bool_]:
    """Return which patches of one channel are wholly noisy: all, if too few are.

    Clipped pixels have lost some of the noise. Borders and masked parts have none, which shows in
    constant rows or columns.
    """
    low, high = channel.low, channel.high
    patches: FloatArray = channel.patches.reshape(PATCH, PATCH, -1)
    noisy = (low < patches.min(axis=(0, 1))) & (patches.max(axis=(0, 1)) < high)
    for axis in (0, 1):
        noisy &= (np.ptp(patches, axis=axis) > 0).all(axis=0)
    enough = np.count_nonzero(noisy) >= MIN_NOISY
    return np.asarray(noisy) if enough else np.ones_like(noisy)


def _coefficients(channel: Channel) -> FloatArray:
    """Return the DCT coefficients (64, patches) of one channel, apart from the mean."""
    patches: FloatArray = channel.patches.reshape(PATCH * PATCH, -1)
    # Without its first pixel's value a flat patch is exactly 0, and so is its estimate.
    return np.asarray(BASIS @ (patches - patches[0]))


def _smoothest(texture: FloatArray, usable: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices of the usable patches with the weakest texture."""
    places = np.flatnonzero(usable)
    n_smooth = min(max(places.size // SMOOTH_SHARE, MIN_SMOOTH), places.size)
    return places[np.argpartition(texture[places], n_smooth - 1)[:n_smooth]]


def _mean_product(one: FloatArray, other: FloatArray) -> float:
    """Return the mean product, not from BLAS: equal channels have a covariance of equal bits."""
    return float((one * other).mean())


def _places_inside(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of patches without a masked pixel, evenly spaced among them."""
    rows, cols = np.nonzero(starts_inside(mask))
    if rows.size < MIN_NOISY:
        raise ValueError(
            f"{rows.size} patches of {PATCH}x{PATCH} pixels are free of masked ones, too few to "
            f"estimate the noise from; wanted at least {MIN_NOISY}. Give sigma (0 for an image "
            f"without noise)."
        )
    step = math.ceil(rows.size / MAX_PATCHES)
    return rows[::step], cols[::step]


def starts_inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where patches without a masked pixel start."""
    inside = sliding_window_view(mask, PATCH, axis=0).all(axis=2)
    return np.asarray(sliding_window_view(inside, PATCH, axis=1).all(axis=2))


def _dct_basis() -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a patch's orthonormal DCT (64, 64), and which rows are low and high frequencies.

    Of the 64, one is the mean, 42 are low and 21 high frequencies.
    """
    k, cosines = np.arange(PATCH), dct_matrix(PATCH)
    order = np.add.outer(k, k).ravel()
    return np.kron(cosines, cosines), (order > 0) & (order <= PATCH), order > PATCH


BASIS, LOW, HIGH = _dct_basis()
