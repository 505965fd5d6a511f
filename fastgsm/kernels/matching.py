"""Similar patches: squared distances within a window, and the nearest of them."""

from __future__ import annotations

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma

# References matched side by side: their distances at 25x25 displacements take 80 kB.
LANES = 32


# Length in pixels of the stretches that are matched is rounded up to this, for whole vectors.
VECTOR = 32


# A lane's limit may let this many patches too many in, which are then dropped one by one. With
# none, the search for limits took 5.0 us a reference instead of 2.0.
SLACK = 8


# The search is stopped here, if equal distances have not let it end before.
MAX_STEPS = 32


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
def match_run(padded, matching, top, cols, up, down, scratch):
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
def select_nearest(n, n_lanes, own, scratch):
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
