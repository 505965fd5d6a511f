"""The noise of a finished photograph, estimated from the photograph alone.

A camera interpolates colours from one sample a pixel, smooths, and compresses. What is left of the
noise is correlated between pixels and channels: strong at low frequencies, where white noise of the
level that the highest frequencies show would not reach.
"""

from __future__ import annotations

import math

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.colour import noise_adapted_matrix
from fastgsm.noise.white import BASIS, MIN_NOISY, PATCH, Channel

# Share of the patches that is taken for noise alone, and least number of them.
NOISE_SHARE = 0.05
LEAST_PATCHES = 200
ROUNDS = 3
# The level of the chroma is the mean over so many classes of brightness, of equal size.
BRIGHTNESS_CLASSES = 8
LEAST_IN_CLASS = 20
# Green is measured twice as often as red or blue, and amplified less.
CAMERA_WEIGHTS = (0.2, 0.6, 0.2)
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

# Below the energies of any noise, and far enough above 0 to be divided by.
TINY = 1e-20

_ORDER = np.add.outer(np.arange(PATCH), np.arange(PATCH)).ravel()[1:]
_LOW = _ORDER <= 2
_MIDDLE = (_ORDER == 4) | (_ORDER == 5)
# Frequencies by the parity of their order: patches are chosen by one half for the other.
_HALVES = (_ORDER % 2 == 0, _ORDER % 2 == 1)


def camera_covariance(channels: list[Channel]) -> FloatArray:
    """Estimate the covariance (n, n) of a photograph's noise between its channels.

    White noise of this covariance is what restores the photograph best. It is weaker than the
    noise at the lowest frequencies and stronger than that at the highest. ``channels`` are in units
    of the data range.
    """
    n = len(channels)
    weights = np.diag(1 / np.array(CAMERA_WEIGHTS)) if n == 3 else np.eye(n)
    mixing = noise_adapted_matrix(weights)
    patches = noisy_patches(channels)
    brightness = patches.mean(axis=(0, 1))
    mixed = np.einsum("mn,ndp->mdp", mixing.astype(patches.dtype), patches)
    energies = np.square(BASIS[1:].astype(patches.dtype) @ mixed)
    # The median of a chi-square of one degree is 0.45.
    spectra = np.maximum(np.median(energies, axis=2) / 0.45, TINY)
    for _ in range(ROUNDS):
        spectra = _cross_fitted(energies, spectra, LEAST_PATCHES)
    middle = 255 * math.sqrt(spectra[0, _MIDDLE].mean())
    level = max(LEVEL_AT_ONE * middle**LEVEL_EXPONENT, middle) / 255
    chroma = CHROMA_GAIN * np.sqrt(_chroma_variances(energies, spectra, brightness))
    levels = [level, *np.clip(chroma, LEAST_CHROMA * level, MOST_CHROMA * level)]
    unmixing = np.linalg.inv(mixing)
    return (unmixing * np.square(levels)) @ unmixing.T


def noisy_patches(channels: list[Channel]) -> FloatArray:
    """Return the patches (n, 64, p) without a clipped pixel; all, if there are too few.

    A clipped pixel, at its channel's least or greatest value, has lost some of its noise.
    """
    patches = np.stack([each.patches.reshape(PATCH**2, -1) for each in channels])
    low, high = (np.array([each[i] for each in channels])[:, None, None] for i in (1, 2))
    noisy = ((patches > low) & (patches < high)).all(axis=(0, 1))
    return patches[:, :, noisy] if np.count_nonzero(noisy) >= MIN_NOISY else patches


def _cross_fitted(energies: FloatArray, spectra: FloatArray, least: int) -> FloatArray:
    """Return better noise spectra (n, 63): the mean energies of the patches that look weak.

    ``energies`` (n, 63, p) are squared DCT coefficients. Each half of the frequencies is measured
    in the patches, at least so many, that are weakest relative to ``spectra`` at the other half:
    choosing patches does not bias what is measured.
    """
    better = np.empty_like(spectra)
    n_patches = energies.shape[2]
    n_weakest = min(max(int(NOISE_SHARE * n_patches), least), n_patches)
    for chosen_by, measured in (_HALVES, _HALVES[::-1]):
        weights = (1 / spectra[:, chosen_by]).astype(energies.dtype)
        strength = np.einsum("nfp,nf->p", energies[:, chosen_by], weights)
        weakest = np.argpartition(strength, n_weakest - 1)[:n_weakest]
        better[:, measured] = energies[:, measured][:, :, weakest].mean(axis=2)
    return np.maximum(better, TINY)


def _chroma_variances(
    energies: FloatArray, spectra: FloatArray, brightness: FloatArray
) -> FloatArray:
    """Return the noise of the planes after the first at low frequencies, (n - 1,).

    Averaged over classes of brightness: the weakest patches of all are mostly dark ones.
    """
    edges = np.quantile(brightness, np.linspace(0, 1, BRIGHTNESS_CLASSES + 1)[1:-1])
    classes = np.searchsorted(edges, brightness, side="right")
    of_classes = [
        _cross_fitted(energies[:, :, classes == number], spectra, LEAST_IN_CLASS)[1:, _LOW]
        for number in np.unique(classes)
    ]
    return np.asarray(np.mean(of_classes, axis=(0, 2)))
