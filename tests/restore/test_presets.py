"""The priors of the presets and of the opponent colours."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

import fastgsm
from fastgsm.io import write_image
from fastgsm.metrics import mse
from fastgsm.priors import read_card
from fastgsm.restore.epll import THOROUGH_GRIDS
from fastgsm.restore.presets import PRESETS, new_two_scale_epll
from fastgsm.study import train_priors as train

SIGMA = 0.1


@pytest.fixture(scope="module")
def photograph(astronaut: Any) -> Any:
    return astronaut[20:116, 180:276]


@pytest.fixture(scope="module")
def noisy(photograph: Any) -> Any:
    return fastgsm.datasets.add_noise(photograph, SIGMA, random_state=0)


@pytest.mark.parametrize(("quality", "gain"), [("fast", 1.02), ("balanced", 1.01)])
def test_opponent_colours_gain_from_their_own_prior(
    photograph: Any, noisy: Any, quality: str, gain: float
) -> None:
    options: dict[str, Any] = {"quality": quality, "channel_axis": -1}
    own = fastgsm.denoise(noisy, SIGMA, **options)
    one = fastgsm.denoise(noisy, SIGMA, prior=PRESETS[quality].prior, **options)
    if quality == "fast":  # whose default is not a pair of priors
        own = fastgsm.denoise(noisy, SIGMA, prior=("gsm", "gsm-chroma"), **options)
    assert gain * mse(own, photograph) < mse(one, photograph)
    # The mean of the channels is the luminance, which has the same prior in both.
    np.testing.assert_allclose(own.mean(axis=2), one.mean(axis=2), atol=1e-10)


@pytest.mark.parametrize("sigma", [1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.2])
@pytest.mark.parametrize("quality", PRESETS)
def test_little_noise_is_left_in_flat_areas(quality: str, sigma: float) -> None:
    """Also of noise that is weaker than that of the training images."""
    flat = fastgsm.datasets.add_noise(np.full((64, 64, 3), 0.5), sigma, random_state=0)
    for image, axis in ((flat[:, :, 0], None), (flat, -1)):
        left = fastgsm.denoise(image, sigma, quality=quality, channel_axis=axis, data_range=1)
        assert left.std() < 0.16 * sigma


@pytest.mark.parametrize("quality", PRESETS)
def test_the_prior_of_a_preset_is_its_default(noisy: Any, quality: str) -> None:
    image = noisy[:40, :40, 0]
    options: dict[str, Any] = {"quality": quality}
    default = fastgsm.denoise(image, SIGMA, **options)
    named = fastgsm.denoise(image, SIGMA, prior=PRESETS[quality].prior, **options)
    if PRESETS[quality].cascades is None:
        np.testing.assert_array_equal(default, named)
    else:
        assert not np.array_equal(default, named)


def test_a_pair_of_priors_can_be_given(noisy: Any) -> None:
    options: dict[str, Any] = {"quality": "balanced", "channel_axis": -1}
    image = noisy[:40, :40]
    pair = (PRESETS["balanced"].prior, fastgsm.load_prior("mogsm-chroma"))
    default = fastgsm.denoise(image, SIGMA, **options)
    np.testing.assert_array_equal(fastgsm.denoise(image, SIGMA, prior=pair, **options), default)


@pytest.mark.parametrize(
    ("prior", "options", "message"),
    [
        (("mogsm", "gsm"), {"channel_axis": -1}, "have 64 and 1 shapes"),
        (("gsm",), {"channel_axis": -1}, "a sequence of 1, for 3 channels"),
        (("gsm", "gsm-chroma"), {"channel_axis": None}, "for 1 channels; wanted one prior"),
    ],
)
def test_priors_that_do_not_fit_are_refused(
    noisy: Any, prior: Any, options: Any, message: str
) -> None:
    image = noisy if options["channel_axis"] else noisy[..., 0]
    with pytest.raises(ValueError, match=message):
        fastgsm.denoise(image, SIGMA, prior=prior, **options)


def test_a_pair_without_shapes_is_refused_not_ignored(noisy: Any) -> None:
    X = fastgsm.sample_patches(noisy[..., 0], 8, 500, random_state=0)
    ica = fastgsm.ICA(n_scales=2).fit(X)
    with pytest.raises(ValueError, match="have 0 and 0 shapes"):
        fastgsm.denoise(noisy, SIGMA, prior=(ica, ica), quality="balanced", channel_axis=-1)


def test_opponent_priors_are_for_three_channels(noisy: Any) -> None:
    options: dict[str, Any] = {"quality": "balanced", "channel_axis": -1}
    image = noisy[:40, :40, :2]
    default = fastgsm.denoise(image, SIGMA, **options)
    named = fastgsm.denoise(image, SIGMA, prior="mogsm", **options)
    np.testing.assert_array_equal(default, named)


@pytest.mark.parametrize("shape", [(5, 5), (5, 40), (40, 4)])
def test_images_smaller_than_the_refinement_are_not_refined(
    noisy: Any, monkeypatch: Any, shape: tuple[int, int]
) -> None:
    X = fastgsm.sample_patches(noisy[..., 0], 4, 2000, random_state=0)
    prior = fastgsm.MoGSM(2, 2, tol=0.1, random_state=0).fit(X)
    image = noisy[: shape[0], : shape[1], 0]
    best = fastgsm.denoise(image, SIGMA, prior=prior, quality="best", progress=True)
    thorough = partial(new_two_scale_epll, grids=THOROUGH_GRIDS)
    monkeypatch.setitem(PRESETS, "balanced", replace(PRESETS["balanced"], new=thorough))
    pilot = fastgsm.denoise(image, SIGMA, prior=prior, quality="balanced")
    np.testing.assert_array_equal(best, pilot)


@pytest.fixture(scope="module")
def images() -> list[Any]:
    return [np.rint(skimage.data.astronaut()[:96, i : i + 96]).astype(np.uint8) for i in (0, 200)]


def test_opponent_patches_match_the_planes_that_denoise_restores(images: list[Any]) -> None:
    luminance, first, second = train.opponent_patches(images, 200)
    grey = [np.repeat(image[..., :1], 3, axis=2) for image in images]
    flat = train.opponent_patches(grey, 200)
    expected = train.draw([image[..., 0] / 255 for image in grey], 200)
    np.testing.assert_allclose(flat[0], expected, atol=1e-6)  # grey has the prior's contrast
    np.testing.assert_allclose(flat[1:], 0, atol=1e-6)
    assert luminance.std() > 2 * max(first.std(), second.std()) > 0


def test_chroma_under_shapes(images: list[Any]) -> None:
    patches = train.opponent_patches(images, 3000)
    luminance = fastgsm.MoGSM(2, 3, tol=0.1, random_state=0).fit(patches[0])
    chroma = train.ChromaUnderShapes(luminance).fit(patches)
    mixture = chroma.mixture()
    assert mixture.weights_.shape == (2, 3)
    shapes = luminance.predict(patches[0]) // 3
    # A patch's likelihood is under its shape alone, without the weight of the shape.
    scores = []
    for k in range(2):
        group = np.concatenate(patches[1:, shapes == k])
        alone = fastgsm.MoGSM(1, 3, tol=1e-2, random_state=0).fit(group)
        np.testing.assert_allclose(mixture.covariances_[k], alone.covariances_[0], rtol=1e-9)
        scores.append(alone.score_samples(group))
    assert chroma.score(patches) == pytest.approx(np.concatenate(scores).mean(), rel=1e-3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all recipes few patches and models that are learned quickly."""
    luminance = lambda folder: fastgsm.MoGSM(2, 2, max_iter=40, tol=1.0, random_state=0)  # noqa: E731
    for name, recipe in train.RECIPES.items():
        new = luminance if name in ("mogsm", "mogsm-large") else recipe.new_model
        quick = recipe._replace(n_places=800, n_held_out=100, new_model=new, quality="fast")
        monkeypatch.setitem(train.RECIPES, name, quick)
    for name in ("camera", "astronaut"):
        part = getattr(skimage.data, name)()[:64, 180:244]
        monkeypatch.setattr(skimage.data, name, lambda part=part: part)


