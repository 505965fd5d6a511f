"""Synthetic images with the statistics of natural ones, and noise to add to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastgsm._arrays import plain_array
from fastgsm._checks import (
    check_nonnegative,
    check_numbers,
    check_positive,
    check_random_state,
    check_shape_2d,
)
from fastgsm._types import FloatArray

__all__ = ["add_noise", "camera_noise", "dead_leaves"]

# Leaves are drawn, and hidden ones dropped, in groups of one leaf per so many pixels. Then the
# search for open pixels costs no more than painting.
PIXELS_PER_LEAF = 64
MIN_LEAVES = 64
# A pixel is open while leaves leave more than this share of it uncovered.
OPEN = 1e-2

# The simulated camera: read noise in electrons, amplification of red, green and blue for white,
# and the exponent of its gamma curve.
READ_NOISE = 2.0
WHITE_BALANCE = (2.0, 1.0, 1.6)
GAMMA = 2.2


def dead_leaves(
    shape: tuple[int, int] = (256, 256),
    random_state: Any = None,
    *,
    r_min: float = 2.0,
    r_max: float | None = None,
    texture: float = 0.02,
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Draw a dead-leaves image, in which discs of all sizes hide one another.

    Photographs owe their sharp edges, their heavy-tailed derivatives and their spectrum to objects
    of all sizes that occlude each other. This model has all three. Its edges are smoothed over one
    pixel, as a camera would record them.

    Parameters
    ----------
    shape : tuple of int, default (256, 256)
        Height and width in pixels.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed. The same seed gives the same image.
    r_min, r_max : float
        Smallest and largest radius in pixels. Radii between them have a density proportional to
        ``r ** -3``, so that the image looks alike at every scale. `r_min` is at least 0.5
        (default 2). `r_max` is by default a third of the shorter side, or `r_min` if that is
        larger. Time grows with the square of ``r_max / r_min``.
    texture : float, default 0.02
        Mean standard deviation of the cloudy texture on the leaves; each leaf has its own
        contrast. With 0, the leaves are flat, as in the original model. Photographs have no
        patches without any variation, and priors learnt from such patches are degenerate.
    dtype : dtype, default float32
        ``float32`` or ``float64``.

    Returns
    -------
    ndarray of shape `shape`
        Grey levels in [0, 1]; those of the leaves are uniform in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If `shape`, a radius, `texture`, `dtype` or `random_state` cannot be used.

    References
    ----------
    A. B. Lee, D. Mumford and J. Huang, "Occlusion models for natural images: a statistical study
    of a scale-invariant dead leaves model", International Journal of Computer Vision 41, 2001.

    Examples
    --------
    >>> from fastgsm.datasets import dead_leaves
    >>> image = dead_leaves((64, 96), random_state=0)
    >>> image.shape, image.dtype
    ((64, 96), dtype('float32'))
    >>> bool(0 <= image.min() and image.max() <= 1)
    True
    """
    height, width = check_shape_2d(shape, "shape")
    r_min = check_positive(r_min, "r_min")
    r_max = max(r_min, min(height, width) / 3) if r_max is None else check_positive(r_max, "r_max")
    if not 0.5 <= r_min <= r_max:
        raise ValueError(
            f"r_min is {r_min:g} and r_max is {r_max:g}; wanted radii of at least half a pixel, "
            f"r_min not above r_max."
        )
    texture = check_nonnegative(texture, "texture")
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype is {dtype}; wanted float32 or float64.")

    rng = check_random_state(random_state)
    clouds = _clouds(height, width, rng)
    image = np.zeros((height, width))
    through = np.ones((height, width))  # share of each pixel that no leaf covers yet
    # The top leaf comes first, so that the image is complete once no pixel is open.
    while (is_open := through > OPEN).any():
        y, x, radius, grey, contrast = _fall(height, width, r_min, r_max, texture, rng)
        visible = _over_open_pixel(is_open, y, x, radius)
        for leaf in np.stack((y, x, radius, grey, contrast), axis=1)[visible].tolist():
            _paint(image, through, clouds, *leaf)
    image /= 1 - through
    return np.clip(image, 0, 1).astype(dtype)


