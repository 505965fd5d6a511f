"""Non-local MVN refinement: the second step of NL-Bayes, on groups of similar patches.

A task owns a band of rows of reference patches. For each reference it

1. finds the nearest patches in the pilot (see kernels/matching.py);
2. restores this group: m and C are the mean and covariance of the pilot's patches, and a noisy
   patch y becomes ``m + C (C + s2 I)^-1 (y - m) = y - s2 (C + s2 I)^-1 (y - m)`` (the equations
   are solved in kernels/elimination.py). The s2 in the brackets is never so small that C + s2 I is
   singular to rounding. The s2 before them stays, so that y is then trusted too much, by less than
   a standard deviation, and never too little. For noise of covariance s2 N, N takes the place of
   I: ``y - s2 N (C + s2 N)^-1 (y - m)``;
3. adds the rows of the restored patches to sums of its own. There is a sum for each pixel where a
   row may begin, and not for each pixel: rows that overlap are neighbours in a group, and an
   addition would wait for the one before it to reach the cache. At the end of the band, rows
   become pixels, which the caller adds in the order of the bands.

For 6x6 patches, groups of 40 and 25x25 displacements, a reference takes 7.5 us in float32 on one
core of an Intel Xeon with AVX-512: 30 % the equations, 14 the distances, 13 the sums, 11 the
covariance, 10 the right-hand sides, 10 the pilot's patches, 7 the selection.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels import products
from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.elimination import COLUMNS, WIDTH, set_gram, solve, whole_blocks
from fastgsm.kernels.matching import match, new_matches, select_nearest
from fastgsm.kernels.products import ROWS, set_products
from fastgsm.kernels.runs import RUN, add_run, set_columns, sum_runs, transpose_runs

# Elimination without pivoting needs a diagonal of at least so many roundings of the covariance's
# trace. With 0, checkerboards of 0 and 1 with noise of 1e-4 and less came back in float32 as NaN
# or arbitrary numbers.
LEAST_RIDGE = 8.0
# Least eigenvalue of N.
LEAST_VARIANCE = 1e-3


class Matching(NamedTuple):
    """Settings of the groups, and the noise in them."""

    patch_size: int  # even
    radius: int  # of the window, in pixels
    group_size: int
    noise_variance: Any  # in the type of the images
    correlations: Any  # N of each plane, (C, d, d), or (0, d, d) for I


class Scratch(NamedTuple):
    """Working memory for one group."""

    offsets: Any  # (n_displacements,), pixels from the first displaced patch to each
    corners: Any  # (group',), numbers of the pixels where the patches of a group begin
    patches: Any  # (group', WIDTH), patches as rows
    means: Any  # (p RUN,), minus the mean of the patches
    equations: Any  # (d + 8, COLUMNS)
    factors: Any  # (d, WIDTH)
    sums: Any  # (4, WIDTH)
    coloured: Any  # (d + 8, COLUMNS), N times the solutions
    rows: Any  # (C, R W, RUN), restored rows of patches by the pixel where they begin


@jit
def _set_means(image, width, corners, p, means):
    """Set ``means`` (p RUN,) to minus the mean of the patches at ``corners``, rows RUN apart.

    ``image`` is flat, and corners are the numbers of its pixels.
    """
    means[:] = 0.0
    for corner in corners:
        for y in range(p):
            sum_runs(image, corner + y * width, means, y * RUN, means, y * RUN)
    share = means.dtype.type(-1.0 / corners.shape[0])
    for k in range(p * RUN):
        means[k] *= share


@jit
def _gather_rows(image, width, corners, p, means, patches):
    """Write the patches at ``corners`` plus ``means`` into the rows of ``patches``."""
    entries = patches.reshape(-1)
    for t in range(corners.shape[0]):
        for y in range(p):  # what a run has too many, the next overwrites
            place = t * WIDTH + y * p
            sum_runs(image, corners[t] + y * width, means, y * RUN, entries, place)


@jit
def _gather_columns(image, width, corners, p, means, equations):
    """Write the patches at ``corners`` plus ``means`` as columns behind the matrix.

    The number of corners is a multiple of 8.
    """
    d, n = p * p, corners.shape[0]
    target = equations.reshape(-1)
    for t in range(0, n, RUN):
        for y in range(p):  # what a run has too many, the next overwrites
            place = y * p * COLUMNS + d + t
            set_columns(image, corners, t, y * width, means, y * RUN, target, place, COLUMNS)
    # What fills up the last block must not be numbers from before, which could become subnormal.
    for i in range(0, d, ROWS):
        rows = target[i * COLUMNS + d + n :]
        set_products(target, 0, 0, 0, target, 0, rows, COLUMNS, products.COLUMNS)


@jit
def _add_noise(scale, correlations, plane, equations, d):
    """Add ``scale`` times a plane's N, or I, to the upper triangle at the left of ``equations``.

    Also lift the diagonal, so that elimination does not break down.
    """
    # Of N or I.
    least = scale
    if correlations.shape[0] == 0:
        for i in range(d):
            equations[i, i] += scale
    else:
        least = scale * equations.dtype.type(LEAST_VARIANCE)
        for i in range(d):
            for x in range(i, d):
                equations[i, x] += scale * correlations[plane, i, x]
    trace = 0.0
    for i in range(d):
        trace += equations[i, i]
    lift = max(LEAST_RIDGE * np.finfo(equations.dtype).eps * trace - least, 0.0)
    for i in range(d):
        equations[i, i] += equations.dtype.type(lift)


@jit
def _colour(correlations, plane, equations, n, d, coloured):
    """Write N times the solutions, behind the matrix of ``equations``, to where they are there."""
    a, b, c = correlations.reshape(-1), equations.reshape(-1), coloured.reshape(-1)
    for i in range(0, d, ROWS):
        factors, rows = a[(plane * d + i) * d :], c[i * COLUMNS + d :]
        set_products(factors, d, 1, d, b[d:], COLUMNS, rows, COLUMNS, whole_blocks(n))


@jit
def _add_patches(scale, solutions, noisy, width, corners, p, patches, first, rows):
    """Add y - ``scale`` x of the patches at ``corners`` to ``rows`` (R W * RUN,).

    x are the columns of ``solutions`` behind the matrix. ``rows`` begin at the pixel ``first``.
    """
    d, n = p * p, corners.shape[0]
    source, entries = solutions.reshape(-1), patches.reshape(-1)
    for t in range(0, n, RUN):
        for i in range(0, d, RUN):
            transpose_runs(source, i * COLUMNS + d + t, COLUMNS, entries, t * WIDTH + i, WIDTH)
    for t in range(n):
        for y in range(p):
            pixel = corners[t] + y * width
            place = (pixel - first) * RUN
            add_run(-scale, entries, t * WIDTH + y * p, noisy, pixel, rows, place)


@jit
def _restore_group(noisy, pilot, width, plane, n, matching, scratch, first):
    """Add the n restored patches of a group to the plane's ``scratch.rows``.

    ``noisy`` and ``pilot`` are one ``plane``, given by its number, in one dimension.
    """
    p, d = matching.patch_size, matching.patch_size**2
    patches, equations, solutions = scratch.patches, scratch.equations, scratch.equations
    corners = scratch.corners[: (n + RUN - 1) // RUN * RUN]
    whole = corners.shape[0]
    _set_means(pilot, width, corners[:n], p, scratch.means)
    _gather_rows(pilot, width, corners[:n], p, scratch.means, patches)
    set_gram(patches, n, d, equations)
    # All equations are multiplied by n - 1, so that the covariance need not be divided by it.
    scale = equations.dtype.type(max(n - 1, 1) * matching.noise_variance)
    _add_noise(scale, matching.correlations, plane, equations, d)
    _gather_columns(noisy, width, corners, p, scratch.means, equations)
    solve(equations, d, whole, scratch.factors, scratch.sums)
    if matching.correlations.shape[0] > 0:
        solutions = scratch.coloured
        _colour(matching.correlations, plane, equations, whole, d, solutions)
    rows = scratch.rows[plane].reshape(-1)
    _add_patches(scale, solutions, noisy, width, corners[:n], p, patches, first, rows)


@jit
def _new_scratch(matching, n_planes, n_pixels, dtype):
    """Allocate the working memory for a band of ``n_pixels``.

    Columns that fill up a block are computed too, to no effect. If they were not initialised, they
    could hold subnormal numbers: then a refinement took six times as long on an Intel processor.
    """
    d, side = matching.patch_size**2, 2 * matching.radius + 1
    group = (matching.group_size + RUN - 1) // RUN * RUN
    return Scratch(
        np.empty(side * side, np.intp),
        np.empty(group, np.intp),
        np.zeros((group, WIDTH), dtype),
        np.zeros(matching.patch_size * RUN, dtype),
        np.zeros((d + RUN, COLUMNS), dtype),
        np.zeros((d, WIDTH), dtype),
        np.zeros((ROWS, WIDTH), dtype),
        np.zeros((d + RUN, COLUMNS), dtype),
        np.zeros((n_planes, n_pixels, RUN), dtype),
    )


@jit
def _find_group(padded_pilot, width, y, x, turn, shared, matching, found, scratch):
    """Write the corners of the patches nearest to that at (y, x) to ``scratch``; return how many.

    For ``turn`` and ``shared`` see `match`.
    """
    p, radius = matching.patch_size, matching.radius
    height, n_columns = padded_pilot.shape[0], padded_pilot.shape[1] - 2 * radius - products.COLUMNS
    up, down = min(radius, y), min(radius, height - p - y)
    n = match(padded_pilot, p, radius, y, x, up, down, turn, shared, found)
    n_inside = (up + down + 1) * (min(radius, x) + min(radius, n_columns - p - x) + 1)
    own = up * (2 * radius + 1) + radius
    count = select_nearest(n, own, min(matching.group_size, n_inside), found)
    first = (y - up) * width + x - radius
    corners = scratch.corners
    for t in range(count):
        corners[t] = first + scratch.offsets[found.members[t]]
    for t in range(count, (count + RUN - 1) // RUN * RUN):
        corners[t] = corners[0]
    return count


@jit
def _add_rows(rows, width, p, out):
    """Set ``out`` (R, W) to the sums of ``rows`` (R W, RUN), each of p pixels from its own on."""
    for y in range(out.shape[0]):
        for x in range(width):
            total = out.dtype.type(0.0)
            for i in range(min(p, x + 1)):
                total += rows[y * width + x - i, i]
            out[y, x] = total


@jit
def _refine_band(noisy, pilot, padded_pilot, rows, cols, matching, sums, coverage):
    """Fill ``sums`` and ``coverage`` from the references of the grid rows ``rows``."""
    p, radius = matching.patch_size, matching.radius
    n_planes, _, width = noisy.shape
    first = max(rows[0] - radius, 0) * width
    found = new_matches(radius, pilot.dtype)
    scratch = _new_scratch(matching, n_planes, coverage.size, pilot.dtype)
    for k in range(scratch.offsets.shape[0]):
        scratch.offsets[k] = k // (2 * radius + 1) * width + k % (2 * radius + 1)
    coverage[:] = 0.0
    starts = coverage.reshape(-1)
    for y in rows:
        for j in range(cols.shape[0]):
            shared = j > 0 and cols[j] - cols[j - 1] == p // 2
            n = _find_group(
                padded_pilot, width, y, cols[j], j % 2, shared, matching, found, scratch
            )
            for t in range(n):
                starts[scratch.corners[t] - first] += 1.0
            for c in range(n_planes):
                planes = noisy[c].reshape(-1), pilot[c].reshape(-1)
                _restore_group(*planes, width, c, n, matching, scratch, first)
    for c in range(n_planes):
        _add_rows(scratch.rows[c], width, p, sums[c])


@Kernel.with_flops(lambda cols, bands, **_: (bands[-1] - bands[0]) * cols.size * 1e5)
def refine_bands(noisy, pilot, padded_pilot, rows, cols, bands, matching, sums, coverage):
    """Sum the restored patches of the groups of all references on a grid, band by band.

    ``noisy`` and ``pilot`` (C, H, W) hold planes of equal noise, and at least RUN columns more,
    which are read but do not count. Groups are matched in plane 0 of the pilot, which is repeated
    without these columns between columns of infinity: ``padded_pilot`` has ``radius`` of them at
    the left, and products.COLUMNS more at the right. References stand at all pairs of ``rows`` and
    ``cols``; band b is the grid rows ``bands[b]`` to ``bands[b + 1]``. Fills ``sums[b]`` (C, R,
    W), whose row 0 is the first image row in reach of the band, and ``coverage[b]`` (R, W) with
    the number of restored patches that begin at each pixel.
    """
    for task in prange(bands.shape[0] - 1):
        band = np.intp(task)
        _refine_band(
            noisy, pilot, padded_pilot, rows[bands[band] : bands[band + 1]], cols, matching,
            sums[band], coverage[band],
        )  # fmt: skip
