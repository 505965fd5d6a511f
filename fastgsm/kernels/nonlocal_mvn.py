"""Non-local MVN refinement: the second step of NL-Bayes, on groups of similar patches.

A task owns a band of rows of reference patches. For each run of references it

1. matches: squared distances of the pilot's patches, displacement by displacement, the references
   along the lanes;
2. selects the nearest patches of each reference, by bisection on the distance;
3. restores each group: mean m and covariance C of the pilot's patches, and then
   ``m + C (C + s2 I)^-1 (y - m) = y - s2 (C + s2 I)^-1 (y - m)`` for its noisy patches;
4. adds the restored patches to sums of its own, which the caller adds in the order of the bands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit

# References matched side by side. Their distances (961 displacements) take 120 kB: 64 were ...
LANES = 32
# Columns of the equations of a group: the covariance's, and behind them one for each patch. A
# constant, so that LLVM knows how far rows are apart (see kernels.rotation).
COLUMNS = 128


class Matching(NamedTuple):
    """What a group is made of."""

    patch_size: int  # even
    radius: int  # of the window, in pixels
    group_size: int
    noise_variance: Any


class Scratch(NamedTuple):
    """Working memory of one task."""

    columns: Any  # (2, LANES * stride + patch_size): sums over columns of a patch, over patches
    distances: Any  # (n_displacements, LANES)
    members: Any  # (LANES, n_displacements), flat displacement numbers
    counts: Any  # (LANES,)
    corners: Any  # (group,), pixel numbers
    pilot: Any  # (group', d'), patches as rows
    mean: Any  # (d',)
    equations: Any  # (d, COLUMNS)
    pivots: Any  # (4, COLUMNS)


@jit
def _distances(padded, matching, top, cols, first, count, dy_first, dy_last, sums, distances):
    """Squared distances of ``count`` references in grid columns from ``first`` on.

    ``padded`` (H, W + 2 radius) is the pilot between columns of infinities, which puts patches
    outside the image at an infinite distance.
    """
    p, radius = matching.patch_size, matching.radius
    width = padded.shape[1]
    pixels, out = padded.reshape(-1), distances.reshape(-1)
    left = cols[first]
    run = cols[first + count - 1] - left + 1  # dense positions of patches
    vertical, total = sums[0, : run + p - 1], sums[1, :run]
    k = 0
    for dy in range(dy_first, dy_last + 1):
        for dx in range(-radius, radius + 1):
            for y in range(0, p, 2):
                begin = (top + y) * width + radius + left
                a = pixels[begin : begin + width + run + p - 1]
                begin += dy * width + dx
                b = pixels[begin : begin + width + run + p - 1]
                if y == 0:
                    for x in range(run + p - 1):
                        e, f = a[x] - b[x], a[x + width] - b[x + width]
                        vertical[x] = e * e + f * f
                else:
                    for x in range(run + p - 1):
                        e, f = a[x] - b[x], a[x + width] - b[x + width]
                        vertical[x] += e * e + f * f
            for x in range(run):
                total[x] = vertical[x] + vertical[x + 1]
            for i in range(2, p, 2):
                shifted = vertical[i : i + run + 1]
                for x in range(run):
                    total[x] += shifted[x] + shifted[x + 1]
            row = out[k * LANES : (k + 1) * LANES]
            for j in range(count):
                row[j] = total[cols[first + j] - left]
            k += 1
    return k


@jit
def _thresholds(distances, n, wanted, threshold):
    """Set ``threshold`` (LANES,) to the ``wanted``-th smallest of n distances, or just above."""
    d = distances.reshape(-1)[: n * LANES]
    low, high = np.zeros(LANES, d.dtype), np.zeros(LANES, d.dtype)
    middle = np.zeros(LANES, d.dtype)
    counts = np.zeros(LANES, d.dtype)
    for k in range(n):
        row = d[k * LANES : (k + 1) * LANES]
        for j in range(LANES):
            high[j] = row[j] if high[j] < row[j] < np.inf else high[j]
    for j in range(LANES):
        low[j] = -high[j]  # the first guess is then 0, which may be the answer
    active = True
    while active:
        for j in range(LANES):
            middle[j] = 0.5 * (low[j] + high[j])
            counts[j] = 0
        for k in range(n):
            row = d[k * LANES : (k + 1) * LANES]
            for j in range(LANES):
                counts[j] += 1.0 if row[j] <= middle[j] else 0.0
        active = False
        for j in range(LANES):
            settled = middle[j] == high[j] or middle[j] == low[j]
            if counts[j] == wanted[j]:
                low[j] = middle[j]
                high[j] = middle[j]
            elif counts[j] > wanted[j]:
                high[j] = middle[j]
            elif not settled:
                low[j] = middle[j]
            active = active or not (settled or low[j] == high[j])
    for j in range(LANES):
        threshold[j] = high[j]


@jit
def _collect(distances, n, count, own, wanted, threshold, members, counts):
    """List the displacements within each lane's threshold; ``own`` first, ties by position."""
    block = 32
    for j in range(count):
        members[j, 0] = own
        counts[j] = 1
    for start in range(0, n, block):
        for j in range(count):
            limit, found, row = threshold[j], counts[j], members[j]
            for k in range(start, min(start + block, n)):
                row[found] = k
                found += 1 if distances[k, j] <= limit and k != own else 0
            counts[j] = found
    for j in range(count):
        row = members[j]
        excess = counts[j] - wanted[j]
        k = counts[j] - 1
        while excess > 0:
            if k > 0 and distances[row[k], j] == threshold[j]:
                for i in range(k, counts[j] - 1):
                    row[i] = row[i + 1]
                counts[j] -= 1
                excess -= 1
            k -= 1


