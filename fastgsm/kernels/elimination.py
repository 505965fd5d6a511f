"""Small dense positive definite systems of equations: set up from samples, solved in place.

A system is an array (d + 8, COLUMNS): the matrix is at the left, the right-hand sides follow.
`set_gram` makes the matrix from samples, `solve` turns the right-hand sides into the solutions.
Both work on four rows at a time, by the products of kernels/products.py.
"""

from __future__ import annotations

from fastgsm.kernels import products
from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma
from fastgsm.kernels.products import ROWS, add_products, set_products

# Largest number of unknowns, and of right-hand sides.
LARGEST = 64
# Columns of a system: both, and those that fill up the last block of a product.
COLUMNS = 2 * LARGEST + products.COLUMNS
# Columns of a matrix of samples, and of one of factors. More than 64, since rows that are 4 kB
# apart, or half of it, would compete for the same places of the L1 cache.
WIDTH = LARGEST + products.COLUMNS


@jit
def whole_blocks(n):
    """Return ``n`` columns and those that fill up the last block of a product."""
    return (n + products.COLUMNS - 1) // products.COLUMNS * products.COLUMNS


@jit
def set_gram(samples, n, d, out):
    """Set the upper triangle of ``out`` (d, COLUMNS) to S^T S, of the first n rows of ``samples``.

    ``samples`` is (n', WIDTH). As many as 15 columns behind the matrix are overwritten.
    """
    a, c = samples.reshape(-1), out.reshape(-1)
    for k in range(0, d, ROWS):
        rows = c[k * COLUMNS + k :]
        set_products(a[k:], 1, WIDTH, n, a[k:], WIDTH, rows, COLUMNS, whole_blocks(d - k))


@jit
def _eliminate_within(rows, n):
    """Zero the entries left of the diagonal in four flat rows (n,), which begin at the diagonal."""
    S = COLUMNS
    f1, f2, f3 = rows[1] / rows[0], rows[2] / rows[0], rows[3] / rows[0]
    for x in range(n):
        top = rows[x]
        rows[x + S] = fma(-f1, top, rows[x + S])
        rows[x + 2 * S] = fma(-f2, top, rows[x + 2 * S])
        rows[x + 3 * S] = fma(-f3, top, rows[x + 3 * S])
    f2, f3 = rows[S + 2] / rows[S + 1], rows[S + 3] / rows[S + 1]
    for x in range(n):
        top = rows[x + S]
        rows[x + 2 * S] = fma(-f2, top, rows[x + 2 * S])
        rows[x + 3 * S] = fma(-f3, top, rows[x + 3 * S])
    f3 = rows[2 * S + 3] / rows[2 * S + 2]
    for x in range(n):
        rows[x + 3 * S] = fma(-f3, rows[x + 2 * S], rows[x + 3 * S])


@jit
def _substitute_within(factors, sums, rows, n):
    """Solve four equations whose other unknowns are known, and add up to -``sums``.

    ``factors`` are the rows of `solve`'s, from the diagonal on; ``rows`` (4, n) become the
    unknowns.
    """
    S, F = COLUMNS, WIDTH
    f01, f02, f03 = factors[1], factors[2], factors[3]
    f12, f13, f23 = factors[F + 2], factors[F + 3], factors[2 * F + 3]
    v0, v1 = factors[0], factors[F + 1]
    v2, v3 = factors[2 * F + 2], factors[3 * F + 3]
    for x in range(n):
        x3 = fma(rows[x + 3 * S], v3, sums[x + 3 * F])
        x2 = fma(f23, x3, fma(rows[x + 2 * S], v2, sums[x + 2 * F]))
        x1 = fma(f12, x2, fma(f13, x3, fma(rows[x + S], v1, sums[x + F])))
        x0 = fma(f02, x2, fma(f03, x3, fma(rows[x], v0, sums[x])))
        rows[x] = fma(f01, x1, x0)
        rows[x + S], rows[x + 2 * S], rows[x + 3 * S] = x1, x2, x3


@jit
def solve(equations, d, n, factors, sums):
    """Solve A X = B in place for a positive definite A (d, d), of which the upper triangle is read.

    A is at the left of ``equations`` (d + 8, COLUMNS), B in its columns d to d + n, and becomes X.
    d is a multiple of 4. Elimination without pivoting makes A = U^T D^-1 U; entries below the
    diagonal are left undefined. Columns behind B that fill up a block are computed, too, to no
    effect. ``factors`` (d, WIDTH) and ``sums`` (4, WIDTH) are working memory: ``factors`` become
    -D^-1 U right of the diagonal and D^-1 on it.
    """
    m, f, s = equations.reshape(-1), factors.reshape(-1), sums.reshape(-1)
    one = m.dtype.type(1.0)  # Python's 1 would make float64 of float32
    s[: ROWS * ROWS] = 0.0
    for k in range(0, d, ROWS):
        rows = m[k * COLUMNS + k :]
        width = whole_blocks(d + n - k)
        add_products(f[k:], 1, WIDTH, k, m[k:], COLUMNS, rows, COLUMNS, width)
        _eliminate_within(rows, width)
        for r in range(ROWS):
            s[(ROWS + 1) * r] = -one / rows[r * COLUMNS + r]
        left, place = whole_blocks(d - k), k * WIDTH + k
        set_products(s, ROWS, 1, ROWS, rows, COLUMNS, f[place:], WIDTH, left)
        for r in range(ROWS):
            f[place + r * WIDTH + r] = -s[(ROWS + 1) * r]
    width = whole_blocks(n)
    for k in range(d - ROWS, -1, -ROWS):
        known = k + ROWS
        set_products(
            f[k * WIDTH + known :], WIDTH, 1, d - known, m[known * COLUMNS + d :], COLUMNS,
            s, WIDTH, width,
        )  # fmt: skip
        _substitute_within(f[k * WIDTH + k :], s, m[k * COLUMNS + d :], width)
