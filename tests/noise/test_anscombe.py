"""Photon noise: the transform and its inverse against exact sums, and whole images."""

import warnings

import numpy as np
import pytest
from scipy.stats import poisson

import fastgsm
from fastgsm.metrics import mse
from fastgsm.noise.anscombe import exact_unbiased_inverse, stabilise
from tests.helpers import QUALITIES

MEANS = [0.5, 1, 2, 4, 10, 30, 100, 200]
CAMERA = (2.5, 100.0, 4.0)  # gain, offset, read noise


def exact_moments(mean, noise):
    """Return mean and standard deviation of the stabilised values, summed over all counts."""
    gain, offset, read_noise = noise
    counts = np.arange(int(mean + 20 * np.sqrt(mean) + 30))
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    values = stabilise(gain * counts[:, None] + offset + read_noise * nodes, *noise)
    chances = poisson.pmf(counts, mean)[:, None] * weights / weights.sum()
    first, second = ((chances * values**power).sum() for power in (1, 2))
    return first, np.sqrt(second - first**2)


@pytest.mark.parametrize("noise", [(1, 0, 0), (1, 0, 0.5), CAMERA, (0.01, -3, 0.05)])
@pytest.mark.parametrize("mean", MEANS)
def test_the_inverse_returns_the_mean(mean, noise):
    gain, offset, _ = noise
    D, _ = exact_moments(mean, noise)
    photons = (float(exact_unbiased_inverse(D, *noise)) - offset) / gain
    assert photons == pytest.approx(mean, rel=0.004, abs=0.05 if mean < 4 else 0)
    if mean >= 100:
        assert photons == pytest.approx(mean, rel=2e-4)


@pytest.mark.parametrize("mean", MEANS)
def test_without_read_noise_the_inverse_is_closer(mean):
    photons = float(exact_unbiased_inverse(exact_moments(mean, (1, 0, 0))[0]))
    assert photons == pytest.approx(mean, rel=0.005 if mean < 4 else 0.002)


@pytest.mark.parametrize("noise", [(1, 0, 0), CAMERA, (0.01, -3, 0.05)])
@pytest.mark.parametrize("mean", [m for m in MEANS if m >= 4])
def test_the_stabilised_noise_has_standard_deviation_one(mean, noise):
    assert exact_moments(mean, noise)[1] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("noise", [(1, 0, 0), CAMERA])
def test_no_result_has_fewer_than_zero_photons(noise):
    stabilised = np.linspace(-5, 20, 1001)
    image = exact_unbiased_inverse(stabilised, *noise)
    assert image[0] == noise[1]
    assert (np.diff(image) >= 0).all()  # the formula's poles at 0 are not met
    assert image[-1] > noise[1] + 90 * noise[0]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i4", "f8")],
)
def test_transforms_keep_the_width_and_the_input(dtype, expected):
    image = np.arange(12).reshape(3, 4).astype(dtype)
    before = image.copy()
    stabilised = stabilise(image)
    back = exact_unbiased_inverse(stabilised)
    assert stabilised.dtype == back.dtype == np.dtype(expected)
    assert stabilised.shape == back.shape == image.shape
    np.testing.assert_array_equal(image, before)


def test_a_large_offset_loses_no_digits():
    values = np.array([1e6, 1e6 + 7], np.float32)
    np.testing.assert_allclose(stabilise(values, 1, 1e6), stabilise([0.0, 7.0]), rtol=1e-6)


@pytest.fixture(scope="module")
def clean():
    return 20 * fastgsm.datasets.dead_leaves((120, 110), random_state=0, dtype=np.float64)


@pytest.fixture(scope="module")
def counts(clean):
    return np.random.default_rng(1).poisson(clean).astype(np.float64)


@pytest.fixture(scope="module")
def from_camera(clean):
    gain, offset, read_noise = CAMERA
    rng = np.random.default_rng(2)
    return gain * rng.poisson(clean) + offset + read_noise * rng.standard_normal(clean.shape)


@pytest.mark.parametrize("quality", QUALITIES)
def test_better_than_one_sigma_for_all_pixels(clean, counts, quality):
    constant = fastgsm.denoise(counts, np.sqrt(counts.mean()), quality=quality, data_range=20)
    result = fastgsm.denoise(counts, noise="poisson", quality=quality)
    assert mse(result, clean) < 0.9 * mse(constant, clean)
    assert mse(result, clean) < 0.3 * mse(counts, clean)


