"""Local weights of shapes against EM written with NumPy, and what they do to an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.local_weights import local_weights
from fastgsm.kernels.rotation import LANES
from fastgsm.kernels.shapes import best_shapes, shape_evidence
from fastgsm.restore import local_weights as module
from fastgsm.restore.grid import Grid
from fastgsm.restore.local_weights import (
    BLOCK_PIXELS,
    MARGIN_PIXELS,
    LocalWeights,
    learn_local_weights,
)
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, filled, pick, run
from tests.kernels.test_shapes import NOISE_VARIANCE, scene, shape_log_prob

# Height, width, patch size, stride, shapes, scales.
CASES = pick(
    [(3, 3, 3, 1, 2, 1), (60, 33, 3, 4, 3, 2), (31, 90, 4, 3, 5, 3), (70, 90, 8, 8, 1, 2)],
    [(6, 7, 2, 2, 2, 2)],
)
Case = tuple[int, ...]


def naive_evidence(image: Any, rows: Any, cols: Any, p: int, density: Any) -> Any:
    patches = naive.extract(image, rows, cols, p).astype(np.float64)
    log_prob = shape_log_prob(patches, density)
    return np.exp(log_prob - log_prob.max(axis=0))


def naive_ratios(evidence: Any, weights: Any, concentration: float, n_steps: int) -> Any:
    """Run EM on the weights of the shapes (K,) for patches with the given evidence (K, n)."""
    now, n = weights, evidence.shape[1]
    for _ in range(n_steps):
        posterior = evidence * (now / weights)[:, None]
        posterior /= posterior.sum(axis=0)
        now = (concentration * n * weights + posterior.sum(axis=1)) / (concentration * n + n)
    return now / weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_shape_evidence(case: Case, dtype: Any) -> None:
    image, rows, cols, p, density = scene(case, dtype)
    bank = density.wiener_bank(NOISE_VARIANCE, dtype)

    def fill(kernel: Any) -> tuple[Any, ...]:
        evidence = filled((len(density.weights), rows.size * cols.size), dtype)
        kernel(image, rows, cols, p, False, bank, evidence)
        return (evidence,)

    wanted = naive_evidence(image, rows, cols, p, density)
    assert_close(run(shape_evidence, fill)[0], wanted, dtype)
    moved = np.empty_like(wanted, dtype)
    shape_evidence(image + 3, rows, cols, p, True, bank, moved)
    plain = np.empty_like(moved)
    shape_evidence(image, rows, cols, p, True, bank, plain)
    np.testing.assert_allclose(moved, plain, atol=1e-3 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_components", [1, 5])
def test_local_weights(n_components: int, dtype: Any) -> None:
    n_rows, n_cols = pick((11, 2 * LANES // 11), (5, 6))
    rng = np.random.default_rng(0)
    evidence = rng.random((n_components, n_rows * n_cols)).astype(dtype) ** 4
    weights = rng.dirichlet(np.ones(n_components))
    row_blocks = np.array([[0, 0, 2, 4], [1, 2, n_rows, n_rows], [0, 0, 0, 0]])
    col_blocks = np.array([[0, 0, 3, 5], [2, 3, n_cols, n_cols]])
    inverse = (1 / weights).astype(dtype)

    def fill(kernel: Any) -> tuple[Any, ...]:
        ratios = filled((3, 2, n_components), dtype)
        shapes = np.full(n_rows * n_cols, -1, np.int32)
        kernel(evidence, n_cols, row_blocks, col_blocks, inverse, dtype(0.2), 3, ratios, shapes)
        return ratios, shapes

    ratios, shapes = run(local_weights, fill)
    grid = evidence.astype(np.float64).reshape(n_components, n_rows, n_cols)
    for r, (top, first_row, last_row, bottom) in enumerate(row_blocks):
        for c, (left, first_col, last_col, right) in enumerate(col_blocks):
            window = grid[:, top:bottom, left:right].reshape(n_components, -1)
            wanted = np.ones(n_components)  # where no patch begins
            if window.size:
                wanted = naive_ratios(window, weights, 0.2, 3)
            assert_close(ratios[r, c], wanted, dtype)
            part = slice(first_row, last_row), slice(first_col, last_col)
            best = (grid[:, *part] * ratios[r, c][:, None, None].astype(np.float64)).argmax(axis=0)
            np.testing.assert_array_equal(shapes.reshape(n_rows, n_cols)[part], best)


@pytest.mark.parametrize("case", CASES)
def test_an_image_in_strips(case: Case, monkeypatch: Any) -> None:
    """Any number of rows of blocks in one call agrees; and the weights give the shapes again."""
    image, rows, cols, p, density = scene(case, np.float64)
    bank = density.wiener_bank(NOISE_VARIANCE, np.float64)
    weights = density.weights.sum(axis=1)
    shapes, local = learn_local_weights(image, Grid(rows, cols, p, False), bank, weights)
    monkeypatch.setattr(module, "PATCHES_PER_CALL", 1)
    same, same_local = learn_local_weights(image, Grid(rows, cols, p, False), bank, weights)
    assert_same_bits(same, shapes)
    assert_same_bits(same_local.log_ratios, local.log_ratios)

    again = np.full_like(shapes, -1)
    best_shapes(
        image, rows, cols, p, False, bank, local.log_ratios, *local.blocks(rows, cols), again
    )
    np.testing.assert_array_equal(again, shapes)

    evidence = naive_evidence(image, rows, cols, p, density).reshape(-1, rows.size, cols.size)
    r, c = rows[-1] // BLOCK_PIXELS, cols[0] // BLOCK_PIXELS
    inside = [
        (positions >= BLOCK_PIXELS * i - MARGIN_PIXELS)
        & (positions < BLOCK_PIXELS * (i + 1) + MARGIN_PIXELS)
        for positions, i in ((rows, r), (cols, c))
    ]
    window = evidence[:, inside[0]][:, :, inside[1]].reshape(len(weights), -1)
    wanted = naive_ratios(window, weights, module.CONCENTRATION, module.STEPS)
    np.testing.assert_allclose(np.exp(local.log_ratios[r, c]), wanted, rtol=1e-8)


@pytest.mark.parametrize("weight", [0.0, 1e-40, 1e-100])
def test_a_shape_without_weight_is_never_chosen(weight: float) -> None:
    image, rows, cols, p, density = scene((*CASES[-1][:4], 3, 2), np.float32)
    density.weights[1] = weight
    bank = density.wiener_bank(NOISE_VARIANCE, np.float32)
    weights = density.weights.sum(axis=1)
    shapes, local = learn_local_weights(image, Grid(rows, cols, p, False), bank, weights)
    assert not (shapes == 1).any()
    assert np.isfinite(local.log_ratios).all()


def test_without_local_weights_the_prior_decides() -> None:
    none = LocalWeights.none(2, np.float64)
    assert not none.log_ratios.any()
    rows, cols = none.blocks(np.array([0, 99]), np.array([50]))
    assert rows.tolist() == [0, 0]
    assert cols.tolist() == [0]
