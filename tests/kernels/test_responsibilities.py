"""Log-sum-exp and EM's statistics against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels import responsibilities as kernels
from fastgsm.kernels.responsibilities import LANES, NEGLIGIBLE, TASK_SAMPLES
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, filled, pick, run

# Samples, shapes, scales.
CASES = pick(
    [
        (1, 1, 1),
        (LANES - 1, 2, 3),
        (LANES + 1, 4, 1),
        (TASK_SAMPLES + 1, 1, 6),
        (3 * TASK_SAMPLES + 70, 3, 8),
    ],
    [(LANES + 1, 2, 2), (TASK_SAMPLES + 1, 1, 1)],
)


def problem(case: tuple[int, int, int], dtype: Any) -> tuple[np.ndarray, ...]:
    """Distances (K, n), log-weights and precisions (K, J), and the samples' weights (n,)."""
    n, n_shapes, n_scales = case
    rng = np.random.default_rng(0)
    distances = 30 * rng.chisquare(3, (n_shapes, n))
    log_weights = rng.standard_normal((n_shapes, n_scales))
    precisions = np.exp(rng.uniform(-1, 1, (n_shapes, n_scales)))
    sample_weight = rng.integers(0, 3, n)
    sample_weight[0] = 2
    return tuple(a.astype(dtype) for a in (distances, log_weights, precisions, sample_weight))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_responsibilities(case: tuple[int, int, int], dtype: Any) -> None:
    distances, log_weights, precisions, _ = problem(case, dtype)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        posterior = filled((log_weights.size, case[0]), dtype)
        log_norm = filled((case[0],), dtype)
        kernel(distances, log_weights, precisions, posterior, log_norm)
        return posterior, log_norm

    results = run(kernels.responsibilities, fill)
    wanted = naive.responsibilities(distances, log_weights, precisions)
    for actual, expected in zip(results, wanted, strict=True):
        assert_close(actual, expected, dtype)
    np.testing.assert_allclose(results[0].sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_does_not_depend_on_its_place(dtype: Any) -> None:
    case = (LANES + 5, 2, 2)
    distances, log_weights, precisions, _ = problem(case, dtype)
    order = np.random.default_rng(1).permutation(case[0])
    results = []
    for d in (distances, np.ascontiguousarray(distances[:, order])):
        posterior, log_norm = np.empty((4, case[0]), dtype), np.empty(case[0], dtype)
        kernels.responsibilities(d, log_weights, precisions, posterior, log_norm)
        results.append((posterior, log_norm))
    assert_same_bits(results[1][0], np.ascontiguousarray(results[0][0][:, order]))
    assert_same_bits(results[1][1], results[0][1][order])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dead_components_and_hopeless_samples(dtype: Any) -> None:
    log_prob = np.array([[0, -np.inf, -1e30], [-np.inf, -np.inf, -np.inf]], dtype)
    log_norm = filled((3,), dtype)
    kernels.normalise_lanes(log_prob, log_norm)
    np.testing.assert_array_equal(log_prob, [[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(log_norm, np.array([0, -np.inf, -1e30], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_reaches_the_result(dtype: Any) -> None:
    log_prob = np.array([[0, np.nan], [-1, -1]], dtype)
    log_norm = filled((2,), dtype)
    kernels.normalise_lanes(log_prob, log_norm)
    assert np.isnan(log_norm).tolist() == [False, True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_scale_statistics(case: tuple[int, int, int], dtype: Any) -> None:
    distances, log_weights, precisions, sample_weight = problem(case, dtype)
    groups = [np.stack([a, b]) for a, b in (
        (distances, distances[:, ::-1] / 2), (log_weights, log_weights - 1),
        (precisions, precisions * 2))]  # fmt: skip
    n_chunks = -(-case[0] // TASK_SAMPLES)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        statistics = filled((2, n_chunks, 2, log_weights.size + 1), np.float64)
        kernel(*groups, sample_weight, statistics)
        return (statistics,)

    statistics = run(kernels.scale_statistics, fill)[0].sum(axis=1)
    for g in range(2):
        wanted = naive.scale_statistics(*(a[g] for a in groups), sample_weight)
        for row in range(2):
            assert_close(statistics[g, row, :-1], wanted[row, :-1], dtype)
        np.testing.assert_allclose(statistics[g, 0, -1], wanted[0, -1], rtol=1e-5)


def test_a_sample_of_weight_zero_does_not_enter_the_likelihood() -> None:
    """Not even where its density underflows to 0, and 0 * -inf would be NaN."""
    distances = np.array([[[1.0, 3.0, 3e38]]], np.float32)
    sample_weight = np.array([1, 2, 0], np.float32)
    log_weights, precisions = np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), 4, np.float32)
    statistics = filled((1, 1, 2, 2), np.float64)
    with np.errstate(over="ignore"):  # 3e38 * 2, when interpreted
        kernels.scale_statistics(distances, log_weights, precisions, sample_weight, statistics)
    np.testing.assert_array_equal(statistics[0, 0], [[3, -2 - 2 * 6], [7, statistics[0, 0, 1, 1]]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("in_place", [False, True])
def test_component_weights(case: tuple[int, int, int], in_place: bool, dtype: Any) -> None:
    distances, log_weights, precisions, sample_weight = problem(case, dtype)
    n, n_shapes, _ = case
    n_chunks = -(-n // TASK_SAMPLES)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        d = distances.copy()
        weights = d if in_place else filled(distances.shape, dtype)
        log_norm, counts = filled((n,), dtype), filled((n_chunks, n_shapes), np.float64)
        kernel(d, log_weights, precisions, sample_weight, weights, log_norm, counts)
        return weights, log_norm, counts

    weights, log_norm, counts = run(kernels.component_weights, fill)
    wanted_weights, wanted_norm, kept = naive.component_weights(
        distances, log_weights, precisions, sample_weight, NEGLIGIBLE
    )
    assert_close(weights, wanted_weights, dtype)
    assert_close(log_norm, wanted_norm, dtype)
    for chunk in range(n_chunks):
        part = kept[:, chunk * TASK_SAMPLES : (chunk + 1) * TASK_SAMPLES]
        assert_close(counts[chunk], part.sum(axis=1), dtype)


def test_negligible_responsibilities_get_weight_zero() -> None:
    distances = np.array(
        [[0.0, 0.0], [-2 * np.log(NEGLIGIBLE) + 0.1, -2 * np.log(NEGLIGIBLE) - 0.1]]
    )
    weights, log_norm, counts = np.empty((2, 2)), np.empty(2), np.empty((1, 2))
    ones = np.ones((2, 1))
    kernels.component_weights(distances, 0 * ones, ones, np.ones(2), weights, log_norm, counts)
    assert (weights[1] == 0).tolist() == [True, False]
    assert (weights[0] > 0.99).all()
