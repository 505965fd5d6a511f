"""Small dense positive definite systems of equations: set up from samples, solved in place.

A system is an array (d, COLUMNS): the matrix is at the left, the right-hand sides behind it.
`add_gram` sums the matrix from samples, `solve` turns the right-hand sides into the solutions.
Both work on four rows at a time.
"""

from __future__ import annotations

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma

# Columns of a system. A constant, so that LLVM knows how far rows are apart and checks only once
# whether they overlap.
COLUMNS = 128


@jit
def add_four_rows(a, b, n, c):
    """Add A B to C, the first n columns of four rows each; ``a`` (16,) is the 4x4 matrix A.

    Rows are COLUMNS apart in the flat b and c. Callers pass slices, so that loops start at 0: LLVM
    does not vectorise loops that start at 8, say (a group of 40 patches of 6x6 took 39 us instead
    of 16).
    """
    a00, a01, a02, a03 = a[0], a[1], a[2], a[3]
    a10, a11, a12, a13 = a[4], a[5], a[6], a[7]
    a20, a21, a22, a23 = a[8], a[9], a[10], a[11]
    a30, a31, a32, a33 = a[12], a[13], a[14], a[15]
    S = COLUMNS
    for t in range(n):
        b0, b1, b2, b3 = b[t], b[t + S], b[t + 2 * S], b[t + 3 * S]
        c[t] = fma(a03, b3, fma(a02, b2, fma(a01, b1, fma(a00, b0, c[t]))))
        place = t + S
        c[place] = fma(a13, b3, fma(a12, b2, fma(a11, b1, fma(a10, b0, c[place]))))
        place = t + 2 * S
        c[place] = fma(a23, b3, fma(a22, b2, fma(a21, b1, fma(a20, b0, c[place]))))
        place = t + 3 * S
        c[place] = fma(a33, b3, fma(a32, b2, fma(a31, b1, fma(a30, b0, c[place]))))


@jit
def add_gram(samples, n, d, out):
    """Upper triangle of ``out`` (d, COLUMNS) += S^T S for the first n rows of ``samples``.

    ``samples`` is (n', COLUMNS), with zeros from row n to the next multiple of 4.
    """
    a = np.empty(16, samples.dtype)
    b, c = samples.reshape(-1), out.reshape(-1)
    stop = (d + 7) // 8 * 8
    for i in range(0, d, 4):
        begin = i // 8 * 8
        rows = c[i * COLUMNS + begin : (i + 4) * COLUMNS]
        for t in range(0, n, 4):
            four = b[t * COLUMNS + begin : (t + 4) * COLUMNS]
            for q in range(4):
                for r in range(4):
                    a[4 * q + r] = four[r * COLUMNS + i - begin + q]
            add_four_rows(a, four, stop - begin, rows)


@jit
def _eliminate_within(rows, k, n):
    """Zero the entries left of the diagonal in four flat rows (n,); it starts at column k."""
    S = COLUMNS
    f1, f2, f3 = rows[k + 1] / rows[k], rows[k + 2] / rows[k], rows[k + 3] / rows[k]
    for x in range(n):
        top = rows[x]
        rows[x + S] = fma(-f1, top, rows[x + S])
        rows[x + 2 * S] = fma(-f2, top, rows[x + 2 * S])
        rows[x + 3 * S] = fma(-f3, top, rows[x + 3 * S])
    k += 1
    f2, f3 = rows[S + k + 1] / rows[S + k], rows[S + k + 2] / rows[S + k]
    for x in range(n):
        top = rows[x + S]
        rows[x + 2 * S] = fma(-f2, top, rows[x + 2 * S])
        rows[x + 3 * S] = fma(-f3, top, rows[x + 3 * S])
    k += 1
    f3 = rows[2 * S + k + 1] / rows[2 * S + k]
    for x in range(n):
        rows[x + 3 * S] = fma(-f3, rows[x + 2 * S], rows[x + 3 * S])


@jit
def _substitute_within(upper, rows, n):
    """Solve U X = B for four flat rows: U (4, 4) is triangular, and B (4, n) becomes X."""
    S = COLUMNS
    u01, u02, u03 = upper[1], upper[2], upper[3]
    u12, u13, u23 = upper[S + 2], upper[S + 3], upper[2 * S + 3]
    one = rows.dtype.type(1.0)  # Python's 1 would make float64 of float32
    v0, v1 = one / upper[0], one / upper[S + 1]
    v2, v3 = one / upper[2 * S + 2], one / upper[3 * S + 3]
    for x in range(n):
        x3 = rows[x + 3 * S] * v3
        x2 = fma(-u23, x3, rows[x + 2 * S]) * v2
        x1 = fma(-u12, x2, fma(-u13, x3, rows[x + S])) * v1
        rows[x] = fma(-u01, x1, fma(-u02, x2, fma(-u03, x3, rows[x]))) * v0
        rows[x + S], rows[x + 2 * S], rows[x + 3 * S] = x1, x2, x3


@jit
def solve(equations, d, first, stop):
    """Solve A X = B in place for a positive definite A (d, d), of which the upper triangle is read.

    A is at the left of ``equations`` (d, COLUMNS), B in its columns ``first`` to ``stop``, and
    becomes X. Elimination without pivoting makes A = U^T D^-1 U; entries below the diagonal are
    left undefined.
    """
    a = np.empty(16, equations.dtype)
    minus_one = equations.dtype.type(-1.0)  # Python's -1 would make float64 of float32
    m = equations.reshape(-1)
    for k in range(0, d, 4):
        begin = k // 8 * 8
        pivots = m[k * COLUMNS + begin : (k + 4) * COLUMNS]
        _eliminate_within(pivots, k - begin, stop - begin)
        for i in range(k + 4, d, 4):
            for r in range(4):
                row = r * COLUMNS - begin
                scale = minus_one / pivots[row + k + r]
                for q in range(4):
                    a[4 * q + r] = pivots[row + i + q] * scale
            begin_i = i // 8 * 8
            add_four_rows(
                a, pivots[begin_i - begin :], stop - begin_i,
                m[i * COLUMNS + begin_i : (i + 4) * COLUMNS],
            )  # fmt: skip
    n = stop - first
    for k in range(d - 4, -1, -4):
        pivots = m[k * COLUMNS + first : (k + 4) * COLUMNS]
        _substitute_within(m[k * COLUMNS + k : (k + 4) * COLUMNS], pivots, n)
        for i in range(0, k, 4):
            upper = m[i * COLUMNS + k : (i + 4) * COLUMNS]
            for q in range(4):
                for r in range(4):
                    a[4 * q + r] = -upper[q * COLUMNS + r]
            add_four_rows(a, pivots, n, m[i * COLUMNS + first : (i + 4) * COLUMNS])
