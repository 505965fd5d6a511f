"""The case of the non-local refinement, whose way with NumPy is a small method of its own."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastgsm._progress import Progress
from fastgsm.patches import grid_positions
from fastgsm.restore import nonlocal_mvn as method

from ..common import SIGMA, Array, add_noise, image
from .case import Case

GAIN = 1.0
D = method.PATCH_SIZE**2


def refine_bands(dtype: str) -> Case:
    """All of the refinement of an image whose pilot is already good."""
    clean = image(seed=10, height=128)[None]
    noisy = add_noise(clean).astype(dtype)
    pilot = add_noise(clean, seed=1, sigma=SIGMA / 4).astype(dtype)
    refinement = method.NonlocalMVN(SIGMA, dtype, gain=GAIN)

    def ours() -> Array:
        with Progress(refinement.n_steps(noisy.shape), "refining", enabled=False) as bar:
            return refinement(noisy, pilot, bar)

    references = [grid_positions(n, method.PATCH_SIZE, method.STRIDE).size for n in noisy.shape[1:]]
    n, n_displacements = method.GROUP_SIZE, (2 * method.RADIUS + 1) ** 2
    # A pixel's distance at a displacement; the covariance, its elimination, the patches' columns.
    matching = noisy.size * n_displacements * 8.0
    groups = np.prod(references) * (n * D**2 + D**3 / 3 + 2.0 * n * D**2)
    flops = matching + float(groups)
    return Case(ours, lambda: _refine(noisy[0], pilot[0])[None], flops, 3 * noisy.nbytes)


def _refine(noisy: Array, pilot: Array) -> Array:
    """Refine one plane by NumPy: matching for all references at once, then group by group."""
    p = method.PATCH_SIZE
    corners = _groups(pilot)
    Y, Q = (sliding_window_view(x, (p, p)).reshape(-1, D) for x in (noisy, pilot))
    variance = noisy.dtype.type(SIGMA**2 / GAIN)
    total, counts = np.zeros_like(noisy), np.zeros_like(noisy)
    windows = [sliding_window_view(x, (p, p), writeable=True) for x in (total, counts)]
    for group in corners:
        mean = Q[group].mean(axis=0)
        centred = Q[group] - mean
        C = centred.T @ centred / max(len(group) - 1, 1) + variance * np.eye(D, dtype=noisy.dtype)
        clean = Y[group] - variance * np.linalg.solve(C, (Y[group] - mean).T).T
        for corner, patch in zip(group, clean, strict=True):
            place = np.unravel_index(corner, windows[0].shape[:2])
            windows[0][place] += patch.reshape(p, p)
            windows[1][place] += 1
    return total / counts


def _groups(pilot: Array) -> list[Array]:
    """List for each reference the numbers of the most similar patches, its own among them."""
    p, r = method.PATCH_SIZE, method.RADIUS
    height, width = (n - p + 1 for n in pilot.shape)
    places = (grid_positions(n, p, method.STRIDE) for n in pilot.shape)
    rows, cols = np.meshgrid(*places, indexing="ij")
    padded = np.pad(pilot, r, constant_values=np.inf)
    distances = []
    for dy, dx in itertools.product(range(2 * r + 1), repeat=2):
        squares = np.square(padded[dy:, dx:][: pilot.shape[0], : pilot.shape[1]] - pilot)
        columns = sliding_window_view(squares, p, axis=0).sum(axis=-1)
        distances.append(sliding_window_view(columns, p, axis=1).sum(axis=-1)[rows, cols])
    table = np.stack(distances, axis=-1).reshape(rows.size, -1)
    table[:, table.shape[1] // 2] = -1  # its own
    nearest = np.argpartition(table, method.GROUP_SIZE, axis=1)[:, : method.GROUP_SIZE]
    dy, dx = np.divmod(nearest, 2 * r + 1)
    y, x = rows.reshape(-1, 1) + dy - r, cols.reshape(-1, 1) + dx - r
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return [row[kept] for row, kept in zip(y * width + x, inside, strict=True)]