@jit
def _add_four_rows(a, b, start, stop, c):
    """Rows of ``c`` (4 * COLUMNS,) += a (16,), as a 4x4 matrix, times rows of b, likewise flat."""
    a00, a01, a02, a03 = a[0], a[1], a[2], a[3]
    a10, a11, a12, a13 = a[4], a[5], a[6], a[7]
    a20, a21, a22, a23 = a[8], a[9], a[10], a[11]
    a30, a31, a32, a33 = a[12], a[13], a[14], a[15]
    S = COLUMNS
    for t in range(start, stop):
        b0, b1, b2, b3 = b[t], b[t + S], b[t + 2 * S], b[t + 3 * S]
        c[t] = c[t] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
        c[t + S] = c[t + S] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
        c[t + 2 * S] = c[t + 2 * S] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
        c[t + 3 * S] = c[t + 3 * S] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@jit
def _gather_rows(image, corners, p, tile):
    """Write the patches at ``corners``, pixel numbers of ``image``, into the rows of ``tile``."""
    width = image.shape[1]
    pixels, entries = image.reshape(-1), tile.reshape(-1)
    for t in range(corners.shape[0]):
        for y in range(p):
            begin = corners[t] + y * width
            source = pixels[begin : begin + p]
            begin = t * COLUMNS + y * p
            target = entries[begin : begin + p]
            for x in range(p):
                target[x] = source[x]


@jit
def _gather_columns(image, corners, p, first, tile):
    """Write the patches at ``corners`` into the columns of ``tile`` from ``first`` on."""
    width = image.shape[1]
    pixels, entries = image.reshape(-1), tile.reshape(-1)
    for y in range(p):
        for x in range(p):
            shifted = pixels[y * width + x :]
            begin = (y * p + x) * COLUMNS + first
            target = entries[begin : begin + corners.shape[0]]
            for t in range(corners.shape[0]):
                target[t] = shifted[corners[t]]


