"""Small dense positive definite systems of equations, solved in place."""

from __future__ import annotations

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma

# Columns of the equations of a group: the covariance's, and behind them one for each patch. A
# constant, so that LLVM knows how far rows are apart and checks once whether they overlap.
COLUMNS = 128


@jit
def add_four_rows(a, b, n, c):
    """First n of four rows of ``c`` += ``a`` (16,), as a 4x4 matrix, times those of ``b``.

    Rows are COLUMNS apart in the flat b and c. Loops start at 0, in slices: from 8 on, say, LLVM
    does not vectorise them (a group of 40 patches of 6x6: 39 us instead of 16).
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
def _eliminate_within(rows, k, n):
    """Eliminate, in four flat rows of n columns, what is left of the diagonal that starts at k."""
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
    """Solve U X = B for four rows: U (4, 4) and B (4, n), which becomes X, flat."""
    S = COLUMNS
    u01, u02, u03 = upper[1], upper[2], upper[3]
    u12, u13, u23 = upper[S + 2], upper[S + 3], upper[2 * S + 3]
    one = rows.dtype.type(1.0)  # an integer 1 would make float64 of float32
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
    """Solve A X = B in place: A (d, d) positive definite, its upper triangle at the left.

    B is in columns ``first`` to ``stop`` of ``equations`` (d, COLUMNS) and becomes X. A = U^T D^-1
    U, by elimination of four rows at a time, without pivots; what is left of the diagonal is
    garbage.
    """
    a = np.empty(16, equations.dtype)
    m = equations.reshape(-1)
    for k in range(0, d, 4):
        begin = k // 8 * 8
        pivots = m[k * COLUMNS + begin : (k + 4) * COLUMNS]
        _eliminate_within(pivots, k - begin, stop - begin)
        for i in range(k + 4, d, 4):
            for r in range(4):
                row = r * COLUMNS - begin
                scale = -1.0 / pivots[row + k + r]
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
