"""Figures of trained models and denoised images, drawn with matplotlib's object interface.

Every function makes its own :class:`matplotlib.figure.Figure` and touches neither pyplot nor its
state, so that it works in scripts, notebooks and servers alike. In a notebook, a returned figure
shows itself; in a script, call its ``savefig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastgsm.metrics import psnr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#555555"
FRAME = "#D55E00"
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

Window = tuple[slice, slice]


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Figure:
    """Return an empty white figure of the given size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "fastgsm[cli]"') from error
    return Figure(figsize=(width, height), facecolor="white", layout=layout)


def plot_likelihood(models: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Draw the mean log-likelihood of the training patches against the EM iteration.

    Parameters
    ----------
    models : mapping of str to fitted model
        The curves' names and the models, whose ``lower_bounds_`` (nats per patch, one value per
        EM iteration) are drawn. A model learnt in closed form has a single value: a dashed line.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    ValueError
        If there is no model, or one is not fitted.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> from fastgsm.plot import plot_likelihood
    >>> X = np.random.default_rng(0).standard_normal((500, 4))
    >>> ax = plot_likelihood({"MVN": fastgsm.MVN().fit(X)})
    >>> ax.get_xlabel()
    'EM iteration'
    """
    if not models:
        raise ValueError("models is empty: give at least one fitted model by name")
    curves = {name: _lower_bounds(name, model) for name, model in models.items()}
    if ax is None:
        ax = new_figure(8, 4.5, layout="constrained").add_subplot()
    longest = max(curve.size for curve in curves.values())
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(curves)}
    # The legend lists the curves from the highest end to the lowest, as the eye meets them.
    for name in sorted(curves, key=lambda name: -curves[name][-1]):
        curve = curves[name]
        if curve.size == 1:
            label = f"{name}: {curve[-1]:.1f}, closed form"
            ax.axhline(curve[0], color=colours[name], linestyle="--", linewidth=1.8, label=label)
        else:
            label = f"{name}: {curve[-1]:.1f} after {curve.size}"
            iterations = np.arange(1, curve.size + 1)
            ax.plot(iterations, curve, color=colours[name], linewidth=2.2, label=label)
            ax.plot(curve.size, curve[-1], "o", color=colours[name], markersize=5)
    # Most of the gain comes in the first iterations: a logarithmic axis gives them room.
    ax.set_xscale("log")
    ax.set_xlim(1, max(longest, 2) * 1.1)
    ax.set_xticks([tick for tick in TICKS if tick <= longest], minor=False)
    ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("EM iteration")
    ax.set_ylabel("log-likelihood (nats per training patch)")
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.9)
    return ax


def plot_denoised(
    clean: NDArray[Any],
    noisy: Mapping[float, NDArray[Any]],
    denoised: Mapping[float, Mapping[str, NDArray[Any]]],
    *,
    crop: Window | None = None,
) -> Figure:
    """Draw an image clean, noisy, and as each model denoised it, one row per noise level.

    Parameters
    ----------
    clean : (height, width) array
        The image without noise, in [0, 1].
    noisy : mapping of float to (height, width) array
        The noisy image at each noise standard deviation.
    denoised : mapping of float to mapping of str to (height, width) array
        For each noise level the results, by name of their model.
    crop : pair of slices, optional
        The rows and columns to show; the whole image by default. The PSNR in the captions is
        that of the whole image in either case.

    Returns
    -------
    matplotlib Figure
        The figure, one panel per image.

    Raises
    ------
    ValueError
        If the two mappings disagree on the noise levels, or have none.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.plot import plot_denoised
    >>> clean = np.zeros((16, 16))
    >>> figure = plot_denoised(clean, {0.1: clean + 0.1}, {0.1: {"GSM": clean + 0.01}})
    >>> len(figure.axes)
    3
    """
    if not noisy or set(noisy) != set(denoised):
        raise ValueError(
            f"noisy has the noise levels {sorted(noisy)} and denoised {sorted(denoised)}: "
            "give both the same, at least one"
        )
    crop = crop or (slice(None), slice(None))
    rows = [
        {"clean": clean, "noisy": noisy[level], **denoised[level]} for level in noisy
    ]  # one row per level
    height, width = clean[crop].shape[:2]
    figure, axes = _panels(len(rows), len(rows[0]), aspect=height / width, left=0.45, top=0.35)
    for row, level, row_axes in zip(rows, noisy, axes, strict=True):
        best = max(denoised[level], key=lambda name: psnr(clean, denoised[level][name]))
        for (name, image), ax in zip(row.items(), row_axes, strict=True):
            _show(ax, image[crop])
            if name != "clean":
                _caption(ax, f"{psnr(clean, image):.2f} dB", bold=name == best)
        row_axes[0].set_ylabel(f"noise {level:g}", fontsize=11)
    for name, ax in zip(rows[0], axes[0], strict=True):
        ax.set_title(name, fontsize=12, fontweight="bold")
    return figure


def plot_before_after(
    clean: NDArray[Any], noisy: NDArray[Any], denoised: NDArray[Any], *, zoom: Window
) -> Figure:
    """Draw an image clean, noisy and denoised, and below each a part of it enlarged.

    Parameters
    ----------
    clean, noisy, denoised : (height, width) or (height, width, 3) arrays
        The images, in [0, 1]; what the noise pushed outside is shown as black or white.
    zoom : pair of slices
        The rows and columns of the part to enlarge, as high for its width as the image.

    Returns
    -------
    matplotlib Figure
        The figure: three columns, two rows.

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.plot import plot_before_after
    >>> clean = np.zeros((16, 16))
    >>> figure = plot_before_after(clean, clean + 0.1, clean, zoom=np.s_[2:6, 2:6])
    >>> [ax.get_title() for ax in figure.axes[:3]]
    ['clean', 'noisy, 20.00 dB', 'denoised, inf dB']
    """
    height, width = clean.shape[:2]
    figure, axes = _panels(2, 3, aspect=height / width, panel=3.2, top=0.4, caption=0.0)
    from matplotlib.patches import Rectangle  # after _panels, which says how to get matplotlib

    for column, (name, image) in enumerate(
        {"clean": clean, "noisy": noisy, "denoised": denoised}.items()
    ):
        whole, part = axes[0][column], axes[1][column]
        _show(whole, image)
        _show(part, image[zoom])
        quality = "" if name == "clean" else f", {psnr(clean, image):.2f} dB"
        whole.set_title(name + quality, fontsize=13, fontweight="bold")
        top, bottom, _ = zoom[0].indices(height)
        left, right, _ = zoom[1].indices(width)
        corner = (left - 0.5, top - 0.5)  # pixels have their centres at integers
        size = (right - left, bottom - top)
        whole.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=1.6))
        for spine in part.spines.values():
            spine.set(visible=True, color=FRAME, linewidth=1.6)
    return figure


def _lower_bounds(name: str, model: Any) -> NDArray[np.float64]:
    """Return a model's log-likelihood per EM iteration."""
    try:
        return np.atleast_1d(np.asarray(model.lower_bounds_, dtype=np.float64))
    except AttributeError:
        raise ValueError(
            f"model {name!r} ({type(model).__name__}) is not fitted: call its fit first"
        ) from None