def add_noise(
    image: ArrayLike,
    sigma: float | ArrayLike,
    random_state: Any = None,
) -> FloatArray:
    """Return an image plus white Gaussian noise, neither clipped nor rounded.

    Parameters
    ----------
    image : array_like of floats, any shape
        Clean image.
    sigma : float or array_like
        Standard deviation of the noise in the image's units, at least 0: one number, or an array
        of the image's shape with one per pixel.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed. The same seed gives the same noise.

    Returns
    -------
    ndarray
        ``image + sigma * n`` with standard normal n, in the shape and type of `image`.

    Raises
    ------
    TypeError
        If the image is not of floats, because integers cannot hold unrounded, unclipped noise.
    ValueError
        If `sigma` is negative or not finite, or has a shape other than the image's.

    Examples
    --------
    >>> from fastgsm.datasets import add_noise, dead_leaves
    >>> clean = dead_leaves((128, 128), random_state=0)
    >>> noisy = add_noise(clean, 0.1, random_state=1)
    >>> round(float((noisy - clean).std()), 3)
    0.1
    """
    clean = plain_array(image, "image")
    if clean.dtype.kind != "f":
        raise TypeError(
            f"image has dtype {clean.dtype}; wanted floats, because integers cannot hold unrounded "
            f"noise. Convert it first, e.g. with image / 255."
        )
    deviation = check_numbers(sigma, "sigma")
    if not (np.isfinite(deviation).all() and (deviation >= 0).all()):
        raise ValueError(f"sigma is {sigma!r}; wanted finite numbers of at least 0.")
    if deviation.ndim and deviation.shape != clean.shape:
        raise ValueError(
            f"sigma has shape {deviation.shape}; wanted one number, or one per pixel in the "
            f"image's shape {clean.shape}."
        )
    noise = check_random_state(random_state).standard_normal(clean.shape)
    return (clean + deviation * noise).astype(clean.dtype)


def camera_noise(
    image: ArrayLike, photons: float = 400.0, smoothing: float = 0.7, random_state: Any = None
) -> FloatArray:
    """Photograph an image: return it with the noise that a camera leaves in a finished picture.

    The image is made linear and seen through a Bayer mosaic, with the noise of photons and of
    reading; then colours are interpolated bilinearly, balanced and gamma-corrected, and brightness
    and, twice as far, colours are smoothed. So the noise is correlated between pixels and channels.

    Parameters
    ----------
    image : array_like of floats, shape (height, width, 3)
        Clean colour image in [0, 1].
    photons : float
        Number of photons that make a green pixel white; ``numpy.inf`` for a picture without noise.
    smoothing : float
        Standard deviation of the Gaussian that smooths the brightness, in pixels; 0 for none.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed. The same seed gives the same noise.

    Returns
    -------
    ndarray
        Of the image's shape and type, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If the image is not of floats, has another shape or leaves [0, 1], or if `photons` is not
        above 0 or `smoothing` negative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.datasets import camera_noise, dead_leaves
    >>> clean = np.stack([dead_leaves((64, 64), random_state=0)] * 3, axis=-1)
    >>> noisy = camera_noise(clean, random_state=1)
    >>> bool((noisy - camera_noise(clean, np.inf)).std() > 0.01)
    True
    """
    from scipy.ndimage import convolve1d, gaussian_filter  # here, because it is slow to import

    clean = plain_array(image, "image")
    if clean.dtype.kind != "f":
        raise TypeError(f"image has dtype {clean.dtype}; wanted floats in [0, 1].")
    if clean.ndim != 3 or clean.shape[2] != 3:
        raise ValueError(f"image has shape {clean.shape}; wanted (height, width, 3).")
    if not (clean.min() >= 0 and clean.max() <= 1):
        raise ValueError(
            f"image has values from {clean.min():g} to {clean.max():g}; wanted [0, 1]."
        )
    if not photons > 0:
        raise ValueError(f"photons is {photons}; wanted a number above 0.")
    smoothing = check_nonnegative(smoothing, "smoothing")
    sensor = (np.indices(clean.shape[:2]) % 2).sum(axis=0)  # RGGB
    gains = np.array(WHITE_BALANCE)[sensor]
    light = np.take_along_axis(clean.astype(np.float64) ** GAMMA, sensor[..., None], 2)[..., 0]
    if math.isfinite(photons):
        rng = check_random_state(random_state)
        electrons = rng.poisson(photons * light / gains)
        electrons = electrons + READ_NOISE * rng.standard_normal(light.shape)
        light = electrons * gains / photons
    of_channels = [(sensor == channel).astype(float) for channel in range(3)]
    planes = np.stack([own * light for own in of_channels] + of_channels)
    for axis in (1, 2):  # bilinear: means over the neighbours that have the colour
        planes = convolve1d(planes, [0.5, 1, 0.5], axis, mode="mirror")
    picture = np.moveaxis(np.clip(planes[:3] / planes[3:], 0, 1) ** (1 / GAMMA), 0, -1)
    brightness = picture.mean(axis=2, keepdims=True)
    colours = gaussian_filter(picture - brightness, 2 * smoothing, axes=(0, 1))
    brightness = gaussian_filter(brightness, smoothing, axes=(0, 1))
    return np.clip(brightness + colours, 0, 1).astype(clean.dtype)


