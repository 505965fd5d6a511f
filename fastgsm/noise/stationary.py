"""Covariances of stationary noise between pixels and channels, from spectra and from samples.

They are arrays (n, n, height, width) as `NoiseModel` describes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastgsm._arrays import real_array
from fastgsm._images import channels_first
from fastgsm._types import FloatArray

# Pixels that are farther apart than this, along an axis, count as uncorrelated. Patches of up to
# 8x8 pixels need 7, and 16 at half of the size.
MOST_LAGS = 16
# Least side of spectra and of samples of noise.
LEAST_SAMPLES = 16
# Correlations below so many standard errors are not told from 0.
SIGNIFICANT = 3.0
# A power spectrum may be so much below 0, relative to its largest value: correlations that were
# measured or cut off are not quite those of noise.
MOST_NEGATIVE = 0.25
# Correlations below this are rounding errors.
NEGLIGIBLE = 1e-9


def check_noise_arrays(sigma: FloatArray, correlation: FloatArray) -> None:
    """Raise ValueError unless levels (n,) and correlations are those of stationary noise."""
    if sigma.ndim != 1 or sigma.size == 0 or not (np.isfinite(sigma) & (sigma >= 0)).all():
        raise ValueError(f"sigma is {sigma}; wanted a finite level of at least 0 for each channel.")
    n, shape = sigma.size, correlation.shape
    if correlation.ndim != 4 or shape[:2] != (n, n) or not (shape[2] % 2 and shape[3] % 2):
        raise ValueError(
            f"correlation has shape {shape}; wanted ({n}, {n}, height, width) with odd height and "
            f"width."
        )
    if not np.isfinite(correlation).all():
        raise ValueError("correlation has NaN or infinite values; wanted finite ones.")
    mirrored = correlation.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    if np.abs(correlation - mirrored).max() > 1e-6:
        raise ValueError(
            "correlation is not symmetric; wanted the same value for channels i and j at some "
            "distance, and for j and i at the opposite one."
        )
    between = correlation[:, :, shape[2] // 2, shape[3] // 2]
    least, most = np.linalg.eigvalsh(between)[0], np.abs(correlation).max()
    if np.abs(np.diagonal(between) - 1).max() > 1e-6 or least < -1e-6 or most > 1 + 1e-6:
        raise ValueError(
            f"the noise is not positive semidefinite: a channel's correlation with itself is "
            f"{np.diagonal(between)}, the largest magnitude {most:.3g} and the least eigenvalue "
            f"between channels {least:.3g}. Wanted 1, 1 and at least 0."
        )
    spectra = np.fft.fft2(np.einsum("ii...->i...", correlation), [4 * n for n in shape[2:]])
    phases = [np.exp(2j * np.pi * np.fft.fftfreq(4 * n) * (n // 2)) for n in shape[2:]]
    powers = (spectra * phases[0][:, None] * phases[1]).real
    if powers.min() < -MOST_NEGATIVE * powers.max():
        raise ValueError(
            f"the noise is not positive semidefinite: its power spectrum falls to "
            f"{powers.min():.3g}, where its largest value is {powers.max():.3g}. Wanted at least 0."
        )


def without_zeros_around(correlation: FloatArray) -> FloatArray:
    """Return correlations (n, n, height, width) up to the farthest that are not 0."""
    rows, cols = (
        np.flatnonzero((np.abs(correlation) > NEGLIGIBLE).any(axis=axes))
        for axes in ((0, 1, 3), (0, 1, 2))
    )
    parts = [slice(each[0], each[-1] + 1) for each in (rows, cols)]
    return correlation[:, :, parts[0], parts[1]].copy()


def levels_and_correlation(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return levels (n,) and correlations of a covariance; channels without noise have none."""
    shape = covariance.shape
    if covariance.ndim != 4 or shape[0] != shape[1] or 0 in shape:
        raise ValueError(
            f"covariance has shape {shape}; wanted (n_channels, n_channels), or these and two odd "
            f"numbers of rows and columns."
        )
    middle = tuple(n // 2 for n in shape[2:])
    variances = np.diagonal(covariance[:, :, *middle])
    if not (np.isfinite(covariance).all() and (variances >= 0).all()):
        raise ValueError("covariance has NaN, infinite values or negative variances.")
    levels = np.sqrt(variances)
    products = np.outer(levels, levels)[:, :, None, None]
    correlation = np.zeros(shape)
    correlation[range(len(levels)), range(len(levels)), middle[0], middle[1]] = 1
    np.divide(covariance, products, where=products > 0, out=correlation)
    return levels, correlation


def samples(values: ArrayLike, channel_axis: int | None, name: str) -> FloatArray:
    """Return checked values as float64 (n, height, width)."""
    planes = channels_first(real_array(values, name), channel_axis, name).astype(np.float64)
    if min(planes.shape[1:]) < LEAST_SAMPLES:
        raise ValueError(
            f"{name} has shape {np.shape(values)}; wanted at least {LEAST_SAMPLES}x{LEAST_SAMPLES} "
            f"pixels."
        )
    return planes


def covariance_of_psd(planes: FloatArray) -> FloatArray:
    """Return the covariance for power spectral densities (n, height, width) of the channels."""
    if not (np.isfinite(planes) & (planes >= 0)).all():
        raise ValueError("psd has negative, NaN or infinite values; wanted numbers of at least 0.")
    sums = np.fft.ifft2(planes)
    if np.abs(sums.imag).max() > 1e-4 * np.abs(sums).max():
        raise ValueError(
            "psd is not symmetric, so it is not that of real noise; wanted the same value at a "
            "frequency and at its negative, as numpy.fft.fft2 orders them."
        )
    n, *shape = planes.shape
    covariance = np.zeros((n, n, *shape))
    covariance[range(n), range(n)] = np.fft.fftshift(sums.real, (1, 2)) / np.prod(shape)
    return _near(covariance)


def psd_of_covariance(covariance: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Return the power spectral densities (n, height, width) of the channels."""
    height, width = shape
    sums = np.zeros((len(covariance), height, width))
    near = _near(covariance, ((height - 1) // 2, (width - 1) // 2))
    down, across = (n // 2 for n in near.shape[2:])
    rows, cols = np.arange(-down, down + 1), np.arange(-across, across + 1)
    sums[:, rows[:, None], cols] = np.einsum("ii...->i...", near)
    return np.maximum(np.fft.fft2(sums).real * (height * width), 0)


def covariance_of_samples(planes: FloatArray) -> FloatArray:
    """Return the covariance that is measured in noise (n, height, width)."""
    if not np.isfinite(planes).all():
        raise ValueError("noise has NaN or infinite values; wanted finite ones.")
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    shape = planes.shape[1:]
    # Padded, so that what leaves the samples at one side does not come back at the other.
    spectra = np.fft.rfft2(planes, [2 * n for n in shape])
    crossed = np.conj(spectra)[:, None] * spectra[None]
    sums = np.fft.fftshift(np.fft.irfft2(crossed, [2 * n for n in shape]), (2, 3))
    # Divided by the number of pixels, not of pairs, so that the spectrum is nowhere negative.
    covariance = _near(sums / planes[0].size, (shape[0] // 4, shape[1] // 4))
    middle = tuple(n // 2 for n in covariance.shape[2:])
    levels = np.sqrt(np.einsum("ii...->i...", covariance)[:, *middle])
    products = np.outer(levels, levels)[:, :, None, None]
    correlations = np.divide(
        covariance, products, where=products > 0, out=np.zeros_like(covariance)
    )
    # The variance of a correlation that is 0 in truth is the sum of all squared correlations over
    # the number of pixels (Bartlett). Those of each channel with itself are told from 0 first.
    error = SIGNIFICANT / np.sqrt(planes[0].size)
    of_channels = np.einsum("ii...->i...", correlations)
    squares = np.square(np.where(np.abs(of_channels) > error, of_channels, 0))
    error *= np.sqrt(squares.sum(axis=(1, 2)).max())
    told = np.abs(correlations) > error
    told[:, :, *middle] = True
    return np.where(told, covariance, 0)


def _near(covariance: FloatArray, lags: tuple[int, int] = (MOST_LAGS, MOST_LAGS)) -> FloatArray:
    """Return the part of covariances (..., height, width) within some rows and columns, at most 16.

    The pixel itself is at half of the height and the width, rounded down.
    """
    parts = []
    for n, most in zip(covariance.shape[2:], lags, strict=True):
        most = min(most, MOST_LAGS, (n - 1) // 2)
        parts.append(slice(n // 2 - most, n // 2 + most + 1))
    return covariance[:, :, parts[0], parts[1]].copy()
