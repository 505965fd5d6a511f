"""Non-local refinement against groups found by sorting and restored by NumPy's solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm._progress import Progress
from fastgsm.kernels.nonlocal_mvn import LEAST_RIDGE, Matching, refine_bands
from fastgsm.kernels.products import COLUMNS
from fastgsm.kernels.runs import RUN
from fastgsm.patches import grid_positions
from fastgsm.restore.nonlocal_mvn import BAND_ROWS, NonlocalMVN, default_gain
from fastgsm.restore.planes import PlaneNoise
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_same_bits, filled, pick, run

# Interpreted, the columns that fill up the last vector subtract infinity from infinity.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")

# Planes, height, width, patch size, stride, group size, radius.
Case = tuple[int, int, int, int, int, int, int]
CASES: list[Case] = pick(
    [
        (1, 6, 6, 6, 3, 40, 15),  # one patch
        (1, 7, 9, 6, 3, 40, 15),  # fewer patches than a group
        (1, 40, 53, 6, 3, 40, 12),
        (3, 31, 29, 4, 2, 13, 5),
        (2, 20, 120, 8, 4, 11, 3),
        (1, 45, 56, 2, 1, 2, 2),  # which makes rows of 64 pixels with the spare ones
    ],
    [(1, 4, 4, 4, 2, 5, 1), (2, 7, 8, 4, 2, 6, 1), (1, 5, 38, 2, 1, 4, 2)],
)
SIGMA = 0.3


def scene(case: Case, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Stripes, with noise and with less of it."""
    shape = case[:3]
    rng = np.random.default_rng(0)
    clean = np.sin(np.add.outer(np.arange(shape[1]), 0.4 * np.arange(shape[2])) + 0.1)
    pilot = clean + 0.1 * rng.standard_normal(shape)
    noisy = clean + SIGMA * rng.standard_normal(shape)
    return noisy.astype(dtype), pilot.astype(dtype)


def method(case: Case, dtype: Any, **settings: Any) -> NonlocalMVN:
    _, _, _, p, stride, n, radius = case
    settings = {"gain": 1.0, **settings}
    return NonlocalMVN(
        SIGMA, dtype, patch_size=p, stride=stride, group_size=n, radius=radius, **settings
    )


def refine(method: NonlocalMVN, noisy: np.ndarray, pilot: np.ndarray) -> np.ndarray:
    with Progress(method.n_steps(noisy.shape), "refining", enabled=False) as bar:
        return method(noisy, pilot, bar)


