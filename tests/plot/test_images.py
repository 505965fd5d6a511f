"""Figures of images: their content, and that nothing in them overlaps."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

import fastgsm
from fastgsm.plot import plot_before_after, plot_denoised, plot_likelihood

RNG = np.random.default_rng(0)
CLEAN = RNG.random((40, 60))


def curve(*values):
    return SimpleNamespace(lower_bounds_=values)


def texts(figure):
    """Return the visible texts of a drawn figure."""
    found = [t for t in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return [t for t in found if t.get_text() and t.get_visible()]


def boxes(figure):
    """Return the rectangles, in pixels, of the panels and the texts around them."""
    figure.draw_without_rendering()
    extents = [ax.get_window_extent() for ax in figure.axes]
    return extents + [t.get_window_extent() for t in texts(figure) if t.get_window_extent().width]


def assert_tidy(figure):
    """Check that nothing overlaps or is cut off at the figure's edge."""
    every = boxes(figure)
    page = figure.bbox
    for i, box in enumerate(every):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        for other in every[:i]:
            overlap = np.minimum(box.max, other.max) - np.maximum(box.min, other.min)
            assert not (overlap > 0.5).all(), (box, other)


def test_likelihood_draws_each_models_curve():
    ax = plot_likelihood({"one": curve(1.0, 2.0, 2.5), "two": curve(0.0, 4.0)})
    drawn = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(
        drawn["one: 2.5 after 3"].get_xydata(), [[1, 1], [2, 2], [3, 2.5]]
    )
    np.testing.assert_array_equal(drawn["two: 4.0 after 2"].get_xydata(), [[1, 0], [2, 4]])
    assert ax.get_xlim()[1] > 3


def test_likelihood_legend_is_in_order_of_the_final_values():
    ax = plot_likelihood({"low": curve(1.0, 2.0), "high": curve(1.0, 4.0), "middle": curve(3.0)})
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["high: 4.0 after 2", "middle: 3.0, closed form", "low: 2.0 after 2"]


def test_likelihood_of_a_closed_form_is_a_dashed_line_across():
    ax = plot_likelihood({"MVN": curve(3.0), "GSM": curve(1.0, 4.0)})
    (line,) = (line for line in ax.lines if line.get_label().startswith("MVN"))
    assert line.get_linestyle() == "--"
    assert list(line.get_ydata()) == [3.0, 3.0]


def test_likelihood_draws_on_given_axes():
    ax = Figure().add_subplot()
    assert plot_likelihood({"GSM": curve(1.0, 2.0)}, ax) is ax
    assert len(ax.lines) > 0


def test_likelihood_refuses_no_models():
    with pytest.raises(ValueError, match="at least one fitted model"):
        plot_likelihood({})


def test_likelihood_refuses_an_unfitted_model():
    with pytest.raises(ValueError, match=r"'mine' \(GSM\) is not fitted: call its fit"):
        plot_likelihood({"mine": fastgsm.GSM()})


@pytest.mark.parametrize("longest", [1, 2, 7, 1000])
def test_likelihood_is_tidy(longest):
    models = {f"model {i}": curve(*(i + np.arange(longest) / longest)) for i in range(5)}
    figure = plot_likelihood(models).figure
    figure.draw_without_rendering()
    legend, axes = figure.axes[0].get_legend().get_window_extent(), figure.axes[0].bbox
    assert legend.x0 >= axes.x1
    assert legend.x1 <= figure.bbox.x1


def noisy_and_denoised(levels=(0.1, 0.2), models=("MVN", "GSM")):
    noisy = {s: CLEAN + s * RNG.standard_normal(CLEAN.shape) for s in levels}
    factors = {name: 0.5 / (i + 1) for i, name in enumerate(models)}
    denoised = {
        s: {name: CLEAN + f * (noisy[s] - CLEAN) for name, f in factors.items()} for s in levels
    }
    return noisy, denoised


def test_denoised_has_a_panel_for_each_image():
    noisy, denoised = noisy_and_denoised()
    figure = plot_denoised(CLEAN, noisy, denoised)
    shown = [ax.images[0].get_array() for ax in figure.axes]
    expected = [
        image for s in noisy for image in (CLEAN, noisy[s], *denoised[s].values())
    ]  # rows from the top, each from the left
    assert len(shown) == len(expected) == 8
    for image, want in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(image, np.clip(want, 0, 1))
    assert [ax.get_title() for ax in figure.axes[:4]] == ["clean", "noisy", "MVN", "GSM"]
    assert [figure.axes[i].get_ylabel() for i in (0, 4)] == ["noise 0.1", "noise 0.2"]


