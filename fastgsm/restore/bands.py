"""Sums of restored patches, band by band: what every method of overlapping averages shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels.single_pass import denoise_bands
from fastgsm.kernels.wiener import WienerBank
from fastgsm.restore.grid import Grid

# Rows of the patch grid in a band. Constant, whatever the number of threads: the order in which
# patches are summed, and so every bit of the result, follows from it.
BAND_ROWS = 16
# Bands of one shape restored in one call of a kernel: between calls, progress is shown and Ctrl-C
# is heard.
BANDS_PER_CALL = 64

Bands = NDArray[np.intp]
# Restores the patches of some bands: fills the sums (H, W) of their own rows, and for each band its
# part (band, sum, below, W) of the rows that the next band owns.
Restore = Callable[[Bands, tuple[FloatArray, ...], FloatArray], None]


def bands_of(grid_rows: int, patch_size: int) -> Bands:
    """Return the first grid row of every band, and the end; a band is at least a patch high."""
    step = max(BAND_ROWS, patch_size)
    return np.append(np.arange(0, grid_rows, step, dtype=np.intp), grid_rows)


def n_calls(grid_rows: int, patch_size: int, bands_per_call: int) -> int:
    """Return the number of progress updates of `sum_bands`."""
    return -(-(bands_of(grid_rows, patch_size).size - 1) // bands_per_call)


def sum_bands(
    restore: Restore,
    grid: Grid,
    sums: tuple[FloatArray, ...],
    bands_per_call: int,
    bar: Progress,
) -> None:
    """Fill ``sums``, arrays (H, W), with what ``restore`` makes of all patches of the grid."""
    bands = bands_of(grid.rows.size, grid.patch_size)
    below, width = grid.patch_size - 1, sums[0].shape[1]
    above = None  # the part of this band's rows that the band above has summed
    for start in range(0, bands.size - 1, bands_per_call):
        part = bands[start : start + bands_per_call + 1]
        spill = np.empty((part.size - 1, len(sums), below, width), sums[0].dtype)
        restore(part, sums, spill)
        for top, left_below in zip(grid.rows[part[:-1]], spill, strict=True):
            if above is not None:
                for target, left in zip(sums, above, strict=True):
                    target[top : top + below] += left
            above = left_below
        bar.update()


def restore_bands(
    image: FloatArray,
    grid: Grid,
    bank: WienerBank,
    center: bool,
    bands: Bands,
    sums: tuple[FloatArray, ...],
    spill: FloatArray,
) -> None:
    """Restore bands as `sum_bands` asks, or with ``center`` their patches' centres for one sum."""
    rows, cols, *of_patches = grid
    denoise_bands(image, rows, cols, bands, *of_patches, center, bank, sums, spill)
