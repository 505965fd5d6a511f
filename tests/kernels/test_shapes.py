"""The likeliest shapes against the densities that SciPy computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fastgsm.kernels.shapes import best_shapes
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, mixture, pick, run

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
    """Return the logarithm (K, n) of each shape's density under the noise, with its weight."""
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
def test_best_shapes(case: Case, dtype: Any) -> None:
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
