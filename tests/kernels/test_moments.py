"""Weighted moments of the M-step against einsum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.moments import GRAM_SAMPLES, moments
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, filled, pick, run

# Samples, dimension, components, segments.
CASES = pick(
    [(1, 1, 1, 1), (5, 3, 2, 1), (GRAM_SAMPLES, 4, 2, 1), (GRAM_SAMPLES + 1, 9, 3, 2),
     (2 * GRAM_SAMPLES + 90, 9, 3, 1), (3000, 25, 4, 3), (700, 64, 2, 4), (3, 4, 2, 5),
     (300, 100, 2, 1), (20, 144, 1, 1)],
    [(GRAM_SAMPLES + 60, 3, 1, 1), (10, 4, 2, 3), (5, 66, 1, 1)],
)  # fmt: skip


def problem(case: tuple[int, int, int, int], dtype: Any) -> tuple[np.ndarray, ...]:
    n, d, n_components, _ = case
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n, d)) + 3).astype(dtype)
    means = (3 + rng.standard_normal((n_components, d))).astype(dtype)
    weights = rng.uniform(0, 1, (n_components, n)).astype(dtype)
    weights[:, 1::7] = 0  # passed over
    return X, means, weights


def compute(
    X: np.ndarray, means: np.ndarray, weights: np.ndarray, n_segments: int
) -> tuple[np.ndarray, ...]:
    n_components, d = means.shape

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        sums = filled((n_segments, n_components, d), np.float64)
        products = filled((n_segments, n_components, d, d), np.float64)
        kernel(X, means, weights, sums, products)
        return sums, products

    return run(moments, fill)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_moments(case: tuple[int, int, int, int], dtype: Any) -> None:
    X, means, weights = problem(case, dtype)
    sums, products = compute(X, means, weights, case[3])
    wanted_sums, wanted_products = naive.moments(X, means, weights)
    assert_close(sums.sum(axis=0), wanted_sums, dtype)
    assert_close(products.sum(axis=0), np.triu(wanted_products), dtype)


def test_segments_are_consecutive_samples() -> None:
    X, means, weights = problem((11, 3, 1, 3), np.float64)
    sums, _ = compute(X, means, weights, 3)
    for segment in range(3):
        part = slice(4 * segment, 4 * segment + 4)
        wanted = naive.moments(X[part], means, weights[:, part])[0]
        np.testing.assert_allclose(sums[segment], wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_of_weight_zero_are_as_if_absent(dtype: Any) -> None:
    X, means, weights = problem((60, 3, 1, 1), dtype)
    kept = weights[0] > 0
    X[~kept] = np.nan
    all_samples = compute(X, means, weights, 1)
    without = compute(X[kept], means, np.ascontiguousarray(weights[:, kept]), 1)
    for a, b in zip(all_samples, without, strict=True):
        assert_same_bits(a, b)


def test_the_type_of_the_means_is_that_of_the_products() -> None:
    """So that float32 samples have moments in float64, without a copy of the samples."""
    X, means, weights = problem((300, 9, 2, 1), np.float32)
    sums, products = compute(X, means.astype(np.float64), weights, 1)
    wide = (a.astype(np.float64) for a in (X, means, weights))
    for a, b in zip((sums, products), compute(*wide, 1), strict=True):
        assert_same_bits(a, b)


def test_means_far_from_zero_cost_no_digits() -> None:
    X, means, weights = problem((50, 3, 1, 1), np.float64)
    _, near = compute(X, means, weights, 1)
    _, far = compute(X + 2.0**20, means + 2.0**20, weights, 1)
    np.testing.assert_allclose(far, near, rtol=1e-8)
