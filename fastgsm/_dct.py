"""The discrete cosine transform as a matrix."""

from __future__ import annotations

import numpy as np

from fastgsm._validation import FloatArray


def dct_matrix(n: int) -> FloatArray:
    """Give the orthonormal DCT-II of n values, (n, n); its first row is constant.

    Written out, because importing `scipy.fft` for it would take longer than importing Numba.
    """
    k = np.arange(n)
    cosines = np.cos(np.pi / n * np.outer(k, k + 0.5))
    return np.asarray(cosines / np.linalg.norm(cosines, axis=1, keepdims=True))
