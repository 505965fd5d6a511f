"""Patches on a grid, and the filters of a model for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.kernels.patches import extract
from fastgsm.models._base import PatchModel
from fastgsm.patches import coverage


class Grid(NamedTuple):
    """Patches that start where rows and columns cross: a kernel's arguments after the image."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    patch_size: int
    remove_mean: bool
    """The model describes patches without their own means."""

    @classmethod
    def from_offsets(
        cls,
        shape: tuple[int, ...],
        offsets: tuple[int, int],
        stride: int,
        patch_size: int,
        *,
        remove_mean: bool,
    ) -> Grid:
        """Return a grid from ``offsets`` on, with the first and last possible positions.

        ``shape`` is (height, width) of the image.
        """
        lasts = (length - patch_size for length in shape)
        rows, cols = (
            np.union1d(np.arange(offset, last, stride), [0, last]).astype(np.intp)
            for offset, last in zip(offsets, lasts, strict=True)
        )
        return cls(rows, cols, patch_size, remove_mean)

    @property
    def n_patches(self) -> int:
        """Number of patches."""
        return self.rows.size * self.cols.size

    def part(self, rows: slice) -> Grid:
        """Return the patches of some rows of the grid."""
        return self._replace(rows=self.rows[rows])

    def groups(self, n_patches: int) -> list[Grid]:
        """Cut the grid between rows into groups of about ``n_patches``, the largest first."""
        n_groups = min(-(-self.n_patches // n_patches), self.rows.size)
        return [self._replace(rows=rows) for rows in np.array_split(self.rows, n_groups)]

    def coverage(self, shape: tuple[int, ...], dtype: Any) -> tuple[FloatArray, FloatArray]:
        """Return two factors, (height, 1) and (width,), of the number of patches over each pixel.

        ``shape`` is (height, width) of the image.
        """
        down, across = (
            coverage(positions, length, self.patch_size, dtype)
            for positions, length in zip(self[:2], shape, strict=True)
        )
        return down[:, None], across


def posterior_means(model: PatchModel, sigma: float, image: FloatArray, grid: Grid) -> FloatArray:
    """Return the posterior means (n, d) of a grid's patches, by the model's `denoise_patches`."""
    noisy = np.empty((grid.n_patches, grid.patch_size**2), image.dtype)
    extract(image, *grid[:3], noisy)
    mean = noisy.mean(axis=1, keepdims=True) if grid.remove_mean else 0
    return np.ascontiguousarray(model.denoise_patches(noisy - mean, sigma) + mean)
