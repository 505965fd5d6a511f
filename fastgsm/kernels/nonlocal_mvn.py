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
VECTOR = 32
SLACK = 8
MAX_STEPS = 32


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
def _column_distances(pixels, corner, shift, width, p, n, out):
    """Fill ``out`` (n,) with squared distances of columns of p pixels, ``shift`` pixels apart."""
    for y in range(0, p, 2):
        begin = corner + y * width
        a0, b0 = pixels[begin : begin + n], pixels[begin + shift : begin + shift + n]
        begin += width
        a1, b1 = pixels[begin : begin + n], pixels[begin + shift : begin + shift + n]
        if y == 0:
            for x in range(n):
                e, f = a0[x] - b0[x], a1[x] - b1[x]
                out[x] = e * e + f * f
        else:
            for x in range(n):
                e, f = a0[x] - b0[x], a1[x] - b1[x]
                out[x] = out[x] + e * e + f * f


@jit
def _window_sums(values, p, n, out):
    """Fill ``out`` (n,) with sums of p consecutive ``values``, of which it takes n + p - 1."""
    for x in range(n):
        out[x] = values[x] + values[x + 1]
    for i in range(2, p, 2):
        shifted = values[i : i + n + 1]
        for x in range(n):
            out[x] = out[x] + shifted[x] + shifted[x + 1]


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
    lanes = np.empty(count, np.uintp)
    for j in range(count):
        lanes[j] = cols[first + j] - left
    run = (cols[first + count - 1] - left + p + VECTOR - 1) // VECTOR * VECTOR
    columns, total = sums[0], sums[1]
    k = 0
    for dy in range(dy_first, dy_last + 1):
        for dx in range(-radius, radius + 1):
            _column_distances(pixels, top * width + radius + left, dy * width + dx, width, p, run, columns)
            _window_sums(columns, p, run, total)
            row = out[k * LANES : (k + 1) * LANES]
            for j in range(count):
                row[j] = total[lanes[j]]
            k += 1
    return k


@jit
def _count_within(distances, n, limits, counts):
    """Count in each lane the distances, of n, that do not exceed the lane's limit."""
    d = distances.reshape(-1)
    for j in range(LANES):
        counts[j] = 0.0
    for k in range(0, n - n % 4, 4):
        d0, d1 = d[k * LANES : (k + 1) * LANES], d[(k + 1) * LANES : (k + 2) * LANES]
        d2, d3 = d[(k + 2) * LANES : (k + 3) * LANES], d[(k + 3) * LANES : (k + 4) * LANES]
        for j in range(LANES):
            limit = limits[j]
            a = (1.0 if d0[j] <= limit else 0.0) + (1.0 if d1[j] <= limit else 0.0)
            b = (1.0 if d2[j] <= limit else 0.0) + (1.0 if d3[j] <= limit else 0.0)
            counts[j] += a + b
    for k in range(n - n % 4, n):
        row = d[k * LANES : (k + 1) * LANES]
        for j in range(LANES):
            counts[j] += 1.0 if row[j] <= limits[j] else 0.0


@jit
def _find_limits(distances, n, wanted, limits):
    """Set ``limits`` (LANES,) so that ``wanted`` (LANES,) distances, or some more, are within.

    Regula falsi and bisection in turn, until no lane has more than SLACK too many.
    """
    d = distances.reshape(-1)
    low, high = np.zeros(LANES, d.dtype), np.zeros(LANES, d.dtype)
    below, above = np.ones(LANES, d.dtype), np.zeros(LANES, d.dtype)
    counts = np.empty(LANES, d.dtype)
    for k in range(n):
        row = d[k * LANES : (k + 1) * LANES]
        for j in range(LANES):
            inside = row[j] < np.inf
            above[j] += 1.0 if inside else 0.0
            high[j] = row[j] if inside and row[j] > high[j] else high[j]
    for step in range(MAX_STEPS):
        busy = 0
        for j in range(LANES):
            limits[j] = high[j]
            if above[j] > wanted[j] + SLACK and low[j] < high[j]:
                share = (wanted[j] + 0.5 * SLACK - below[j]) / (above[j] - below[j])
                limits[j] = low[j] + (share if step % 2 == 0 else 0.5) * (high[j] - low[j])
                busy += 1
        if busy == 0:
            break
        _count_within(distances, n, limits, counts)
        for j in range(LANES):
            if counts[j] < wanted[j]:
                low[j], below[j] = limits[j], counts[j]
            else:
                high[j], above[j] = limits[j], counts[j]
    for j in range(LANES):
        limits[j] = high[j]


