"""Shrinkage of independent coordinates against its formula."""

import numpy as np
import pytest
from scipy.special import softmax

from fastgsm.kernels.separable import TASK_SAMPLES, shrink_coordinates


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "r", "n_scales"), [(1, 1, 1), (7, 3, 4), (TASK_SAMPLES + 1, 2, 3)])
def test_equals_the_formula_and_the_bits_do_not_depend_on_the_build(dtype, n, r, n_scales):
    rng = np.random.default_rng(0)
    z = (3 * rng.standard_normal((n, r))).astype(dtype)
    log_weights = rng.standard_normal((n_scales, r)).astype(dtype)
    half_precisions, shrinkages = rng.random((2, n_scales, r)).astype(dtype)
    restored = np.empty_like(z)
    shrink_coordinates(z, log_weights, half_precisions, shrinkages, restored)
    log_prob = log_weights[None] - half_precisions[None] * z[:, None].astype(float) ** 2
    expected = z * (softmax(log_prob, axis=1) * shrinkages).sum(axis=1)
    np.testing.assert_allclose(restored, expected, rtol=2e-5 if dtype == np.float32 else 1e-12)
    for build in (shrink_coordinates.serial, shrink_coordinates.parallel):
        again = np.empty_like(z)
        build(z, log_weights, half_precisions, shrinkages, again)
        np.testing.assert_array_equal(again, restored)
