"""How far an image is from the clean one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mse", "psnr"]


def mse(clean: NDArray[Any], image: NDArray[Any]) -> float:
    """Return the mean squared error of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.metrics import mse
    >>> mse(np.zeros((2, 2)), np.full((2, 2), 0.5))
    0.25
    """
    return float(np.mean(np.square(np.subtract(clean, image, dtype=np.float64))))


def psnr(clean: NDArray[Any], image: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio of an image in decibels, for a peak of 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.metrics import psnr
    >>> psnr(np.zeros((2, 2)), np.full((2, 2), 0.1))
    20.0
    """
    error = mse(clean, image)
    return -10 * math.log10(error) if error > 0 else math.inf
