"""The micro-kernels: products of a small matrix with patches side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels import rotation
from fastgsm.kernels.rotation import LANES, PANEL
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, pick

SHAPES = pick([(4, 4), (4, 12), (12, 4), (36, 36), (64, 64), (20, 64)], [(4, 4), (8, 4)])


def matrix(*shape: int, dtype: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_padded_is_the_next_multiple_of_four() -> None:
    assert [rotation.padded(n) for n in (1, 3, 4, 5, 63, 64)] == [4, 4, 4, 8, 64, 64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rotate(shape: tuple[int, int], dtype: Any) -> None:
    A = matrix(*shape, dtype=dtype)
    B = matrix(shape[1], LANES, dtype=dtype, seed=1)
    C = np.full((shape[0], LANES), np.nan, dtype)
    rotation.rotate(A, B, C)
    assert_close(C, A.astype(np.float64) @ B, dtype)
    rotation.rotate(A, B, C, True)
    assert_close(C, 2 * A.astype(np.float64) @ B, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rank", "d"),
    pick([(4, 4), (3, 4), (5, 9), (9, 9), (63, 64), (35, 36), (1, 7)], [(5, 9), (7, 9)]),
)
def test_trapezoid_energy(rank: int, d: int, dtype: Any) -> None:
    A = np.zeros((rotation.padded(rank), rotation.padded(d)), dtype)
    A[:rank, :d] = np.tril(matrix(rank, d, dtype=dtype), d - rank)
    B = matrix(rotation.padded(d), LANES, dtype=dtype, seed=1)
    energy = np.ones(LANES, dtype)
    rotation.add_trapezoid_energy(A, d - rank, B, np.empty((4, LANES), dtype), energy)
    assert_close(energy, 1 + np.square(A.astype(np.float64) @ B).sum(axis=0), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "m"), pick([(1, 16), (256, 64), (7, 48), (60, 112), (9, 144)], [(3, 16), (2, PANEL + 16)])
)
def test_gram(n: int, m: int, dtype: Any) -> None:
    A = matrix(n, m, dtype=dtype)
    C = np.ones((m, m), dtype)
    rotation.add_gram(A, C)
    wanted = 1 + A.astype(np.float64).T @ A
    assert_close(np.triu(C), np.triu(wanted), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_new_rows_begin_at_a_vector(dtype: Any) -> None:
    for width in (16, 48):
        rows = rotation.new_rows(3, width, dtype)
        assert rows.shape == (3, width)
        assert rows.dtype == dtype
        assert rows.flags.c_contiguous
        assert rows.ctypes.data % 64 == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_lane_does_not_depend_on_its_place(dtype: Any) -> None:
    d = pick(64, 4)
    A, B = matrix(d, d, dtype=dtype), matrix(d, LANES, dtype=dtype, seed=1)
    order = np.random.default_rng(2).permutation(LANES)
    C, shuffled = np.empty_like(B), np.empty_like(B)
    rotation.rotate(A, B, C)
    rotation.rotate(A, np.ascontiguousarray(B[:, order]), shuffled)
    assert_same_bits(shuffled, np.ascontiguousarray(C[:, order]))
