"""Wrong, odd and extreme input gives a clear error or the plain array's result, never NaN."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import fastgsm
from fastgsm import anscombe, datasets, metrics
from fastgsm._registry import MODELS
from tests.helpers import QUALITIES, new_model

IMAGE = datasets.dead_leaves((24, 26), random_state=0, dtype=np.float64)
NOISY = datasets.add_noise(IMAGE, 0.1, random_state=0)
SAMPLES = np.random.default_rng(0).standard_t(3, (60, 9))

# Functions of an image, with their other arguments.
OF_IMAGES: dict[str, Callable[[Any], Any]] = {
    **{q: partial(fastgsm.denoise, sigma=0.1, quality=q, data_range=1) for q in QUALITIES},
    "estimate_sigma": fastgsm.estimate_sigma,
    "extract_patches": partial(fastgsm.extract_patches, center="global"),
    "sample_patches": lambda image: fastgsm.sample_patches([image], 8, 20, random_state=0),
    "stabilise": anscombe.stabilise,
    "exact_unbiased_inverse": anscombe.exact_unbiased_inverse,
    "add_noise": partial(datasets.add_noise, sigma=0.1, random_state=0),
    "mse": lambda image: metrics.mse(image, IMAGE),
    "psnr": lambda image: metrics.psnr(IMAGE, image),
}


def covariances(name: str, X: Any) -> Any:
    """Return what a model learns from samples."""
    return new_model(name, 2, tol=0.1, random_state=0).fit(X).covariances_


PRIOR = fastgsm.MVN().fit(SAMPLES)
# Functions of samples.
OF_SAMPLES: dict[str, Callable[[Any], Any]] = {
    **{name: partial(covariances, name) for name in MODELS},
    "score_samples": PRIOR.score_samples,
    "predict_proba": PRIOR.predict_proba,
    "score": PRIOR.score,
    "bic": PRIOR.bic,
    "denoise_patches": partial(PRIOR.denoise_patches, sigma=0.5),
    "aggregate_patches": lambda X: fastgsm.aggregate_patches(X, (12, 8), patch_size=3),
}
ALL = {name: (call, NOISY) for name, call in OF_IMAGES.items()} | {
    name: (call, SAMPLES) for name, call in OF_SAMPLES.items()
}

NAMED = r"image|clean|stabilised|X|Y|patches"
BAD: dict[str, Any] = {
    "None": None,
    "text": "camera.png",
    "a dict": {"image": 1},
    "a function": len,
    "rows of different lengths": [[1.0, 2.0], [3.0]],
    "complex": 1j * NOISY,
    "structured": np.zeros((24, 26), "f4,f4"),
    "dates": np.full((24, 26), "2020-01-01", "M8[D]"),
    "NaT": np.full((24, 26), "NaT", "M8[s]"),
    "spans of time": np.full((24, 26), 3, "m8[s]"),
    "text of numbers": np.full((24, 26), "1.5"),
    "bytes of numbers": np.full((24, 26), b"1.5"),
    "objects of text": np.full((24, 26), "1.5", object),
    "objects of spans": np.full((24, 26), np.timedelta64(3, "s"), object),
    "a table of dates": pd.DataFrame({"a": [1.0, 2.0], "b": pd.to_datetime(["2020", "2021"])}),
    "sparse": scipy.sparse.csr_matrix(NOISY),
    "sparse array": scipy.sparse.coo_array(NOISY),
    "masked": np.ma.masked_less(NOISY, 0.3),
    "no rows": np.empty((0, 26)),
    "no columns": np.empty((24, 0)),
    "an empty list": [],
}
# Those of them that hold something else than numbers, not too few or none of them.
OF_WRONG_TYPE = [
    "text",
    "structured",
    "dates",
    "NaT",
    "spans of time",
    "text of numbers",
    "bytes of numbers",
    "objects of text",
    "objects of spans",
    "a table of dates",
    "sparse",
    "sparse array",
    "masked",
]
OF_PIXELS_ANYWHERE = {"stabilise", "exact_unbiased_inverse", "add_noise"}


@pytest.mark.filterwarnings("ignore:. has feature names")
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ALL)
def test_input_that_is_not_an_array_of_numbers_is_named(name: str, bad: str) -> None:
    if name == "add_noise" and bad in ("no rows", "no columns", "an empty list"):
        pytest.skip("an empty image stays empty")
    with pytest.raises(TypeError if bad in OF_WRONG_TYPE else (TypeError, ValueError), match=NAMED):
        ALL[name][0](BAD[bad])


WRONG_NUMBERS = {bad: BAD[bad] for bad in OF_WRONG_TYPE} | {"complex": BAD["complex"]}


@pytest.mark.parametrize("bad", WRONG_NUMBERS)
@pytest.mark.parametrize("name", ["sample_weight", "weights_init", "means_init", "scales_init"])
def test_weights_and_starts_that_are_no_numbers_are_refused(name: str, bad: str) -> None:
    model = fastgsm.GSM(2) if name == "scales_init" else fastgsm.GMM(2)
    weights = {"sample_weight": WRONG_NUMBERS[bad]} if name == "sample_weight" else {}
    if not weights:
        model.set_params(**{name: WRONG_NUMBERS[bad]})
    with pytest.raises(TypeError, match=name):
        model.fit(SAMPLES, **weights)


@pytest.mark.parametrize("value", [pd.NA, None])
def test_missing_values_are_named(value: Any) -> None:
    table = pd.DataFrame(SAMPLES).astype("Float64")
    table.iloc[3, 4] = value
    for use in (PRIOR.score, fastgsm.GSM(2).fit):
        with pytest.raises(ValueError, match=r"X contains .*(missing values|NaN)"):
            use(table)
        with pytest.raises(ValueError, match=r"X contains 1 missing values .* not supported"):
            use(table.astype(object).to_numpy())


def test_integers_beyond_the_range_of_floats_are_named() -> None:
    with pytest.raises(ValueError, match="X contains infinity"):
        fastgsm.MVN().fit([[1, 10**400], [2, 3]])


def test_a_warning_points_at_the_caller_wherever_byte_code_says_it_is_from() -> None:
    source = "from fastgsm._checks import caller_level\ndef level(): return caller_level()"
    module = {"__name__": "fastgsm.module"}
    exec(compile(source, "/elsewhere/module.py", "exec"), module)
    assert module["level"]() == 2


def test_numbers_in_python_objects_are_numbers() -> None:
    expected = PRIOR.score(SAMPLES)
    of_decimals = np.array([[Decimal(float(x)) for x in row] for row in SAMPLES], dtype=object)
    for X in (SAMPLES.astype(object), of_decimals, pd.DataFrame(SAMPLES).astype("Float64")):
        assert PRIOR.score(X) == expected
    assert np.isfinite(PRIOR.score(SAMPLES > 0))


@pytest.mark.parametrize("value", [np.timedelta64(1, "s"), np.datetime64("2020"), "1", 1j])
def test_scalars_that_are_no_numbers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="sigma"):
        PRIOR.denoise_patches(SAMPLES, value)
    with pytest.raises(TypeError, match="n_samples"):
        PRIOR.sample(value)


@pytest.mark.parametrize("shape", [(), (24,), (2, 24, 24), (1, 40), (40, 7), (0, 0), (1, 1)])
@pytest.mark.parametrize("name", [name for name in OF_IMAGES if name not in OF_PIXELS_ANYWHERE])
def test_images_of_wrong_shapes_are_named(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image|clean"):
        OF_IMAGES[name](np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ALL)
def test_values_that_are_not_finite_are_refused_or_filled_in(name: str, value: float) -> None:
    call, plain = ALL[name]
    spoilt = plain.copy()
    spoilt[3, 4] = value
    if name in ("add_noise", "mse", "psnr"):
        pytest.skip("passes the value on")
    if name in QUALITIES and np.isnan(value):
        assert np.isfinite(call(spoilt)).all()
        return
    with pytest.raises(ValueError, match=r"NaN|infinit"):
        call(spoilt)


class Subclass(np.ndarray):
    """A subclass of NumPy's array that changes nothing."""


