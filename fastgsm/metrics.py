"""Measures of how far an image is from the clean one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastgsm._arrays import real_array

__all__ = ["mse", "psnr"]


def mse(clean: ArrayLike, image: ArrayLike) -> float:
    """Return the mean squared error of an image.

    Parameters
    ----------
    clean, image : array_like
        Integers or real floats, of the same shape.

    Raises
    ------
    TypeError, ValueError
        If one of them does not hold integers or real floats, is empty, or has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.metrics import mse
    >>> mse(np.zeros((2, 2)), np.full((2, 2), 0.5))
    0.25
    """
    first, second = real_array(clean, "clean"), real_array(image, "image")
    if first.shape != second.shape:
        raise ValueError(
            f"clean has shape {first.shape} and image {second.shape}; wanted images of one shape."
        )
    return float(np.mean(np.square(np.subtract(first, second, dtype=np.float64))))


def psnr(clean: ArrayLike, image: ArrayLike) -> float:
    """Return the peak signal-to-noise ratio of an image in decibels, for a peak of 1.

    Parameters and errors are those of `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.metrics import psnr
    >>> psnr(np.zeros((2, 2)), np.full((2, 2), 0.1))
    20.0
    """
    error = mse(clean, image)
    return -10 * math.log10(error) if error > 0 else math.inf
