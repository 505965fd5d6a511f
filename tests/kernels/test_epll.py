"""The kernels of EPLL against the same steps patch by patch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fastgsm.kernels.epll import add_patches, restore_patches
from fastgsm.kernels.rotation import TILE
from fastgsm.kernels.shapes import best_shapes
from fastgsm.restore.epll import tiles_of_one_shape
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, filled, mixture, pick, run

NOISE_VARIANCE = 0.3
# Height, width, patch size, stride, shapes, scales.
CASES = pick(
    [(3, 3, 3, 1, 2, 1), (20, 33, 3, 2, 3, 2), (31, 29, 4, 3, 5, 3), (40, 70, 3, 1, 2, 4)],
    [(6, 7, 2, 2, 2, 2)],
)
Case = tuple[int, ...]


def scene(case: Case, dtype: Any) -> tuple[Any, ...]:
    height, width, p, stride, n_shapes, n_scales = case
    image = np.random.default_rng(1).standard_normal((height, width)).astype(dtype)
    rows, cols = (
        np.unique(np.append(np.arange(0, n - p + 1, stride), n - p)) for n in (height, width)
    )
    return image, rows, cols, p, mixture(p * p, n_shapes, n_scales, means=False)


def shape_log_prob(patches: Any, density: Any) -> Any:
    """Logarithm (K, n) of each shape's density under the noise, with its weight."""
    noise = NOISE_VARIANCE * np.eye(density.n_features)
    return np.array(
        [
            logsumexp(
                [
                    np.log(pi)
                    + np.atleast_1d(multivariate_normal(None, r2 * sigma + noise).logpdf(patches))
                    for pi, r2 in zip(weights, scales, strict=True)
                ],
                axis=0,
            )
            for weights, scales, sigma in zip(
                density.weights, density.scales, density.covariances, strict=True
            )
        ]
    )


def blocks(rows: Any, cols: Any, log_ratios: Any) -> tuple[Any, ...]:
    """Let every second row and column of the grid belong to another block."""
    n_rows, n_cols, _ = log_ratios.shape
    return log_ratios, np.arange(rows.size) % n_rows, np.arange(cols.size) % n_cols


def chosen(image: Any, rows: Any, cols: Any, p: int, bank: Any, log_ratios: Any) -> Any:
    def fill(kernel: Any) -> tuple[Any, ...]:
        shapes = np.full(rows.size * cols.size, -1, np.int32)
        kernel(image, rows, cols, p, False, bank, *blocks(rows, cols, log_ratios), shapes)
        return (shapes,)

    return run(best_shapes, fill)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_best_shapes_and_their_posterior_means(case: Case, dtype: Any) -> None:
    image, rows, cols, p, density = scene(case, dtype)
    bank = density.wiener_bank(NOISE_VARIANCE, dtype)
    patches = naive.extract(image, rows, cols, p).astype(np.float64)
    log_prob = shape_log_prob(patches, density).reshape(-1, rows.size, cols.size)
    for n_blocks in (1, 2):
        log_ratios = np.random.default_rng(2).normal(size=(n_blocks, n_blocks, len(log_prob)))
        shapes = chosen(image, rows, cols, p, bank, log_ratios.astype(dtype))
        _, row_blocks, col_blocks = blocks(rows, cols, log_ratios)
        favours = log_ratios[np.ix_(row_blocks, col_blocks)].transpose(2, 0, 1)
        np.testing.assert_array_equal(shapes, (log_prob + favours).argmax(axis=0).ravel())

    def fill(kernel: Any) -> tuple[Any, ...]:
        restored = filled(patches.shape, dtype)
        numbers, starts, tile_shapes = tiles_of_one_shape(shapes)
        kernel(image, rows, cols, p, False, bank, numbers, starts, tile_shapes, restored)
        return (restored,)

    restored = run(restore_patches, fill)[0]
    wanted = np.empty_like(patches)
    for k in np.unique(shapes):
        mine = shapes == k
        wanted[mine] = naive.posterior(
            patches[mine], density.weights[k : k + 1] / density.weights[k].sum(),
            density.scales[k : k + 1], density.means[k : k + 1], density.covariances[k : k + 1],
            np.eye(p * p), NOISE_VARIANCE,
        )[0]  # fmt: skip
    assert_close(restored, wanted, dtype)


def test_the_mean_of_a_patch_is_kept() -> None:
    image, rows, cols, p, density = scene(CASES[-1], np.float64)
    bank = density.wiener_bank(NOISE_VARIANCE, np.float64)
    n = rows.size * cols.size
    restored = []
    for level in (0.0, 7.0):
        shapes = np.empty(n, np.int32)
        patches = np.empty((n, p * p))
        none = np.zeros((1, 1, len(density.weights)))
        best_shapes(image + level, rows, cols, p, True, bank, *blocks(rows, cols, none), shapes)
        tiles = tiles_of_one_shape(shapes)
        restore_patches(image + level, rows, cols, p, True, bank, *tiles, patches)
        restored.append(patches)
    np.testing.assert_allclose(restored[1], restored[0] + 7, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_add_patches_by_strips(case: Case, dtype: Any) -> None:
    """The sum is the same to the bit however many rows of the grid are added at a time."""
    image, rows, cols, p, _ = scene(case, dtype)
    patches = naive.extract(image, rows, cols, p)

    def fill(kernel: Any, n_strips: int = 1) -> tuple[Any, ...]:
        sums = np.zeros_like(image)
        for strip in np.array_split(np.arange(rows.size), n_strips):
            mine = patches[strip[0] * cols.size : (strip[-1] + 1) * cols.size]
            kernel(mine, rows[strip], cols, p, sums)
        return (sums,)

    sums = run(add_patches, fill)[0]
    assert_close(sums, naive.sums(patches, rows, cols, p, image.shape), dtype)
    assert_same_bits(fill(add_patches, min(3, rows.size))[0], sums)


def test_tiles_hold_one_shape_each() -> None:
    shapes = np.random.default_rng(0).choice([0, 2, 3], 3 * TILE).astype(np.int32)
    numbers, starts, tile_shapes = tiles_of_one_shape(shapes)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(shapes.size))
    assert (np.diff(starts) > 0).all()
    assert np.diff(starts).max() <= TILE
    assert (starts[0], starts[-1]) == (0, shapes.size)
    np.testing.assert_array_equal(np.repeat(tile_shapes, np.diff(starts)), shapes[numbers])
