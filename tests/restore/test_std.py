"""The standard deviation that `denoise` returns, compared with the errors it made."""

from functools import partial

import numpy as np
import pytest

import fastgsm
from fastgsm.restore.single_pass import left_by_averaging

denoise = partial(fastgsm.denoise, quality="fast", return_std=True, data_range=1)

NOISE = [10 / 255, 25 / 255, 50 / 255]


@pytest.fixture(scope="module")
def photographs(camera, astronaut):
    return [image.astype(np.float32) for image in (camera, astronaut @ [0.299, 0.587, 0.114])]


@pytest.fixture(scope="module")
def small(photographs):
    return photographs[0][100:180, 200:271]


def restored(clean, sigma, **options):
    """Add noise to an image and denoise it; also return the z-scores of the errors."""
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=0)
    denoised, std = denoise(noisy, sigma, **options)
    return denoised, std, (denoised.astype(float) - clean) / std


@pytest.mark.parametrize("sigma", NOISE)
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("prior", ["gsm", None])
def test_errors_are_as_large_as_the_std_predicts(photographs, sigma, stride, prior):
    # Without a prior a cascade restores, whose errors the model predicts less well.
    least, most, least_spread, most_spread = (
        (0.8, 1.25, 0.55, 1.4) if prior else (0.7, 1.25, 0.45, 1.5)
    )
    for clean in photographs:
        _, std, z = restored(clean, sigma, stride=stride, prior=prior)
        assert least < z.std() < most
        assert abs(z.mean()) < 0.1
        # The same where the std is small and where it is large. The sky in the grey photograph
        # is flatter than the prior expects, so the errors there are smaller.
        fifths = np.digitize(std, np.quantile(std, [0.2, 0.4, 0.6, 0.8]))
        spreads = [z[fifths == k].std() for k in range(5)]
        assert min(spreads) > least_spread
        assert max(spreads) < most_spread


@pytest.mark.parametrize("sigma", NOISE)
def test_std_is_larger_at_edges(photographs, sigma):
    for clean in photographs:
        denoised, std, _ = restored(clean, sigma)
        gradient = np.hypot(*np.gradient(clean))
        edges = gradient > np.quantile(gradient, 0.95)
        flat = gradient < np.median(gradient)
        assert std[edges].mean() > 1.4 * std[flat].mean()
        # And so are the errors.
        errors = np.abs(denoised - clean)
        assert np.corrcoef(std.ravel(), errors.ravel())[0, 1] > 0.25


@pytest.mark.parametrize("sigma", NOISE)
def test_colour(astronaut, sigma):
    clean = astronaut[:256, :256].astype(np.float32)
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=0)
    denoised, std = denoise(noisy, sigma, channel_axis=-1)
    z = (denoised - clean) / std
    assert std.shape == denoised.shape == clean.shape
    assert std.flags.c_contiguous
    for channel in range(3):
        assert 0.7 < z[..., channel].std() < 1.3
    _, first = denoise(np.moveaxis(noisy, -1, 0), sigma, channel_axis=0)
    np.testing.assert_array_equal(np.moveaxis(first, 0, -1), std)


def test_channels_have_the_variance_of_the_mixed_planes(small):
    noisy = [fastgsm.datasets.add_noise(small, 0.1, random_state=i) for i in (0, 1)]
    _, std = denoise(np.stack(noisy), 0.1, channel_axis=0)
    np.testing.assert_allclose(std[0], std[1], rtol=1e-5)
    mixed = (noisy[0] + noisy[1]) / 2, (noisy[0] - noisy[1]) / 2
    planes = [denoise(plane, 0.1 / np.sqrt(2))[1] for plane in mixed]
    np.testing.assert_allclose(std[0], np.hypot(*planes), rtol=1e-4)


def test_the_formula_where_one_patch_covers_all(small):
    """One patch averages nothing, so the variance is sigma^2 times slope and filter's trace."""
    patch = small[:8, :8].astype(np.float64)
    model = fastgsm.MVN().fit(fastgsm.sample_patches(small, 8, 500, random_state=0))
    _, std = denoise(patch, 0.1, prior=model)
    v = model.eigenvalues_[0]
    trace = 1 + (v / (v + 0.1**2)).sum()
    expected = np.sqrt(fastgsm.restore.single_pass.TRACE_SLOPE * trace / 64) * 0.1
    np.testing.assert_allclose(std, expected, rtol=2e-3)  # from the flat tail