def test_a_camera_is_as_good_as_its_photons(clean, from_camera):
    gain, offset, read_noise = CAMERA
    result = (fastgsm.denoise(from_camera, noise=CAMERA) - offset) / gain
    assert mse(result, clean) < 0.3 * (clean.mean() + (read_noise / gain) ** 2)
    ignorant = (fastgsm.denoise(from_camera, noise=(gain, offset, 0)) - offset) / gain
    assert mse(result, clean) < mse(ignorant, clean)


@pytest.mark.parametrize(("peak", "tolerance"), [(4, 0.03), (20, 0.01), (200, 0.003)])
def test_the_mean_is_kept(clean, peak, tolerance):
    # Denoising blurs the square roots, which loses some light, more where there is less. The
    # algebraic inverse loses another quarter of a photon, 12 % for the darkest of these.
    counts = np.random.default_rng(3).poisson(clean * (peak / 20)).astype(float)
    result = fastgsm.denoise(counts, noise="poisson")
    assert result.mean() == pytest.approx(counts.mean(), rel=tolerance)
    assert result.min() >= 0


def test_a_background_does_not_hide_the_contrast(clean):
    # The range from 0 to the brightest pixel would leave the prior a tenth of its contrasts.
    counts = np.random.default_rng(4).poisson(clean + 200).astype(float)
    result = fastgsm.denoise(counts, noise="poisson")
    whole = fastgsm.denoise(counts, noise="poisson", data_range=counts.max())
    assert mse(result, clean + 200) < 0.95 * mse(whole, clean + 200)


@pytest.mark.parametrize("factor", [0.25, 1024])
@pytest.mark.parametrize("data_range", [None, 50.0])
def test_the_units_do_not_matter(from_camera, factor, data_range):
    options = {} if data_range is None else {"data_range": data_range}
    scaled = {key: factor * value for key, value in options.items()}
    result = fastgsm.denoise(from_camera, noise=CAMERA, **options)
    noise = tuple(factor * value for value in CAMERA)
    other = fastgsm.denoise(factor * from_camera, noise=noise, **scaled)
    np.testing.assert_allclose(other, factor * result, rtol=1e-9)


