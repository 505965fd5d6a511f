"""Figures of trained models and denoised images, drawn with matplotlib's object interface.

Every function draws on the axes that it is given, or makes its own
:class:`matplotlib.figure.Figure`, and touches neither pyplot nor its state, so that it works in
scripts, notebooks and servers alike. Most return their axes: ``ax.figure`` is the figure, which
shows itself in a notebook and has ``savefig``. `plot_denoised` and `plot_before_after` return the
figure, whose ``axes`` are the panels.
"""

from fastgsm.plot._curves import plot_likelihood
from fastgsm.plot._images import plot_before_after, plot_denoised, plot_removed
from fastgsm.plot._layout import new_figure
from fastgsm.plot._priors import (
    plot_eigenvectors,
    plot_responsibilities,
    plot_samples,
    plot_scales,
)

__all__ = [
    "new_figure",
    "plot_before_after",
    "plot_denoised",
    "plot_eigenvectors",
    "plot_likelihood",
    "plot_removed",
    "plot_responsibilities",
    "plot_samples",
    "plot_scales",
]
