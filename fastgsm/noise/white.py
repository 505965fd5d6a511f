"""The level of white noise, estimated from the image alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import peak_of
from fastgsm._images import as_float_image, channels_first, without_ones
from fastgsm._types import FloatArray
from fastgsm.noise.channels import channels_of
from fastgsm.noise.covariance import sigma_of_channels

__all__ = ["estimate_sigma"]


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
    pixels, mask = without_ones(channel_axis, pixels, mask)
    planes = channels_first(pixels, channel_axis)
    inside = None if mask is None else _check_mask(mask, planes.shape[1:])
    return sigma_of_planes(planes, data_range, inside)


def sigma_of_planes(planes: FloatArray, data_range: float, mask: NDArray[np.bool_] | None) -> float:
    """Estimate like `estimate_sigma`, from checked planes (n, height, width) and a checked mask.

    The planes are in units of ``data_range``.
    """
    return sigma_of_channels(channels_of(planes, mask), peak_of(planes), data_range)


def _check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.asarray(mask)
    if inside.dtype != np.bool_ or inside.shape != shape:
        raise ValueError(
            f"mask has shape {inside.shape} and dtype {inside.dtype}; wanted {shape}, one boolean "
            f"for each pixel."
        )
    return inside
