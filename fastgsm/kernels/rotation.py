"""Products of a small matrix with patches, and of two sets of samples with each other.

Patches (or other columns) stand side by side, one in each lane of an array (K, LANES). It is
C-contiguous, so that every row is one run of LANES numbers and a loop over t is SIMD without
shuffles. A small matrix A (M, K) multiplies it from the left. The caller pads M and K with zeros to
multiples of 4. Such arrays must not overlap each other.

128 lanes of 64 rows of float32 take 32 kB and stay in the L1 cache of most processors while all
rows of A pass over them: 64x64 by 64 rows reaches 375, 397 and 273 GFLOP/s with 64, 128 and 256
lanes where NumPy's product of large matrices reaches 400 (two cores of an Intel Xeon with AVX-512;
in float64 203, 173 and 174 of 190).
"""

from __future__ import annotations

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma
from fastgsm.kernels.products import COLUMNS, ROWS, add_products, set_products

LANES = 128
# Columns of a Gram matrix that are computed at once: those of 8x8 patches.
PANEL = 64


def padded(n: int) -> int:
    """Return ``n`` rows or columns with the zeros added that the micro-kernel needs."""
    return (n + 3) // 4 * 4


@jit
def new_rows(n_rows, width, dtype):
    """Allocate an array (n_rows, width), not initialised, from a multiple of 64 bytes on.

    Arrays of NumPy and Numba begin at multiples of 16 and 32. Then every vector of 64 bytes lies in
    two cache lines, which costs an eighth of the speed of products in float32, a third in float64.
    """
    size = n_rows * width
    flat = np.empty(size + 16, dtype)
    skip = -np.intp(flat.ctypes.data) % 64 // flat.itemsize
    return flat[skip : skip + size].reshape(n_rows, width)


@jit
def new_lanes(n_rows, dtype):
    """Allocate an array (n_rows, LANES) as `new_rows` does."""
    return new_rows(n_rows, LANES, dtype)


@jit
def rotate(A, B, C, add=False):
    """C (M, LANES) = A (M, K) @ B (K, LANES), or += with ``add``.

    Columns of A beyond the rows of B do not count.
    """
    a, b, c = A.reshape(-1), B.reshape(-1), C.reshape(-1)
    width = A.shape[1]
    for i in range(0, A.shape[0], ROWS):
        rows = c[i * LANES : (i + ROWS) * LANES]
        if add:
            add_products(a[i * width :], width, 1, B.shape[0], b, LANES, rows, LANES, LANES)
        else:
            set_products(a[i * width :], width, 1, B.shape[0], b, LANES, rows, LANES, LANES)


@jit
def add_trapezoid_energy(A, excess, B, scratch, energy):
    """Energy (LANES,) += sum_i (A @ B)[i]**2 for a trapezoid A: A[i, k] = 0 where k > excess + i.

    This is half the work of a full product. The product is not kept: ``scratch`` (4, LANES) holds
    four of its rows.
    """
    n_rows, n_terms = A.shape
    a, b, c = A.reshape(-1), B.reshape(-1), scratch.reshape(-1)
    for i in range(0, n_rows, ROWS):
        # Terms of row i + 3.
        n_nonzero = min(n_terms, excess + i + ROWS)
        set_products(a[i * n_terms :], n_terms, 1, n_nonzero, b, LANES, c, LANES, LANES)
        for t in range(LANES):
            c0, c1, c2, c3 = c[t], c[t + LANES], c[t + 2 * LANES], c[t + 3 * LANES]
            energy[t] = fma(c3, c3, fma(c2, c2, fma(c1, c1, fma(c0, c0, energy[t]))))


@jit
def add_gram(A, C):
    """Upper triangle of C (M, M) += A (n, M)^T @ A, M a multiple of COLUMNS.

    Entries below the diagonal are left undefined.
    """
    n_terms, width = A.shape
    a, c = A.reshape(-1), C.reshape(-1)
    for start in range(0, width, PANEL):
        stop = min(width, start + PANEL)
        for i in range(0, stop, ROWS):
            left = max(i // COLUMNS * COLUMNS, start)
            rows = c[i * width + left :]
            add_products(a[i:], 1, width, n_terms, a[left:], width, rows, width, stop - left)
