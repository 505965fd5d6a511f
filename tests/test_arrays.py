"""Images from Pillow, xarray, Dask and plain Python; scikit-image's tools for denoisers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from PIL import Image
from skimage.restoration import calibrate_denoiser, denoise_invariant

import fastgsm

fast = partial(fastgsm.denoise, quality="fast")

CLEAN = fastgsm.datasets.dead_leaves((32, 40), random_state=0).astype(np.float64)
NOISY = fastgsm.datasets.add_noise(CLEAN, 0.1, random_state=0)
BYTES = np.clip(np.rint(NOISY * 255), 0, 255).astype(np.uint8)
COLOUR = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], axis=-1)


def data_array(values: NDArray[Any]) -> xr.DataArray:
    dims = ("y", "x", "band")[: values.ndim]
    return xr.DataArray(
        values,
        dims=dims,
        coords={"y": 0.5 * np.arange(values.shape[0])},
        name="specimen",
        attrs={"units": "counts"},
    )


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_data_array_keeps_its_coordinates_and_attributes(sigma: float) -> None:
    image = data_array(NOISY)
    denoised, std = fast(image, sigma, return_std=True)
    values, deviations = fast(NOISY, sigma, return_std=True)
    for given, expected in ((denoised, values), (std, deviations)):
        xr.testing.assert_identical(given, data_array(expected))
        assert given.dtype == expected.dtype
    xr.testing.assert_identical(image, data_array(NOISY))
    assert not np.shares_memory(denoised.values, image.values)


def test_data_arrays_for_image_sigma_and_mask() -> None:
    mask = np.ones(COLOUR.shape[:2], bool)
    mask[3:5, 3:5] = False
    sigma = np.full(mask.shape, 20.0)
    options: dict[str, Any] = {"channel_axis": -1}
    given = fast(data_array(COLOUR), data_array(sigma), mask=data_array(mask), **options)
    xr.testing.assert_identical(given, data_array(fast(COLOUR, sigma, mask=mask, **options)))


def test_out_is_an_array_whatever_the_image_is() -> None:
    out = np.empty_like(NOISY)
    assert fast(data_array(NOISY), 0.1, out=out) is out


@pytest.mark.parametrize("values", [NOISY, BYTES], ids=["float", "uint8"])
def test_importing_fastgsm_and_denoising_imports_no_container(values: NDArray[Any]) -> None:
    code = (
        "import sys, numpy as np, fastgsm\n"
        f"fastgsm.denoise(np.zeros((8, 8), {values.dtype.name!r}), 0)\n"
        "print(*{'xarray', 'PIL', 'pandas', 'dask'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("L", BYTES),
        ("RGB", COLOUR),
        ("F", NOISY.astype(np.float32)),
        ("I;16", BYTES.astype(np.uint16) * 257),
    ],
)
def test_pillow_images(mode: str, values: NDArray[Any]) -> None:
    image = Image.fromarray(values)
    assert image.mode == mode
    axis = -1 if values.ndim == 3 else None
    sigma = 0.1 * (1 if mode == "F" else np.iinfo(values.dtype).max)
    denoised = fast(image, sigma, channel_axis=axis)
    assert type(denoised) is np.ndarray
    np.testing.assert_array_equal(denoised, fast(values, sigma, channel_axis=axis))
    np.testing.assert_array_equal(np.asarray(image), values)


@pytest.mark.parametrize("mode", ["P", "PA", "LA", "RGBA", "CMYK", "YCbCr", "1"])
def test_pillow_images_of_other_modes_are_refused(mode: str) -> None:
    image = Image.fromarray(COLOUR).convert("L").convert("P" if mode == "PA" else mode)
    image = image.convert(mode)
    for function in (fastgsm.denoise, fastgsm.estimate_sigma, fastgsm.extract_patches):
        with pytest.raises(TypeError, match=f"image is a Pillow image of mode '{mode}'.*convert"):
            function(image)


def test_nested_lists() -> None:
    np.testing.assert_array_equal(fast(NOISY.tolist(), 0.1), fast(NOISY, 0.1))


def test_dask_arrays_are_denoised_lazily() -> None:
    dask = pytest.importorskip("dask.array")
    chunked = dask.from_array(NOISY, chunks=16)
    denoised = fast(chunked, 0.1)
    assert isinstance(denoised, dask.Array)
    np.testing.assert_array_equal(denoised.compute(), fast(NOISY, 0.1))
    with pytest.raises(ValueError, match="mask was given, and image is an array of Dask"):
        fast(chunked, 0.1, mask=NOISY > 0)


def test_options_are_keyword_only_as_in_scikit_image() -> None:
    parameters = list(inspect.signature(fastgsm.denoise).parameters.values())
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert positional == ["image", "sigma"]
    assert {"channel_axis", "data_range", "workers"} <= {p.name for p in parameters}


def picture(*contrasts: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a clean and a noisy picture, smooth enough to predict pixels from their neighbours."""
    clean = fastgsm.datasets.dead_leaves((48, 48), random_state=0).astype(np.float64)
    if contrasts:
        clean = np.stack([c * clean for c in contrasts], axis=-1)
    return clean, fastgsm.datasets.add_noise(clean, 0.1, random_state=0)


def test_calibrate_denoiser_finds_the_noise_level() -> None:
    clean, noisy = picture()
    options = {"sigma": [0.02, 0.1, 0.4], "quality": ["fast"]}
    calibrated, (tried, losses) = calibrate_denoiser(
        noisy, fastgsm.denoise, options, extra_output=True
    )
    assert tried[int(np.argmin(losses))]["sigma"] == 0.1
    assert np.mean((calibrated(noisy) - clean) ** 2) < 0.8 * np.mean((noisy - clean) ** 2)


@pytest.mark.parametrize(("contrasts", "axis"), [((), None), ((1.0, 0.5, 0.8), -1)])
def test_denoise_invariant(contrasts: tuple[float, ...], axis: int | None) -> None:
    clean, noisy = picture(*contrasts)
    noisy = noisy.astype(np.float32)
    options = {"sigma": 0.1, "quality": "fast", "channel_axis": axis}
    denoised = denoise_invariant(noisy, fastgsm.denoise, denoiser_kwargs=options)
    assert denoised.shape == noisy.shape and denoised.dtype == np.float32
    assert np.mean((denoised - clean) ** 2) < 0.8 * np.mean((noisy - clean) ** 2)