def naive_refine(
    noisy: np.ndarray,
    pilot: np.ndarray,
    case: Case,
    variance: float = SIGMA**2,
    correlations: np.ndarray | None = None,
) -> np.ndarray:
    n_planes, height, width, p, stride, n, radius = case
    dtype = noisy.dtype
    noisy, pilot = noisy.astype(np.float64), pilot.astype(np.float64)
    sums, counts = np.zeros(noisy.shape), np.zeros((height, width))
    for y in grid_positions(height, p, stride):
        for x in grid_positions(width, p, stride):
            group = naive.nearest(pilot[0], y, x, p, n, radius)
            for i, j in group:
                counts[i : i + p, j : j + p] += 1
            for c in range(n_planes):
                P, Y = (
                    np.array([plane[i : i + p, j : j + p].ravel() for i, j in group])
                    for plane in (pilot[c], noisy[c])
                )
                m = P.mean(axis=0)
                C = (P - m).T @ (P - m) / max(len(group) - 1, 1)
                least = LEAST_RIDGE * np.finfo(dtype).eps * np.trace(C)
                N = np.eye(p * p) if correlations is None else correlations[c]
                lift = max(least - variance, 0) * np.eye(p * p)
                clean = Y - variance * np.linalg.solve(C + variance * N + lift, (Y - m).T).T @ N
                for (i, j), patch in zip(group, clean, strict=True):
                    sums[c, i : i + p, j : j + p] += patch.reshape(p, p)
    return sums / counts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_refinement_is_the_formula(case: Case, dtype: Any) -> None:
    noisy, pilot = scene(case, dtype)
    before = noisy.copy(), pilot.copy()
    actual = refine(method(case, dtype), noisy, pilot)
    wanted = naive_refine(noisy, pilot, case)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, wanted, atol={np.float32: 2e-5, np.float64: 1e-12}[dtype])
    assert_same_bits(noisy, before[0])
    assert_same_bits(pilot, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_noise_may_be_correlated_and_unequal(case: Case, dtype: Any) -> None:
    n_planes, p = case[0], case[3]
    noisy, pilot = scene(case, dtype)
    distances = np.abs(np.arange(-8, 9))
    bases = 0.7 - 0.2 * np.arange(n_planes)
    noise = PlaneNoise(
        tuple(1.0 / (1 + np.arange(n_planes))),
        tuple(np.multiply.outer(base**distances, base**distances) for base in bases),
    )
    actual = refine(method(case, dtype, noise=noise), noisy, pilot)
    ratios = np.array(noise.ratios)[:, None, None]
    correlations = noise.patch_correlations(p, np.float64)
    wanted = ratios * naive_refine(
        noisy / ratios.astype(dtype), pilot / ratios.astype(dtype), case, correlations=correlations
    )
    np.testing.assert_allclose(actual, wanted, atol={np.float32: 2e-4, np.float64: 1e-11}[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES[1:])
def test_any_number_of_threads_gives_the_same_bits(case: Case, dtype: Any) -> None:
    noisy, pilot = scene(case, dtype)
    n_planes, height, width, p, stride, n, radius = case
    rows, cols = grid_positions(height, p, stride), grid_positions(width, p, stride)
    bands = np.append(np.arange(0, rows.size, 2), rows.size)
    none = np.empty((0, p * p, p * p), dtype)
    matching = Matching(p, radius, n, np.dtype(dtype).type(SIGMA**2), none)
    sides = (radius, radius + COLUMNS)
    padded = np.pad(pilot[0], ((0, 0), sides), constant_values=np.inf)
    noisy, pilot = (np.pad(each, ((0, 0), (0, 0), (0, RUN))) for each in (noisy, pilot))
    room = min(stride + 2 * radius + p, height)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        sums = filled((bands.size - 1, n_planes, room, width + RUN), dtype)
        coverage = filled((bands.size - 1, room, width + RUN), dtype)
        kernel(noisy, pilot, padded, rows, cols, bands, matching, sums, coverage)
        return sums, coverage

    sums, coverage = run(refine_bands, fill)
    assert np.isfinite(sums).all()
    # Every reference's group has n patches here, or as many as its window has.
    largest = rows.size * cols.size * n
    assert 0 < coverage.sum() <= largest
    if min(height, width) >= p + radius and n <= (radius + 1) ** 2:
        assert coverage.sum() == largest


@pytest.mark.parametrize("sigma", [1e-3, 1e-4, 1e-6])
def test_noise_that_the_equations_cannot_hold(sigma: float) -> None:
    """There are few kinds of patches, so that only the noise keeps the covariance regular."""
    case: Case = pick((1, 31, 29, 6, 3, 40, 12), (1, 7, 8, 4, 2, 6, 2))
    clean = np.indices(case[1:3]).sum(axis=0)[None] // 3 % 2
    rng = np.random.default_rng(0)
    pilot, noisy = (clean + sigma * rng.standard_normal((2, *case[:3]))).astype(np.float32)
    _, _, _, p, stride, n, radius = case
    refinement = NonlocalMVN(
        sigma, np.float32, patch_size=p, stride=stride, group_size=n, radius=radius
    )
    actual = refine(refinement, noisy, pilot)
    wanted = naive_refine(noisy, pilot, case, variance=sigma**2)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=0.2 * sigma + 2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_image_stays_constant(dtype: Any) -> None:
    case: Case = pick((2, 40, 40, 6, 3, 40, 12), (2, 6, 7, 4, 2, 5, 1))
    flat = np.full(case[:3], 0.7, dtype)
    refined = refine(method(case, dtype), flat, flat)
    np.testing.assert_allclose(refined, flat, rtol=1e-5 if dtype == np.float32 else 1e-13)


def test_a_second_round_takes_the_first_as_its_pilot() -> None:
    case = CASES[1]
    noisy, pilot = scene(case, np.float64)
    once = refine(method(case, np.float64), noisy, pilot)
    twice = refine(method(case, np.float64), noisy, once)
    assert_same_bits(refine(method(case, np.float64, n_rounds=2), noisy, pilot), twice)
    assert method(case, np.float64, n_rounds=2).n_steps(noisy.shape) == 2


def test_gain_multiplies_the_covariance() -> None:
    case = CASES[1]
    noisy, pilot = scene(case, np.float64)
    actual = refine(method(case, np.float64, gain=2.0), noisy, pilot)
    wanted = naive_refine(noisy, pilot, case, variance=SIGMA**2 / 2)
    np.testing.assert_allclose(actual, wanted, atol=1e-12)
    assert default_gain(5 / 255) == 1.0
    assert default_gain(1.0) == 2.0


def test_steps_are_counted() -> None:
    class Counter(Progress):
        steps = 0

        def update(self, n: int = 1) -> None:
            self.steps += n

    height = pick(400, 4 + 10 * 2 * BAND_ROWS)
    case: Case = (1, height, 4, 4, 2, 2, 1)
    noisy, pilot = scene(case, np.float32)
    for refinement in (method(case, np.float32), method(case, np.float32, n_rounds=2)):
        counter = Counter(0, "", enabled=False)
        refinement(noisy, pilot, counter)
        assert counter.steps == refinement.n_steps(noisy.shape) > 1


@pytest.mark.parametrize("wrong", [{"patch_size": 5}, {"patch_size": 10}, {"group_size": 65}])
def test_groups_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="wanted 2, 4, 6 or 8"):
        NonlocalMVN(0.1, np.float32, **wrong)  # type: ignore[arg-type]


def test_references_too_far_apart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stride is 5, larger than patch_size 2: .* Wanted 1 to"):
        NonlocalMVN(0.1, np.float32, patch_size=2, stride=5)
    with pytest.raises(ValueError, match="stride is 0"):
        NonlocalMVN(0.1, np.float32, stride=0)
