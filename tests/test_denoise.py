"""Whole images: every option of `denoise` does what its documentation promises."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.metrics import mse
from tests.helpers import QUALITIES, new_models

SIGMA = 0.1

single_pass = partial(fastgsm.denoise, quality="fast")


@pytest.fixture(params=QUALITIES)
def denoise(request):
    return partial(fastgsm.denoise, quality=request.param)


@pytest.fixture(scope="module")
def clean():
    return fastgsm.datasets.dead_leaves((90, 77), random_state=0)


@pytest.fixture(scope="module")
def noisy(clean):
    return fastgsm.datasets.add_noise(clean, SIGMA, random_state=1)


@pytest.fixture(scope="module")
def models():
    image = fastgsm.datasets.dead_leaves((200, 200), random_state=5)
    X = fastgsm.sample_patches(image, 6, 4000, random_state=0)
    raw = fastgsm.sample_patches(image, 6, 4000, center=None, random_state=0)
    return {
        **{name: each.fit(X) for name, each in new_models(tol=0.1, random_state=0).items()},
        "raw MVN": fastgsm.MVN().fit(raw),
        "global GSM": fastgsm.GSM(4).fit(raw - raw.mean(axis=0)),
    }


def precisions(model, patches, sigma):
    """Return one over each patch's expected squared error in sigma^2, the filter's trace."""
    if model.separable:
        return np.ones((len(patches), 1))
    log_prob, traces = [], []
    weights, scales = (
        a.reshape(len(model.means_), -1)
        for a in (model.weights_, getattr(model, "scales_", np.ones_like(model.weights_)))
    )
    removed = model.n_features_in_ - model.eigenvalues_.shape[1]
    for k, j in np.ndindex(weights.shape):
        v = scales[k, j] * model.eigenvalues_[k]
        z = (patches - model.means_[k]) @ model.eigenvectors_[k]
        energy = (z**2 / (v + sigma**2)).sum(axis=1) + np.log(v + sigma**2).sum()
        log_prob.append(np.log(weights[k, j]) - energy / 2)
        traces.append((v / (v + sigma**2)).sum() + removed)
    c = np.exp(log_prob - np.logaddexp.reduce(log_prob, axis=0))
    return 1 / (traces @ c)[:, None]


def naive_denoise(image, sigma, model, p, stride=1):
    """Extract, centre, restore and average by precision, patch by patch."""
    level = 0.0
    patches = fastgsm.extract_patches(image, p, stride)
    mean = np.zeros((len(patches), 1))
    if model.eigenvectors_.shape[-1] == p * p - 1:
        mean = patches.mean(axis=1, keepdims=True)
    elif np.abs(model.means_).max() < 1e-10:
        level = image.mean()
    noisy = patches - level - mean
    restored = model.denoise_patches(noisy, sigma) + level + mean
    weights = np.repeat(precisions(model, noisy, sigma), p * p, axis=1)
    total, weight = (
        fastgsm.aggregate_patches(x, image.shape, p, stride) for x in (weights * restored, weights)
    )
    return total / weight


@pytest.fixture
def no_flat_tail(monkeypatch):
    monkeypatch.setattr(fastgsm.restore.single_pass, "FLAT_TAIL_LOSS", 0.0)


@pytest.mark.usefixtures("no_flat_tail")
@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("name", [*MODELS, "raw MVN", "global GSM"])
def test_equals_the_patchwise_computation(noisy, models, name, stride):
    image = noisy.astype(np.float64)
    expected = naive_denoise(image, SIGMA, models[name], 6, stride)
    result = single_pass(image, SIGMA, prior=models[name], stride=stride)
    # With several shapes, responsibilities below 1e-6 are left out on purpose.
    atol = 1e-9 if len(models[name].means_) == 1 else 1e-6
    np.testing.assert_allclose(result, expected, atol=atol)


@pytest.mark.usefixtures("no_flat_tail")
@pytest.mark.parametrize("name", ["GSM", "ICA"])
def test_center_uses_the_central_pixel_of_each_patch(noisy, models, name):
    image = noisy.astype(np.float64)
    result = single_pass(image, SIGMA, prior=models[name], aggregation="center")
    assert result.shape == image.shape
    padded = np.pad(image, ((3, 2), (3, 2)), mode="symmetric")
    patches = fastgsm.extract_patches(padded, 6)
    mean = patches.mean(axis=1, keepdims=True)
    restored = models[name].denoise_patches(patches - mean, SIGMA) + mean
    np.testing.assert_allclose(result.ravel(), restored[:, 3 * 6 + 3], atol=1e-9)


@pytest.mark.parametrize("sigma", [5 / 255, 25 / 255, 100 / 255])
def test_the_flat_tail_costs_no_more_than_promised(clean, monkeypatch, sigma):
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=0)
    approximate = single_pass(noisy, sigma, prior="gsm")
    monkeypatch.setattr(fastgsm.restore.single_pass, "FLAT_TAIL_LOSS", 0.0)
    exact = single_pass(noisy, sigma, prior="gsm")
    assert (approximate != exact).any()
    assert mse(approximate, clean) < (1 + 0.002) * mse(exact, clean)


def test_default_prior_removes_most_of_the_noise(denoise, clean, noisy):
    before = mse(noisy, clean)
    assert mse(denoise(noisy, SIGMA), clean) < 0.4 * before
    assert mse(denoise(noisy), clean) < 0.4 * before
    assert mse(single_pass(noisy, SIGMA, aggregation="center"), clean) < 0.45 * before


@pytest.fixture(scope="module")
def photograph_models(astronaut):
    """Fit MVN and GSM to patches of one photograph, as priors for another."""
    X = fastgsm.sample_patches(astronaut.mean(axis=2), random_state=0)
    return fastgsm.MVN().fit(X), fastgsm.GSM(6).fit(X)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1, 0.2])
def test_scales_beat_one_gaussian_and_averaging_beats_centres(camera, photograph_models, sigma):
    clean = camera[60:260, 150:350]
    noisy = fastgsm.datasets.add_noise(clean, sigma, random_state=2)
    errors = {
        (name, how): mse(single_pass(noisy, sigma, prior=model, aggregation=how), clean)
        for name, model in zip(("mvn", "gsm"), photograph_models, strict=True)
        for how in ("mean", "center")
    }
    assert errors["gsm", "mean"] < errors["mvn", "mean"] < mse(noisy, clean)
    assert errors["gsm", "mean"] < errors["gsm", "center"]
    assert errors["mvn", "mean"] < errors["mvn", "center"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_float_types_are_kept(denoise, noisy, dtype):
    image = noisy.astype(dtype)
    result = denoise(image, SIGMA)
    assert result.dtype == np.dtype(dtype)
    tolerance = 2e-3 if np.dtype(dtype).itemsize == 2 else 1e-4
    # From the same rounded image, because another may choose another shape for a patch.
    expected = denoise(image.astype(float), SIGMA)
    np.testing.assert_allclose(result.astype(float), expected, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
def test_integers_come_back_rounded_and_clipped(denoise, clean, dtype):
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    image = np.clip(np.rint((clean + SIGMA * rng.standard_normal(clean.shape)) * top), 0, top)
    image = image.astype(dtype)
    result = denoise(image, SIGMA * top)
    assert result.dtype == dtype
    expected = denoise(image / top, SIGMA)
    np.testing.assert_allclose(
        result / top, np.clip(expected, np.iinfo(dtype).min / top, 1), atol=0.6 / top + 1e-5
    )


def test_data_range_scales_the_problem(denoise, noisy):
    result = denoise(noisy * 255, SIGMA * 255, data_range=255.0)
    np.testing.assert_allclose(result, denoise(noisy, SIGMA) * 255, atol=0.01)


@pytest.mark.parametrize("dtype", ["u2", "i4", "f2", "f4", "f8"])
def test_the_byte_order_does_not_matter(denoise, noisy, dtype):
    image = np.rint(1000 * noisy.clip(0, 1)).astype(f"<{dtype}")
    for options in ({"sigma": 100}, {}):
        native = denoise(image, data_range=1000, **options)
        swapped = denoise(image.astype(f">{dtype}"), data_range=1000, **options)
        assert swapped.dtype == np.dtype(f">{dtype}")
        np.testing.assert_array_equal(swapped, native)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32])
def test_values_far_from_the_data_range_are_warned_about(noisy, dtype):
    image = np.clip(np.rint(noisy * 255), 0, 255).astype(dtype)
    with pytest.warns(UserWarning, match=r"spans .*, the data range of its type"):
        by_itself = single_pass(image, 25)
    result = single_pass(image, 25, data_range=255)  # and no warning
    assert np.abs(by_itself.astype(float) - result).mean() < 0.5
    expected = single_pass(image / 255, 25 / 255) * 255
    if dtype is np.uint16:
        expected = expected.clip(0)
    np.testing.assert_allclose(result, expected, atol=0.51)


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.full((9, 9), 3, np.uint8), 9 * np.eye(9)])
def test_dark_images_and_strong_noise_are_not_warned_about(image):
    single_pass(image, 0.1)


def test_colour_is_decorrelated(denoise, clean):
    colour = np.stack([clean, clean[::-1], 0.5 * clean], axis=-1)
    noisy = fastgsm.datasets.add_noise(colour, SIGMA, random_state=3)
    result = denoise(noisy, SIGMA, channel_axis=-1)
    assert result.shape == colour.shape
    assert mse(result, colour) < 0.4 * mse(noisy, colour)
    first = denoise(np.moveaxis(noisy, -1, 0), SIGMA, channel_axis=0)
    np.testing.assert_array_equal(np.moveaxis(first, 0, -1), result)


def test_one_channel_is_a_grey_image(denoise, noisy):
    expected = denoise(noisy, SIGMA)
    np.testing.assert_array_equal(denoise(noisy[None], SIGMA, channel_axis=0)[0], expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 40, 30), (40, 30, 1), (1, 40, 30), (40, 1, 30)])
def test_axes_of_length_one_are_left_out_and_come_back(noisy, shape):
    image = noisy[:40, :30]
    expected, std = single_pass(image, SIGMA, return_std=True)
    result = single_pass(image.reshape(shape), SIGMA, return_std=True)
    np.testing.assert_array_equal(result, (expected.reshape(shape), std.reshape(shape)))
    mask = np.random.default_rng(0).random(image.shape) > 0.1
    levels = np.where(mask, SIGMA, 2 * SIGMA)
    expected = single_pass(image, levels, mask=mask)
    for given in (mask, mask.reshape(shape)):
        out = np.empty(shape, image.dtype)
        single_pass(image.reshape(shape), levels.reshape(shape), mask=given, out=out)
        np.testing.assert_array_equal(out, expected.reshape(shape))
    with pytest.raises(ValueError, match=r"out has shape .* wanted a writable array of shape"):
        single_pass(image.reshape(shape), SIGMA, out=np.empty_like(image))


def test_a_stack_is_not_taken_for_channels(noisy):
    """Slices denoised as channels come out worse than one by one."""
    with pytest.raises(ValueError, match="Denoise the slices of a stack one by one") as caught:
        single_pass(np.stack([noisy] * 5), SIGMA)
    assert "channel_axis=" not in str(caught.value)
    with pytest.raises(ValueError, match="For a colour image give channel_axis=-1"):
        single_pass(np.dstack([noisy] * 3), SIGMA)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9), (9, 8), (8, 300), (40, 8)])
def test_any_size_down_to_one_patch(denoise, shape):
    image = np.random.default_rng(0).random(shape)
    for result in (denoise(image, 0.3), single_pass(image, 0.3, aggregation="center")):
        assert result.shape == shape
        assert np.isfinite(result).all()
        assert result.std() < image.std()


@pytest.mark.parametrize("name", ["GSM", "MoGSM", "ICA"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_do_not_depend_on_the_workers(denoise, noisy, models, name, dtype):
    image = noisy.astype(dtype)
    one = denoise(image, SIGMA, prior=models[name], workers=1)
    np.testing.assert_array_equal(one, denoise(image, SIGMA, prior=models[name]))
    np.testing.assert_array_equal(one, denoise(image, SIGMA, prior=models[name], workers=2))


def test_the_bits_do_not_depend_on_the_calls(noisy, monkeypatch):
    expected = single_pass(noisy, SIGMA)
    monkeypatch.setattr(fastgsm.restore.single_pass, "BANDS_PER_CALL", 1)
    np.testing.assert_array_equal(single_pass(noisy, SIGMA), expected)


def test_input_is_not_modified_and_layout_does_not_matter(denoise, noisy):
    image = noisy.copy()
    image.flags.writeable = False
    expected = denoise(image, SIGMA)
    np.testing.assert_array_equal(image, noisy)
    np.testing.assert_array_equal(denoise(np.asfortranarray(image), SIGMA), expected)
    wide = np.repeat(image, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(denoise(wide, SIGMA), expected)
    np.testing.assert_allclose(denoise(image.tolist(), SIGMA), expected, atol=1e-5)


def test_out_is_filled_and_may_be_the_image(denoise, noisy):
    expected = denoise(noisy, SIGMA)
    out = np.empty_like(noisy)
    assert denoise(noisy, SIGMA, out=out) is out
    np.testing.assert_array_equal(out, expected)
    own = noisy.copy()
    denoise(own, SIGMA, out=own)
    np.testing.assert_array_equal(own, expected)


def test_no_noise_gives_a_copy(noisy):
    result = single_pass(noisy, 0)
    np.testing.assert_array_equal(result, noisy)
    assert not np.shares_memory(result, noisy)


def test_constant_images_stay_constant(denoise):
    np.testing.assert_allclose(denoise(np.full((20, 20), 0.3), 0.1), 0.3, atol=1e-12)
    np.testing.assert_array_equal(denoise(np.full((20, 20), 7, np.uint8), 5.0), 7)


def test_progress_goes_to_stderr(noisy, capsys):
    single_pass(noisy, SIGMA, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "denoising" in captured.err


def test_bundled_priors_have_cards():
    folder = Path(fastgsm.priors.__file__).parent
    assert fastgsm.list_priors() == ["gsm", "gsm-chroma", "mogsm", "mogsm-chroma", "mogsm-large"]
    for name in fastgsm.list_priors():
        assert fastgsm.load_prior(name).n_features_in_ == 64
        assert name in (folder / f"{name}.md").read_text()


IMAGE = np.zeros((20, 20))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": np.zeros((5, 9))}, ValueError, "5x9 pixels is smaller than one patch of 8x8"),
        ({"image": np.zeros((20, 20, 3))}, ValueError, "give channel_axis"),
        ({"image": np.zeros(20)}, ValueError, "1 dimensions"),
        ({"image": np.zeros((20, 20), complex)}, TypeError, "complex128"),
        ({"image": np.array([["a"]])}, TypeError, "wanted integers or real floats"),
        ({"image": np.where(np.eye(20), np.inf, 0)}, ValueError, "20 NaN or infinite"),
        ({"sigma": -1}, ValueError, "sigma is -1"),
        ({"sigma": np.nan}, ValueError, "sigma is nan"),
        ({"sigma": "high"}, TypeError, "sigma is 'high'"),
        ({"prior": "nope"}, ValueError, "no bundled prior 'nope'; wanted one of gsm"),
        ({"prior": 3}, TypeError, "prior is a int"),
        ({"prior": fastgsm.GSM()}, fastgsm.NotFittedError, "not fitted"),
        ({"quality": "top"}, ValueError, "quality is 'top'"),
        ({"aggregation": "median"}, ValueError, "aggregation is 'median'"),
        ({"aggregation": "center", "stride": 2}, ValueError, "needs stride 1"),
        ({"stride": 9}, ValueError, "stride is 9"),
        ({"channel_axis": 0}, ValueError, "two axes of pixels and one of channels"),
        ({"channel_axis": "last"}, TypeError, "channel_axis is 'last'"),
        ({"data_range": 0}, ValueError, "data_range is 0"),
        ({"workers": 0}, ValueError, "workers is 0"),
        ({"out": np.zeros((20, 21))}, ValueError, "out has shape"),
        ({"out": [1]}, TypeError, "out is a list"),
        ({"random_state": -1}, ValueError, "random_state is -1"),
    ],
)
def test_bad_input_is_named(options, error, message):
    arguments = {"image": IMAGE, "sigma": 0.1} | options
    with pytest.raises(error, match=message):
        single_pass(arguments.pop("image"), arguments.pop("sigma"), **arguments)


def test_a_prior_for_patches_that_are_not_square_is_refused():
    model = fastgsm.MVN().fit(np.random.default_rng(0).random((50, 5)))
    with pytest.raises(ValueError, match="5 features, which is not a square number"):
        single_pass(IMAGE, 0.1, prior=model)
