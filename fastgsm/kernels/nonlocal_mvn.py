"""Non-local MVN refinement: the second step of NL-Bayes, on groups of similar patches.

A task owns a band of rows of reference patches. For each run of references it

1. finds the nearest patches of each reference in the pilot (see kernels/matching.py);
2. restores each group: m and C are the mean and covariance of the pilot's patches, and a noisy
   patch y becomes ``m + C (C + s2 I)^-1 (y - m) = y - s2 (C + s2 I)^-1 (y - m)`` (the equations
   are solved in kernels/elimination.py). The s2 in the brackets is never so small that C + s2 I is
   singular to rounding. The s2 before them stays, so that y is then trusted too much, by less than
   a standard deviation, and never too little. For noise of covariance s2 N, N takes the place of
   I: ``y - s2 N (C + s2 N)^-1 (y - m)``;
3. adds the restored patches to sums of its own, which the caller adds in the order of the bands.

For 6x6 patches, groups of 40 and 31x31 displacements (the default is 25x25), a reference takes 4 us
to match, 4 us to select and 15 us to restore on one busy Zen 3 core: 5 the equations, 4 the
covariance, 4 the sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.elimination import COLUMNS, add_gram, solve
from fastgsm.kernels.fma import fma
from fastgsm.kernels.matching import LANES, match_run, new_matches, select_nearest

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

    corners: Any  # (group,), numbers of the pixels where the patches of a group begin
    pilot: Any  # (group', COLUMNS), patches as rows
    mean: Any  # (d,)
    equations: Any  # (d, COLUMNS)
    line: Any  # (COLUMNS,)


@jit
def _gather_rows(image, corners, p, samples):
    """Write the patches at ``corners``, pixel numbers of ``image``, into rows of ``samples``."""
    width = image.shape[1]
    pixels, entries = image.reshape(-1), samples.reshape(-1)
    for t in range(corners.shape[0]):
        for y in range(p):
            begin = corners[t] + y * width
            source = pixels[begin : begin + p]
            begin = t * COLUMNS + y * p
            target = entries[begin : begin + p]
            for x in range(p):
                target[x] = source[x]


@jit
def _gather_columns(image, corners, p, first, equations):
    """Write the patches at ``corners`` into the columns of ``equations`` from ``first`` on."""
    width = image.shape[1]
    pixels, entries = image.reshape(-1), equations.reshape(-1)
    for y in range(p):
        for x in range(p):
            shifted = pixels[y * width + x :]
            begin = (y * p + x) * COLUMNS + first
            target = entries[begin : begin + corners.shape[0]]
            for t in range(corners.shape[0]):
                target[t] = shifted[corners[t]]


@jit
def _subtract_mean(samples, n, d, mean):
    """Remove the mean (d,) of the first n rows of ``samples``; zero rows up to a multiple of 4."""
    n_rows = samples.dtype.type(n)  # an integer would make float64 of float32
    entries = samples.reshape(-1)
    for i in range(d):
        mean[i] = 0.0
    for t in range(n):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            mean[i] += row[i]
    for i in range(d):
        mean[i] /= n_rows
    for t in range(n):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            row[i] -= mean[i]
    for t in range(n, (n + 3) // 4 * 4):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            row[i] = 0.0


@jit
def _fill_noise(scale, correlations, plane, first, equations):
    """Fill the ``first`` columns of ``equations`` with ``scale`` times a plane's N, or times I.

    Returns the least eigenvalue that the noise has.
    """
    d = equations.shape[0]
    for i in range(d):
        row = equations[i]
        for x in range(first):
            row[x] = 0.0
        row[i] = scale
    if correlations.shape[0] == 0:
        return scale
    for i in range(d):
        row, correlation = equations[i], correlations[plane, i]
        for x in range(d):
            row[x] = scale * correlation[x]
    return scale * equations.dtype.type(LEAST_VARIANCE)


@jit
def _correlate(correlation, equations, first, line):
    """Fill ``line`` (n,) with a row (d,) of N times ``equations`` (d, n), from ``first`` on."""
    n = line.shape[0]
    line[:] = 0.0
    for x in range(correlation.shape[0]):
        weight, row = correlation[x], equations[x, first : first + n]
        for t in range(n):
            line[t] = fma(weight, row[t], line[t])


@jit
def _restore_group(noisy, pilot, plane, corners, matching, scratch, shift, sums):
    """Add the restored patches at ``corners`` to ``sums``, which begins at pixel ``shift``.

    All images are those of one ``plane``, given by its number.
    """
    p, d, n = matching.patch_size, matching.patch_size**2, corners.shape[0]
    width = noisy.shape[1]
    _gather_rows(pilot, corners, p, scratch.pilot)
    _subtract_mean(scratch.pilot, n, d, scratch.mean)
    # All equations are multiplied by n - 1, so that the covariance need not be divided by it.
    scale = sums.dtype.type(max(n - 1, 1) * matching.noise_variance)
    first = (d + 7) // 8 * 8
    entries = scratch.equations.reshape(-1)
    least = _fill_noise(scale, matching.correlations, plane, first, scratch.equations)
    add_gram(scratch.pilot, n, d, scratch.equations)
    # There is no branch: it would cost 7 % of the time, although it is never taken.
    trace = 0.0
    for i in range(d):
        trace += entries[i * COLUMNS + i]
    lift = max(LEAST_RIDGE * np.finfo(sums.dtype).eps * trace - least, 0.0)
    lift = sums.dtype.type(lift)
    for i in range(d):
        entries[i * COLUMNS + i] += lift
    _gather_columns(noisy, corners, p, first, scratch.equations)
    for i in range(d):
        row = entries[i * COLUMNS + first : i * COLUMNS + first + n]
        for t in range(n):
            row[t] -= scratch.mean[i]
    solve(scratch.equations, d, first, first + (n + 7) // 8 * 8)
    source, total = noisy.reshape(-1), sums.reshape(-1)
    for y in range(p):
        for x in range(p):
            offset = y * width + x
            i = y * p + x
            row = entries[i * COLUMNS + first : i * COLUMNS + first + n]
            if matching.correlations.shape[0] > 0:
                row = scratch.line[:n]
                _correlate(matching.correlations[plane, i], scratch.equations, first, row)
            for t in range(n):
                pixel = corners[t] + offset
                total[pixel - shift] += fma(-scale, row[t], source[pixel])


@jit
def _new_scratch(matching, dtype):
    """Allocate the working memory for a group.

    Columns that fill up to a multiple of 8 are computed too, to no effect. If they were not
    initialised, they could hold subnormal numbers: then a refinement took six times as long on an
    Intel processor.
    """
    d, group = matching.patch_size**2, matching.group_size
    return Scratch(
        np.empty(group, np.intp),
        np.zeros(((group + 3) // 4 * 4, COLUMNS), dtype),
        np.empty(d, dtype),
        np.zeros((d, COLUMNS), dtype),
        np.zeros(COLUMNS, dtype),
    )


@jit
def _find_groups(pilot, padded_pilot, y, cols, matching, found):
    """Find the groups of the references at row ``y`` and columns ``cols``, at most LANES.

    Returns how many rows the displacements reach above y.
    """
    p, radius = matching.patch_size, matching.radius
    height, width = pilot.shape[1], pilot.shape[2]
    up, down = min(radius, y), min(radius, height - p - y)
    n_lanes = cols.shape[0]
    n = match_run(padded_pilot, p, radius, y, cols, up, down, found)
    for j in range(LANES):
        x = cols[min(j, n_lanes - 1)]
        n_inside = (up + down + 1) * (min(radius, x) + min(radius, width - p - x) + 1)
        found.wanted[j] = min(matching.group_size, n_inside)
    select_nearest(n, n_lanes, up * (2 * radius + 1) + radius, found)
    return up


@jit
def _restore_run(noisy, pilot, top, cols, matching, found, scratch, shift, sums, coverage):
    """Restore the groups ``found`` of references at ``cols``, displaced from row ``top`` on."""
    radius, width = matching.radius, pilot.shape[2]
    starts = coverage.reshape(-1)
    for j in range(cols.shape[0]):
        corners = scratch.corners[: found.counts[j]]
        for t in range(corners.shape[0]):
            dy, dx = divmod(found.members[j, t], 2 * radius + 1)
            corners[t] = (top + dy) * width + cols[j] - radius + dx
            starts[corners[t] - shift] += 1.0
        for c in range(pilot.shape[0]):
            _restore_group(noisy[c], pilot[c], c, corners, matching, scratch, shift, sums[c])


@jit
def _refine_band(noisy, pilot, padded_pilot, rows, cols, matching, sums, coverage):
    """Fill ``sums`` and ``coverage`` from the references of the grid rows ``rows``."""
    shift = max(rows[0] - matching.radius, 0) * pilot.shape[2]
    sums.reshape(-1)[:] = 0.0
    coverage.reshape(-1)[:] = 0.0
    longest = 0
    for first in range(0, cols.shape[0], LANES):
        run = cols[first : first + LANES]
        longest = max(longest, run[run.shape[0] - 1] - run[0] + matching.patch_size)
    found = new_matches(matching.radius, longest, pilot.dtype)
    scratch = _new_scratch(matching, pilot.dtype)
    for y in rows:
        for first in range(0, cols.shape[0], LANES):
            run = cols[first : first + LANES]
            up = _find_groups(pilot, padded_pilot, y, run, matching, found)
            _restore_run(noisy, pilot, y - up, run, matching, found, scratch, shift, sums, coverage)


@Kernel.with_flops(lambda cols, bands, **_: (bands[-1] - bands[0]) * cols.size * 1e5)
def refine_bands(noisy, pilot, padded_pilot, rows, cols, bands, matching, sums, coverage):
    """Sum the restored patches of the groups of all references on a grid, band by band.

    ``noisy`` and ``pilot`` (C, H, W) hold planes of equal noise. Groups are matched in plane 0 of
    the pilot, which is repeated between columns of infinity as ``padded_pilot`` (H, W + 2 radius +
    VECTOR), with ``radius`` of them at the left. References stand at all pairs of ``rows`` and
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