@jit
def _add_gram(tile, n, d, out):
    """Upper triangle of ``out`` (d, COLUMNS) += T^T T of the first n rows of a ``tile``."""
    a = np.empty(16, tile.dtype)
    b, c = tile.reshape(-1), out.reshape(-1)
    stop = (d + 7) // 8 * 8
    for i in range(0, d, 4):
        rows = c[i * COLUMNS : (i + 4) * COLUMNS]
        for t in range(0, n, 4):
            four = b[t * COLUMNS : (t + 4) * COLUMNS]
            for q in range(4):
                for r in range(4):
                    a[4 * q + r] = four[r * COLUMNS + i + q]
            _add_four_rows(a, four, i // 8 * 8, stop, rows)


@jit
def _solve(equations, d, first, stop):
    """Solve A X = B in place: A (d, d) positive definite, its upper triangle at the left.

    B is in columns ``first`` to ``stop`` of ``equations`` (d, COLUMNS) and becomes X. A = U^T D^-1
    U, by elimination of four rows at a time, without pivots; what is left of the diagonal is
    garbage.
    """
    a = np.empty(16, equations.dtype)
    m = equations.reshape(-1)
    for k in range(0, d, 4):
        pivots = m[k * COLUMNS : (k + 4) * COLUMNS]
        begin = k // 8 * 8
        for r in range(3):
            upper = pivots[r * COLUMNS : (r + 1) * COLUMNS]
            for q in range(r + 1, 4):
                factor = upper[k + q] / upper[k + r]
                lower = pivots[q * COLUMNS : (q + 1) * COLUMNS]
                for x in range(begin, stop):
                    lower[x] -= factor * upper[x]
        for i in range(k + 4, d, 4):
            for r in range(4):
                scale = -1.0 / pivots[r * COLUMNS + k + r]
                for q in range(4):
                    a[4 * q + r] = pivots[r * COLUMNS + i + q] * scale
            _add_four_rows(a, pivots, i // 8 * 8, stop, m[i * COLUMNS : (i + 4) * COLUMNS])
    for k in range(d - 4, -1, -4):
        pivots = m[k * COLUMNS : (k + 4) * COLUMNS]
        for r in range(3, -1, -1):
            row = pivots[r * COLUMNS : (r + 1) * COLUMNS]
            for q in range(r + 1, 4):
                factor = row[k + q]
                lower = pivots[q * COLUMNS : (q + 1) * COLUMNS]
                for x in range(first, stop):
                    row[x] -= factor * lower[x]
            scale = 1.0 / row[k + r]
            for x in range(first, stop):
                row[x] *= scale
        for i in range(0, k, 4):
            rows = m[i * COLUMNS : (i + 4) * COLUMNS]
            for q in range(4):
                for r in range(4):
                    a[4 * q + r] = -rows[q * COLUMNS + k + r]
            _add_four_rows(a, pivots, first, stop, rows)


@jit
def _subtract_mean(tile, n, d, mean):
    """Remove the mean (d,) of the first n rows of ``tile``; zero rows up to a multiple of 4."""
    entries = tile.reshape(-1)
    for i in range(d):
        mean[i] = 0.0
    for t in range(n):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            mean[i] += row[i]
    for i in range(d):
        mean[i] /= n
    for t in range(n):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            row[i] -= mean[i]
    for t in range(n, (n + 3) // 4 * 4):
        row = entries[t * COLUMNS : (t + 1) * COLUMNS]
        for i in range(d):
            row[i] = 0.0


@jit
def _restore_group(noisy, pilot, corners, matching, scratch, shift, sums):
    """Add the restored patches at ``corners`` to ``sums``, which starts ``shift`` pixels down."""
    p, variance = matching.patch_size, matching.noise_variance
    d, n, width = p * p, corners.shape[0], noisy.shape[1]
    equations, mean = scratch.equations, scratch.mean
    _gather_rows(pilot, corners, p, scratch.pilot)
    _subtract_mean(scratch.pilot, n, d, mean)
    # All of it times n - 1, which the solution is then too small by.
    degrees = max(n - 1, 1)
    first = (d + 7) // 8 * 8
    stop = first + (n + 7) // 8 * 8
    entries = equations.reshape(-1)
    for i in range(d):
        row = entries[i * COLUMNS : (i + 1) * COLUMNS]
        for x in range(first):
            row[x] = 0.0
        row[i] = degrees * variance
    _add_gram(scratch.pilot, n, d, equations)
    _gather_columns(noisy, corners, p, first, equations)
    for i in range(d):
        row = entries[i * COLUMNS : (i + 1) * COLUMNS]
        for x in range(first, first + n):
            row[x] -= mean[i]
    _solve(equations, d, first, stop)
    scale = degrees * variance
    source, total = noisy.reshape(-1), sums.reshape(-1)
    for t in range(n):
        for y in range(p):
            begin = corners[t] + y * width
            patch, target = source[begin : begin + p], total[begin - shift : begin - shift + p]
            begin = y * p * COLUMNS + first + t
            for x in range(p):
                target[x] += patch[x] - scale * entries[begin + x * COLUMNS]


@jit
def _new_scratch(matching, columns, dtype):
    side = 2 * matching.radius + 1
    d = matching.patch_size**2
    group = (matching.group_size + 3) // 4 * 4
    return Scratch(
        np.empty((2, columns), dtype),
        np.full((side * side, LANES), np.inf, dtype),
        np.empty((LANES, side * side + 1), np.intp),
        np.empty(LANES, np.intp),
        np.empty(matching.group_size, np.intp),
        np.zeros((group, COLUMNS), dtype),
        np.empty(d, dtype),
        np.zeros((d, COLUMNS), dtype),
        np.zeros((4, COLUMNS), dtype),
    )


@jit
def _refine_band(noisy, pilot, padded, rows, cols, matching, sums, coverage):
    p, radius = matching.patch_size, matching.radius
    height, width = pilot.shape[1:]
    side = 2 * radius + 1
    n_cols = cols.shape[0]
    sums[:] = 0
    coverage[:] = 0
    shift = max(rows[0] - radius, 0) * width
    counted = coverage.reshape(-1)
    longest = 0
    for first in range(0, n_cols, LANES):
        longest = max(longest, cols[min(first + LANES, n_cols) - 1] - cols[first] + p)
    scratch = _new_scratch(matching, longest, pilot.dtype)
    wanted = np.zeros(LANES, np.intp)
    threshold = np.zeros(LANES, pilot.dtype)
    for y in rows:
        up, down = min(radius, y), min(radius, height - p - y)
        for first in range(0, n_cols, LANES):
            count = min(LANES, n_cols - first)
            n = _distances(
                padded, matching, y, cols, first, count, -up, down,
                scratch.columns, scratch.distances,
            )  # fmt: skip
            for j in range(LANES):
                x = cols[min(first + j, n_cols - 1)]
                inside = min(radius, x) + min(radius, width - p - x) + 1
                wanted[j] = min(matching.group_size, (up + down + 1) * inside)
            for k in range(n):
                for j in range(count, LANES):
                    scratch.distances[k, j] = scratch.distances[k, count - 1]
            _thresholds(scratch.distances, n, wanted, threshold)
            _collect(
                scratch.distances, n, count, up * side + radius, wanted, threshold,
                scratch.members, scratch.counts,
            )  # fmt: skip
            for j in range(count):
                corners = scratch.corners[: scratch.counts[j]]
                corner = (y - up) * width + cols[first + j] - radius
                for t in range(corners.shape[0]):
                    dy, dx = divmod(scratch.members[j, t], side)
                    corners[t] = corner + dy * width + dx
                    counted[corners[t] - shift] += 1.0
                for c in range(pilot.shape[0]):
                    _restore_group(
                        noisy[c], pilot[c], corners, matching, scratch, shift, sums[c]
                    )


@Kernel
def refine_bands(noisy, pilot, padded, rows, cols, bands, matching, sums, coverage):
    for task in prange(bands.shape[0] - 1):
        band = np.intp(task)
        _refine_band(
            noisy, pilot, padded, rows[bands[band] : bands[band + 1]], cols, matching,
            sums[band], coverage[band],
        )  # fmt: skip