@pytest.fixture
def photographs(images: list[Any], tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i, image in enumerate(images):
        write_image(folder / f"{i}.png", image)
    return folder


def test_training_continues_where_it_ended(
    small: None, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(photographs), "--out", str(tmp_path), "--resume", "--prior"]
    assert train.main([*command, "gsm"]) == 0
    before = (tmp_path / "gsm.npz").stat().st_mtime_ns
    done: list[str] = []
    monkeypatch.setattr(train, "train", lambda name, *_: done.append(name))
    train.main([*command, "gsm", "gsm-chroma"])
    assert done == ["gsm-chroma"]
    (tmp_path / "gsm.md").unlink()  # interrupted before it was complete
    train.main([*command, "gsm"])
    assert done == ["gsm-chroma", "gsm"]
    assert (tmp_path / "gsm.npz").stat().st_mtime_ns == before


def test_chroma_follows_the_luminance_trained_before(
    small: None, images: list[Any], tmp_path: Path
) -> None:
    assert train.trained("mogsm", tmp_path).weights_.shape == (64, 8)  # type: ignore[attr-defined]
    train.train("mogsm", images, tmp_path)
    text = train.train("mogsm-chroma", images, tmp_path)
    assert fastgsm.load(tmp_path / "mogsm-chroma.npz").weights_.shape == (2, 2)  # type: ignore[attr-defined]
    assert "in that the score is not held out" in text


@pytest.mark.parametrize("name", train.RECIPES)
def test_a_card_states_the_number_of_patches(images: list[Any], name: str) -> None:
    recipe = train.RECIPES[name]
    card = read_card(name)
    assert f"at {recipe.n_places:,} random places" in card["Data"]
    assert f"at {recipe.n_held_out:,} places" in card["Held-out log-likelihood"]
    assert (", one of each opponent colour at each" in card["Data"]) == ("chroma" in name)
    # The patches that a model of this name learns from, at 200 places.
    drawn = recipe.patches(images, 200)
    chroma = drawn[1:] if drawn.ndim == 3 else drawn
    assert chroma.size == 64 * 200 * (2 if "chroma" in name else 1)


@pytest.mark.parametrize("name", ["gsm", "gsm-chroma"])
def test_a_card_has_the_psnr_of_its_model(name: str) -> None:
    said = float(read_card(name)["PSNR"].split(" dB")[0])
    assert train.restored(name, Path(train.__file__).parent) == pytest.approx(said, abs=0.01)
