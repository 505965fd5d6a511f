"""The noise of an image read part by part: the bits of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm.noise.estimate import estimated
from fastgsm.noise.scan import noise_of_scans, scan, scan_blocks
from fastgsm.noise.white import estimate_sigma
from tests.helpers import noisy_leaves


def coloured(shape: tuple[int, int], dtype: Any, unit: float) -> np.ndarray:
    """Return an image with channels last, whose noise is correlated between them."""
    first, second = noisy_leaves(shape, seed=0), noisy_leaves(shape, seed=1)
    channels = np.stack([first, (first + second) / 2, second], axis=-1)
    return (channels.clip(0, 1) * unit).astype(dtype)


@pytest.mark.parametrize("tile", [37, 64, 1000])
@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.uint8, 255), (np.float32, 1), (np.float64, 1e-30), (np.float64, 1e30)]
)
@pytest.mark.parametrize(
    ("kind", "sigma"), [("white", None), ("white", 0.1), ("camera", None), ("auto", None)]
)
def test_scans_of_all_parts_give_the_bits_of_the_whole(
    tile: int, dtype: Any, unit: float, kind: Any, sigma: float | None
) -> None:
    image = coloured((200, 230), dtype, unit)
    stride, parts = scan_blocks((200, 230), tile)
    scans = [scan(image[part], part, stride, -1) for part in parts]
    sigma = None if sigma is None else sigma * unit
    whole = estimated(kind, sigma, image, -1, unit, None)
    by_parts = noise_of_scans(kind, sigma, scans, (200, 230), stride, unit)
    np.testing.assert_array_equal(by_parts.sigma, whole.sigma)
    np.testing.assert_array_equal(by_parts.correlation, whole.correlation)
    assert (by_parts.photons, by_parts.camera) == (whole.photons, whole.camera)
    assert by_parts.between_channels[0, 1] > 0.2


@pytest.mark.parametrize("unit", [1e-300, 1e-140, 1e-12, 1, 1e12, 1e140, 1e300])
def test_scans_at_any_magnitude(unit: float) -> None:
    image = noisy_leaves((90, 70), dtype=np.float64) * unit
    stride, parts = scan_blocks((90, 70), 40)
    scans = [scan(image[part], part, stride, None) for part in parts]
    noise = noise_of_scans("white", None, scans, (90, 70), stride, unit)
    assert noise.level == pytest.approx(estimate_sigma(image), rel=1e-12)
    assert 0.08 * unit < noise.level < 0.15 * unit