def _panels(
    n_rows: int,
    n_columns: int,
    *,
    aspect: float,
    panel: float = 1.92,
    left: float = 0.08,
    top: float,
    caption: float = 0.24,
) -> tuple[Figure, list[list[Axes]]]:
    """Lay out equal panels, each ``panel`` inches wide, ``aspect`` times as high, edge to edge.

    Sizes are in inches, so that an image fills its panel exactly and nothing overlaps.
    """
    gap, edge = 0.07, 0.08
    step_x, step_y = panel + gap, panel * aspect + gap + caption
    width = left + n_columns * step_x - gap + edge
    height = top + n_rows * step_y - gap + edge
    figure = new_figure(width, height)
    axes = [
        [
            figure.add_axes(
                (
                    (left + column * step_x) / width,
                    1 - (top + row * step_y + panel * aspect) / height,
                    panel / width,
                    panel * aspect / height,
                )
            )
            for column in range(n_columns)
        ]
        for row in range(n_rows)
    ]
    return figure, axes


def _show(ax: Axes, image: NDArray[Any]) -> None:
    """Show a grey or colour image in [0, 1], without ticks or frame."""
    # Colour images are clipped here because matplotlib would do so with a warning.
    ax.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[], aspect="equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _caption(ax: Axes, text: str, *, bold: bool) -> None:
    """Write a line below a panel."""
    weight = "bold" if bold else "normal"
    colour = "black" if bold else GREY
    ax.text(
        0.5,
        -0.02,
        text,
        transform=ax.transAxes,
        ha="center",
        va="top",
        fontsize=10,
        fontweight=weight,
        color=colour,
    )
