"""The level of white noise, estimated from the image alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import peak_of
from fastgsm._images import as_float_image, channels_first, check_image_2d
from fastgsm._types import FloatArray
from fastgsm.noise.covariance import BASIS as BASIS
from fastgsm.noise.covariance import MIN_NOISY as MIN_NOISY
from fastgsm.noise.covariance import PATCH as PATCH
from fastgsm.noise.covariance import Channel, covariance_of_channels, sigma_of_channels

__all__ = ["estimate_sigma"]

# Most patches examined, about.
MAX_PATCHES = 32768


def estimate_sigma(
    image: ArrayLike, *, channel_axis: int | None = None, mask: ArrayLike | None = None
) -> float:
    """Estimate the standard deviation of the white Gaussian noise in an image.

    The discrete cosine transform splits each 8x8 patch into low frequencies, which show how smooth
    the clean patch is, and high frequencies, which hold only noise if it is smooth. The estimate is
    the root mean square of the high frequencies in the patches whose low frequencies are weakest:
    a tenth of all patches, or fewer if the high frequencies grow with the low ones. White noise is
    independent between the two, so choosing patches by one does not bias the other. What texture
    is left in the chosen patches is extrapolated from the growth, and subtracted.

    Over 24 grey photographs of 500x500 pixels the median error is 2.3 % for noise of 5/255 and at
    most 0.6 % for 10/255 to 50/255; the largest is 8 and 4 %. In an image without any smooth part,
    fine texture counts as noise, so weaker noise is overestimated; so do the edges of a drawing
    without noise. Noise that is correlated between pixels, as after demosaicing, resizing or JPEG
    compression, is underestimated. If nearly all patches have clipped pixels, half of the noise
    may be lost: the estimate allows for that, but becomes uncertain, up to 12 % too low where the
    background lies at the limit, and more where it lies beyond.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image of at least 8x8 pixels, floats or integers. Patches of one or two values, with
        a row or column of a single value, or with a pixel at the image's least or greatest value,
        are left out if a tenth remain, so that borders, masked parts and clipping do not hide
        the noise.
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

    Warns
    -----
    UserWarning
        If more than a tenth of the pixels in the patches used have the image's least or greatest
        value, because too few patches are without such pixels.

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
    return sigma_of_channels(_channels(planes, mask), peak_of(planes), data_range)


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
    return covariance_of_channels(_channels(planes, mask), peak_of(planes), data_range)


def _check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.asarray(mask)
    if inside.dtype != np.bool_ or inside.shape != shape:
        raise ValueError(
            f"mask has shape {inside.shape} and dtype {inside.dtype}; wanted {shape}, one boolean "
            f"for each pixel."
        )
    return inside


def _channels(planes: FloatArray, mask: NDArray[np.bool_] | None) -> list[Channel]:
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


def _places_inside(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of patches without a masked pixel, evenly spaced among them."""
    inside = sliding_window_view(mask, PATCH, axis=0).all(axis=2)
    rows, cols = np.nonzero(sliding_window_view(inside, PATCH, axis=1).all(axis=2))
    if rows.size < MIN_NOISY:
        raise ValueError(
            f"{rows.size} patches of {PATCH}x{PATCH} pixels are free of masked ones, too few to "
            f"estimate the noise from; wanted at least {MIN_NOISY}. Give sigma (0 for an image "
            f"without noise)."
        )
    step = math.ceil(rows.size / MAX_PATCHES)
    return rows[::step], cols[::step]
