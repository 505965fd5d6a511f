"""Small systems of equations against NumPy's product and solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.elimination import COLUMNS, add_gram, solve
from tests.kernels.helpers import DTYPES, JIT, assert_close

# Interpreted, the columns that fill up the last vector subtract infinity from infinity.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gram_matrix_is_added(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for d, n in ((4, 8), (36, 37), (64, 2)) if JIT else ((4, 3), (16, 4)):
        samples = np.zeros(((n + 3) // 4 * 4, COLUMNS), dtype)
        samples[:n, :d] = rng.standard_normal((n, d))
        before = rng.standard_normal((d, COLUMNS)).astype(dtype)
        out = before.copy()
        add_gram(samples, n, d, out)
        exact = samples[:, :d].astype(np.float64)
        wanted = before[:, :d] + exact.T @ exact
        upper = np.triu_indices(d)
        assert_close(out[:, :d][upper], wanted[upper], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_equations_are_solved(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for d, n in ((4, 8), (36, 40), (64, 16)) if JIT else ((4, 8), (16, 8)):
        root = rng.standard_normal((d, d))
        A, B = root @ root.T + np.eye(d), rng.standard_normal((d, n))
        first = (d + 7) // 8 * 8
        equations = np.zeros((d, COLUMNS), dtype)
        equations[:, :d] = np.triu(A)
        equations[:, first : first + n] = B
        solve(equations, d, first, first + n)
        np.testing.assert_allclose(
            equations[:, first : first + n], np.linalg.solve(A, B),
            atol={np.float32: 2e-4, np.float64: 1e-11}[dtype],
        )  # fmt: skip
