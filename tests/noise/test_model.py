"""What is known of noise as one object: its constructors, its files, and bad input."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm import NoiseModel

KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 3, 1]]) / 10


def filtered(noise: Any, kernel: Any = KERNEL) -> Any:
    """Return noise (height, width) convolved with a kernel, periodically."""
    padded = np.zeros(noise.shape)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.fft.ifft2(np.fft.fft2(noise) * np.fft.fft2(padded)).real


def autocovariance(kernel: Any = KERNEL) -> np.ndarray:
    """Return the covariance of white noise after a filter, at all distances, by loops."""
    p = len(kernel)
    result = np.zeros((2 * p - 1,) * 2)
    for dy in range(1 - p, p):
        for dx in range(1 - p, p):
            for y in range(p):
                for x in range(p):
                    if 0 <= y + dy < p and 0 <= x + dx < p:
                        result[p - 1 + dy, p - 1 + dx] += kernel[y, x] * kernel[y + dy, x + dx]
    return result


def checkerboard() -> np.ndarray:
    """Return correlations of -1 with all eight neighbours, which no noise has."""
    values = -np.ones((1, 1, 3, 3))
    values[0, 0, 1, 1] = 1
    return values


def near(covariance: Any, most: int = 2) -> Any:
    """Return the part within two rows and columns."""
    middle = covariance.shape[-1] // 2
    part = slice(middle - most, middle + most + 1)
    return covariance[..., part, part]


def test_white_noise() -> None:
    model = NoiseModel.white([0.1, 0.2])
    np.testing.assert_allclose(model.sigma, [0.1, 0.2])
    np.testing.assert_array_equal(model.between_channels, np.eye(2))
    assert model.is_white and model.kind == "white" and model.n_channels == 2
    assert model.level == pytest.approx(np.sqrt(0.025))
    assert repr(NoiseModel.white(0.1)) == "NoiseModel: white, sigma 0.1"
    assert repr(model) == "NoiseModel: white, sigma 0.1, 0.2"


def test_channels_may_be_correlated() -> None:
    model = NoiseModel.from_covariance([[1, 0.5], [0.5, 1]])
    assert model.is_white
    assert repr(model) == "NoiseModel: white, sigma 1, 1, channels correlated 0.50 to 0.50"


def test_photon_noise_grows_with_the_light() -> None:
    model = NoiseModel.poisson(2, 100, 3)
    np.testing.assert_allclose(model.variance([0, 100, 150]), [9, 9, 109])
    assert model.kind == "photon" and not model.is_white
    assert repr(model) == "NoiseModel: photon, gain 2, offset 100, read noise 3"


@pytest.mark.parametrize("shape", [(64, 64), (33, 48)])
def test_the_spectrum_of_filtered_noise(shape: tuple[int, int]) -> None:
    impulse = np.zeros(shape)
    impulse[0, 0] = 1
    psd = np.abs(np.fft.fft2(filtered(impulse))) ** 2 * impulse.size
    model = NoiseModel.from_psd(psd)
    np.testing.assert_allclose(near(model.covariance[0, 0]), autocovariance(), atol=1e-12)
    np.testing.assert_allclose(model.psd(shape)[0], psd, atol=1e-9 * psd.max())
    assert model.kind == "correlated"


def test_the_spectra_of_channels() -> None:
    psd = np.ones((32, 32, 2)) * 32 * 32 * [0.01, 0.04]
    np.testing.assert_allclose(NoiseModel.from_psd(psd, channel_axis=-1).sigma, [0.1, 0.2])


def test_samples_of_filtered_noise_in_channels() -> None:
    white = np.random.default_rng(0).standard_normal((2, 400, 300))
    noise = np.stack([filtered(white[0]), filtered(white[0] + white[1])], axis=-1)
    before = noise.copy()
    model = NoiseModel.from_samples(5 + noise, channel_axis=-1)
    wanted = np.array([[1, 1], [1, 2]])[:, :, None, None] * autocovariance()
    np.testing.assert_allclose(near(model.covariance), wanted, atol=0.06)
    # All else is told from 0 and left out, but for a few in a thousand.
    far = model.covariance.copy()
    near(far)[...] = 0
    assert np.count_nonzero(far) < 0.02 * far.size
    np.testing.assert_array_equal(noise, before)


def test_samples_need_not_be_floats_or_of_mean_0() -> None:
    frame = np.random.default_rng(0).normal(100, 3, (64, 64)).round().astype(np.uint16)
    assert NoiseModel.from_samples(frame).sigma == pytest.approx([3], rel=0.05)


def test_white_noise_from_spectra_and_samples_is_white() -> None:
    assert NoiseModel.from_psd(np.full((64, 64), 40.96)).is_white
    smooth = np.add.outer(np.arange(40.0), np.arange(40.0))
    assert NoiseModel.from_samples(smooth).kind == "correlated"
    assert NoiseModel.from_samples(np.full((32, 32), 7)).level == 0


def test_copies_are_models_too() -> None:
    model = NoiseModel.from_covariance([[1, 0.5], [0.5, 1]], camera=True)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.correlation, model.correlation)
        assert again.camera and not again.sigma.flags.writeable


def test_a_model_does_not_change() -> None:
    given = np.eye(2)
    model = NoiseModel.from_covariance(given)
    given[0, 0] = 7
    assert model.sigma[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        model.sigma[0] = 0


@pytest.mark.parametrize(
    "model",
    [
        NoiseModel.white(0.1),
        NoiseModel.poisson(2, 100, 3),
        NoiseModel.from_covariance([[1, 0.5], [0.5, 1]], camera=True),
        NoiseModel.from_covariance(autocovariance()[None, None]),
    ],
)
def test_files_hold_all_of_it(model: NoiseModel, tmp_path: Path) -> None:
    model.save(tmp_path / "noise.json")
    again = NoiseModel.load(tmp_path / "noise.json")
    np.testing.assert_array_equal(again.sigma, model.sigma)
    np.testing.assert_array_equal(again.correlation, model.correlation)
    assert (again.photons, again.camera) == (model.photons, model.camera)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "does not hold noise"),
        ("[]", "does not hold noise"),
        ("[" * 100_000, "does not hold noise"),
        ('{"format": "fastgsm-noise", "version": 2}', "its format is 'fastgsm-noise', 2"),
        ('{"format": "fastgsm-noise", "version": 1}', "'camera'"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseModel.load(path)


def test_a_file_of_no_covariance_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    NoiseModel.white(0.1).save(path)
    content = json.loads(path.read_text())
    content["correlation"][0][0][0][0] = -1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not positive semidefinite"):
        NoiseModel.load(path)
    path.write_bytes(b" " * 10_000_001)
    with pytest.raises(ValueError, match="10000001 bytes"):
        NoiseModel.load(path)
    with pytest.raises(ValueError, match=r"must end in \.json"):
        NoiseModel.white(0.1).save(tmp_path / "noise.npz")
    with pytest.raises(FileNotFoundError):
        NoiseModel.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseModel.white(-1), "sigma is -1"),
        (lambda: NoiseModel.white(np.nan), "sigma is nan"),
        (lambda: NoiseModel.from_covariance([1, 2]), "covariance has shape (2,)"),
        (
            lambda: NoiseModel.from_covariance([[1, 2], [2, 1]]),
            "eigenvalue between channels -1",
        ),
        (lambda: NoiseModel.from_covariance([[1, 0.5], [0, 1]]), "correlation is not symmetric"),
        (lambda: NoiseModel.from_covariance([[np.inf]]), "NaN, infinite"),
        (lambda: NoiseModel([1.0], np.ones((1, 1, 2, 1))), "odd height and width"),
        (lambda: NoiseModel([1.0], np.array([[[[2.0, 1, 2]]]])), "largest magnitude 2"),
        (lambda: NoiseModel.from_psd(np.full((32, 32), -1.0)), "psd has negative"),
        (lambda: NoiseModel.from_psd(np.ones((8, 8))), "psd has shape (8, 8)"),
        (lambda: NoiseModel.from_psd(np.arange(1024.0).reshape(32, 32)), "psd is not symmetric"),
        (lambda: NoiseModel.from_samples(np.full((32, 32), np.nan)), "noise has NaN"),
        (lambda: NoiseModel.from_samples(np.zeros((32, 8))), "noise has shape (32, 8)"),
        (lambda: NoiseModel.from_samples(np.zeros((32, 32, 3))), "noise has 3 dimensions"),
        (lambda: NoiseModel.poisson(0), "gain of the noise is 0"),
        (lambda: NoiseModel.white([]), "wanted a finite level of at least 0 for each channel"),
        (lambda: NoiseModel([1.0], checkerboard()), "its power spectrum falls to"),
        (lambda: NoiseModel.white(0.1).psd((0, 3)), "shape: height is 0"),
    ],
)
def test_bad_input_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
