"""Error measures of images."""

import numpy as np
import pytest

from fastgsm.metrics import mse, psnr


def test_mse_and_psnr():
    clean = np.zeros((4, 4), np.uint8)
    image = np.full((4, 4), 20, np.uint8)
    image[0] = 60
    assert mse(clean, image) == mse(image, clean) == 1200.0  # unsigned types do not wrap round
    assert psnr(np.zeros(4), np.full(4, 0.01)) == pytest.approx(40)
    assert psnr(clean, clean) == float("inf")