class Borrowed:
    """An object that lends its memory through NumPy's array interface."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def mapped(array: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "array.npy", array)
    return np.load(folder / "array.npy", mmap_mode="r")


LAYOUTS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "Fortran": lambda a, _: np.asfortranarray(a),
    "strided": lambda a, _: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda a, _: a[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda a, _: read_only(a),
    "memory-mapped": mapped,
    "big-endian": lambda a, _: a.astype(a.dtype.newbyteorder(">")),
    "not aligned": lambda a, _: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(
        a.shape
    ),
    "subclass": lambda a, _: a.view(Subclass),
    "matrix": lambda a, _: np.asmatrix(a),
    "no value masked": lambda a, _: np.ma.masked_array(a),
    "memoryview": lambda a, _: memoryview(a),
    "array interface": lambda a, _: Borrowed(a),
    "lists": lambda a, _: a.tolist(),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_layout_and_owner_do_not_matter(name: str, layout: str, tmp_path: Path) -> None:
    call, plain = ALL[name]
    given = LAYOUTS[layout](plain, tmp_path)
    before = np.array(given, copy=True)
    result, expected = np.asarray(call(given)), np.asarray(call(plain))
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.asarray(given), before)
    assert not np.may_share_memory(result, plain)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.longdouble])
@pytest.mark.parametrize("name", ALL)
def test_every_type_of_numbers_is_accepted(name: str, dtype: Any) -> None:
    call, plain = ALL[name]
    values = (plain * (100 if np.dtype(dtype).kind in "iu" else 1)).astype(dtype)
    if np.dtype(dtype).kind in "iu" and name == "add_noise":
        pytest.skip("needs floats")
    before = values.copy()
    assert np.isfinite(np.asarray(call(values), np.float64)).all()
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("name", QUALITIES)
def test_arrays_of_options_are_not_modified(name: str) -> None:
    sigma, mask = np.full(NOISY.shape, 0.1), NOISY > 0.05
    sigma[:5] = 0.05
    copies = sigma.copy(), mask.copy()
    fastgsm.denoise(NOISY, read_only(sigma), mask=read_only(mask), quality=name)
    np.testing.assert_array_equal(sigma, copies[0])
    np.testing.assert_array_equal(mask, copies[1])


# --- ranges -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-30, 1e30, 1e-300, 1e300])
@pytest.mark.parametrize("quality", QUALITIES)
def test_huge_and_tiny_ranges_scale(quality: str, unit: float, dtype: type) -> None:
    if dtype == np.float32 and not 1e-37 < unit < 1e38:
        pytest.skip("not a float32")
    denoise = partial(fastgsm.denoise, quality=quality)
    expected = denoise(NOISY.astype(dtype), 0.1)
    image = (NOISY * unit).astype(dtype)
    result = denoise(image, 0.1 * unit, data_range=unit)
    atol = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(result / dtype(unit), expected, rtol=0, atol=atol)
    estimated = fastgsm.estimate_sigma(image)
    assert estimated / unit == pytest.approx(fastgsm.estimate_sigma(NOISY), rel=1e-4)
    assert np.isfinite(denoise(image, data_range=unit)).all()


@pytest.mark.filterwarnings("ignore:image spans")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("quality", QUALITIES)
def test_values_without_a_range_are_refused_or_finite(quality: str, dtype: type) -> None:
    denoise = partial(fastgsm.denoise, quality=quality)
    for unit in (1e-30, 1e8):
        assert np.isfinite(denoise((NOISY * unit).astype(dtype), 0.1 * unit)).all()
        assert np.isfinite(denoise((NOISY * unit).astype(dtype))).all()
    for unit in (1e30, 1e300 if dtype == np.float64 else 1e37):
        image = (NOISY * unit).astype(dtype)
        with pytest.raises(ValueError, match=r"image has values up to .* Give data_range"):
            denoise(image, 0.1, data_range=1)
        np.testing.assert_array_equal(denoise(image, 0.1), image)  # negligible noise


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("quality", QUALITIES)
def test_noise_far_above_the_signal_leaves_the_means(quality: str, dtype: type) -> None:
    image = NOISY.astype(dtype)
    results = [fastgsm.denoise(image, sigma, quality=quality) for sigma in (1e5, 1e9)]
    assert np.ptp(results[0]) < 0.5 * np.ptp(image)
    np.testing.assert_allclose(*results, rtol=2e-3)
    for sigma in (1e20, 1e200, np.where(NOISY > 0.5, 1e160, 0.1)):
        with pytest.raises(ValueError, match=r"sigma is up to .* in the image's own units"):
            fastgsm.denoise(image, sigma, quality=quality)


ROWS, COLUMNS = np.indices((48, 52))
FEW_PATCHES = {
    "checkerboard": (ROWS + COLUMNS) % 2,
    "tiles": (ROWS // 2 + COLUMNS // 3) % 2,
    "stripes": COLUMNS % 2,
    "edge": COLUMNS // 26,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("name", FEW_PATCHES)
@pytest.mark.parametrize("quality", QUALITIES)
def test_little_noise_changes_little(quality: str, name: str, dtype: type) -> None:
    """Covariances of few different patches are singular, and rounding must not show."""
    unit = 65535 if dtype == np.uint16 else 1
    rounding = {np.float32: 3e-6, np.float64: 1e-15, np.uint16: 0.5}[dtype]
    rng = np.random.default_rng(0)
    for sigma in (1e-3, 1e-4, 1e-5, 2e-6, 1e-6, 1e-7, 1e-9, 1e-12):
        image = 0.1 + 0.8 * FEW_PATCHES[name]
        for strength in (0, sigma):
            noisy = unit * (image + strength * rng.standard_normal(image.shape))
            noisy = np.rint(noisy).astype(dtype) if unit > 1 else noisy.astype(dtype)
            change = fastgsm.denoise(noisy, sigma * unit, quality=quality) - noisy.astype(float)
            assert np.abs(change).max() <= 5 * sigma * unit + rounding


def test_noise_below_the_rounding_leaves_every_bit() -> None:
    for dtype, sigma in ((np.float32, 9e-7), (np.float64, 1.7e-15)):
        image = NOISY.astype(dtype)
        np.testing.assert_array_equal(fastgsm.denoise(image, sigma), image)
        uneven = fastgsm.denoise(image, np.where(NOISY > 0.5, sigma, 0.1))
        np.testing.assert_array_equal(uneven[NOISY > 0.5], image[NOISY > 0.5])
    # Noise that is below the rounding of float32 is above that of float64.
    assert (fastgsm.denoise(NOISY, 9e-7) != NOISY).any()


@pytest.mark.parametrize("name", ["sigma", "data_range"])
def test_numbers_too_large_for_floats_are_refused(name: str) -> None:
    for value in (10**400, -(10**400)):
        with pytest.raises(ValueError, match=f"{name} is inf"):
            fastgsm.denoise(NOISY, **{"sigma": 0.1, name: value})


@pytest.mark.parametrize("data_range", [1e-300, 1e300])
def test_a_data_range_that_float32_cannot_hold_is_refused(data_range: float) -> None:
    with pytest.raises(ValueError, match="which float32 cannot hold"):
        fastgsm.denoise(NOISY.astype(np.float32), 0.1, data_range=data_range)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint16, np.int16])
@pytest.mark.parametrize("quality", QUALITIES)
def test_results_stay_within_the_range_of_the_type(quality: str, dtype: Any) -> None:
    kind = np.dtype(dtype).kind
    top = np.finfo(dtype).max if kind == "f" else np.iinfo(dtype).max
    image = np.where(IMAGE > 0.5, top, top / 2).astype(dtype)
    result = fastgsm.denoise(image, 0.05 * float(top), quality=quality, data_range=float(top))
    assert result.dtype == dtype
    assert np.isfinite(result).all()
    assert float(result.max()) > 0.9 * float(top)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("sigma", [None, 1e-30, 1e-8, 0.1, 1e6])
@pytest.mark.parametrize("value", [0.3, -5.0])
def test_constant_images_come_back(value: float, sigma: float | None, quality: str) -> None:
    for dtype, rtol in ((np.float32, 2e-5), (np.float64, 1e-12)):
        image = np.full((17, 19), value, dtype)
        result = fastgsm.denoise(image, sigma, quality=quality, data_range=1.0)
        np.testing.assert_allclose(result, image, rtol=rtol)
    for constant in (np.full((17, 19), 7, np.uint16), np.zeros((17, 19), np.uint8)):
        result = fastgsm.denoise(constant, sigma, quality=quality, data_range=255)
        np.testing.assert_array_equal(result, constant)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9), (9, 8), (10, 9), (8, 33)])
@pytest.mark.parametrize("quality", QUALITIES)
def test_images_hardly_larger_than_one_patch(quality: str, shape: tuple[int, int]) -> None:
    image = NOISY[: shape[0], : shape[1]] if shape[1] < 26 else np.tile(NOISY[:8, :11], 3)
    for options in ({"sigma": 0.1}, {}, {"sigma": 0.1, "mask": image > 0.2}):
        result = fastgsm.denoise(image, quality=quality, **options)
        assert result.shape == shape
        assert np.isfinite(result).all()
    np.testing.assert_array_equal(fastgsm.denoise(image, 0, quality=quality), image)


def test_photon_counts_far_too_large() -> None:
    huge = NOISY * 1e300
    result = fastgsm.denoise(huge, noise="poisson", quality="fast")
    np.testing.assert_allclose(result, huge, rtol=1e-6)
    with pytest.raises(ValueError, match="too large for a float64: the gain is 1e-200"):
        anscombe.stabilise(NOISY, 1e-200, 0.0, 1e200)


def test_images_of_different_shapes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"clean has shape \(24, 26\) and image \(26,\)"):
        metrics.psnr(NOISY, NOISY[0])


@pytest.mark.parametrize("option", ["quality", "aggregation", "center"])
def test_an_array_is_not_accepted_as_a_choice(option: str) -> None:
    call = fastgsm.extract_patches if option == "center" else fastgsm.denoise
    with pytest.raises(ValueError, match=f"{option} is array.* wanted one of"):
        call(NOISY, **{option: np.array(["fast", "mean"])})
