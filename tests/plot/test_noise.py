"""Figures of noise show the levels of the model, in the image's units."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from fastgsm import NoiseModel
from fastgsm.plot import plot_noise

BLUR = np.array([1, 2, 1]) / 4
# Of white noise of level 0.1, blurred along both axes.
BLURRED = 0.1**2 * np.multiply.outer(np.convolve(BLUR, BLUR), np.convolve(BLUR, BLUR))


def test_white_noise_has_the_same_level_at_all_frequencies() -> None:
    (line,) = plot_noise(NoiseModel.white(0.1)).lines
    frequencies, levels = line.get_data()
    assert frequencies[0] == 0 and 0.70 < frequencies[-1] < 0.71  # half a cycle along both axes
    np.testing.assert_allclose(levels, 0.1)


def test_every_channel_has_its_line() -> None:
    ax = plot_noise(NoiseModel.white([0.1, 0.05, 0.1]))
    assert [line.get_ydata()[5].round(3) for line in ax.lines] == [0.1, 0.05, 0.1]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["channel 0", "channel 1", "channel 2"]
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 3


def test_more_channels_than_colours() -> None:
    assert len(plot_noise(NoiseModel.white([0.1] * 9)).lines) == 9


def test_blurred_noise_has_the_levels_of_the_blur() -> None:
    (line,) = plot_noise(NoiseModel.from_covariance(BLURRED[None, None])).lines
    frequencies, levels = line.get_data()
    np.testing.assert_allclose(levels[0], 0.1)
    # The blur's gain is cos(pi f)^2 along each axis, so within a ring it depends on the direction.
    quarter = levels[frequencies == 0.25][0]
    along_an_axis, diagonal = np.cos(np.pi / 4) ** 2, np.cos(np.pi / 4 / np.sqrt(2)) ** 4
    assert 0.98 * along_an_axis < quarter / 0.1 < 1.02 * diagonal
    assert levels[-1] < 1e-3


def test_noise_of_photons_is_drawn_against_intensity() -> None:
    ax = plot_noise(NoiseModel.poisson(2.0, 100.0, 3.0))
    level, read_noise = ax.lines
    intensity, values = level.get_data()
    assert intensity[0] == 100 and intensity[-1] == 100 + 2 * 100
    np.testing.assert_allclose(values**2, 3.0**2 + 2 * (intensity - 100))
    np.testing.assert_array_equal(read_noise.get_ydata(), 3.0)
    assert ax.get_xlabel() == "intensity of the clean image"


def test_photons_without_read_noise_have_one_line_and_no_legend() -> None:
    ax = plot_noise(NoiseModel.poisson())
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata() ** 2, line.get_xdata())
    assert ax.get_legend() is None


def test_strong_read_noise_is_left_behind() -> None:
    level, _ = plot_noise(NoiseModel.poisson(1.0, 0.0, 30.0)).lines
    assert level.get_ydata()[-1] > 2 * 30


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_levels_start_at_zero(level: float) -> None:
    low, high = plot_noise(NoiseModel.white(level)).get_ylim()
    assert low == 0 and high > level


def test_the_stronger_noise_on_the_same_axes_is_not_cut_off() -> None:
    ax = plot_noise(NoiseModel.white(0.1))
    assert plot_noise(NoiseModel.white(0.3), ax).get_ylim()[1] > 0.3


def test_draws_on_given_axes() -> None:
    ax = Figure().add_subplot()
    assert plot_noise(NoiseModel.white(0.1), ax) is ax
    assert len(ax.lines) == 1


def test_refuses_a_level() -> None:
    with pytest.raises(TypeError, match="model is a float; wanted a NoiseModel"):
        plot_noise(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [NoiseModel.white([0.1, 0.2]), NoiseModel.poisson(2, 100, 3)])
def test_everything_is_inside_the_figure(model: NoiseModel) -> None:
    figure = plot_noise(model).figure
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.y0 >= -0.01
    assert drawn.x1 <= width + 0.01 and drawn.y1 <= height + 0.01