def test_poisson_is_a_triple(counts):
    np.testing.assert_array_equal(
        fastgsm.denoise(counts, noise="poisson"), fastgsm.denoise(counts, noise=np.array([1, 0, 0]))
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_float_types_are_kept(counts, dtype):
    result = fastgsm.denoise(counts.astype(dtype), noise="poisson")
    assert result.dtype == np.dtype(dtype)
    expected = fastgsm.denoise(counts, noise="poisson")
    np.testing.assert_allclose(result.astype(float), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_integers_come_back_rounded(counts, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none about the data range of the type
        result = fastgsm.denoise(counts.astype(dtype), noise="poisson")
    assert result.dtype == dtype
    np.testing.assert_allclose(result, fastgsm.denoise(counts, noise="poisson"), atol=0.501)


def test_integers_are_clipped():
    # The inverse raises a saturated image above its type's maximum.
    image = np.full((16, 16), 255, np.uint8)
    assert fastgsm.denoise(image.astype(float), noise="poisson").max() > 255
    np.testing.assert_array_equal(fastgsm.denoise(image, noise="poisson"), image)


def test_colour(clean):
    colour = np.stack([clean, clean[::-1], 0.5 * clean])
    counts = np.random.default_rng(5).poisson(colour).astype(np.float32)
    result = fastgsm.denoise(counts, noise="poisson", channel_axis=0)
    assert mse(result, colour) < 0.3 * mse(counts, colour)
    last = fastgsm.denoise(np.moveaxis(counts, 0, -1), noise="poisson", channel_axis=-1)
    np.testing.assert_array_equal(np.moveaxis(last, -1, 0), result)


def test_the_image_is_left_alone_and_out_is_filled(counts):
    image = counts.copy()
    image.flags.writeable = False
    expected = fastgsm.denoise(image, noise="poisson")
    np.testing.assert_array_equal(image, counts)
    own = counts.copy()
    assert fastgsm.denoise(own, noise="poisson", out=own) is own
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("level", [0.0, 1.0, 50.0])
def test_constant_images_stay_constant(level):
    # A count without any noise is mistaken for its mean root, hence a quarter of a photon more.
    result = fastgsm.denoise(np.full((20, 20), level), noise="poisson")
    assert np.ptp(result) < 1e-9
    assert result[0, 0] == pytest.approx(level, abs=0.3)


def test_an_image_of_less_than_one_photon_warns(counts):
    with pytest.warns(UserWarning, match=r"at most 0.\d+ photons .* value of one photon") as record:
        fastgsm.denoise(counts / 100, noise="poisson", quality="fast")
    assert record[0].filename == __file__
    result = fastgsm.denoise(counts / 100, noise=(0.01, 0, 0), quality="fast")  # and no warning
    expected = fastgsm.denoise(counts, noise="poisson", quality="fast")
    np.testing.assert_allclose(result, expected / 100, rtol=1e-6)


IMAGE = np.ones((20, 20))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noise": "gamma"}, ValueError, "noise is 'gamma'; wanted 'auto', 'white'"),
        ({"noise": 3}, ValueError, r"noise is 3; wanted .* \(gain, offset, read_noise\)"),
        ({"noise": (1, 0)}, ValueError, r"noise is \(1, 0\); wanted .* three numbers"),
        ({"noise": (1, 0, 0, 0)}, ValueError, "three numbers"),
        ({"noise": "abc"}, ValueError, "noise is 'abc'"),
        ({"noise": (0, 0, 1)}, ValueError, "gain of the noise is 0; wanted a number above 0"),
        ({"noise": (-1, 0, 1)}, ValueError, "gain of the noise is -1"),
        ({"noise": (np.nan, 0, 1)}, ValueError, "gain of the noise is nan"),
        ({"noise": (1, np.inf, 1)}, ValueError, "offset of the noise is inf"),
        ({"noise": (1, 0, -2)}, ValueError, "read_noise of the noise is -2; wanted .* at least 0"),
        ({"noise": (1, 0, np.nan)}, ValueError, "read_noise of the noise is nan"),
        ({"noise": (1, "0", 0)}, TypeError, "offset of the noise is '0'"),
        ({"noise": "poisson", "sigma": 0.1}, ValueError, "sigma is 0.1 and noise is 'poisson'"),
        ({"noise": "poisson", "sigma": 0}, ValueError, "wanted one of them. Give sigma"),
        ({"noise": "poisson", "data_range": 0}, ValueError, "data_range is 0"),
        ({"noise": "poisson", "channel_axis": 0}, ValueError, "two axes of pixels"),
        ({"noise": "poisson", "image": IMAGE[:5]}, ValueError, "smaller than one patch"),
        ({"noise": "poisson", "image": IMAGE + np.inf}, ValueError, "400 NaN or infinite"),
        ({"noise": "poisson", "image": IMAGE * 1j}, TypeError, "complex128"),
    ],
)
def test_bad_input_is_named(options, error, message):
    arguments = {"image": IMAGE} | options
    with pytest.raises(error, match=message):
        fastgsm.denoise(arguments.pop("image"), **arguments)


@pytest.mark.parametrize("function", [stabilise, exact_unbiased_inverse])
def test_bad_input_to_the_transforms_is_named(function):
    for noise, message in (((0,), "gain"), ((1, np.nan), "offset"), ((1, 0, -1), "read_noise")):
        with pytest.raises(ValueError, match=f"{message} of the noise is"):
            function(IMAGE, *noise)
    with pytest.raises(ValueError, match="NaN or infinite"):
        function([np.nan])


def test_missing_pixels_in_photon_counts_are_filled() -> None:
    clean = 20 * fastgsm.datasets.dead_leaves((64, 64), random_state=0).astype(float)
    counts = np.random.default_rng(0).poisson(clean).astype(float)
    holes = counts.copy()
    holes[::5, ::7] = np.nan
    whole, filled = (fastgsm.denoise(x, noise="poisson") for x in (counts, holes))
    error, filled_error = (np.mean((x - clean) ** 2) for x in (whole, filled))
    assert error < 0.5 * np.mean((counts - clean) ** 2)
    assert filled_error < 1.3 * error


def test_photon_counts_have_no_standard_deviation() -> None:
    with pytest.raises(ValueError, match="return_std was asked for with noise that is not white"):
        fastgsm.denoise(np.full((9, 9), 5.0), noise="poisson", quality="fast", return_std=True)
