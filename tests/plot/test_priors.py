"""Figures of what models have learnt show the numbers of the model."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import fastgsm
from fastgsm import plot
from tests.helpers import new_models

IMAGE = fastgsm.datasets.dead_leaves((40, 48), random_state=0).astype(np.float64)
X = fastgsm.sample_patches(IMAGE, 4, 800, random_state=0)
MODELS = {name: model.fit(X) for name, model in new_models(tol=0.1, random_state=0).items()}
SHAPES = [name for name, model in MODELS.items() if len(model.covariances_) > 1]
ONE_SHAPE = [name for name in MODELS if not (name in SHAPES or MODELS[name].separable)]
each_model = pytest.mark.parametrize("name", MODELS)
each_figure_of_a_model = pytest.mark.parametrize(
    "draw", [plot.plot_scales, plot.plot_eigenvectors, plot.plot_samples]
)


def shown(ax: Any) -> Any:
    """Return the images (rows, columns, 4, 4) of the mosaic on some axes, without its margins."""
    image = np.ma.filled(ax.images[0].get_array(), np.nan)
    rows, columns = image.shape[0] // 5, image.shape[1] // 5
    tiles = image[:-1, :-1].reshape(rows, 5, columns, 5).transpose(0, 2, 1, 3)
    assert np.isnan(tiles[:, :, 0]).all() and np.isnan(tiles[:, :, :, 0]).all()
    return tiles[:, :, 1:, 1:]


def drawn_inside(figure: Figure) -> None:
    """Check that everything is drawn inside the figure."""
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.y0 >= -0.01, drawn
    assert drawn.x1 <= width + 0.01 and drawn.y1 <= height + 0.01, drawn


@pytest.mark.parametrize("name", ONE_SHAPE)
def test_scales_of_one_shape_are_stems(name: str) -> None:
    model = MODELS[name]
    (line,) = plot.plot_scales(model).lines
    variance = np.trace(model.covariances_[0]) / 16
    np.testing.assert_allclose(line.get_xdata(), np.sqrt(model.scales_ * variance))
    np.testing.assert_array_equal(line.get_ydata(), model.weights_)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ONE_SHAPE])
def test_scales_of_several_shapes_are_discs_by_weight(name: str) -> None:
    model = MODELS[name]
    (discs,) = plot.plot_scales(model).collections
    weights, scales = (
        np.reshape(a, (len(model.weights_), -1)) for a in (model.weights_, model.scales_)
    )
    variances = (
        model.eigenvalues_
        if model.separable
        else np.trace(model.covariances_, axis1=1, axis2=2) / 16
    )
    order = np.arange(15) if model.separable else np.argsort(-weights.sum(axis=1))
    contrasts = np.sqrt(scales * variances[:, None])[order]
    lines = np.repeat(np.arange(1, len(order) + 1), weights.shape[1])
    np.testing.assert_allclose(discs.get_offsets(), np.column_stack([contrasts.ravel(), lines]))
    areas = discs.get_sizes()
    np.testing.assert_allclose(areas / areas.sum(), weights[order].ravel() / weights.sum())


@each_model
def test_eigenvectors_are_those_of_the_heaviest_shapes(name: str) -> None:
    model = MODELS[name]
    ax = plot.plot_eigenvectors(model, n_shapes=2, n_vectors=5)
    tiles = shown(ax)
    single = name not in SHAPES
    assert tiles.shape == (1 if single else 2, 5, 4, 4)
    shapes = model.weights_.reshape(len(model.means_), -1).sum(axis=1) if not single else [1.0]
    heaviest = int(np.argmax(shapes))
    vectors = model.eigenvectors_ if model.separable else model.eigenvectors_[heaviest]
    for i in range(5):
        v = vectors[:, i].reshape(4, 4)
        np.testing.assert_allclose(tiles[0, i], v / np.abs(v).max())
    labels = [t.get_text() for t in ax.get_yticklabels()]
    if single:
        assert labels == []
    else:
        assert labels[0] == f"shape {heaviest}: {100 * shapes[heaviest]:.1f} %"


@each_model
def test_samples_are_the_models(name: str) -> None:
    ax = plot.plot_samples(MODELS[name], 7, random_state=3)
    tiles = shown(ax).reshape(-1, 16)
    expected, _ = MODELS[name].sample(7, random_state=3)
    np.testing.assert_allclose(tiles[:7], expected - expected.mean(), atol=1e-12)
    assert np.isnan(tiles[7:]).all()
    low, high = ax.images[0].get_clim()
    assert low == -high


@pytest.mark.parametrize("image", [IMAGE, (IMAGE * 255).astype(np.uint8)], ids=["float", "uint8"])
def test_responsibilities_of_scales_from_the_least_contrast(image: Any) -> None:
    model = MODELS["GSM"]
    axes = plot.plot_responsibilities(model, image)
    expected = model.predict_proba(fastgsm.extract_patches(image, 4, center="patch"))
    order = np.argsort(model.scales_)
    assert len(axes) == 4
    for ax, j in zip(axes[1:], order, strict=True):
        np.testing.assert_allclose(
            ax.images[0].get_array(), expected[:, j].reshape(37, 45), atol=1e-6
        )
        assert ax.texts[0].get_text() == f"{100 * expected[:, j].mean():.1f} % of the patches"
    unit = image / (255 if image.dtype == np.uint8 else 1)
    np.testing.assert_allclose(axes[0].images[0].get_array(), unit[2:39, 2:47], atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_responsibilities_of_shapes_from_the_greatest_share(name: str) -> None:
    model = MODELS[name]
    axes = plot.plot_responsibilities(model, IMAGE, n_panels=2)
    responsibilities = model.predict_proba(fastgsm.extract_patches(IMAGE, 4, center="patch"))
    shapes = responsibilities.reshape(len(responsibilities), 3, -1).sum(axis=2)
    greatest = np.argsort(-shapes.mean(axis=0))[:2]
    assert [ax.get_title() for ax in axes] == ["image", *(f"shape {k}" for k in greatest)]
    for ax, k in zip(axes[1:], greatest, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), shapes[:, k].reshape(37, 45))
    assert len(axes[0].figure.axes) == 3


def test_responsibilities_remove_the_mean_that_the_training_patches_lacked() -> None:
    training = fastgsm.sample_patches(IMAGE - IMAGE.mean(), 4, 800, center=None, random_state=0)
    model = fastgsm.GSM(2).fit(training)
    axes = plot.plot_responsibilities(model, IMAGE)
    expected = model.predict_proba(fastgsm.extract_patches(IMAGE - IMAGE.mean(), 4))
    j = int(np.argmin(model.scales_))
    np.testing.assert_allclose(axes[1].images[0].get_array(), expected[:, j].reshape(37, 45))


def test_responsibilities_of_an_ica_are_refused() -> None:
    with pytest.raises(TypeError, match=r"model is a ICA; wanted an MVN, GSM, GMM(,| or) MoGSM"):
        plot.plot_responsibilities(MODELS["ICA"], IMAGE)


@each_figure_of_a_model
def test_given_axes_are_drawn_on(draw: Any) -> None:
    ax = Figure().add_subplot()
    assert draw(MODELS["GSM"], ax=ax) is ax
    assert ax.has_data()


@each_model
@each_figure_of_a_model
def test_nothing_is_cut_off(draw: Any, name: str) -> None:
    drawn_inside(draw(MODELS[name]).figure)


def test_nothing_of_the_responsibilities_is_cut_off() -> None:
    drawn_inside(plot.plot_responsibilities(MODELS["MoGSM"], IMAGE)[0].figure)


@each_figure_of_a_model
def test_unfitted_models_are_refused(draw: Any) -> None:
    with pytest.raises(fastgsm.NotFittedError):
        draw(fastgsm.GSM())


@pytest.mark.parametrize("draw", [plot.plot_eigenvectors, plot.plot_samples])
def test_patches_that_are_not_square_are_refused(draw: Any) -> None:
    with pytest.raises(ValueError, match="15 features, which is"):
        draw(fastgsm.MVN().fit(X[:, :15]))


@pytest.mark.parametrize("shape", [(24, 32), (24, 24, 3)])
def test_removed(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    denoised = rng.random(shape)
    noisy = denoised + 0.1 * rng.standard_normal(shape)
    before = noisy.copy()
    zoom = np.s_[4:10, 8:16] if len(shape) == 2 else np.s_[4:10, 8:14]
    axes = plot.plot_removed(noisy, denoised, zoom=zoom)
    rms = np.sqrt(np.mean((noisy - denoised) ** 2))
    greys = np.clip(0.5 + (noisy - denoised) / (6 * rms), 0, 1)
    for column, image in enumerate((np.clip(noisy, 0, 1), denoised, greys)):
        np.testing.assert_allclose(axes[0, column].images[0].get_array(), image)
        np.testing.assert_allclose(axes[1, column].images[0].get_array(), image[zoom])
    assert axes[0, 2].get_title() == f"removed: {rms:.3f} rms"
    np.testing.assert_array_equal(noisy, before)
    drawn_inside(axes[0, 0].figure)


def test_removed_of_integers_and_of_nothing() -> None:
    image = np.zeros((8, 8), np.uint8)
    (ax,) = plot.plot_removed(image, image + np.uint8(1))[0, 2:]
    np.testing.assert_allclose(ax.images[0].get_array(), 0.5 - 1 / 6)  # -1, not 255
    (ax,) = plot.plot_removed(image, image)[0, 2:]
    assert (ax.images[0].get_array() == 0.5).all()


def test_removed_refuses_two_different_images() -> None:
    with pytest.raises(ValueError, match=r"noisy has shape \(8, 8\) and denoised \(8, 9\)"):
        plot.plot_removed(np.zeros((8, 8)), np.zeros((8, 9)))


@each_figure_of_a_model
def test_missing_matplotlib_says_what_to_install(
    draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastgsm\[cli\]"'):
        draw(MODELS["GSM"])
