"""Squared Mahalanobis distances against the pseudo-inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.mahalanobis import SIDE, load_transposed, mahalanobis
from fastgsm.kernels.rotation import LANES, padded
from tests.kernels import naive
from tests.kernels.helpers import (
    DTYPES,
    assert_close,
    assert_same_bits,
    filled,
    mixture,
    pick,
    run,
    samples,
)

# Samples, dimension, rank, shapes.
CASES = pick(
    [(1, 1, 1, 1), (7, 4, 4, 1), (LANES, 9, 9, 3), (LANES + 1, 9, 8, 3), (3 * LANES, 25, 11, 2),
     (100, 64, 63, 4)],
    [(3, 5, 5, 2), (LANES + 1, 5, 4, 1)],
)  # fmt: skip


def distances(case: tuple[int, int, int, int], dtype: Any, order: Any = slice(None)) -> Any:
    n, d, rank, n_shapes = case
    density = mixture(d, n_shapes, 1, rank=rank)
    X = samples(density, n, dtype)[order]
    means = density.means.astype(dtype)
    whiteners = np.zeros((n_shapes, padded(rank), padded(d)), dtype)
    whiteners[:, :rank, :d] = density.whitened.whiteners

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        result = filled((n_shapes, n), dtype)
        kernel(X, means, whiteners, rank, result)
        return (result,)

    return run(mahalanobis, fill)[0], naive.mahalanobis(X, density.means, density.covariances)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_mahalanobis(case: tuple[int, int, int, int], dtype: Any) -> None:
    assert_close(*distances(case, dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_does_not_depend_on_its_place(dtype: Any) -> None:
    case = CASES[-2] if CASES[-2][0] > LANES else CASES[-1]
    order = np.random.default_rng(5).permutation(case[0])
    plain, shuffled = distances(case, dtype)[0], distances(case, dtype, order)[0]
    assert_same_bits(shuffled, np.ascontiguousarray(plain[:, order]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_load_transposed(dtype: Any) -> None:
    X = np.arange(100, dtype=dtype).reshape(20, 5)
    for count in (3, SIDE, 2 * SIDE + 1):
        lanes = filled((8, 2 * SIDE + 3), dtype)
        load_transposed(X, 2, count, lanes)
        np.testing.assert_array_equal(lanes[:5, :count], X[2 : 2 + count].T)
        assert not lanes[:5, count:].any()
        assert np.isnan(lanes[5:]).all()