def test_denoised_shows_greys_on_the_same_scale():
    figure = plot_denoised(CLEAN / 2, *noisy_and_denoised())
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 1)}
    assert {ax.images[0].get_cmap().name for ax in figure.axes} == {"gray"}


def test_denoised_captions_are_of_the_whole_image_and_the_best_is_bold():
    noisy = {0.1: CLEAN + 0.1}
    denoised = {0.1: {"MVN": CLEAN + 0.01, "GSM": CLEAN + 0.001, "ICA": CLEAN + 0.05}}
    denoised[0.1]["MVN"][:8, :8] = CLEAN[:8, :8]  # the crop alone would favour MVN
    figure = plot_denoised(CLEAN, noisy, denoised, crop=np.s_[:8, :8])
    captions = [[(t.get_text(), t.get_fontweight()) for t in ax.texts] for ax in figure.axes]
    error = 1e-4 * (1 - 64 / CLEAN.size)
    assert captions == [
        [],
        [("20.00 dB", "normal")],
        [(f"{-10 * np.log10(error):.2f} dB", "normal")],
        [("60.00 dB", "bold")],
        [("26.02 dB", "normal")],
    ]


def test_denoised_shows_the_crop():
    noisy, denoised = noisy_and_denoised()
    figure = plot_denoised(CLEAN, noisy, denoised, crop=np.s_[10:20, 5:25])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), CLEAN[10:20, 5:25])
    assert {ax.images[0].get_array().shape for ax in figure.axes} == {(10, 20)}


@pytest.mark.parametrize("crop", [None, np.s_[:20, :20], np.s_[:40, :10]])
def test_denoised_is_tidy(crop):
    models = ("MVN", "GSM", "GMM", "MoGSM", "ICA")
    noisy, denoised = noisy_and_denoised((0.01, 0.05, 0.1, 0.2), models)
    figure = plot_denoised(CLEAN, noisy, denoised, crop=crop)
    assert_tidy(figure)
    sizes = np.array([ax.get_window_extent().size for ax in figure.axes])
    np.testing.assert_allclose(sizes, np.broadcast_to(sizes[0], sizes.shape))


@pytest.mark.parametrize("levels", [(), (0.1,)])
def test_denoised_refuses_levels_that_differ(levels):
    noisy, denoised = noisy_and_denoised((0.1, 0.2))
    with pytest.raises(ValueError, match=r"noisy has the noise levels .* give both the same"):
        plot_denoised(CLEAN, {s: noisy[s] for s in levels}, denoised)


@pytest.mark.parametrize("shape", [(40, 60), (40, 40, 3)])
def test_before_after(shape):
    clean = np.random.default_rng(1).random(shape)
    noisy, denoised = clean + 0.1, clean - 0.01
    zoom = np.s_[4:14, 8:18]
    figure = plot_before_after(clean, noisy, denoised, zoom=zoom)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["clean", "noisy, 20.00 dB", "denoised, 40.00 dB", "", "", ""]
    for i, image in enumerate((clean, noisy, denoised)):
        whole, part = figure.axes[i], figure.axes[i + 3]
        np.testing.assert_array_equal(whole.images[0].get_array(), np.clip(image, 0, 1))
        np.testing.assert_array_equal(part.images[0].get_array(), np.clip(image[zoom], 0, 1))
        (frame,) = whole.patches
        assert frame.get_bbox().bounds == (7.5, 3.5, 10, 10)  # pixel edges lie at halves
    assert_tidy(figure)


def test_images_are_not_modified():
    clean, noisy = CLEAN.copy(), CLEAN + 0.5
    before = noisy.copy()
    plot_before_after(clean, noisy, noisy, zoom=np.s_[:5, :5])
    np.testing.assert_array_equal(noisy, before)
    np.testing.assert_array_equal(clean, CLEAN)


def test_pyplot_is_not_imported():
    code = (
        "import sys, io, numpy as np\n"
        "from fastgsm.plot import plot_denoised\n"
        "x = np.zeros((8, 8))\n"
        "plot_denoised(x, {1: x + 1}, {1: {'GSM': x + 0.1}}).savefig(io.BytesIO(), format='png')\n"
        "assert 'matplotlib' in sys.modules\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastgsm\[cli\]"'):
        plot_likelihood({"GSM": curve(1.0, 2.0)})
