"""Figures of models, noise and denoised images, drawn with matplotlib's object interface.

Every function draws on the given axes or on a new :class:`matplotlib.figure.Figure`. None uses
pyplot or its state, so that they work in scripts, notebooks and servers alike. Most return their
axes; ``ax.figure`` is the figure, which a notebook shows and ``savefig`` writes. `plot_denoised`
and `plot_before_after` return the figure, whose ``axes`` are the panels.
"""

from fastgsm.plot._curves import plot_likelihood
from fastgsm.plot._images import plot_before_after, plot_denoised, plot_removed
from fastgsm.plot._layout import new_figure
from fastgsm.plot._noise import plot_noise
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
    "plot_noise",
    "plot_removed",
    "plot_responsibilities",
    "plot_samples",
    "plot_scales",
]
