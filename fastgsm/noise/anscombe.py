"""Noise of photon counts: made white and Gaussian for the denoiser, and back without bias."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._checks import caller_level, check_nonnegative, check_positive, check_real
from fastgsm._data_range import Extent
from fastgsm._images import as_float_image
from fastgsm._types import FloatArray

__all__ = ["exact_unbiased_inverse", "stabilise"]

Photons = tuple[float, float, float]


def stabilise(
    image: ArrayLike, gain: float = 1.0, offset: float = 0.0, read_noise: float = 0.0
) -> FloatArray:
    """Transform an image of photon counts so that its noise has standard deviation 1 everywhere.

    The generalised Anscombe transform [1]_ of ``y = gain * Poisson(p) + offset + N(0,
    read_noise^2)``:

        f(z) = 2 sqrt(max(z + 3/8 + s^2, 0)),   z = (y - offset) / gain,   s = read_noise / gain

    The noise is stable within 5 % where the mean p is above 4 photons or s above 3. With fewer
    photons it is weaker without read noise (0.85 at one photon), and up to 1.1 with it.

    Parameters
    ----------
    image : array_like
        Integers or real floats, of any shape. Not modified.
    gain : float
        Increase of the image by one photon, in the image's own units; above 0.
    offset : float
        Value of the image where there is no light.
    read_noise : float
        Standard deviation of the Gaussian noise in the image's own units.

    Returns
    -------
    stabilised : ndarray
        float32 for float16, float32 and integers of up to 16 bits, otherwise float64.

    Raises
    ------
    TypeError
        If the image does not hold integers or real floats, or another argument is not a number.
    ValueError
        If the image is empty or holds NaN or infinity, the gain is not above 0, the read noise is
        negative, or one of the three or the result is not finite.

    References
    ----------
    .. [1] J.-L. Starck, F. Murtagh, A. Bijaoui, "Image Processing and Data Analysis: The Multiscale
       Approach", Cambridge University Press, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.anscombe import stabilise
    >>> rng = np.random.default_rng(0)
    >>> [round(float(stabilise(rng.poisson(p, 100_000)).std()), 1) for p in (5, 50, 500)]
    [1.0, 1.0, 1.0]
    """
    return _stabilised(image, check_triple((gain, offset, read_noise)))


def _stabilised(image: ArrayLike, noise: Photons) -> FloatArray:
    """Transform like `stabilise`, with a checked triple."""
    gain, offset, read_noise = noise
    values, _ = as_float_image(image, data_range=1.0)
    # In float64, and from photons, so that neither a large offset nor the units cost digits.
    with np.errstate(over="ignore"):
        photons = (values.astype(np.float64) - offset) / gain
        variance = 3 / 8 + np.square(np.float64(read_noise) / gain)
    roots = 2 * np.sqrt(np.maximum(photons + variance, 0))
    if not math.isfinite(roots.max()):
        raise ValueError(
            f"image in photons, or the read noise squared, is too large for a float64: the gain is "
            f"{gain:g}, the read noise {read_noise:g}. Wanted all of them in the image's own units."
        )
    return roots.astype(values.dtype)


def exact_unbiased_inverse(
    stabilised: ArrayLike, gain: float = 1.0, offset: float = 0.0, read_noise: float = 0.0
) -> FloatArray:
    """Transform a denoised image back from the domain of `stabilise`, without bias.

    A denoiser estimates the mean D of the stabilised image, and the mean of a square root is less
    than the root of the mean, so the algebraic inverse is too dark. The exact inverse maps
    ``D = E[f(z) | p]`` to p. This is its approximation in closed form [1]_, [2]_:

        p = D^2/4 + sqrt(3/2)/(4 D) - 11/(8 D^2) + 5 sqrt(3/2)/(8 D^3) - 1/8 - s^2

    with ``s = read_noise / gain``. Without read noise it is off by at most 0.02 photons or 0.5 %;
    with it by 0.4 % from 4 photons on and by at most 0.05 photons below.

    Parameters
    ----------
    stabilised : array_like
        Denoised values, of any shape. Not modified.
    gain, offset, read_noise : float
        As given to `stabilise`.

    Returns
    -------
    image : ndarray
        In the image's own units, never below `offset`: there are no fewer than 0 photons. float32
        for float16, float32 and integers of up to 16 bits, otherwise float64.

    Raises
    ------
    TypeError, ValueError
        As `stabilise` does.

    References
    ----------
    .. [1] M. Makitalo and A. Foi, "A closed-form approximation of the exact unbiased inverse of the
       Anscombe variance-stabilizing transformation", IEEE Trans. Image Processing 20(9), 2011.
    .. [2] M. Makitalo and A. Foi, "Optimal inversion of the generalized Anscombe transformation for
       Poisson-Gaussian noise", IEEE Trans. Image Processing 22(1), 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.anscombe import exact_unbiased_inverse, stabilise
    >>> counts = np.random.default_rng(0).poisson(3.0, 100_000)
    >>> D = stabilise(counts).mean()
    >>> round(float(exact_unbiased_inverse(D)), 1), round(float((D / 2) ** 2 - 3 / 8), 1)
    (3.0, 2.8)
    """
    noise = check_triple((gain, offset, read_noise))
    values, _ = as_float_image(stabilised, "stabilised", data_range=1.0)
    return unbiased_inverse(values, noise)


def unbiased_inverse(values: FloatArray, noise: Photons) -> FloatArray:
    """Transform like `exact_unbiased_inverse`, with checked values and a checked triple."""
    gain, offset, read_noise = noise
    # Below the transform of 0 photons, where the formula gives 0, its poles take over.
    D = np.maximum(values.astype(np.float64), 2 * math.sqrt(3 / 8))
    root = math.sqrt(3 / 2)
    with np.errstate(over="ignore"):  # the cube's term vanishes then
        series = D**2 / 4 + root / 4 / D - 11 / 8 / D**2 + 5 / 8 * root / D**3 - 1 / 8
    photons = np.maximum(series - (read_noise / gain) ** 2, 0)
    return np.asarray(gain * photons + offset, dtype=values.dtype)


def stabilised_image(
    image: NDArray[Any], noise: Photons, data_range: float | None, extent: Extent | None
) -> tuple[FloatArray, float]:
    """Return a stabilised image in units of the range of the signal under its noise, and the range.

    The prior knows photographs, whose contrasts fill [0, 1]. The data range, which counts from the
    offset, gives the range. Without it the image's extent does: the largest range over the
    channels, and at least the noise's 1. On four photographs and on star fields, with peaks of 2 to
    1000 photons and up to 200 in the background, that loses 0.2 dB on average relative to the range
    of the clean image, and up to 1 dB where the peak is far below the noise of the background. The
    range from 0 photons to the brightest pixel would leave little of a contrast in front of a
    background.
    """
    pixels = _stabilised(image, noise)
    if data_range is None:
        assert extent is not None
        ends = np.array([extent.low, extent.high])
    else:
        offset = noise[1]
        ends = np.array([[offset], [offset + data_range]])
    unit = max(float(np.ptp(_stabilised(ends, noise), axis=0).max()), 1.0)
    return pixels / pixels.dtype.type(unit), unit


def check_triple(noise: Sequence[Any]) -> Photons:
    """Return a checked (gain, offset, read noise)."""
    gain, offset, read_noise = noise
    return (
        check_positive(gain, "gain of the noise"),
        check_real(offset, "offset of the noise"),
        check_nonnegative(read_noise, "read_noise of the noise"),
    )


def warn_no_photons(extent: Extent, noise: Photons) -> None:
    """Warn if no pixel has a single photon: an image scaled to [0, 1] looks like that."""
    gain, offset, _ = noise
    brightest = (extent.brightest - offset) / gain
    if 0 < brightest < 1:
        warnings.warn(
            f"image has at most {brightest:.2g} photons in a pixel. If it is not in photons, give "
            f"noise=(gain, offset, read_noise), with the value of one photon as the gain.",
            stacklevel=caller_level(),
        )
