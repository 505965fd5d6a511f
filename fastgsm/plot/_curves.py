"""The figure of the log-likelihood during EM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgsm.plot._layout import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def plot_likelihood(models: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Draw the mean log-likelihood of the training patches against the EM iteration.

    Parameters
    ----------
    models : mapping of str to fitted model
        The models by the names of their curves. The curves are their ``lower_bounds_`` (nats per
        patch, one value per EM iteration). A model learnt in closed form has a single value, which
        is drawn as a dashed line.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default (``ax.figure``).

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    ValueError, ImportError
        If there is no model, one is not fitted, or matplotlib is missing.

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
    ax = ax or new_axes(8, 4.5)
    longest = max(curve.size for curve in curves.values())
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(curves)}
    # The legend lists the curves in the order of their ends, from top to bottom.
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
    # Most of the gain comes in the first iterations, which a logarithmic axis gives more room.
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


def _lower_bounds(name: str, model: Any) -> NDArray[np.float64]:
    """Return a model's log-likelihood at each EM iteration."""
    try:
        lower_bounds = np.atleast_1d(np.asarray(model.lower_bounds_, dtype=np.float64))
    except AttributeError:
        raise ValueError(
            f"model {name!r} ({type(model).__name__}) is not fitted: call its fit first"
        ) from None
    if not lower_bounds.size:
        raise ValueError(
            f"model {name!r} ({type(model).__name__}) has no curve: its parameters were given, "
            f"not learned in iterations. Leave it out, or fit it with warm_start=True."
        )
    return lower_bounds
