"""Noise that grows with the light: an affine curve of its variance, fitted to an image alone."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.noise.anscombe import Photons
from fastgsm.noise.spectra import LOW, TINY, TOP, NoiseSpectra, classes_of

# The variance is measured in so many classes of brightness of equal size, in a share of the patches
# of each, but in at least so many. The brightest class is cut into four: little of a micrograph is
# bright.
CLASSES = 16
BRIGHTEST_SHARES = (1 / 2, 1 / 4, 1 / 8)
NOISE_SHARE = 0.1
LEAST_IN_CLASS = 12
# Rounds in which patches are chosen again, and the line is fitted again by its own weights.
CHOICES, FITS = 4, 8

# The noise is that of photons if the variance rises from dark to bright by this factor, lies on a
# line (correlation and root mean square of the relative error), is the same at low frequencies
# (their level over that at high ones), and its level is above this, in 1/255 of the data range.
LEAST_RISE, LEAST_CORRELATION, MOST_ERROR, MOST_LOW, LEAST_LEVEL = 2.2, 0.85, 0.25, 1.25, 2.0


class AffineVariance(NamedTuple):
    """A line, ``slope * brightness + intercept``, through measured variances; how well it fits."""

    slope: float
    intercept: float
    rise: float
    """Variance at the brightest over that at the darkest class."""
    correlation: float
    """Of brightness and variance over the classes."""
    error: float
    """Root mean square of the relative errors of the line."""
    low: float
    """Level at low frequencies over that at high ones."""
    level: float
    """Median level."""

    @classmethod
    def of(cls, noise: NoiseSpectra) -> Self:
        """Fit a line to the noise of all channels together.

        In each class of brightness, the patches are those that are weakest at low frequencies
        relative to the line, and the variance is that of their high frequencies.
        """
        energies = np.square(noise.coefficients)
        low, high = (
            energies[:, band].mean(axis=1, dtype=np.float64).ravel() for band in (LOW, TOP)
        )
        brightness = noise.means.astype(np.float64).ravel()
        classes = classes_of(brightness, CLASSES, BRIGHTEST_SHARES)
        members = [np.flatnonzero(classes == number) for number in np.unique(classes)]
        count = np.array([each.size for each in members])
        slope, intercept = 0.0, max(float(np.median(low)), TINY)
        for _ in range(CHOICES):
            expected = slope * brightness + intercept
            strength = low / np.maximum(expected, 0.02 * np.median(expected) + TINY)
            weakest = [each[_weakest(strength[each])] for each in members]
            x, y, z = (np.array([v[i].mean() for i in weakest]) for v in (brightness, high, low))
            slope, intercept, line = _robust_line(x, y, count)
        dark, bright = slope * x.min() + intercept, slope * x.max() + intercept
        varied = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
        return cls(
            slope,
            intercept,
            rise=float(bright / max(dark, 1e-3 * abs(bright) + TINY)),
            correlation=float(np.corrcoef(x, y)[0, 1]) if varied else 0.0,
            error=float(np.sqrt(np.square(y / line - 1).mean())),
            low=float(np.sqrt(np.median(z / np.maximum(y, TINY)))),
            level=float(np.sqrt(np.median(y))),
        )

    @property
    def is_of_photons(self) -> bool:
        """Whether the noise is that of photons, in units of the data range."""
        return (
            self.slope > 0
            and self.rise > LEAST_RISE
            and self.correlation > LEAST_CORRELATION
            and self.error < MOST_ERROR
            and self.low < MOST_LOW
            and 255 * self.level > LEAST_LEVEL
        )

    def photons(self, unit: float) -> Photons:
        """Return gain, offset and read noise of an image whose data range is ``unit``."""
        offset = max(-self.intercept / self.slope, 0.0)
        return unit * self.slope, unit * offset, unit * max(self.intercept, 0.0) ** 0.5


def rises_in_a_channel(noise: NoiseSpectra) -> bool:
    """Return whether a channel alone has noise of photons.

    If not, the bright channels are only those with more noise.
    """
    parts = range(len(noise.means))
    channels = (
        noise._replace(coefficients=noise.coefficients[[i]], means=noise.means[[i]]) for i in parts
    )
    return len(parts) == 1 or any(AffineVariance.of(each).is_of_photons for each in channels)


def _weakest(strength: FloatArray) -> NDArray[np.intp]:
    """Return the indices of the weakest patches of a class."""
    n = min(max(int(NOISE_SHARE * strength.size), LEAST_IN_CLASS), strength.size)
    return np.argpartition(strength, n - 1)[:n]


def _robust_line(
    x: FloatArray, y: FloatArray, count: FloatArray
) -> tuple[float, float, FloatArray]:
    """Fit a line to variances y (c,) by their relative errors, with Huber's weights.

    Return its slope, its intercept and its values, which are above 0. The first two fits trust all
    classes by their ``count`` of patches alone.
    """
    line, design = np.maximum(y, TINY), np.stack([x, np.ones_like(x)], axis=1)
    trust = np.ones_like(y)
    for number in range(FITS):
        if number > 1:
            error = np.abs(y / line - 1) * np.sqrt(count)
            unit = max(1.48 * float(np.median(error)), np.sqrt(2 / np.count_nonzero(TOP)))
            trust = np.minimum(1, 2 * unit / np.maximum(error, TINY))
        weights = np.sqrt(count * trust) / line
        slope, intercept = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=None)[0]
        line = np.maximum(slope * x + intercept, 0.05 * np.median(y) + TINY)
    return float(slope), float(intercept), line
