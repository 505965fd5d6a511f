"""The covariance of white noise, from patches of the channels of an image."""

from __future__ import annotations

import math
import warnings
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import caller_level
from fastgsm._types import FloatArray
from fastgsm.noise.channels import BASIS, MIN_NOISY, ORDER, PATCH, Channel, transformed

# Shares of the patches that may be trusted, smoothest first. The largest is used whose high
# frequencies are not significantly stronger than those of a smaller share: by SIGNIFICANT standard
# errors, each as if OVERLAP patches were one. Fewer than MIN_SMOOTH are too noisy an estimate.
SHARES = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
MIN_SMOOTH = 128
SIGNIFICANT, OVERLAP = 2.0, 2.0
# What texture is left is seen from how much the high frequencies grow, with the low ones, from the
# trusted patches to WIDER times as many. This line is extrapolated, with a slope of at most
# STEEPEST, and never to less than LEAST_FACTOR of the variance. Root mean square of the error in
# percent over 96 quarters of 24 grey photographs, noise of 5, 10 and 25 of 255; the worst at 5:
#
#   orders from 9, a share of 1/20        8.8  2.9  1.5    47
#   orders from 11, a share of 1/20       6.3  2.5  1.7    31
#   and the share chosen                  5.6  2.4  1.4    28
#   and half of the way extrapolated      4.5  2.2  1.4    17
#   and all of it                         3.8  2.1  1.4    10
#
# Not better were the median over the patches (4.6 in the last row but one, and 2.0 at 25), and low
# frequencies in two halves, one to choose patches and one to measure their texture (worst -56).
WIDER, STEEPEST, LEAST_FACTOR = 4, 0.5, 0.5
# Among clipped patches, those with the weakest low frequencies are also the most clipped, so more
# of them are used. Noise of 10 on a background of -5, 0, 5 and 10 with stars, clipped at 0:
#
#   share 0.1      5.8  8.4  9.3  9.6      share 0.25     6.3  8.8  9.4  9.7
CLIPPED_SHARES = (0.25,)
# A set of patches is used only if it is this share of those that it stands for. A few bright
# patches say nothing of an image whose noise is clipped nearly everywhere.
LEAST_SHARE = 0.1
# Share of clipped pixels, in the patches used, that makes the estimate uncertain.
MUCH_CLIPPED = 0.1


def sigma_of_channels(channels: list[Channel], peak: float, data_range: float) -> float:
    """Return the noise level of an image with pixels of up to ``peak`` from its channels' patches.

    It is the root of the channels' mean variance.
    """
    channels, exponent = _rescaled(channels, peak)
    variance = _covariance(channels).diagonal().mean()
    return math.ldexp(data_range * math.sqrt(variance), exponent)


def covariance_of_channels(
    channels: list[Channel], peak: float, data_range: float, *, warn: bool = True
) -> tuple[FloatArray, float]:
    """Return the noise covariance of an image with pixels of up to ``peak``, and its unit.

    It is in units of the unit squared, which may be beyond what floats hold. With ``warn``, a
    warning is given where much of the noise is clipped.
    """
    channels, exponent = _rescaled(channels, peak)
    return _covariance(channels, warn), math.ldexp(data_range, exponent)


def _rescaled(channels: list[Channel], peak: float) -> tuple[list[Channel], int]:
    """Divide very large and very small pixels by a power of two, and return its exponent.

    This rounds nothing, and keeps squares inside the type's range.
    """
    exponent = 0 if 1e-9 < peak < 1e9 or peak == 0 else math.frexp(peak)[1]
    if exponent:
        channels = [Channel(*(np.ldexp(each, -exponent) for each in one)) for one in channels]
    return channels, exponent


class ChannelNoise(NamedTuple):
    """The patches of one channel, as the estimate sees them."""

    usable: NDArray[np.bool_]
    """Which patches are used (p,)."""
    texture: FloatArray
    """Mean square of each patch's low frequencies (p,)."""
    strength: FloatArray
    """Mean square of each patch's high frequencies (p,)."""
    high: FloatArray
    """High frequencies of all patches (10, p)."""
    clipped: float
    """Share of clipped pixels in the patches used; 0 if only patches without any are used."""


def _covariance(channels: list[Channel], warn: bool = True) -> FloatArray:
    """Return the covariance (n, n) of the noise of channels, float64.

    Each channel's variance is first measured in its own smoothest patches. Divided by these, the
    low frequencies of all channels together choose the patches that are smooth in all of them.
    Channels that share too few usable patches keep their own variances, uncorrelated.
    """
    noises = [_noise(each) for each in channels]
    variances = [_variance(each) for each in noises]
    # A channel without noise has no say: its low frequencies would drown the others'.
    noisy = [(each, v) for each, v in zip(noises, variances, strict=True) if v > 0]
    clipped = max((each.clipped for each, _ in noisy), default=0.0)
    if warn and clipped > MUCH_CLIPPED:
        _warn_clipped(clipped)
    shared: NDArray[np.bool_] = np.logical_and.reduce([each.usable for each in noises])
    of = min(int(np.count_nonzero(each.usable)) for each in noises)
    if len(channels) == 1 or not noisy or not _enough(shared, of):
        return np.diag(variances)
    texture = np.mean([each.texture / v for each, v in noisy], axis=0)
    strength = np.mean([each.strength / v for each, v in noisy], axis=0)
    smooth, factor = _smooth_patches(texture, strength, shared, clipped > 0)
    highs = [each.high[:, smooth].astype(np.float64) for each in noises]
    return factor * np.array([[_mean_product(one, other) for other in highs] for one in highs])


