"""The figure of what is known of the noise of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.noise import NoiseModel
from fastgsm.plot._layout import COLOURS, GREY, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Side of the noise whose spectrum is drawn: the farthest pixels that a model describes, 16 apart,
# are within half of it.
SIDE = 64
# Photons up to which noise is drawn, at least, and as a multiple of the photons whose own noise is
# as strong as the read noise.
LEAST_PHOTONS, READ_NOISES = 100.0, 4.0
N_INTENSITIES = 256
# Red, green, blue: the order of the channels of most images. Channels may be equal, so that
# their lines cover each other.
CHANNEL_COLOURS = (COLOURS[1], COLOURS[2], COLOURS[0], *COLOURS[3:])
CHANNEL_STYLES = ("-", "--", ":")


def plot_noise(model: NoiseModel, ax: Axes | None = None) -> Axes:
    """Draw the level of an image's noise, in the image's own units.

    Noise of photons is drawn against the intensity of the clean image, up to at least 100 photons,
    and the read noise as a dashed line.

    Other noise is drawn against the spatial frequency, up to 0.71 cycles per pixel in the diagonal
    directions, with a line for each channel. Its level is the root of `NoiseModel.psd`, averaged
    over all directions, for noise of one pixel. White noise has the level `sigma` everywhere. For a
    photograph ("camera") it is the white noise that restores best.

    Parameters
    ----------
    model : NoiseModel
        For example from `estimate_noise`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    TypeError, ImportError
        If `model` is not a NoiseModel, or matplotlib is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_noise
    >>> ax = plot_noise(fastgsm.NoiseModel.white(0.1))
    >>> ax.lines[0].get_ydata()[:3].round(3)
    array([0.1, 0.1, 0.1])
    """
    if not isinstance(model, NoiseModel):
        raise TypeError(
            f"model is a {type(model).__name__}; wanted a NoiseModel, as estimate_noise returns it."
        )
    ax = ax or new_axes(7, 4.5)
    if model.photons is None:
        _plot_spectra(model, ax)
    else:
        _plot_photons(model, ax)
    ax.set_ylim(0, 1.05 * max(np.max(line.get_ydata()) for line in ax.lines) or 1.0)
    ax.set_ylabel("level of the noise")
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if len(ax.lines) > 1:
        ax.legend(frameon=False)
    return ax


def _plot_spectra(model: NoiseModel, ax: Axes) -> None:
    """Draw the level of each channel against the spatial frequency."""
    frequencies, levels = _radial_levels(model)
    colours = CHANNEL_COLOURS if model.n_channels > 1 else COLOURS
    for number, values in enumerate(levels):
        ax.plot(
            frequencies,
            values,
            color=colours[number % len(colours)],
            linestyle=CHANNEL_STYLES[number % len(CHANNEL_STYLES)],
            linewidth=2.2,
            label=f"channel {number}",
        )
    ax.set_xlim(0, frequencies[-1])
    ax.set_xlabel("spatial frequency (cycles per pixel)")


def _plot_photons(model: NoiseModel, ax: Axes) -> None:
    """Draw the level of noise that grows with the light against the intensity."""
    assert model.photons is not None
    gain, offset, read_noise = model.photons
    most = max(LEAST_PHOTONS, READ_NOISES * (read_noise / gain) ** 2)
    # More densely where there is little light, since the level starts like a root.
    intensity = offset + gain * most * np.linspace(0, 1, N_INTENSITIES) ** 2
    levels = np.sqrt(model.variance(intensity))
    ax.plot(intensity, levels, color=COLOURS[0], linewidth=2.2, label="photons and read noise")
    if read_noise > 0:
        ax.axhline(read_noise, color=GREY, linestyle="--", linewidth=1.8, label="read noise")
    ax.set_xlim(intensity[0], intensity[-1])
    ax.set_xlabel("intensity of the clean image")


def _radial_levels(model: NoiseModel) -> tuple[FloatArray, FloatArray]:
    """Return spatial frequencies (f,) and the level of each channel at them, (n_channels, f)."""
    psd = model.psd((SIDE, SIDE)).reshape(model.n_channels, -1) / SIDE**2
    along = np.fft.fftfreq(SIDE) * SIDE
    rings = np.rint(np.hypot(along[:, None], along)).astype(np.intp).ravel()
    sums = np.stack([np.bincount(rings, each) for each in psd])
    return np.arange(sums.shape[1]) / SIDE, np.sqrt(sums / np.bincount(rings))
