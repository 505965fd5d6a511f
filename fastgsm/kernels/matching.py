"""Matching: the patches within a window that are nearest to each reference patch.

`match` fills in the distances at all displacements, `select_nearest` lists the displacements of the
nearest patches. It searches for the distance that admits them, so that nothing is sorted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgsm.kernels._jit import jit
from fastgsm.kernels.distances import BLOCK, count_within, list_within, set_distances
from fastgsm.kernels.products import COLUMNS

# A limit may admit this many patches too many, which are then dropped one by one. With 0, the
# search takes 8 steps instead of 7; with 4, it takes 5, but dropping takes as long as 4 steps.
SLACK = 1

# Smaller distances are not told apart by the search, which so ends early where most are 0.
LEAST_LIMIT = 1e-20

# The search stops after so many steps, unless it ends before. Equal distances can keep it going.
MAX_STEPS = 64


class Matches(NamedTuple):
    """What is found for one reference, and the working memory for it."""

    halves: Any  # (2, n): distances of the halves of a patch, left and right by turns first
    distances: Any  # (n,), n_displacements and more
    members: Any  # (n,), numbers of displacements
    limit: Any  # (1,), the distance within which they are


@jit
def new_matches(radius, dtype):
    """Allocate the memory for any reference."""
    side = 2 * radius + 1
    n = side * side + BLOCK  # a row of displacements fills whole vectors
    return Matches(
        np.zeros((2, n), dtype), np.empty(n, dtype), np.empty(n, np.intp), np.zeros(1, dtype)
    )


@jit
def match(padded, p, radius, y, x, up, down, turn, shared, found):
    """Fill ``found.distances`` for the reference at (y, x); return the number of displacements.

    Patches have p x p pixels, p even. Displacements are numbered row by row, from ``up`` rows above
    to ``down`` rows below, and within ``radius`` columns. ``padded`` (H, W + 2 radius + COLUMNS) is
    the pilot between columns of infinities, which put patches outside the image at an infinite
    distance. ``turn`` is 0 and 1 in turn from reference to reference. If ``shared``, the left half
    of the patch is the right half of the reference before it, whose distances are kept.
    """
    width, side, half = padded.shape[1], 2 * radius + 1, p // 2
    n = (up + down + 1) * side
    pixels = padded.reshape(-1)
    n_columns = (side + COLUMNS - 1) // COLUMNS * COLUMNS
    own = y * width + x + radius
    for part in range(1 if shared else 0, 2):  # the left half, the right half
        out = found.halves[turn if part == 0 else 1 - turn]
        begin = own + part * half
        for dy in range(-up, down + 1):
            other = begin + dy * width - radius
            # What a row of vectors has too many, the next row overwrites.
            set_distances(pixels, begin, other, width, p, half, out, (up + dy) * side, n_columns)
    distances, first, second = found.distances, found.halves[0], found.halves[1]
    for k in range(n):
        distances[k] = first[k] + second[k]
    distances[n : n + BLOCK] = np.inf
    return n


@jit
def find_limit(distances, wanted, guess):
    """Return a limit within which ``wanted`` distances are, or some more, if so many are finite.

    The search begins at ``guess``. Steps of regula falsi and of bisection alternate, until no more
    than SLACK are too many.
    """
    number, largest = distances.dtype.type, np.finfo(distances.dtype).max
    most, aim = number(wanted + SLACK), number(wanted + 0.5 * SLACK)
    low, below, high = number(0.0), number(0.0), max(guess, number(LEAST_LIMIT))
    above = number(count_within(distances, high))
    while above < number(wanted) and high < largest:
        low, below, high = high, above, number(2.0) * min(high, number(0.5) * largest)
        above = number(count_within(distances, high))
    for step in range(MAX_STEPS):
        if above <= most or not max(low, number(LEAST_LIMIT)) < high:
            break
        share = (aim - below) / (above - below) if step % 2 == 0 else number(0.5)
        limit = low + share * (high - low)
        count = number(count_within(distances, limit))
        if count < number(wanted):
            low, below = limit, count
        else:
            high, above = limit, count
    return high


@jit
def _drop_farthest(distances, members, count, wanted):
    """Shorten ``members`` to the ``wanted`` nearest; return how many are left.

    The first member stays. Among equal distances, the last members are dropped.
    """
    while count > wanted:
        farthest, equals = distances[members[1]], 0
        for t in range(1, count):
            distance = distances[members[t]]
            equals = 1 if distance > farthest else equals + (distance == farthest)
            farthest = max(distance, farthest)
        kept = 1
        spared = max(equals - (count - wanted), 0)
        for t in range(1, count):
            equal = distances[members[t]] == farthest
            members[kept] = members[t]
            if not equal or spared > 0:
                kept += 1
            spared -= equal
        count = kept
    return count


@jit
def select_nearest(n, own, wanted, found):
    """List in ``found.members`` the ``wanted`` nearest of n displacements; return how many.

    Number ``own``, the reference itself, comes first; the others follow in order. Among equal
    distances, those that come first are listed.
    """
    distances = found.distances[: (n + BLOCK - 1) // BLOCK * BLOCK]
    distances[own] = np.inf
    limit = find_limit(distances, wanted - 1, found.limit[0])
    found.limit[0] = limit
    found.members[0] = own
    count = 1 + list_within(distances, limit, found.members[1:])
    return _drop_farthest(distances, found.members, count, wanted)
