"""The noise of an image read part by part: the bits of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgsm._images import as_float_image, channels_first
from fastgsm.noise.scan import covariance_of_scans, scan, scan_blocks, sigma_of_scans
from fastgsm.noise.white import covariance_of_planes, estimate_sigma
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
def test_scans_of_all_parts_give_the_bits_of_the_whole(tile: int, dtype: Any, unit: float) -> None:
    image = coloured((200, 230), dtype, unit)
    stride, parts = scan_blocks((200, 230), tile)
    scans = [scan(image[part], part, stride, -1) for part in parts]
    pixels, data_range = as_float_image(image)
    whole = covariance_of_planes(channels_first(pixels, -1), data_range, None)
    by_parts = covariance_of_scans(scans, (200, 230), stride)
    np.testing.assert_array_equal(by_parts, whole)
    assert by_parts[0, 1] / by_parts[0, 0] > 0.2
    assert sigma_of_scans(scans, (200, 230), stride) == estimate_sigma(image, channel_axis=-1)
