"""Figures of images before and after denoising, and of what was removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgsm.metrics import psnr
from fastgsm.plot._layout import Window, caption, panels, show, show_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_denoised(
    clean: NDArray[Any],
    noisy: Mapping[float, NDArray[Any]],
    denoised: Mapping[float, Mapping[str, NDArray[Any]]],
    *,
    crop: Window | None = None,
) -> Figure:
    """Draw an image clean, noisy, and denoised by each model, one row per noise level.

    Parameters
    ----------
    clean : (height, width) array
        The image without noise, in [0, 1].
    noisy : mapping of float to (height, width) array
        The noisy image at each noise standard deviation.
    denoised : mapping of float to mapping of str to (height, width) array
        For each noise level, the results by the name of their model.
    crop : pair of slices, optional
        The rows and columns to show; the whole image by default. The PSNR in the captions is
        always that of the whole image.

    Returns
    -------
    matplotlib Figure
        The figure, one panel per image.

    Raises
    ------
    ValueError, ImportError
        If the two mappings have different noise levels, or none, or matplotlib is missing.

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
    rows = [{"clean": clean, "noisy": noisy[level], **denoised[level]} for level in noisy]
    height, width = clean[crop].shape[:2]
    figure, axes = panels(len(rows), len(rows[0]), aspect=height / width, left=0.45, top=0.35)
    for row, level, row_axes in zip(rows, noisy, axes, strict=True):
        best = max(denoised[level], key=lambda name: psnr(clean, denoised[level][name]))
        for (name, image), ax in zip(row.items(), row_axes, strict=True):
            show(ax, image[crop])
            if name != "clean":
                caption(ax, f"{psnr(clean, image):.2f} dB", bold=name == best)
        row_axes[0].set_ylabel(f"noise {level:g}", fontsize=11)
    for name, ax in zip(rows[0], axes[0], strict=True):
        ax.set_title(name, fontsize=12, fontweight="bold")
    return figure


def plot_removed(
    noisy: NDArray[Any], denoised: NDArray[Any], *, zoom: Window | None = None
) -> NDArray[Any]:
    """Draw an image before and after denoising, and what was removed.

    What was removed should look like pure noise. Edges or texture in it are lost from the image.

    Parameters
    ----------
    noisy, denoised : (height, width) or (height, width, 3) arrays
        The images, in [0, 1]; values outside are shown as black or white.
    zoom : pair of slices, optional
        The rows and columns of a part to enlarge in a second row of panels; it should have the
        image's ratio of height to width.

    Returns
    -------
    ndarray of matplotlib Axes, of shape (1, 3) or (2, 3)
        The panels. In the third, grey stands for no difference; black and white for
        three times the root mean square, which its title states, below and above.

    Raises
    ------
    ValueError, ImportError
        If the images differ in shape, or matplotlib is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_removed
    >>> clean = fastgsm.datasets.dead_leaves((32, 32), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=0)
    >>> axes = plot_removed(noisy, clean)
    >>> axes[0, 2].get_title()
    'removed: 0.097 rms'
    """
    if noisy.shape != denoised.shape:
        raise ValueError(
            f"noisy has shape {noisy.shape} and denoised {denoised.shape}; wanted the same image "
            f"before and after."
        )
    removed = np.subtract(noisy, denoised, dtype=np.float64)
    rms = float(np.sqrt(np.mean(removed**2)))
    greys = 0.5 + removed / (6 * rms) if rms else np.full(removed.shape, 0.5)
    titles = {"before": noisy, "after": denoised, f"removed: {rms:.3f} rms": greys}
    return _enlarged(titles, zoom)[1]


def plot_before_after(
    clean: NDArray[Any], noisy: NDArray[Any], denoised: NDArray[Any], *, zoom: Window
) -> Figure:
    """Draw an image clean, noisy and denoised, with an enlarged part below each.

    Parameters
    ----------
    clean, noisy, denoised : (height, width) or (height, width, 3) arrays
        The images, in [0, 1]; values outside are shown as black or white.
    zoom : pair of slices
        The rows and columns of the part to enlarge; it should have the image's ratio of height to
        width.

    Returns
    -------
    matplotlib Figure
        The figure, with two rows and three columns.

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
    titles = {
        "clean": clean,
        f"noisy, {psnr(clean, noisy):.2f} dB": noisy,
        f"denoised, {psnr(clean, denoised):.2f} dB": denoised,
    }
    return _enlarged(titles, zoom)[0]


def _enlarged(
    images: Mapping[str, NDArray[Any]], zoom: Window | None
) -> tuple[Figure, NDArray[Any]]:
    """Draw images of one size side by side under their titles, and their parts in a second row."""
    height, width = next(iter(images.values())).shape[:2]
    n_rows = 1 if zoom is None else 2
    figure, axes = panels(n_rows, len(images), aspect=height / width, panel=3.2, top=0.4, below=0.0)
    for column, (title, image) in enumerate(images.items()):
        show(axes[0, column], image)
        axes[0, column].set_title(title, fontsize=13, fontweight="bold")
        if zoom is not None:
            show_part(axes[0, column], axes[1, column], image, zoom)
    return figure, axes
