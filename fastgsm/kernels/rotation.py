"""Products of a small matrix with a tile of patches: the micro-kernel under every hot loop.

A *tile* holds TILE patches (or other columns) side by side: an array (K, TILE), C-contiguous, so
that every row is one run of TILE numbers and a loop over t is SIMD without shuffles. A small
matrix A (M, K) multiplies it from the left. M and K are padded with zeros to multiples of 4 by
the caller. Tiles must not overlap each other.

Why it looks as it does, in float32 / float64 GFLOP/s on one Zen 4 core, 64x64 by a tile. NumPy's
1024x1024 product reaches 100 / 52, ``rotate_add`` as below 113 / 53.

- TILE is a constant and rows are reached as b[t + TILE], b[t + 2 * TILE] of one flat view: LLVM
  sees the distances between rows and needs one overlap check per inner loop instead of 28. With
  T = B.shape[1] instead: 73 / 43; with rows as eight separate 1-D views: 67-103 / 43.
- Rows x terms unrolled: 4x4 113 / 53, 6x4 113 / 50, 4x6 110 / 51, 8x4 109 / 40, 5x6 106 / 49,
  3x8 105 / 49, 4x8 95-104 / 48, 2x8 90 / 44, 2x16 53 / 25. Sixteen coefficients stay in
  registers; 32 are spilled.
- TILE = 128: 98 / 57; 512: 105 / 31 (rows 4096 bytes apart fall into the same cache sets).
- c[t] + a0 * b0 + ... is a chain of fused multiply-adds; c[t] += a0 * b0 + ... adds once more.
- Not filling C with zeros first but writing the first four terms with = gains 4 % for a second
  copy of the loop.
- Tiles that start at odd multiples of 16 bytes (large NumPy arrays do) lose 10 %; arrays made by
  np.empty inside a kernel are aligned to 32 bytes and do not.
"""

from __future__ import annotations

from fastgsm.kernels._jit import jit

TILE = 256
# Columns of a Gram matrix that are computed at once: those of 8x8 patches.
PANEL = 64


def padded(n: int) -> int:
    """Rows or columns that ``n`` of them take with the zeros that the micro-kernel needs."""
    return (n + 3) // 4 * 4


@jit
def _add_four_rows(A, i, n_terms, b, c):
    """C (4 * TILE,) += rows i .. i + 3 of A[:, :n_terms] times b (K * TILE,), both tiles flat."""
    for k in range(0, n_terms, 4):
        a00, a01, a02, a03 = A[i, k], A[i, k + 1], A[i, k + 2], A[i, k + 3]
        a10, a11, a12, a13 = A[i + 1, k], A[i + 1, k + 1], A[i + 1, k + 2], A[i + 1, k + 3]
        a20, a21, a22, a23 = A[i + 2, k], A[i + 2, k + 1], A[i + 2, k + 2], A[i + 2, k + 3]
        a30, a31, a32, a33 = A[i + 3, k], A[i + 3, k + 1], A[i + 3, k + 2], A[i + 3, k + 3]
        bk = b[k * TILE : (k + 4) * TILE]
        for t in range(TILE):
            b0, b1, b2, b3 = bk[t], bk[t + TILE], bk[t + 2 * TILE], bk[t + 3 * TILE]
            c[t] = c[t] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
            c[t + TILE] = c[t + TILE] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
            c[t + 2 * TILE] = c[t + 2 * TILE] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
            c[t + 3 * TILE] = c[t + 3 * TILE] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@jit
def rotate_add(A, B, C):
    """C (M, TILE) += A (M, K) @ B (K, TILE); columns of A beyond the rows of B do not count."""
    n_rows, n_terms = A.shape[0], B.shape[0]
    b, c = B.reshape(-1), C.reshape(-1)
    for i in range(0, n_rows, 4):
        _add_four_rows(A, i, n_terms, b, c[i * TILE : (i + 4) * TILE])


@jit
def rotate(A, B, C):
    """C (M, TILE) = A (M, K) @ B (K, TILE)."""
    C[:] = 0
    rotate_add(A, B, C)


@jit
def add_trapezoid_energy(A, excess, B, scratch, energy):
    """Energy (TILE,) += sum_i (A @ B)[i]**2 for a trapezoid A: A[i, k] = 0 where k > excess + i.

    Half the work of a full product, which is not kept: ``scratch`` (4 * TILE,) holds four of its
    rows.
    """
    n_rows, n_terms = A.shape
    b = B.reshape(-1)
    for i in range(0, n_rows, 4):
        # Terms of row i + 3, up to a multiple of 4.
        n_nonzero = min(n_terms, (excess + i + 7) // 4 * 4)
        scratch[:] = 0
        _add_four_rows(A, i, n_nonzero, b, scratch)
        for t in range(TILE):
            c0, c1 = scratch[t], scratch[t + TILE]
            c2, c3 = scratch[t + 2 * TILE], scratch[t + 3 * TILE]
            energy[t] = energy[t] + c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3


@jit
def add_gram(A, B, start, C):
    """Upper triangle of C (M, PANEL) += A (n, M)^T @ B (n, PANEL), n and M multiples of 4.

    B and C are columns ``start`` to ``start + PANEL`` of wider matrices; those from M on do not
    count. Entries below the diagonal are left undefined.

    GFLOP/s as if all of C were computed, for n = 256, M = 64, in float32 / float64: as below
    136 / 81, with blocks of 8, 32 and 64 columns 87 / 88, 118 / 68 and 94-110 / 54. With rows that
    are not PANEL apart, a constant, 53 / 36.
    """
    n_terms = A.shape[0]
    stop = min(A.shape[1], start + PANEL)
    width = (stop - start + 15) // 16 * 16
    b, c = B.reshape(-1), C.reshape(-1)
    for k in range(0, n_terms, 4):
        for i in range(0, stop, 4):
            a00, a01, a02, a03 = A[k, i], A[k + 1, i], A[k + 2, i], A[k + 3, i]
            a10, a11, a12, a13 = A[k, i + 1], A[k + 1, i + 1], A[k + 2, i + 1], A[k + 3, i + 1]
            a20, a21, a22, a23 = A[k, i + 2], A[k + 1, i + 2], A[k + 2, i + 2], A[k + 3, i + 2]
            a30, a31, a32, a33 = A[k, i + 3], A[k + 1, i + 3], A[k + 2, i + 3], A[k + 3, i + 3]
            left = max(i - start, 0) // 16 * 16
            bk = b[k * PANEL + left : (k + 4) * PANEL]
            ci = c[i * PANEL + left : (i + 4) * PANEL]
            for t in range(width - left):
                b0, b1, b2, b3 = bk[t], bk[t + PANEL], bk[t + 2 * PANEL], bk[t + 3 * PANEL]
                ci[t] = ci[t] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                ci[t + PANEL] = ci[t + PANEL] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                ci[t + 2 * PANEL] = ci[t + 2 * PANEL] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                ci[t + 3 * PANEL] = ci[t + 3 * PANEL] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
