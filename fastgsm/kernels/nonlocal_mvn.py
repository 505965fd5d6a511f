"""Non-local MVN refinement: the second step of NL-Bayes, on groups of similar patches.

A task owns a band of rows of reference patches. For each run of references it

1. matches: squared distances of the pilot's patches, displacement by displacement, the references
   along the lanes;
2. selects the nearest patches of each reference, by a search for the distance that admits them;
3. restores each group: mean m and covariance C of the pilot's patches, and then
   ``m + C (C + s2 I)^-1 (y - m) = y - s2 (C + s2 I)^-1 (y - m)`` for its noisy patches. The s2 in
   the brackets is never so small that C + s2 I is singular to rounding; the s2 before them stays,
   so that y is trusted too much there, by less than a standard deviation, and never too little;
4. adds the restored patches to sums of its own, which the caller adds in the order of the bands.

For 6x6 patches, groups of 40 and 31x31 displacements, a reference takes 4 us to match, 4 us to
select and 15 us to restore on one busy Zen 3 core: 5 the equations, 4 the covariance, 4 the sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastgsm.kernels._jit import Kernel, jit
from fastgsm.kernels.fma import fma

# References matched side by side: their distances at 25x25 displacements take 80 kB.
LANES = 32
# Length in pixels of the stretches that are matched is rounded up to this, for whole vectors.
VECTOR = 32
# Columns of the equations of a group: the covariance's, and behind them one for each patch. A
# constant, so that LLVM knows how far rows are apart and checks once whether they overlap.
COLUMNS = 128
# A lane's limit may let this many patches too many in, which are then dropped one by one. With
# none, the search for limits took 5.0 us a reference instead of 2.0.
SLACK = 8
# The search is stopped here, if equal distances have not let it end before.
MAX_STEPS = 32
# Elimination without pivots needs a diagonal of so many roundings of the covariance's trace. With
# 0, checkerboards of 0 and 1 with noise of 1e-4 and less came back in float32 as NaN or anything.
LEAST_RIDGE = 8.0


class Matching(NamedTuple):
    """What a group is made of, and the noise in it."""

    patch_size: int  # even
    radius: int  # of the window, in pixels
    group_size: int
    noise_variance: Any  # in the type of the images


class Scratch(NamedTuple):
    """Working memory of one task."""

    sums: Any  # (2, n): squared differences summed over columns, and over patches
    distances: Any  # (n_displacements, LANES)
    members: Any  # (LANES, n_displacements + 1), numbers of displacements
    counts: Any  # (LANES,), members in each lane
    wanted: Any  # (LANES,), patches to find
    limits: Any  # (LANES,), distances within which they are
    corners: Any  # (group,), numbers of the pixels where the patches of a group begin
    pilot: Any  # (group', COLUMNS), patches as rows
    mean: Any  # (d,)
    equations: Any  # (d, COLUMNS)


@jit
def _column_distances(pixels, corner, shift, width, p, n, out):
    """Fill ``out`` (n,) with squared distances of columns of p pixels, ``shift`` pixels apart.

    One slice for each row of pixels: with ``a[x + width]`` it took 3.5 times as long.
    """
    for y in range(0, p, 2):
        begin = corner + y * width
        a0, b0 = pixels[begin : begin + n], pixels[begin + shift : begin + shift + n]
        begin += width
        a1, b1 = pixels[begin : begin + n], pixels[begin + shift : begin + shift + n]
        if y == 0:
            for x in range(n):
                e, f = a0[x] - b0[x], a1[x] - b1[x]
                out[x] = fma(f, f, e * e)
        else:
            for x in range(n):
                e, f = a0[x] - b0[x], a1[x] - b1[x]
                out[x] = fma(f, f, fma(e, e, out[x]))


@jit
def _window_sums(values, p, n, out):
    """Fill ``out`` (n,) with the sums of p consecutive ``values`` (n + p - 1,)."""
    for x in range(n):
        out[x] = values[x] + values[x + 1]
    for i in range(2, p, 2):
        shifted = values[i : i + n + 1]
        for x in range(n):
            out[x] = out[x] + shifted[x] + shifted[x + 1]


@jit
def _match(padded, matching, top, cols, up, down, scratch):
    """Fill ``scratch.distances`` for references at row ``top`` and columns ``cols``; count them.

    Displacements are numbered row by row, from ``up`` rows above to ``down`` rows below.
    ``padded`` (H, W + 2 radius + VECTOR) is the pilot between columns of infinities, which put
    patches outside the image at an infinite distance. Lanes without a reference repeat the last.
    """
    p, radius = matching.patch_size, matching.radius
    width = padded.shape[1]
    pixels, distances = padded.reshape(-1), scratch.distances.reshape(-1)
    columns, windows = scratch.sums[0], scratch.sums[1]
    last = cols.shape[0] - 1
    length = (cols[last] - cols[0] + p + VECTOR - 1) // VECTOR * VECTOR
    corner = top * width + cols[0] + radius
    # Unsigned, since a signed index is checked for being negative.
    place = np.empty(LANES, np.uintp)
    for j in range(LANES):
        place[j] = cols[min(j, last)] - cols[0]
    n = 0
    for dy in range(-up, down + 1):
        for dx in range(-radius, radius + 1):
            _column_distances(pixels, corner, dy * width + dx, width, p, length, columns)
            _window_sums(columns, p, length, windows)
            row = distances[n * LANES : (n + 1) * LANES]
            for j in range(LANES):
                row[j] = windows[place[j]]
            n += 1
    return n


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
def _select(n, n_lanes, own, scratch):
    """List each lane's ``wanted`` nearest of n displacements: number ``own`` first, then in order.

    Of equal distances, those that come first are taken.
    """
    distances, members, counts = scratch.distances, scratch.members, scratch.counts
    _find_limits(distances, n, scratch.wanted, scratch.limits)
    for j in range(n_lanes):
        members[j, 0] = own
        counts[j] = 1
    # Blocks of displacements whose distances stay in the L1 cache from lane to lane.
    for start in range(0, n, 32):
        for j in range(n_lanes):
            limit, found, row = scratch.limits[j], counts[j], members[j]
            for k in range(start, min(start + 32, n)):
                row[found] = k
                found += 1 if distances[k, j] <= limit and k != own else 0
            counts[j] = found
    for j in range(n_lanes):
        counts[j] = _drop_farthest(distances, j, members[j], counts[j], scratch.wanted[j])


@jit
def _add_four_rows(a, b, n, c):
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
    """Add the restored patches at ``corners`` to ``sums``, which begins at pixel ``shift``."""
    p, d, n = matching.patch_size, matching.patch_size**2, corners.shape[0]
    width = noisy.shape[1]
    _gather_rows(pilot, corners, p, scratch.pilot)
    _subtract_mean(scratch.pilot, n, d, scratch.mean)
    # All equations are multiplied by n - 1, so that the covariance need not be divided by it.
    scale = sums.dtype.type(max(n - 1, 1) * matching.noise_variance)
    first = (d + 7) // 8 * 8
    entries = scratch.equations.reshape(-1)
    for i in range(d):
        row = entries[i * COLUMNS : i * COLUMNS + first]
        for x in range(first):
            row[x] = 0.0
        row[i] = scale
    _add_gram(scratch.pilot, n, d, scratch.equations)
    # Without a branch, which would cost 7 % of the time, although it is never taken.
    trace = 0.0
    for i in range(d):
        trace += entries[i * COLUMNS + i]
    lift = max(LEAST_RIDGE * np.finfo(sums.dtype).eps * trace - scale, 0.0)
    for i in range(d):
        entries[i * COLUMNS + i] += lift
    _gather_columns(noisy, corners, p, first, scratch.equations)
    for i in range(d):
        row = entries[i * COLUMNS + first : i * COLUMNS + first + n]
        for t in range(n):
            row[t] -= scratch.mean[i]
    _solve(scratch.equations, d, first, first + (n + 7) // 8 * 8)
    source, total = noisy.reshape(-1), sums.reshape(-1)
    for y in range(p):
        for x in range(p):
            offset = y * width + x
            begin = (y * p + x) * COLUMNS + first
            row = entries[begin : begin + n]
            for t in range(n):
                pixel = corners[t] + offset
                total[pixel - shift] += fma(-scale, row[t], source[pixel])


@jit
def _new_scratch(matching, longest, dtype):
    """Allocate a task's memory; ``longest`` is the length of its longest run of references.

    Columns that fill up to a multiple of 8 are computed too, to no effect. Not initialised, they
    may hold subnormal numbers: then a refinement took six times as long on an Intel processor.
    """
    n_displacements = (2 * matching.radius + 1) ** 2
    d, group = matching.patch_size**2, matching.group_size
    return Scratch(
        np.zeros((2, longest + 2 * VECTOR), dtype),
        np.empty((n_displacements, LANES), dtype),
        np.empty((LANES, n_displacements + 1), np.intp),
        np.empty(LANES, np.intp),
        np.empty(LANES, np.intp),
        np.empty(LANES, dtype),
        np.empty(group, np.intp),
        np.zeros(((group + 3) // 4 * 4, COLUMNS), dtype),
        np.empty(d, dtype),
        np.zeros((d, COLUMNS), dtype),
    )


@jit
def _refine_run(noisy, pilot, padded_pilot, y, cols, matching, scratch, shift, sums, coverage):
    """Restore the groups of the references at row ``y`` and columns ``cols``, LANES at most."""
    p, radius = matching.patch_size, matching.radius
    height, width = pilot.shape[1], pilot.shape[2]
    up, down = min(radius, y), min(radius, height - p - y)
    n_lanes = cols.shape[0]
    n = _match(padded_pilot, matching, y, cols, up, down, scratch)
    for j in range(LANES):
        x = cols[min(j, n_lanes - 1)]
        n_inside = (up + down + 1) * (min(radius, x) + min(radius, width - p - x) + 1)
        scratch.wanted[j] = min(matching.group_size, n_inside)
    side = 2 * radius + 1
    _select(n, n_lanes, up * side + radius, scratch)
    starts = coverage.reshape(-1)
    for j in range(n_lanes):
        corners = scratch.corners[: scratch.counts[j]]
        for t in range(corners.shape[0]):
            dy, dx = divmod(scratch.members[j, t], side)
            corners[t] = (y - up + dy) * width + cols[j] - radius + dx
            starts[corners[t] - shift] += 1.0
        for c in range(pilot.shape[0]):
            _restore_group(noisy[c], pilot[c], corners, matching, scratch, shift, sums[c])


@jit
def _refine_band(noisy, pilot, padded_pilot, rows, cols, matching, sums, coverage):
    """Fill ``sums`` and ``coverage`` with what the references of grid rows ``rows`` give."""
    shift = max(rows[0] - matching.radius, 0) * pilot.shape[2]
    flat = sums.reshape(-1)
    for i in range(flat.shape[0]):
        flat[i] = 0.0
    flat = coverage.reshape(-1)
    for i in range(flat.shape[0]):
        flat[i] = 0.0
    longest = 0
    for first in range(0, cols.shape[0], LANES):
        run = cols[first : first + LANES]
        longest = max(longest, run[run.shape[0] - 1] - run[0] + matching.patch_size)
    scratch = _new_scratch(matching, longest, pilot.dtype)
    for y in rows:
        for first in range(0, cols.shape[0], LANES):
            _refine_run(
                noisy, pilot, padded_pilot, y, cols[first : first + LANES],
                matching, scratch, shift, sums, coverage,
            )  # fmt: skip


@Kernel
def refine_bands(noisy, pilot, padded_pilot, rows, cols, bands, matching, sums, coverage):
    """Sum the restored patches of the groups of all references on a grid, band by band.

    ``noisy`` and ``pilot`` (C, H, W) hold planes of equal noise; groups are matched in plane 0 of
    the pilot, given once more between columns of infinity as ``padded_pilot`` (H, W + 2 radius +
    VECTOR): ``radius`` of them at the left. References stand at all pairs of ``rows`` and
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
