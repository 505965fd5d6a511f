"""Derivatives through a single pass against differences of the pass itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.kernels.gradients import Totals, pass_gradients
from fastgsm.kernels.single_pass import denoise_bands
from fastgsm.kernels.wiener import WienerBank
from tests.kernels.helpers import assert_same_bits, filled, pick, run

# Height, width, patch size, stride, filters, components.
CASES = pick(
    [(9, 11, 3, 1, 8, 4), (25, 22, 8, 3, 64, 16), (24, 60, 4, 2, 12, 8)], [(6, 7, 3, 2, 8, 4)]
)
STEP = 1e-5
Case = tuple[int, int, int, int, int, int]


def bank_of(case: Case, dtype: Any = np.float64) -> WienerBank:
    """A bank of one shape whose arrays are independent of each other, padded as kernels want."""
    rng, d = np.random.default_rng(0), case[2] ** 2
    M, J, room = case[4], case[5], -(-d // 4) * 4
    pixels = np.arange(room) < d
    bank = WienerBank(
        ranks=np.array([M]),
        forward=rng.standard_normal((1, M, room)) * pixels,
        backward=rng.standard_normal((1, room, M)) * pixels[:, None],
        means=np.empty((0, room)),
        log_weights=rng.standard_normal((1, J)),
        precisions=rng.uniform(0.1, 0.5, (1, J, M)),
        shrinkages=rng.uniform(0, 1, (1, M, J)),
        tail_precisions=np.zeros((1, J)),
        tail_shrinkages=np.ones((1, J)),
        support=pixels * 1.0,
        traces=rng.uniform(1, 5, (1, J)),
    )
    floats = {name: getattr(bank, name).astype(dtype) for name in WienerBank._fields[1:]}
    return bank._replace(**floats)


def scene(case: Case) -> tuple[Any, ...]:
    """Two images, a grid, and the derivatives of a linear loss by their sums."""
    height, width, p, stride, *_ = case
    rng = np.random.default_rng(1)
    images = rng.standard_normal((2, height, width)) * 0.5 + 3
    rows, cols = (
        np.union1d(np.arange(1, n - p, stride), [0, n - p]).astype(np.intp) for n in (height, width)
    )
    return images, rows, cols, rng.standard_normal((2, 2, height, width))


def loss(images: Any, rows: Any, cols: Any, p: int, bank: WienerBank, by_sums: Any) -> float:
    """Return the loss that is linear in the sums of `denoise_bands`."""
    total = 0.0
    for image, by in zip(images, by_sums, strict=True):
        sums = np.zeros((2, *image.shape))
        spill = np.zeros((1, 2, p - 1, image.shape[1]))
        bands = np.array([0, rows.size])
        denoise_bands(image, rows, cols, bands, p, True, False, bank, tuple(sums), spill)
        total += float((sums * by).sum())
    return total


def gradients(case: Case, dtype: Any) -> tuple[np.ndarray, ...]:
    images, rows, cols, by_sums = scene(case)
    bank = bank_of(case, dtype)

    def fill(kernel: Any) -> tuple[np.ndarray, ...]:
        by_images = filled(images.shape, dtype)
        shapes = {name: getattr(bank, name).shape[1:] for name in Totals._fields}
        shapes["shrinkages"] = shapes["precisions"]
        by_bank = Totals(*(filled((2, *shapes[name]), dtype) for name in Totals._fields))
        kernel(
            images.astype(dtype), rows, cols, case[2], bank, by_sums.astype(dtype), by_images,
            by_bank,
        )  # fmt: skip
        return by_images, *by_bank

    return run(pass_gradients, fill)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_pass(case: Case) -> None:
    images, rows, cols, by_sums = scene(case)
    bank, p = bank_of(case), case[2]
    by_images, *by_bank = gradients(case, np.float64)
    rng = np.random.default_rng(2)

    def slope(direction: np.ndarray, moved: Any) -> float:
        up, down = (moved(sign * STEP * direction) for sign in (1, -1))
        return (up - down) / (2 * STEP)

    direction = rng.standard_normal(images.shape)
    wanted = slope(direction, lambda by: loss(images + by, rows, cols, p, bank, by_sums))
    np.testing.assert_allclose((by_images * direction).sum(), wanted, rtol=1e-5)
    for name, by in zip(Totals._fields, by_bank, strict=True):
        values = getattr(bank, name)
        direction = rng.standard_normal(values.shape)
        if name in ("forward", "backward"):  # rows and columns that only pad stay 0
            direction *= values != 0
        wanted = slope(
            direction,
            lambda by, name=name, values=values: loss(
                images, rows, cols, p, bank._replace(**{name: values + by}), by_sums
            ),
        )
        total = by.sum(axis=0)
        total = total.T if name == "shrinkages" else total
        np.testing.assert_allclose((total * direction[0]).sum(), wanted, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_float32_is_float64_rounded(case: Case) -> None:
    for narrow, wide in zip(gradients(case, np.float32), gradients(case, np.float64), strict=True):
        np.testing.assert_allclose(narrow, wide, atol=1e-3 * np.abs(wide).max())


def test_an_image_does_not_depend_on_the_others() -> None:
    images, rows, cols, by_sums = scene(CASES[0])
    bank, p = bank_of(CASES[0]), CASES[0][2]
    both = gradients(CASES[0], np.float64)
    by_images = np.empty_like(images[1:])
    by_bank = Totals(*(np.empty_like(each[1:]) for each in both[1:]))
    pass_gradients(images[1:], rows, cols, p, bank, by_sums[1:], by_images, by_bank)
    for alone, beside in zip((by_images, *by_bank), both, strict=True):
        assert_same_bits(alone, np.ascontiguousarray(beside[1:]))
