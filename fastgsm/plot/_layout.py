"""Parts that the figures share: panels, images, captions and mosaics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#555555"
FRAME = "#D55E00"

Window = tuple[slice, slice]


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Figure:
    """Return an empty white figure of the given size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "fastgsm[cli]"') from error
    return Figure(figsize=(width, height), facecolor="white", layout=layout)


def new_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure, which leaves room for their labels."""
    return new_figure(width, height, layout="constrained").add_subplot()


def panels(
    n_rows: int,
    n_columns: int,
    *,
    aspect: float,
    panel: float = 1.92,
    left: float = 0.08,
    top: float,
    below: float = 0.24,
) -> tuple[Figure, NDArray[Any]]:
    """Lay out equal panels edge to edge, each ``panel`` inches wide and ``aspect`` times as high.

    All sizes are in inches, so that an image fills its panel exactly and nothing overlaps.
    """
    # Not with matplotlib's grid, whose rounding shifts some edges by a pixel.
    gap, edge = 0.07, 0.08
    step_x, step_y = panel + gap, panel * aspect + gap + below
    width = left + n_columns * step_x - gap + edge
    height = top + n_rows * step_y - gap + edge
    figure = new_figure(width, height)
    axes = np.empty((n_rows, n_columns), object)
    for row, column in np.ndindex(axes.shape):
        x = (left + column * step_x) / width
        y = 1 - (top + row * step_y + panel * aspect) / height
        axes[row, column] = figure.add_axes((x, y, panel / width, panel * aspect / height))
    return figure, axes


def show(ax: Axes, image: NDArray[Any], cmap: str = "gray") -> None:
    """Show a grey or colour image in [0, 1], without ticks or frame."""
    # Clipped here, because matplotlib would clip colour images with a warning.
    ax.imshow(np.clip(image, 0, 1), cmap=cmap, vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


def show_part(whole: Axes, part: Axes, image: NDArray[Any], window: Window) -> None:
    """Show a window of an image enlarged in ``part``, and frame it in ``whole``."""
    from matplotlib.patches import Rectangle

    show(part, image[window])
    top, bottom, _ = window[0].indices(image.shape[0])
    left, right, _ = window[1].indices(image.shape[1])
    corner = (left - 0.5, top - 0.5)  # pixels have their centres at integers
    size = (right - left, bottom - top)
    whole.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=1.6))
    part.spines[:].set(visible=True, color=FRAME, linewidth=1.6)


def caption(ax: Axes, text: str, *, bold: bool) -> None:
    """Write a line below a panel."""
    style: dict[str, Any] = {"fontweight": "bold"} if bold else {"color": GREY}
    style |= {"transform": ax.transAxes, "ha": "center", "va": "top", "fontsize": 10}
    ax.text(0.5, -0.02, text, **style)


def show_mosaic(ax: Axes, images: NDArray[Any], limit: float) -> None:
    """Show images (rows, columns, height, width) in greys from ``-limit`` to ``limit``.

    They are side by side, each in a frame of NaN.
    """
    padded = np.pad(images, ((0, 0), (0, 0), (1, 0), (1, 0)), constant_values=np.nan)
    rows, columns, height, width = padded.shape
    image = padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    framed = np.pad(image, ((0, 1), (0, 1)), constant_values=np.nan)
    ax.imshow(framed, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
