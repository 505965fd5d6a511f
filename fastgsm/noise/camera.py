"""The noise of a finished photograph, estimated from the photograph alone.

A camera interpolates colours from one sample a pixel, smooths, and compresses. What is left of the
noise is correlated between pixels and channels: strong at low frequencies, where white noise of the
level that the highest frequencies show would not reach.
"""

from __future__ import annotations

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.noise.spectra import (
    HALVES,
    ORDER,
    TESTED,
    NoiseSpectra,
    classes_of,
    cross_fitted,
    weakest_patches,
)

# The level of the chroma is the mean over so many classes of brightness, of equal size.
BRIGHTNESS_CLASSES = 8
LEAST_IN_CLASS = 20
# Level of white noise that restores best, from the noise m at the middle frequencies (orders 4 and
# 5), both in 1/255 of the data range: max(LEVEL_AT_ONE m^LEVEL_EXPONENT, m). Low frequencies, where
# the noise is strongest, cannot be told from the picture: where they were used in its place (the
# lesser of orders 1 to 2 and 1.45 times orders 2 to 3), clean photographs were taken for noisy
# ones. Tuned on five crops of cc15 and three of polyu (PSNR of "balanced", in dB):
#
#   5.5 m^0.35       37.05 / 38.56      6.0 m^0.35       36.99 / 38.57
#   5.5 m^0.5        36.94 / 38.59      low frequencies  37.00 / 38.57
LEVEL_AT_ONE, LEVEL_EXPONENT = 5.5, 0.35
# The chroma planes are restored at what their low frequencies (orders 1 and 2) show, times this,
# and within these bounds relative to the luminance.
CHROMA_GAIN, LEAST_CHROMA, MOST_CHROMA = 1.15, 0.5, 1.2

# How sure it is that an image has the noise of a camera: the product of four numbers that rise from
# 0 to 1 between two values. They are the level at the middle frequencies over that at the highest;
# that level, in 1/255 of the data range; the correlation of the patches' energies at the two halves
# of the frequencies, which texture has and noise has not; and the level at high frequencies in the
# weakest patches of every class of brightness over that in the weakest of all.
RATIO_RAMP = (2.6, 3.2)
LEVEL_RAMP = (1.4, 2.0)
TEXTURE_RAMP = (0.65, 0.5)
SPREAD_RAMP = (2.2, 1.8)
# Classes of brightness within which energies are correlated.
TEXTURE_CLASSES = 5

_LOW = ORDER <= 2


def camera_covariance(noise: NoiseSpectra) -> FloatArray:
    """Estimate the covariance (n, n) of a photograph's noise between its channels.

    White noise of this covariance is what restores the photograph best. It is weaker than the
    noise at the lowest frequencies and stronger than that at the highest. ``noise`` is in units of
    the data range.
    """
    middle = 255 * noise.middle
    level = max(LEVEL_AT_ONE * middle**LEVEL_EXPONENT, middle) / 255
    chroma = CHROMA_GAIN * np.sqrt(_chroma_variances(noise))
    levels = [level, *np.clip(chroma, LEAST_CHROMA * level, MOST_CHROMA * level)]
    unmixing = np.linalg.inv(noise.mixing)
    return np.asarray((unmixing * np.square(levels)) @ unmixing.T)


def camera_confidence(noise: NoiseSpectra, texture: float, level: float) -> float:
    """Return how sure it is that noise is that of a camera, from 0 to 1.

    ``texture`` is that of `texture_of`, ``level`` the median over the classes of brightness, at
    high frequencies.
    """
    top = max(noise.top, 1e-5)
    sure = _ramp(noise.middle / top, RATIO_RAMP) * _ramp(255 * noise.middle, LEVEL_RAMP)
    return sure * _ramp(texture, TEXTURE_RAMP) * _ramp(level / top, SPREAD_RAMP)


def texture_of(noise: NoiseSpectra) -> float:
    """Return whether patches that are strong at one half of the frequencies are so at the other.

    It is the correlation of the logarithms of their energies in the luminance, within classes of
    brightness: 0 for noise, towards 1 for texture.
    """
    correlations = []
    for chosen_by, measured in (HALVES, HALVES[::-1]):
        weakest = weakest_patches(noise.energies, noise.spectra, chosen_by)
        relative = noise.energies[0][:, weakest] / noise.spectra[0][:, None]
        one, other = (
            np.log(relative[half].mean(axis=0) + 1e-9) for half in (chosen_by, measured & TESTED)
        )
        correlations.append(_correlation(one, other, noise.brightness[weakest]))
    return float(np.mean(correlations))


def _correlation(one: FloatArray, other: FloatArray, brightness: FloatArray) -> float:
    """Return the correlation of two values (p,) within classes of brightness."""
    classes = classes_of(brightness, TEXTURE_CLASSES)
    counts = np.maximum(np.bincount(classes), 1)
    x, y = (z - (np.bincount(classes, z) / counts)[classes] for z in (one, other))
    return float((x * y).mean() / max(np.sqrt(np.square(x).mean() * np.square(y).mean()), 1e-9))


def _chroma_variances(noise: NoiseSpectra) -> FloatArray:
    """Return the noise of the planes after the first at low frequencies, (n - 1,).

    Averaged over classes of brightness: the weakest patches of all are mostly dark ones.
    """
    classes = classes_of(noise.brightness, BRIGHTNESS_CLASSES)
    members = (noise.energies[:, :, classes == number] for number in np.unique(classes))
    spectra = [cross_fitted(each, noise.spectra, LEAST_IN_CLASS) for each in members]
    return np.asarray(np.mean(spectra, axis=0)[1:, _LOW].mean(axis=1))


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """Return 0 at the first end and beyond, 1 at the second, and linearly between them."""
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1))
