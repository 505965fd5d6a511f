"""Colour: luminance, and a decorrelating transform that leaves white noise white."""

from __future__ import annotations

from fastgsm._dct import dct_matrix
from fastgsm._validation import FloatArray

# Weights of red, green and blue in ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)


def decorrelating_matrix(n_channels: int) -> FloatArray:
    """Give an orthonormal (n_channels, n_channels) matrix whose first row is the mean.

    The discrete cosine transform of the channels. For three channels its rows are the opponent
    colours: luminance, red against blue, and green against both. White noise of equal strength in
    all channels stays so.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, "Color image denoising via sparse 3D
       collaborative filtering with grouping constraint in luminance-chrominance space", ICIP 2007.
    """
    return dct_matrix(n_channels)
