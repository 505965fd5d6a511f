"""Colour: luminance, and a decorrelating transform that leaves white noise white."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._checks import caller_level
from fastgsm._images import as_float_image
from fastgsm._types import FloatArray

# Weights of red, green and blue in ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)
# Brightest pixel, in units of a default data range, below which that range is probably wrong.
TOO_DARK = 0.01


def grey(image: ArrayLike, name: str, data_range: float | None = None) -> NDArray[np.float32]:
    """Return a grey image, or the luminance of an RGB one, in [0, 1].

    Parameters
    ----------
    image : array_like of shape (height, width) or (height, width, 3)
    name : str
        The image's name in error messages.
    data_range : float, optional
        Value that becomes 1; by default 1.0 for floats and the type's maximum for integers.

    Raises
    ------
    TypeError, ValueError
        If the image is unusable (see `as_float_image`) or reaches beyond [0, 1].
    """
    scaled, unit = as_float_image(image, name, data_range)
    low, high = float(scaled.min()), float(scaled.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} has values from {low * unit:g} to {high * unit:g}; wanted 0 to {unit:g}, its "
            f"data range. Rescale it, or give the data range where there is an option for it."
        )
    if data_range is None and 0 < high < TOO_DARK:
        warnings.warn(
            f"{name} has values up to {high * unit:g}, but its data range is taken to be {unit:g}, "
            f"the default of its type. Give data_range, e.g. 255 for 8-bit values.",
            stacklevel=caller_level(),
        )
    pixels = np.asarray(image) / unit  # divided again: in float64 for integers, to round only once
    if pixels.ndim == 3:
        pixels = pixels @ np.array(LUMINANCE)
    return pixels.astype(np.float32)


def dct_matrix(n: int) -> FloatArray:
    """Return the orthonormal DCT-II of n values, (n, n); its first row is constant.

    It is written out because importing `scipy.fft` would take longer than importing Numba.
    """
    k = np.arange(n)
    cosines = np.cos(np.pi / n * np.outer(k, k + 0.5))
    return np.asarray(cosines / np.linalg.norm(cosines, axis=1, keepdims=True))


def decorrelating_matrix(n_channels: int) -> FloatArray:
    """Return an orthonormal (n_channels, n_channels) matrix whose first row is the mean.

    It is the discrete cosine transform of the channels. For three channels, its rows are the
    opponent colours: luminance, red against blue, and green against both. White noise of equal
    strength in all channels stays white and equally strong.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, "Color image denoising via sparse 3D
       collaborative filtering with grouping constraint in luminance-chrominance space", ICIP 2007.
    """
    return dct_matrix(n_channels)


def mixing_matrix(n_channels: int) -> FloatArray:
    """Return the decorrelating matrix divided by the square root of the number of channels.

    The matrix itself would multiply equal channels by that square root. After the division, they
    have the contrast of a grey image, as the priors expect.
    """
    return decorrelating_matrix(n_channels) / math.sqrt(n_channels)


def noise_adapted_matrix(covariance: FloatArray) -> FloatArray:
    """Return a matrix (n, n) that mixes channels by the covariance (n, n) of their noise.

    The first row estimates, with the least noise, what is the same in all channels: it is the
    generalised least-squares estimate. The other rows vanish for equal channels. The noise of the
    rows is uncorrelated. For noise that is uncorrelated and equal in all channels, the matrix is
    `mixing_matrix`.

    Where noise is the same in all channels, the covariance is singular, and a channel with hardly
    any noise would be the whole first row, whatever it shows. So the eigenvalues of the covariance
    count as at least a sixteenth of the largest.
    """
    n = len(covariance)
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, variances[-1] / 16)
    whitener = (axes / np.sqrt(variances)) @ axes.T
    opponent = mixing_matrix(n)
    # The rows of the mixing matrix, made orthogonal one after the other where the noise is white.
    orthonormal, _ = np.linalg.qr(whitener @ opponent.T)
    rows = orthonormal.T @ whitener
    rows *= np.sign((rows * opponent).sum(axis=1, keepdims=True))
    rows /= math.sqrt(n) * np.linalg.norm(rows, axis=1, keepdims=True)
    rows[0] /= rows[0].sum()
    return np.asarray(rows)
