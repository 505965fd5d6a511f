"""A whole image in one pass against extraction, restoration and summation in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.single_pass import denoise_bands
from fastgsm.learning.density import ScaleMixtureDensity
from tests.kernels import naive
from tests.kernels.helpers import DTYPES, assert_close, assert_same_bits, filled, pick, run

NOISE_VARIANCE = 0.3
# Height, width, patch size, strides, and where the bands of grid rows end.
CASES = pick(
    [
        (3, 3, 3, 1, [0, 1]),
        (20, 33, 3, 1, [0, 18]),
        (20, 33, 3, 1, [0, 5, 8, 18]),
        (21, 17, 4, 2, [0, 4, 10]),
        (30, 29, 8, 5, [0, 1, 2, 4, 6]),
        (30, 40, 8, 1, [0, 8, 23]),
    ],
    [(7, 8, 3, 1, [0, 2, 5]), (8, 8, 3, 2, [0, 2, 4])],
)
Case = tuple[int, int, int, int, list[int]]


def dc_free_mixture(p: int, n_shapes: int = 2, n_scales: int = 2) -> ScaleMixtureDensity:
    """A mixture of patches whose mean was removed."""
    rng, d = np.random.default_rng(0), p * p
    ones = np.full((d, 1), d**-0.5)
    basis = np.linalg.svd(ones)[0][:, 1:]
    turns = np.linalg.qr(rng.standard_normal((n_shapes, d - 1, d - 1)))[0]
    return ScaleMixtureDensity(
        weights=np.full((n_shapes, n_scales), 1 / (n_shapes * n_scales)),
        scales=rng.uniform(0.3, 3.0, (n_shapes, n_scales)),
        means=np.zeros((n_shapes, d)),
        eigenvalues=np.sort(rng.uniform(0.1, 2.0, (n_shapes, d - 1)))[:, ::-1],
        eigenvectors=basis @ turns,
    )


def scene(case: Case, dtype: Any) -> tuple[np.ndarray, ...]:
    height, width, p, stride, _ = case
    image = np.random.default_rng(1).standard_normal((height, width)) + 5
    rows, cols = (
        np.unique(np.append(np.arange(0, n - p + 1, stride), n - p)) for n in (height, width)
    )
    return image.astype(dtype), rows, cols


def denoise(
    image: np.ndarray, rows: np.ndarray, cols: np.ndarray, p: int, bands: list[int],
    remove_mean: bool, center: bool,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    ends = np.array(bands, np.intp)
    bank = dc_free_mixture(p).wiener_bank(NOISE_VARIANCE, image.dtype)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        parts = 1 if center else 2
        sums = filled((parts, *image.shape), image.dtype)
        spill = filled((ends.size - 1, parts, p - 1, image.shape[1]), image.dtype)
        kernel(image, rows, cols, ends, p, remove_mean, center, bank, tuple(sums), spill)
        return sums, spill

    return run(denoise_bands, fill)


def joined(sums: np.ndarray, spill: np.ndarray, rows: np.ndarray, bands: list[int]) -> np.ndarray:
    """Add what each band left for the rows below it."""
    sums = sums.copy()
    for band in range(len(bands) - 2):
        top = rows[bands[band + 1]]
        sums[:, top : top + spill.shape[2]] += spill[band]
    return sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_denoise_bands(case: Case, remove_mean: bool, center: bool, dtype: Any) -> None:
    image, rows, cols = scene(case, dtype)
    p, bands = case[2], case[4]
    if not remove_mean:  # about 0, where the mixture has its density
        image -= 5
    sums, spill = denoise(image, rows, cols, p, bands, remove_mean, center)

    patches = naive.extract(image, rows, cols, p).astype(np.float64)
    offset = patches.mean(axis=1, keepdims=True) * remove_mean
    density = dc_free_mixture(p)
    projection = density.eigenvectors[0] @ density.eigenvectors[0].T
    clean, _, traces = naive.posterior(
        patches @ projection, density.weights, density.scales, density.means,
        density.covariances, projection, NOISE_VARIANCE,
    )  # fmt: skip
    clean += offset
    if center:
        wanted = naive.centres(clean, rows, cols, p, image.shape)[None]
    else:
        weights = np.repeat(1 / traces[:, None], p * p, axis=1)
        wanted = np.stack(
            [naive.sums(x, rows, cols, p, image.shape) for x in (weights * clean, weights)]
        )
    actual = joined(sums, spill, rows, bands)
    # Two shapes: responsibilities below 1e-6 are left out on purpose.
    np.testing.assert_allclose(actual, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bands_change_nothing_but_rounding(dtype: Any) -> None:
    case = CASES[2 if len(CASES) > 2 else 0]
    image, rows, cols = scene(case, dtype)
    results = [
        joined(*denoise(image, rows, cols, case[2], bands, True, False), rows, bands)
        for bands in ([0, rows.size], case[4])
    ]
    assert_close(results[0], results[1].astype(np.float64), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pixel_does_not_depend_on_its_place(dtype: Any) -> None:
    """Cut an image: pixels that keep all their patches keep all their bits."""
    p, down, right = 3, 2, 3
    image, rows, cols = scene((*pick((24, 37), (8, 9)), p, 1, []), dtype)
    whole = denoise(image, rows, cols, p, [0, rows.size], True, False)[0]
    cut = np.ascontiguousarray(image[down:, right:])
    part = denoise(
        cut,
        rows[: rows.size - down],
        cols[: cols.size - right],
        p,
        [0, rows.size - down],
        True,
        False,
    )[0]
    inside = slice(None), slice(p - 1, None), slice(p - 1, None)
    assert_same_bits(
        np.ascontiguousarray(part[inside]), np.ascontiguousarray(whole[:, down:, right:][inside])
    )