def _variance(noise: ChannelNoise) -> float:
    """Return the noise variance of one channel."""
    smooth, factor = _smooth_patches(noise.texture, noise.strength, noise.usable, noise.clipped > 0)
    high = noise.high[:, smooth].astype(np.float64)
    return factor * _mean_product(high, high)


def _noise(channel: Channel) -> ChannelNoise:
    """Return what is used of one channel's patches."""
    patches: FloatArray = channel.patches.reshape(PATCH * PATCH, -1)
    at_limit = (patches == channel.low) | (patches == channel.high)
    n_clipped = at_limit.sum(axis=0, dtype=np.uint8)
    usable = _usable(patches, n_clipped)
    # Without its first pixel's value a flat patch is exactly 0, and so is its estimate.
    coefficients = transformed(ROWS, patches - patches[0])
    clipped = float(n_clipped[usable].mean()) / PATCH**2
    if clipped > 0:
        coefficients /= np.sqrt(CLIPPED_VARIANCE[n_clipped]).astype(patches.dtype)
    low, high = np.split(coefficients, [np.count_nonzero(LOW)])
    texture, strength = (np.square(each).mean(axis=0) for each in (low, high))
    return ChannelNoise(usable, texture, strength, high, clipped)


def _usable(patches: FloatArray, n_clipped: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which patches (64, p) of one channel to use.

    Borders and masked parts have no noise, which shows in constant rows or columns. A dithered
    border has two values in all. Such patches are left out if enough others remain, and so are
    those with clipped pixels.
    """
    least, most = patches.min(axis=0), patches.max(axis=0)
    varied = least < most
    alive = ((patches != least) & (patches != most)).any(axis=0)
    square = patches.reshape(PATCH, PATCH, -1)
    alive &= (square[1:] != square[:-1]).any(axis=0).all(axis=0)
    alive &= (square[:, 1:] != square[:, :-1]).any(axis=1).all(axis=0)
    n_varied = int(np.count_nonzero(varied))
    free = alive & (n_clipped == 0)
    if _enough(free, n_varied):
        return free
    if _enough(alive, n_varied):
        return alive
    if _enough(varied, varied.size):
        return varied
    return np.ones_like(varied)


def _enough(chosen: NDArray[np.bool_], of: int) -> bool:
    """Return whether the chosen patches are enough to stand for so many."""
    return int(np.count_nonzero(chosen)) >= max(MIN_NOISY, LEAST_SHARE * of)


def _smooth_patches(
    texture: FloatArray, strength: FloatArray, usable: NDArray[np.bool_], clipped: bool
) -> tuple[NDArray[np.intp], float]:
    """Return the patches to measure the noise in, and what part of their variance is noise.

    ``texture`` and ``strength`` are the mean squares of each patch's low and high frequencies.
    """
    places = np.flatnonzero(usable)
    places = places[np.argsort(texture[places], kind="stable")]
    strength = strength[places].astype(np.float64)
    n_smooth, level, most = 0, 0.0, math.inf
    for share in CLIPPED_SHARES if clipped else SHARES:
        n = min(max(int(share * places.size), MIN_SMOOTH), places.size)
        mean = strength[:n].mean()
        if mean > most:
            break
        n_smooth, level = n, mean
        most = min(most, mean + SIGNIFICANT * strength[:n].std() * math.sqrt(OVERLAP / n))
    smooth, wider = places[:n_smooth], places[: WIDER * n_smooth]
    low, wider_low = (float(texture[each].mean()) for each in (smooth, wider))
    if not level < low < wider_low:
        return smooth, 1.0
    slope = (strength[: wider.size].mean() - level) / (wider_low - low)
    slope = min(max(slope, 0.0), STEEPEST)
    # Noise alone is equally strong at low and high frequencies: where the line meets the diagonal.
    residue = slope / (1 - slope) * (low - level)
    return smooth, max(1 - residue / level, LEAST_FACTOR)


def _mean_product(one: FloatArray, other: FloatArray) -> float:
    """Return the mean product, not from BLAS: equal channels have a covariance of equal bits."""
    return float((one * other).mean())


def _warn_clipped(share: float) -> None:
    warnings.warn(
        f"{share:.0%} of the pixels from which the noise is estimated have the image's least or "
        f"greatest value, as if clipped there; wanted patches of {PATCH}x{PATCH} pixels without "
        f"such values. The estimate is uncertain. Give sigma, or the image before it was clipped; "
        f"photon counts are denoised with noise='poisson'.",
        stacklevel=caller_level(),
    )


def _clipped_variance() -> FloatArray:
    """Return the variance of noise of variance 1 in a flat patch with 0 to 64 clipped pixels.

    A value a above the limit is clipped with probability p = Phi(-a). The variance of max(a + z, 0)
    follows from the moments of the truncated normal distribution. One pixel may have the least
    value without being clipped. More than half is taken for half, as a sky of value 0 has it:
    photon counts have more zeros without being clipped at all.
    """
    normal = NormalDist()
    variances = [1.0, 1.0]
    for n_clipped in range(2, PATCH**2 + 1):
        p = min((n_clipped - 1) / PATCH**2, 0.5)
        a = -normal.inv_cdf(p)
        mean = a * (1 - p) + normal.pdf(a)
        variances.append((1 + a * a) * (1 - p) + a * normal.pdf(a) - mean**2)
    return np.array(variances)


# Of the 64 frequencies, one is the mean, 42 are low and 10 high. Those between are not used: they
# have more texture than the high ones.
LOW, HIGH = (ORDER > 0) & (ORDER <= PATCH), ORDER >= 11
ROWS = np.concatenate([BASIS[LOW], BASIS[HIGH]])
CLIPPED_VARIANCE = _clipped_variance()
