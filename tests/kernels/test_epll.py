"""Restoring patches against the same steps patch by patch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.epll import restore_patches
from fastgsm.kernels.rotation import LANES
from fastgsm.kernels.shapes import best_shapes
from fastgsm.restore.epll import batches_of_one_shape
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, filled, run
from tests.kernels.test_shapes import CASES, NOISE_VARIANCE, Case, blocks, chosen, scene


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_posterior_means_under_the_best_shapes(case: Case, dtype: Any) -> None:
    image, rows, cols, p, density = scene(case, dtype)
    bank = density.wiener_bank(NOISE_VARIANCE, dtype)
    patches = naive.extract(image, rows, cols, p).astype(np.float64)
    shapes = chosen(image, rows, cols, p, bank, np.zeros((1, 1, len(density.weights)), dtype))

    def fill(kernel: Any) -> tuple[Any, ...]:
        restored = filled(patches.shape, dtype)
        numbers, starts, batch_shapes = batches_of_one_shape(shapes)
        kernel(image, rows, cols, p, False, bank, numbers, starts, batch_shapes, restored)
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
        batches = batches_of_one_shape(shapes)
        restore_patches(image + level, rows, cols, p, True, bank, *batches, patches)
        restored.append(patches)
    np.testing.assert_allclose(restored[1], restored[0] + 7, atol=1e-9)


def test_batches_hold_one_shape_each() -> None:
    shapes = np.random.default_rng(0).choice([0, 2, 3], 3 * LANES).astype(np.int32)
    numbers, starts, batch_shapes = batches_of_one_shape(shapes)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(shapes.size))
    assert (np.diff(starts) > 0).all()
    assert np.diff(starts).max() <= LANES
    assert (starts[0], starts[-1]) == (0, shapes.size)
    np.testing.assert_array_equal(np.repeat(batch_shapes, np.diff(starts)), shapes[numbers])