@jit
def _drop_farthest(distances, lane, members, count, wanted):
    """Shorten a lane's ``members`` to the ``wanted`` nearest; of equals, the last ones go.

    The first member stays.
    """
    while count > wanted:
        farthest, equals = distances[members[1], lane], 0
        for t in range(1, count):
            distance = distances[members[t], lane]
            equals = 1 if distance > farthest else equals + (distance == farthest)
            farthest = max(distance, farthest)
        kept = 1
        spared = max(equals - (count - wanted), 0)
        for t in range(1, count):
            equal = distances[members[t], lane] == farthest
            members[kept] = members[t]
            if not equal or spared > 0:
                kept += 1
            spared -= equal
        count = kept
    return count


@jit
def _collect(distances, n, count, own, wanted, limits, members, counts):
    """List for each lane the ``wanted`` nearest displacements: ``own`` first, ties by position."""
    block = 32
    for j in range(count):
        members[j, 0] = own
        counts[j] = 1
    for start in range(0, n, block):
        for j in range(count):
            limit, found, row = limits[j], counts[j], members[j]
            for k in range(start, min(start + block, n)):
                row[found] = k
                found += 1 if distances[k, j] <= limit and k != own else 0
            counts[j] = found
    for j in range(count):
        counts[j] = _drop_farthest(distances, j, members[j], counts[j], wanted[j])


@jit
def _add_four_rows(a, b, n, c):
    """First n of four rows of ``c`` += ``a`` (16,), as a 4x4 matrix, times those of ``b``.

    Rows are COLUMNS apart in the flat b and c.
    """
    a00, a01, a02, a03 = a[0], a[1], a[2], a[3]
    a10, a11, a12, a13 = a[4], a[5], a[6], a[7]
    a20, a21, a22, a23 = a[8], a[9], a[10], a[11]
    a30, a31, a32, a33 = a[12], a[13], a[14], a[15]
    S = COLUMNS
    for t in range(n):
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
        begin = i // 8 * 8
        rows = c[i * COLUMNS + begin : (i + 4) * COLUMNS]
        for t in range(0, n, 4):
            four = b[t * COLUMNS + begin : (t + 4) * COLUMNS]
            for q in range(4):
                for r in range(4):
                    a[4 * q + r] = four[r * COLUMNS + i - begin + q]
            _add_four_rows(a, four, stop - begin, rows)


@jit
def _eliminate_within(rows, k, n):
    """Eliminate, in four flat rows of n columns, what is left of the diagonal that starts at k."""
    S = COLUMNS
    f1, f2, f3 = rows[k + 1] / rows[k], rows[k + 2] / rows[k], rows[k + 3] / rows[k]
    for x in range(n):
        top = rows[x]
        rows[x + S] -= f1 * top
        rows[x + 2 * S] -= f2 * top
        rows[x + 3 * S] -= f3 * top
    k += 1
    f2, f3 = rows[S + k + 1] / rows[S + k], rows[S + k + 2] / rows[S + k]
    for x in range(n):
        top = rows[x + S]
        rows[x + 2 * S] -= f2 * top
        rows[x + 3 * S] -= f3 * top
    k += 1
    f3 = rows[2 * S + k + 1] / rows[2 * S + k]
    for x in range(n):
        rows[x + 3 * S] -= f3 * rows[x + 2 * S]


@jit
def _substitute_within(upper, rows, n):
    """Solve U X = B for four rows: U (4, 4) and B (4, n), which becomes X, flat."""
    S = COLUMNS
    u01, u02, u03 = upper[1], upper[2], upper[3]
    u12, u13, u23 = upper[S + 2], upper[S + 3], upper[2 * S + 3]
    v0, v1, v2, v3 = 1 / upper[0], 1 / upper[S + 1], 1 / upper[2 * S + 2], 1 / upper[3 * S + 3]
    for x in range(n):
        x3 = rows[x + 3 * S] * v3
        x2 = (rows[x + 2 * S] - u23 * x3) * v2
        x1 = (rows[x + S] - u13 * x3 - u12 * x2) * v1
        rows[x] = (rows[x] - u03 * x3 - u02 * x2 - u01 * x1) * v0
        rows[x + S], rows[x + 2 * S], rows[x + 3 * S] = x1, x2, x3


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
            _add_four_rows(
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
            _add_four_rows(a, pivots, n, m[i * COLUMNS + first : (i + 4) * COLUMNS])


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
        right = row[first : first + n]
        for t in range(n):
            right[t] -= mean[i]
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
        np.zeros((2, columns + 2 * VECTOR), dtype),
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
    limits = np.zeros(LANES, pilot.dtype)
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
            _find_limits(scratch.distances, n, wanted, limits)
            _collect(
                scratch.distances, n, count, up * side + radius, wanted, limits,
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