@pytest.mark.parametrize(("patch_size", "stride"), [(8, 1), (8, 2), (8, 8), (6, 3)])
def test_averaging_leaves_the_variance_of_overlapping_means(patch_size, stride):
    """Compare with the mean correlation of all pairs of overlapping means, one by one."""
    n = patch_size // stride
    starts = stride * np.arange(n)
    windows = np.zeros((n, 2 * patch_size))
    for window, start in zip(windows, starts, strict=True):
        window[start : start + patch_size] = 1 / patch_size
    expected = (windows.mean(axis=0) ** 2).sum() * patch_size
    result = left_by_averaging(np.array([1.0, n]), patch_size, stride)
    np.testing.assert_allclose(result, [1, expected])


@pytest.mark.parametrize("stride", [1, 3, 5, 8])
def test_std_is_finite_and_positive_everywhere(small, stride):
    for image in (small, small[:8, :9], np.full((20, 30), 0.5), np.eye(40)):
        denoised, std = denoise(image, 0.1, stride=stride)
        assert std.shape == denoised.shape
        assert np.isfinite(std).all()
        assert (std > 0).all()
        assert (std < 0.1 * 1.1).all()  # the noise itself, and the slope of a full trace


@pytest.mark.parametrize("scale", [0.01, 255.0])
def test_std_scales_with_the_image(small, scale):
    noisy = fastgsm.datasets.add_noise(small, 0.1, random_state=0)
    _, std = denoise(noisy, 0.1)
    _, scaled = denoise(noisy * scale, 0.1 * scale, data_range=scale)
    np.testing.assert_allclose(scaled, std * scale, rtol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float16, "f4"), (np.float32, "f4"), (np.float64, "f8"), (">f8", "f8")],
)
def test_std_of_floats_keeps_their_precision(small, dtype, expected):
    _, std = denoise(small.astype(dtype), 0.1)
    assert std.dtype == np.dtype(expected)
    np.testing.assert_allclose(std, denoise(small.astype(float), 0.1)[1], rtol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_std_of_integers_is_in_grey_levels_and_not_rounded(small, dtype):
    top = np.iinfo(dtype).max
    image = np.rint(small * top).astype(dtype)
    denoised, std = denoise(image, 0.1 * top, data_range=top)
    assert denoised.dtype == dtype
    assert std.dtype == np.float32
    np.testing.assert_allclose(std, denoise(image / top, 0.1)[1] * top, rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"stride": 3}, {"workers": 1}, {"prior": "mogsm"}])
def test_the_image_is_the_same_to_the_bit(small, options):
    noisy = fastgsm.datasets.add_noise(small, 0.1, random_state=0)
    expected = fastgsm.denoise(noisy, 0.1, quality="fast", **options)
    np.testing.assert_array_equal(denoise(noisy, 0.1, **options)[0], expected)
    colour = np.stack([noisy, noisy[::-1], noisy[:, ::-1]])
    expected = fastgsm.denoise(colour, 0.1, quality="fast", channel_axis=0, **options)
    np.testing.assert_array_equal(denoise(colour, 0.1, channel_axis=0, **options)[0], expected)


def test_out_receives_the_image(small):
    noisy = fastgsm.datasets.add_noise(small, 0.1, random_state=0)
    expected, std = denoise(noisy, 0.1)
    out = noisy.copy()
    denoised, again = denoise(out, 0.1, out=out)
    assert denoised is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(again, std)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_no_noise_has_no_error(small, dtype):
    image = np.rint(small * 255).astype(dtype)
    denoised, std = denoise(image, 0, data_range=255)
    np.testing.assert_array_equal(denoised, image)
    assert not np.shares_memory(denoised, image)
    assert std.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_array_equal(std, np.zeros(image.shape))


@pytest.mark.parametrize("sigma", [0, 0.1])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": "balanced"}, "quality is 'balanced' .* needs quality='fast'.* Give these"),
        ({"quality": "best"}, "quality is 'best' .* needs quality='fast'"),
        ({"aggregation": "center"}, "aggregation 'center'.* and aggregation='mean'"),
    ],
)
def test_options_without_a_std_are_refused(small, sigma, options, message):
    with pytest.raises(ValueError, match=message):
        denoise(small, sigma, **options)


def test_models_without_filters_are_refused(small):
    model = fastgsm.ICA(2, tol=0.1).fit(fastgsm.sample_patches(small, 6, 500, random_state=0))
    with pytest.raises(
        ValueError, match=r"a ICA; .* needs an MVN, GSM, GMM(,| or) MoGSM.*\. Give one"
    ):
        denoise(small, 0.1, prior=model)
