"""Luminance and the decorrelation of channels."""

import numpy as np
import pytest
from scipy.fft import dct

from fastgsm.colour import decorrelating_matrix, grey


def test_grey_is_luminance():
    colours = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]).repeat(8, 0).repeat(8, 1)
    np.testing.assert_allclose(grey(colours, "image")[0, ::8], [0.299, 0.587, 0.114], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_divides_integers_by_their_maximum(dtype):
    image = np.full((8, 8), np.iinfo(dtype).max // 5, dtype)
    np.testing.assert_allclose(grey(image, "image"), 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((8, 8), 1.5), "cat has values from 1.5 to 1.5; wanted 0 to 1"),
        (np.full((8, 8), -4, np.int16), "cat has values from -4 to -4; wanted 0 to 32767"),
        (np.full((8, 8), -0.1), r"cat has values from -0.1"),
        (np.full((8, 8), np.nan), "cat has 64 NaN"),
    ],
)
def test_grey_refuses_unsuitable_images(image, message):
    with pytest.raises(ValueError, match=message):
        grey(image, "cat")


def test_an_unlikely_range_is_warned_about():
    with pytest.warns(UserWarning, match="cat has values up to 200, but its data range"):
        grey(np.full((8, 8), 200, np.int32), "cat")
    np.testing.assert_allclose(grey(np.full((8, 8), 51, np.int32), "cat", 255), 0.2)


@pytest.mark.parametrize("n_channels", [2, 3, 5])
def test_decorrelating_matrix_is_orthonormal_with_the_mean_first(n_channels):
    matrix = decorrelating_matrix(n_channels)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n_channels), atol=1e-12)
    np.testing.assert_allclose(matrix[0], n_channels**-0.5)
    cosines = dct(np.eye(n_channels), axis=0, norm="ortho")
    np.testing.assert_allclose(matrix, cosines, atol=1e-12)
