"""Eigendecompositions of symmetric matrices against LAPACK's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.symmetric import eigh, rotation
from tests.kernels.helpers import assert_same_bits, filled, pick, run

SIZES = pick([1, 2, 3, 4, 5, 8, 9, 16, 17, 25, 36, 49, 63, 64, 65, 81], [1, 2, 3, 6])
TOLERANCE = 1e-12


def orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def with_eigenvalues(eigenvalues: Any, rng: np.random.Generator) -> np.ndarray:
    Q = orthogonal(len(eigenvalues), rng)
    A = (Q * eigenvalues) @ Q.T
    return (A + A.T) / 2


def tridiagonal(diagonal: np.ndarray, beside: np.ndarray) -> np.ndarray:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


def symmetric_matrices(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n))
    grades = np.geomspace(1e-15, 1e15, n)
    positive = A @ A.T
    centring = np.eye(n) - 1 / n
    return {
        "indefinite": A + A.T,
        "positive": positive,
        "rank 1": np.outer(A[0], A[0]),
        "centred": centring @ positive @ centring,
        "zero": np.zeros((n, n)),
        "identity": np.eye(n),
        "ones": np.ones((n, n)),
        "diagonal": np.diag(rng.permutation(n) - n / 3),
        "repeated": with_eigenvalues(rng.integers(0, 3, n).astype(float), rng),
        "clustered": with_eigenvalues(1 + 1e-13 * np.arange(n), rng),
        "blocks": np.kron(np.eye(n), np.ones((2, 2)))[:n, :n],
        "graded": grades[:, None] * positive * grades,
        "graded, turned": (grades[:, None] * positive * grades)[::-1, ::-1],
        "wide spectrum": with_eigenvalues(np.geomspace(1e-30, 1e30, n), rng),
        "tridiagonal": tridiagonal(np.zeros(n), np.ones(n - 1)),
        "Wilkinson": tridiagonal(np.abs(np.arange(n) - (n - 1) / 2), np.ones(n - 1)),
        "nearly diagonal": np.diag(np.arange(n) + 1.0) + 1e-110 * (A + A.T),
        "huge": 1e306 / n * (A + A.T),
        "tiny": 1e-306 * (A + A.T),
    }  # fmt: skip


def compute(matrices: np.ndarray) -> tuple[np.ndarray, ...]:
    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        eigenvalues = filled(matrices.shape[:2], np.float64)
        eigenvectors = filled(matrices.shape, np.float64)
        kernel(matrices, eigenvalues, eigenvectors)
        return eigenvalues, eigenvectors

    return run(eigh, fill)


@pytest.mark.parametrize("n", SIZES)
def test_against_lapack(n: int) -> None:
    cases = symmetric_matrices(n)
    results = compute(np.array([*cases.values()]))
    for (name, A), values, V in zip(cases.items(), *results, strict=True):
        norm = np.abs(A).max()
        scaled = A / norm if norm > 0 else A
        relative = values / norm if norm > 0 else values
        tolerance = TOLERANCE * max(1.0, np.abs(relative).max())
        wanted = np.linalg.eigvalsh(scaled)
        assert (np.diff(values) >= 0).all(), name
        np.testing.assert_allclose(relative, wanted, rtol=0, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(V.T @ V, np.eye(n), rtol=0, atol=TOLERANCE, err_msg=name)
        np.testing.assert_allclose(scaled @ V, V * relative, rtol=0, atol=tolerance, err_msg=name)


def test_diagonal_matrices_are_exact() -> None:
    diagonal = np.array([1e30, 3.0, 0.0, 1e-30, -0.1])
    ((values,), (V,)) = compute(np.diag(diagonal)[None])
    order = np.argsort(diagonal)
    assert_same_bits(values, diagonal[order])
    assert_same_bits(V, np.eye(5)[:, order])


def test_scaling_by_a_power_of_two_changes_no_bit() -> None:
    A = symmetric_matrices(5)["indefinite"]
    values, vectors = compute(np.array([A, A * 2.0**900, A * 2.0**-900]))
    for i, factor in ((1, 2.0**900), (2, 2.0**-900)):
        assert_same_bits(values[i], values[0] * factor)
        assert_same_bits(vectors[i], vectors[0])


def test_reads_the_lower_triangle_alone() -> None:
    matrices = np.array([*symmetric_matrices(4).values()])
    upper = np.triu_indices(4, 1)
    half = matrices.copy()
    half[:, upper[0], upper[1]] = np.nan
    for a, b in zip(compute(half), compute(matrices), strict=True):
        assert_same_bits(a, b)


def test_strides() -> None:
    matrices = np.array([*symmetric_matrices(4).values()])
    wide = np.zeros((2 * len(matrices), 4, 5))
    wide[::2, :, :4] = matrices
    for a, b in zip(compute(wide[::2, :, :4]), compute(matrices), strict=True):
        assert_same_bits(a, b)


def test_nan_ends_and_spoils_no_other_matrix() -> None:
    A = symmetric_matrices(3)["positive"]
    values, vectors = compute(np.array([A, np.full((3, 3), np.nan), A]))
    assert np.isnan(vectors[1]).any()
    for i in (0, 2):
        assert np.isfinite(values[i]).all()
        assert_same_bits(vectors[i], vectors[0])


def test_no_matrices() -> None:
    values, vectors = compute(np.empty((0, 3, 3)))
    assert values.shape == (0, 3)
    assert vectors.shape == (0, 3, 3)


@pytest.mark.parametrize(("x", "z"), [(3.0, 4.0), (-3.0, 0.0), (0.0, -2.0), (0.0, 0.0)])
def test_rotation(x: float, z: float) -> None:
    c, s, r = rotation(x, z)
    np.testing.assert_allclose(
        [c * x + s * z, c * z - s * x, c * c + s * s], [r, 0, 1], rtol=0, atol=1e-15
    )
