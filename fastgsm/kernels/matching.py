"""Matching: the patches within a window that are nearest to each reference patch.

References stand side by side along the lanes. `match_run` fills in their distances, displacement
by displacement, and `select_nearest` lists the displacements of the nearest patches. It searches
for the distance that admits them, so that nothing is sorted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.fma import fma

# References matched side by side: their distances at 25x25 displacements take 80 kB.
LANES = 32

# Stretches of pixels that are matched are rounded up to a multiple of this, for whole vectors.
VECTOR = 32

# A lane's limit may admit this many patches too many, which are then dropped one by one. With 0,
# the search for limits took 5.0 us per reference instead of 2.0.
SLACK = 8

# The search stops after so many steps, unless it ends before. Equal distances can keep it going.
MAX_STEPS = 32


class Matches(NamedTuple):
    """What is found for the references of one run, and the working memory for it."""

    sums: Any  # (2, n): squared differences summed over columns, and over patches
    distances: Any  # (n_displacements, LANES)
    members: Any  # (LANES, n_displacements + 1), numbers of displacements
    counts: Any  # (LANES,), members in each lane
    wanted: Any  # (LANES,), patches to find
    limits: Any  # (LANES,), distances within which they are


@jit
def new_matches(radius, longest, dtype):
    """Allocate the memory for any run; ``longest`` is the length in pixels of the longest one."""
    n_displacements = (2 * radius + 1) ** 2
    return Matches(
        np.zeros((2, longest + 2 * VECTOR), dtype),
        np.empty((n_displacements, LANES), dtype),
        np.empty((LANES, n_displacements + 1), np.intp),
        np.empty(LANES, np.intp),
        np.empty(LANES, np.intp),
        np.empty(LANES, dtype),
    )


@jit
def _column_distances(pixels, corner, shift, width, p, n, out):
    """Fill ``out`` (n,) with squared distances of columns of p pixels, ``shift`` pixels apart.

    There is one slice for each row of pixels: with ``a[x + width]`` it took 3.5 times as long.
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
def match_run(padded, p, radius, top, cols, up, down, found):
    """Fill ``found.distances`` for the references at row ``top`` and columns ``cols``.

    Patches have p x p pixels, p even. Displacements are numbered row by row, from ``up`` rows above
    to ``down`` rows below, and within ``radius`` columns; returns how many there are.
    ``padded`` (H, W + 2 radius + VECTOR) is the pilot between columns of infinities, which put
    patches outside the image at an infinite distance. Lanes without a reference repeat the last.
    """
    width = padded.shape[1]
    pixels, distances = padded.reshape(-1), found.distances.reshape(-1)
    columns, windows = found.sums[0], found.sums[1]
    last = cols.shape[0] - 1
    length = (cols[last] - cols[0] + p + VECTOR - 1) // VECTOR * VECTOR
    corner = top * width + cols[0] + radius
    # Unsigned, since Numba checks whether a signed index is negative.
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
    """Count in each lane those of the n distances that are within the lane's limit."""
    d = distances.reshape(-1)
    # In the type of the distances: Python's 1.0 would make float64 of float32.
    one, zero = d.dtype.type(1.0), d.dtype.type(0.0)
    for j in range(LANES):
        counts[j] = zero
    for k in range(0, n - n % 4, 4):
        d0, d1 = d[k * LANES : (k + 1) * LANES], d[(k + 1) * LANES : (k + 2) * LANES]
        d2, d3 = d[(k + 2) * LANES : (k + 3) * LANES], d[(k + 3) * LANES : (k + 4) * LANES]
        for j in range(LANES):
            limit = limits[j]
            a = (one if d0[j] <= limit else zero) + (one if d1[j] <= limit else zero)
            b = (one if d2[j] <= limit else zero) + (one if d3[j] <= limit else zero)
            counts[j] += a + b
    for k in range(n - n % 4, n):
        row = d[k * LANES : (k + 1) * LANES]
        for j in range(LANES):
            counts[j] += one if row[j] <= limits[j] else zero


@jit
def find_limits(distances, n, wanted, limits):
    """Set ``limits`` (LANES,) so that ``wanted`` (LANES,) distances, or some more, are within.

    Steps of regula falsi and of bisection alternate, until no lane has more than SLACK too many.
    """
    d = distances.reshape(-1)
    one, zero, half = d.dtype.type(1.0), d.dtype.type(0.0), d.dtype.type(0.5)
    slack = d.dtype.type(SLACK)
    low, high = np.zeros(LANES, d.dtype), np.zeros(LANES, d.dtype)
    below, above = np.ones(LANES, d.dtype), np.zeros(LANES, d.dtype)
    counts, aims = np.empty(LANES, d.dtype), np.empty(LANES, d.dtype)
    for j in range(LANES):
        aims[j] = wanted[j]
    for k in range(n):
        row = d[k * LANES : (k + 1) * LANES]
        for j in range(LANES):
            inside = row[j] < np.inf
            above[j] += one if inside else zero
            high[j] = row[j] if inside and row[j] > high[j] else high[j]
    for step in range(MAX_STEPS):
        busy = 0
        for j in range(LANES):
            limits[j] = high[j]
            if above[j] > aims[j] + slack and low[j] < high[j]:
                share = (aims[j] + half * slack - below[j]) / (above[j] - below[j])
                limits[j] = low[j] + (share if step % 2 == 0 else half) * (high[j] - low[j])
                busy += 1
        if busy == 0:
            break
        _count_within(distances, n, limits, counts)
        for j in range(LANES):
            if counts[j] < aims[j]:
                low[j], below[j] = limits[j], counts[j]
            else:
                high[j], above[j] = limits[j], counts[j]
    for j in range(LANES):
        limits[j] = high[j]


@jit
def _drop_farthest(distances, lane, members, count, wanted):
    """Shorten a lane's ``members`` to the ``wanted`` nearest; return how many are left.

    The first member stays. Among equal distances, the last members are dropped.
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
def select_nearest(n, n_lanes, own, found):
    """List in ``found.members`` each lane's ``wanted`` nearest of n displacements.

    Number ``own``, the reference itself, comes first; the others follow in order. Among equal
    distances, those that come first are listed.
    """
    distances, members, counts = found.distances, found.members, found.counts
    find_limits(distances, n, found.wanted, found.limits)
    for j in range(n_lanes):
        members[j, 0] = own
        counts[j] = 1
    # Runs of displacements whose distances stay in the L1 cache from lane to lane.
    for start in range(0, n, 32):
        for j in range(n_lanes):
            limit, count, row = found.limits[j], counts[j], members[j]
            for k in range(start, min(start + 32, n)):
                row[count] = k
                count += 1 if distances[k, j] <= limit and k != own else 0
            counts[j] = count
    for j in range(n_lanes):
        counts[j] = _drop_farthest(distances, j, members[j], counts[j], found.wanted[j])
