"""Figures of what a model has learnt: its scales, shapes, samples and responsibilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._checks import check_integer
from fastgsm._images import as_float_image
from fastgsm._registry import names_of
from fastgsm._types import FloatArray
from fastgsm.learning.density import in_blocks
from fastgsm.models import ICA, PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.patches import extract_patches
from fastgsm.plot._layout import COLOURS, caption, new_axes, panels, show, show_mosaic
from fastgsm.restore.priors import centring, patch_size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_scales(model: Any, ax: Axes | None = None) -> Axes:
    """Draw the weight and the contrast of every component of a model.

    The contrast is the standard deviation of a pixel, ``sqrt(r2_kj trace(Sigma_k) / d)``, in the
    units of the training patches.

    Parameters
    ----------
    model : fitted model
        With one shape (MVN, GSM), weights are drawn as stems. Otherwise each shape has its own
        line, the shape of greatest weight at the bottom, and a disc's area is the weight of the
        shape at that contrast. An ICA has a line for each coordinate, the one of greatest variance
        at the bottom.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    NotFittedError, ImportError
        If the model is not fitted, or matplotlib is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_scales
    >>> ax = plot_scales(fastgsm.load_prior("gsm"))
    >>> ax.get_ylabel()
    'weight'
    """
    weights, contrasts = _weights_and_contrasts(model)
    ax = ax or new_axes(7, 4.5)
    # After `new_axes`, which says how to install matplotlib.
    from matplotlib.ticker import LogLocator, MaxNLocator

    if len(weights) == 1:
        ax.vlines(contrasts[0], 0, weights[0], color=COLOURS[0], linewidth=2.2)
        ax.plot(contrasts[0], weights[0], "o", color=COLOURS[0], markersize=7)
        ax.set_ylim(0, 1.1 * weights.max())
        ax.set_ylabel("weight")
    else:
        lines = np.broadcast_to(np.arange(1, len(weights) + 1)[:, None], weights.shape)
        areas = 250 * weights / weights.max()
        ax.scatter(contrasts, lines, areas, color=COLOURS[0], alpha=0.45, linewidth=0)
        margin = 0.5 + 0.04 * len(weights)  # for the largest discs
        ax.set_ylim(1 - margin, len(weights) + margin)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel("coordinate" if model.separable else "shape, by weight")
    ax.set_xscale("log")
    ax.set_xlim(contrasts.min() / 1.4, contrasts.max() * 1.4)
    if contrasts.max() < 100 * contrasts.min():  # there is room between the powers of ten
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(lambda value, _: "")
    ax.set_xlabel("contrast (standard deviation of a pixel)")
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_eigenvectors(
    model: Any, n_shapes: int = 8, n_vectors: int = 8, ax: Axes | None = None
) -> Axes:
    """Draw the leading eigenvectors of a model's covariances as patches, one row per shape.

    Parameters
    ----------
    model : fitted model
        A model of square patches.
    n_shapes, n_vectors : int
        Largest number of shapes, in descending order of weight, and of eigenvectors for each, in
        descending order of eigenvalue.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on. Each patch has its own range of greys, with 0 in the middle.

    Raises
    ------
    NotFittedError, ValueError, ImportError
        If the model is not fitted, its patches are not square, a number is below 1, or matplotlib
        is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_eigenvectors
    >>> ax = plot_eigenvectors(fastgsm.load_prior("gsm"), n_vectors=4)
    >>> ax.images[0].get_array().shape  # four patches of 8x8 pixels, with a margin
    (10, 37)
    """
    n_shapes = check_integer(n_shapes, "n_shapes")
    n_vectors = check_integer(n_vectors, "n_vectors")
    model._check_fitted()
    weights = model._density.weights.sum(axis=1)
    side = patch_size_of(model)
    chosen = np.argsort(-weights, kind="stable")[:n_shapes]
    vectors = model._density.eigenvectors[chosen, :, :n_vectors].transpose(0, 2, 1)
    vectors = vectors / np.abs(vectors).max(axis=2, keepdims=True)
    images = vectors.reshape(*vectors.shape[:2], side, side)
    width = 0.6 * images.shape[1] + (2.2 if len(weights) > 1 else 0.4)
    ax = ax or new_axes(width, 0.6 * images.shape[0] + 0.7)
    show_mosaic(ax, images, 1.0)
    step, middle = side + 1, (side + 1) / 2
    if len(weights) > 1:
        labels = [f"shape {k}: {100 * weights[k]:.1f} %" for k in chosen]
        ax.set_yticks(middle + step * np.arange(len(chosen)), labels)
    ax.set_xticks(middle + step * np.arange(images.shape[1]), np.arange(1, images.shape[1] + 1))
    ax.tick_params(length=0)
    ax.set_xlabel("eigenvector")
    return ax


def plot_samples(
    model: Any, n_samples: int = 64, *, random_state: Any = 0, ax: Axes | None = None
) -> Axes:
    """Draw random patches from a model.

    Parameters
    ----------
    model : fitted model
        A model of square patches.
    n_samples : int
        Number of patches.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the patches.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on. All patches have the same range of greys, after subtraction of their
        common mean, so that contrasts compare. The strongest hundredth of the pixels is black or
        white.

    Raises
    ------
    NotFittedError, ValueError, ImportError
        If the model is not fitted, its patches are not square, `n_samples` is below 1, or
        matplotlib is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_samples
    >>> ax = plot_samples(fastgsm.load_prior("gsm"), 10)
    >>> ax.get_title()
    '10 samples from GSM'
    """
    X, _ = model.sample(n_samples, random_state)
    side = patch_size_of(model)
    X = X - X.mean()
    n_columns = math.ceil(math.sqrt(n_samples))
    n_rows = -(-n_samples // n_columns)
    images = np.full((n_rows * n_columns, side, side), np.nan)
    images[:n_samples] = X.reshape(-1, side, side)
    ax = ax or new_axes(5, 5 * n_rows / n_columns + 0.4)
    limit = float(np.quantile(np.abs(X), 0.99))
    show_mosaic(ax, images.reshape(n_rows, n_columns, side, side), limit)
    ax.set_title(f"{n_samples} samples from {type(model).__name__}", fontsize=12)
    return ax


def plot_responsibilities(model: Any, image: ArrayLike, n_panels: int = 7) -> NDArray[Any]:
    """Draw where in an image each scale or shape of a model is responsible.

    Parameters
    ----------
    model : any fitted model but an ICA
        A model with one shape is shown scale by scale, in ascending order of contrast. Any other
        is shown shape by shape, all scales of a shape together, in descending order of their share
        of the image.
    image : array_like of shape (height, width)
        Grey image, in the units of the training images. Noise is not taken into account, so use
        a clean or a denoised image.
    n_panels : int
        Largest number of maps; those with the greatest shares are shown.

    Returns
    -------
    ndarray of matplotlib Axes, of shape (1 + number of maps,)
        The image, without the margin where no patch has its centre, and the maps. They show the
        responsibility for the patch around each pixel, from 0 (dark) to 1 (bright).

    Raises
    ------
    NotFittedError, TypeError, ValueError, ImportError
        If the model is not fitted, is an ICA or has patches that are not square, if the image is
        not a grey one of integers or real floats, or if matplotlib is missing.

    Examples
    --------
    >>> import fastgsm
    >>> from fastgsm.plot import plot_responsibilities
    >>> image = fastgsm.datasets.dead_leaves((32, 32), random_state=0)
    >>> axes = plot_responsibilities(fastgsm.load_prior("gsm"), image, n_panels=3)
    >>> len(axes)
    4
    """
    if not isinstance(model, ScaleMixtureModel):
        raise TypeError(
            f"model is a {type(model).__name__}; wanted an {names_of(ScaleMixtureModel)}."
        )
    n_panels = check_integer(n_panels, "n_panels")
    weights, contrasts = _weights_and_contrasts(model, sort=False)
    side = patch_size_of(model)
    by_scale = len(weights) == 1
    pixels, _ = as_float_image(image)
    responsibilities = _responsibilities(model, pixels, axis=1 if by_scale else 2)
    shares = responsibilities.mean(axis=0)
    chosen = np.argsort(-shares, kind="stable")[:n_panels]
    if by_scale:
        chosen = chosen[np.argsort(contrasts[0][chosen])]
        titles = [f"contrast {contrasts[0][j]:.2g}" for j in chosen]
    else:
        titles = [f"shape {k}" for k in chosen]
    inside = pixels[tuple(slice(side // 2, side // 2 + n - side + 1) for n in pixels.shape)]
    n_columns = min(4, 1 + len(chosen))
    n_rows = -(-(1 + len(chosen)) // n_columns)
    aspect = inside.shape[0] / inside.shape[1]
    figure, grid = panels(n_rows, n_columns, aspect=aspect, panel=2.3, top=0.35, below=0.5)
    axes, unused = np.split(grid.ravel(), [1 + len(chosen)])
    show(axes[0], inside)
    axes[0].set_title("image", fontsize=11)
    for ax, title, index in zip(axes[1:], titles, chosen, strict=True):
        show(ax, responsibilities[:, index].reshape(inside.shape), cmap="viridis")
        ax.set_title(title, fontsize=11)
        caption(ax, f"{100 * shares[index]:.1f} % of the patches", bold=False)
    for ax in unused:
        figure.delaxes(ax)
    return axes


def _responsibilities(model: ScaleMixtureModel, image: FloatArray, axis: int) -> FloatArray:
    """Return responsibilities for an image's patches, summed over shapes (axis 1) or scales (2)."""
    remove_mean, remove_global_mean = centring(model)
    if remove_global_mean:
        image = image - image.mean()
    center = "patch" if remove_mean else None
    X = extract_patches(image, patch_size_of(model), center=center)
    parts = [
        model.predict_proba(part).reshape(len(part), len(model.means_), -1).sum(axis=axis)
        for part in in_blocks(X)
    ]
    return np.concatenate(parts)


def _weights_and_contrasts(model: PatchModel, sort: bool = True) -> tuple[FloatArray, FloatArray]:
    """Return weights and standard deviations of a pixel, (shapes or coordinates, scales)."""
    model._check_fitted()
    if isinstance(model, ICA):
        return model.weights_, np.sqrt(model.scales_ * model.eigenvalues_[:, None])
    weights, density = model._density.weights, model._density
    variances = density.eigenvalues.sum(axis=1, keepdims=True) / density.n_features
    order = np.argsort(-weights.sum(axis=1), kind="stable") if sort else slice(None)
    return weights[order], np.sqrt(density.scales * variances)[order]
