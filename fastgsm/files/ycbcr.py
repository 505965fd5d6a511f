"""TIFF's pixels as luminance and chroma (YCbCr, TIFF 6.0, section 21), made RGB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COEFFICIENTS = (0.299, 0.587, 0.114)  # of red, green and blue in the luminance
REFERENCE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)  # black and white of Y, Cb and Cr


def unpacked(
    data: NDArray[np.uint8], rows: int, width: int, across: int, down: int
) -> NDArray[np.uint8]:
    """Return pixels (rows, width, 3) from units of across x down luminances, Cb and Cr.

    Raise ValueError if there are too few.
    """
    n_across, n_down = -(-width // across), -(-rows // down)
    size = across * down + 2
    if data.size < n_across * n_down * size:
        raise ValueError("parts of its pixels are missing; the file is damaged")
    units = data[: n_across * n_down * size].reshape(n_down, n_across, size)
    luminance = units[..., :-2].reshape(n_down, n_across, down, across).swapaxes(1, 2)
    pixels = np.empty((n_down * down, n_across * across, 3), np.uint8)
    pixels[..., 0] = luminance.reshape(pixels.shape[:2])
    pixels[..., 1:] = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return pixels[:rows, :width]


def to_rgb(
    pixels: NDArray[np.uint8], coefficients: Sequence[float], reference: Sequence[float]
) -> NDArray[np.uint8]:
    """Return RGB pixels of 8 bits, from the numbers of the tags 529 and 532."""
    red, green, blue = coefficients
    black, white = np.reshape(reference, (3, 2)).T
    if not (np.all(np.isfinite([*coefficients, *reference])) and np.all(white != black) and green):
        raise ValueError("its YCbCrCoefficients or ReferenceBlackWhite are damaged")
    y, cb, cr = np.moveaxis((pixels - black) * ((255, 127, 127) / (white - black)), -1, 0)
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    rgb = np.stack([r, (y - red * r - blue * b) / green, b], axis=-1)
    return np.rint(rgb.clip(0, 255)).astype(np.uint8)