def _radii(n: int, r_min: float, r_max: float, rng: np.random.Generator) -> FloatArray:
    """Return `n` radii between `r_min` and `r_max`, with a density proportional to r^-3."""
    # The distribution function is linear in r^-2. This is its inverse at uniform numbers.
    return (r_min**-2 - rng.random(n) * (r_min**-2 - r_max**-2)) ** -0.5


def _fall(
    height: int, width: int, r_min: float, r_max: float, texture: float, rng: np.random.Generator
) -> tuple[FloatArray, ...]:
    """Return centres y and x, radii, grey levels and texture contrasts of a group of leaves."""
    n = max(height * width // PIXELS_PER_LEAF, MIN_LEAVES)
    # Centres lie up to r_max outside, or fewer leaves would reach the borders than the middle.
    y = rng.uniform(-r_max - 1, height + r_max, n)
    x = rng.uniform(-r_max - 1, width + r_max, n)
    return y, x, _radii(n, r_min, r_max, rng), rng.random(n), 2 * texture * rng.random(n)


def _box(centre: FloatArray, radius: FloatArray, size: int) -> tuple[NDArray[np.intp], ...]:
    """Return the first pixel that a leaf can touch along one axis, and the one after the last."""
    first = np.clip(np.floor(centre - radius), 0, size).astype(np.intp)
    stop = np.clip(np.ceil(centre + radius) + 1, 0, size).astype(np.intp)
    return first, stop


def _over_open_pixel(
    is_open: NDArray[np.bool_], y: FloatArray, x: FloatArray, radius: FloatArray
) -> NDArray[np.bool_]:
    """Return which leaves have an open pixel in their bounding box."""
    height, width = is_open.shape
    count = np.zeros((height + 1, width + 1), dtype=np.int64)
    count[1:, 1:] = is_open.cumsum(0).cumsum(1)  # open pixels above and to the left
    top, bottom = _box(y, radius, height)
    left, right = _box(x, radius, width)
    n_open = count[bottom, right] - count[top, right] - count[bottom, left] + count[top, left]
    return n_open > 0


def _paint(
    image: FloatArray,
    through: FloatArray,
    clouds: FloatArray,
    y: float,
    x: float,
    radius: float,
    grey: float,
    contrast: float,
) -> None:
    """Add one leaf behind those already painted."""
    top, bottom = max(math.floor(y - radius), 0), math.ceil(y + radius) + 1
    left, right = max(math.floor(x - radius), 0), math.ceil(x + radius) + 1
    box = (slice(top, bottom), slice(left, right))
    behind = through[box]
    dy = np.arange(top, top + behind.shape[0]) - y
    dx = np.arange(left, left + behind.shape[1]) - x
    # Where its rim crosses a pixel, the leaf covers it in part: a ramp one pixel wide.
    distance = np.sqrt((dy * dy)[:, None] + dx * dx)
    cover = np.clip(radius + 0.5 - distance, 0.0, 1.0) * behind
    image[box] += cover * (grey + contrast * clouds[box])
    behind -= cover


def _clouds(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """Return noise with mean 0, variance 1 and power spectrum 1/f^2, as in photographs."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = math.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency
    clouds: FloatArray = np.fft.irfft2(spectrum, (height, width))
    clouds /= clouds.std() or 1.0  # a single pixel has no variance
    return clouds
