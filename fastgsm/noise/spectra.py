"""The spectrum of an image's noise, from the patches that look least like texture.

Each half of the frequencies of the discrete cosine transform (DCT) is measured in the patches that
are weakest at the other half: choosing patches does not bias what is measured.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.colour import noise_adapted_matrix
from fastgsm.noise.channels import BASIS, MIN_NOISY, PATCH, Channel, transformed
from fastgsm.noise.channels import ORDER as ALL_ORDERS

# Most patches examined, the share of them that is taken for noise alone, and its least number.
MOST_PATCHES = 16_384
NOISE_SHARE = 0.05
LEAST_PATCHES = 200
# With fewer patches than this, the weakest are all too many of them to tell noise from texture.
LEAST_TO_CHOOSE = int(LEAST_PATCHES / NOISE_SHARE)
ROUNDS, FIRST_STEP = 3, 8
# Green is measured twice as often as red or blue, and amplified less.
CAMERA_WEIGHTS = (0.2, 0.6, 0.2)
# Below the energies of any noise, and far enough above 0 to be divided by.
TINY = 1e-20

# Of all frequencies but the mean.
ORDER = ALL_ORDERS[1:]
HALVES = (ORDER % 2 == 0, ORDER % 2 == 1)
MIDDLE = (ORDER == 4) | (ORDER == 5)
LOW, TOP = ORDER <= PATCH, ORDER > PATCH
# Where noise is told from texture: between the strongest of both and the highest frequencies.
TESTED = (ORDER >= 4) & (ORDER <= 8)


class NoiseSpectra(NamedTuple):
    """The DCT of an image's patches, and the spectrum of the noise in them.

    Channels are mixed into planes as those of a camera: the first is the luminance.
    """

    coefficients: FloatArray
    """Of the patches of every channel, (n, 63, p)."""
    energies: FloatArray
    """Squared coefficients of the patches of every plane, (n, 63, p)."""
    spectra: FloatArray
    """Variances of the noise in every plane, (n, 63)."""
    means: FloatArray
    """Mean of the patches of every channel, (n, p)."""
    mixing: FloatArray
    """Weights of the channels in each plane, (n, n)."""

    @classmethod
    def of(cls, channels: list[Channel]) -> Self:
        """Measure the noise in some patches of the channels of an image."""
        n = len(channels)
        weights = np.diag(1 / np.array(CAMERA_WEIGHTS)) if n == 3 else np.eye(n)
        mixing = noise_adapted_matrix(weights)
        patches = noisy_patches(channels)
        patches = patches[:, :, :: -(-patches.shape[2] // MOST_PATCHES)]
        means = patches.mean(axis=1)
        coefficients = np.stack([transformed(BASIS[1:], each) for each in patches])
        energies = np.square(np.einsum("mn,nfp->mfp", mixing.astype(patches.dtype), coefficients))
        # A few patches are enough to begin with. The median of a chi-square of one degree is 0.45.
        spectra = np.maximum(np.median(energies[:, :, ::FIRST_STEP], axis=2) / 0.45, TINY)
        for _ in range(ROUNDS):
            spectra = cross_fitted(energies, spectra)
        return cls(coefficients, energies, spectra, means, mixing)

    @property
    def brightness(self) -> FloatArray:
        """Mean of every patch (p,) over the channels."""
        return np.asarray(self.means.mean(axis=0))

    @property
    def middle(self) -> float:
        """Level of the luminance's noise at the middle frequencies, orders 4 and 5."""
        return float(np.sqrt(self.spectra[0, MIDDLE].mean()))

    @property
    def top(self) -> float:
        """Level of the luminance's noise at the highest frequencies, orders above 8."""
        return float(np.sqrt(self.spectra[0, TOP].mean()))


def noisy_patches(channels: list[Channel]) -> FloatArray:
    """Return the patches (n, 64, p) without a clipped pixel; all, if there are too few.

    A clipped pixel, at its channel's least or greatest value, has lost some of its noise.
    """
    patches = np.stack([each.patches.reshape(PATCH**2, -1) for each in channels])
    low, high = (np.array([each[i] for each in channels])[:, None, None] for i in (1, 2))
    noisy = ((patches > low) & (patches < high)).all(axis=(0, 1))
    return patches[:, :, noisy] if np.count_nonzero(noisy) >= MIN_NOISY else patches


def cross_fitted(
    energies: FloatArray, spectra: FloatArray, least: int = LEAST_PATCHES
) -> FloatArray:
    """Return better spectra (n, 63): the mean ``energies`` (n, 63, p) of patches that look weak.

    Each half of the frequencies is measured in the patches, at least so many, that are weakest
    relative to ``spectra`` at the other half.
    """
    better = np.empty_like(spectra)
    for chosen_by, measured in (HALVES, HALVES[::-1]):
        weakest = weakest_patches(energies, spectra, chosen_by, least)
        better[:, measured] = energies[:, measured][:, :, weakest].mean(axis=2)
    return np.maximum(better, TINY)


def weakest_patches(
    energies: FloatArray,
    spectra: FloatArray,
    chosen_by: NDArray[np.bool_],
    least: int = LEAST_PATCHES,
) -> NDArray[np.intp]:
    """Return the indices of the patches that are weakest at some frequencies, over all planes."""
    n_patches = energies.shape[2]
    n_weakest = min(max(int(NOISE_SHARE * n_patches), least), n_patches)
    weights = (1 / spectra[:, chosen_by]).astype(energies.dtype)
    strength = np.einsum("nfp,nf->p", energies[:, chosen_by], weights)
    return np.argpartition(strength, n_weakest - 1)[:n_weakest]


def classes_of(
    brightness: FloatArray, n_classes: int, more: tuple[float, ...] = ()
) -> NDArray[np.intp]:
    """Return the class of every value, from 0 on.

    Classes are of equal size; the highest is cut at ``more`` shares of it, counted from its top.
    """
    shares = [*np.arange(1, n_classes) / n_classes, *(1 - share / n_classes for share in more)]
    edges = np.unique(np.quantile(brightness, shares))
    return np.searchsorted(edges, brightness, side="right")
