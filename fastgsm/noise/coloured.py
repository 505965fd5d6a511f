"""Noise that is correlated between pixels, the same everywhere: its covariance, from one image."""

from __future__ import annotations

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.colour import dct_matrix
from fastgsm.noise.channels import PATCH
from fastgsm.noise.spectra import HALVES, MIDDLE, TESTED, NoiseSpectra, weakest_patches

# Noise counts as coloured if its level at the middle frequencies over that at the highest is above
# the first of these, that level above the second (in 1/255 of the data range), and everything looks
# like Gaussian noise: the patches' energies at the two halves of the frequencies hardly correlated,
# the kurtosis of the coefficients in a patch near 3, the channels hardly correlated. The kurtosis
# tells it from the noise of cameras, where the first ratio is 7 at most; beyond SURE_RATIO it need
# not be low.
LEAST_RATIO, LEAST_LEVEL = 2.2, 1.8
SURE_RATIO = 9.0
MOST_TEXTURE, MOST_KURTOSIS, MOST_CORRELATION = 0.2, 3.17, 0.5
# Frequencies at which the power spectrum is sought, along each axis, and steps of the search.
FREQUENCIES, STEPS = 17, 60


def _response() -> tuple[FloatArray, FloatArray]:
    """Return how much each frequency adds to the DCT's variances (63, f), and to lags (8, f)."""
    omega = np.linspace(0, np.pi, FREQUENCIES)
    trapezoid = np.where((omega == 0) | (omega == np.pi), 0.5, 1.0) / (FREQUENCIES - 1)
    waves = np.exp(-1j * np.outer(np.arange(PATCH), omega))
    of_axis = np.abs(dct_matrix(PATCH) @ waves) ** 2 * trapezoid
    return np.kron(of_axis, of_axis)[1:], waves.real * trapezoid


RESPONSE, LAGS = _response()


def autocovariance(variances: FloatArray) -> FloatArray:
    """Return the autocovariance (15, 15) of stationary noise with the DCT ``variances`` (63,).

    It has a power spectrum that is nowhere negative, and is the same up and down, and left and
    right. The spectrum is the maximum of the likelihood of exponential energies (Itakura and
    Saito's divergence), by multiplicative steps.
    """
    response = RESPONSE / variances[:, None]
    spectrum = np.full(FREQUENCIES**2, variances.mean())
    for _ in range(STEPS):
        # Not by BLAS, whose last bits depend on the number of threads.
        expected = np.einsum("vf,f->v", response, spectrum)
        spectrum *= np.einsum("vf,v->f", response, 1 / expected) / response.sum(axis=0)
    quarter = LAGS @ spectrum.reshape(FREQUENCIES, FREQUENCIES) @ LAGS.T
    places = np.abs(np.arange(1 - PATCH, PATCH))
    return np.asarray(quarter[np.ix_(places, places)])


def coloured_covariance(noise: NoiseSpectra) -> FloatArray:
    """Return the covariance (n, n, 15, 15) of the channels' noise between pixels."""
    of_planes = np.stack([autocovariance(each) for each in noise.spectra])
    unmixing = np.linalg.inv(noise.mixing)
    return np.asarray(np.einsum("im,jm,m...->ij...", unmixing, unmixing, of_planes))


def is_coloured(noise: NoiseSpectra, texture: float) -> bool:
    """Return whether all of an image has the same coloured noise; see `camera.texture_of`."""
    ratio = noise.middle / max(noise.top, 1e-5)
    if ratio < LEAST_RATIO or 255 * noise.middle < LEAST_LEVEL or texture > MOST_TEXTURE:
        return False
    kurtosis, correlation = _shape_of(noise)
    gaussian = kurtosis < MOST_KURTOSIS or ratio > SURE_RATIO
    return gaussian and correlation < MOST_CORRELATION


def _shape_of(noise: NoiseSpectra) -> tuple[float, float]:
    """Return the kurtosis of coefficients in weak patches, and the channels' least correlation."""
    kurtosis, correlation = [], []
    for chosen_by, measured in (HALVES, HALVES[::-1]):
        weakest = weakest_patches(noise.energies, noise.spectra, chosen_by)
        tested = noise.energies[0][:, weakest] / noise.spectra[0][:, None]
        tested = tested[measured & TESTED]
        share = np.square(tested).mean(axis=0) / np.square(tested.mean(axis=0))
        # Without bias for Gaussian coefficients, of which a patch has few.
        kurtosis.append((1 + 2 / len(tested)) * share.mean())
        if len(noise.energies) > 1:
            middle = noise.coefficients[:, measured & MIDDLE][:, :, weakest]
            correlation.append(np.corrcoef(middle.reshape(len(middle), -1)).min())
    return float(np.mean(kurtosis)), float(np.mean(correlation)) if correlation else 0.0
