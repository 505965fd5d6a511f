"""Small systems of equations against NumPy's product and solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.elimination import COLUMNS, WIDTH, set_gram, solve
from tests.kernels.helpers import DTYPES, JIT, assert_close, filled


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gram_matrix_is_set(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for d, n in ((4, 8), (36, 37), (64, 2)) if JIT else ((4, 3), (16, 4)):
        samples = np.zeros((n, WIDTH), dtype)
        samples[:, :d] = rng.standard_normal((n, d))
        out = filled((d + 8, COLUMNS), dtype)
        set_gram(samples, n, d, out)
        exact = samples[:, :d].astype(np.float64)
        upper = np.triu_indices(d)
        assert_close(out[:d, :d][upper], (exact.T @ exact)[upper], dtype)
        assert np.isnan(out[:, d + 16 :]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_equations_are_solved(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for d, n in ((4, 8), (36, 40), (64, 16), (64, 64)) if JIT else ((4, 8), (16, 8)):
        root = rng.standard_normal((d, d))
        A, B = root @ root.T + np.eye(d), rng.standard_normal((d, n))
        equations = np.zeros((d + 8, COLUMNS), dtype)
        equations[:d, :d] = np.triu(A)
        equations[:d, d : d + n] = B
        solve(equations, d, n, np.zeros((d, WIDTH), dtype), np.zeros((4, WIDTH), dtype))
        np.testing.assert_allclose(
            equations[:d, d : d + n], np.linalg.solve(A, B),
            atol={np.float32: 2e-4, np.float64: 1e-11}[dtype],
        )  # fmt: skip
