"""Missing pixels and uneven noise: a noise level for every pixel, infinite where one is missing.

EPLL mixes restored patches with the noisy image. Here each pixel's share of the noisy image falls
with its variance. The patch noise starts high and falls from pass to pass, so that known pixels
spread into unknown ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.restore.epll import EPLL, Pass, schedule
from fastgsm.restore.method import Method, Setting
from fastgsm.restore.pyramid import enlarged, shrunk
from fastgsm.restore.two_scales import TwoScales

# Passes before the usual ones, and the patch noise of the first pass, in units of the data range.
# Filled pixels of four Kodak images in grey (256x256 pixels), mean PSNR in dB without noise. The
# first two rows are of other crops: 0.15 lies between the best for scattered pixels and for blocks.
#
#                        10 %   50 %   80 % missing  12 blocks of 16x16
#   20 from 0.2         29.51  26.69  23.09         20.97
#   20 from 0.15        29.57  26.77  23.23         20.94
#
#   20 from 0.2         30.46  27.58  23.91         22.01
#   20 from 0.1         30.59  27.70  24.17         21.66
#   20 from 0.4         30.29  27.41  23.54         21.96
#   10 from 0.2         29.81  26.79  23.15         21.59
#   30 from 0.2           –    27.83  24.28         22.24
FILLING_PASSES = 20
FILLING_SIGMA = 0.15
# Patch noise falls to the level of the least noisy pixels, but not below this.
LEAST_SIGMA = 0.005
# Without missing pixels, the patch noise falls by this factor from pass to pass. With the halves of
# the same images at noise 10 and 40 of 255, 2 gave 33.31 and 25.64 dB, 1.4 gave 33.27 and 25.37;
# with the two levels scattered at random 29.14 and 29.24.
LEVEL_RATIO = 2.0


def filled(planes: FloatArray, trusted: NDArray[np.bool_]) -> FloatArray:
    """Fill the pixels that are not ``trusted`` (height, width) from the nearest that are.

    The means over the trusted ones among 2x2 pixels are filled in the same way, and enlarged. The
    ``planes`` (n, height, width) are finite everywhere, and one pixel at least is trusted.
    """
    if trusted.all():
        return planes
    weights = trusted[None].astype(planes.dtype)
    total = shrunk(weights)
    means: FloatArray = shrunk(planes * weights) / np.where(total > 0, total, 1)
    means = filled(means, total[0] > 0)
    return np.where(trusted, planes, enlarged(means, planes.shape))


def uneven_epll(setting: Setting, noise: FloatArray, grids: Sequence[int]) -> Method:
    """Return EPLL for a noise level for each pixel, at two scales where there is noise.

    ``noise`` (height, width), in the units of the prior, is infinite where a pixel is missing; the
    planes have these `filled`. The last passes, after those that approach the least noise, use
    ``grids`` (see `schedule`).
    """
    from scipy.ndimage import minimum_filter  # here, because it is slow to import

    fine = _one_scale(setting, noise, grids)
    missing = np.isinf(noise)
    if not noise[~missing].any():
        return fine
    # 2x2 pixels together are as noisy as their noisiest one. So at half of the size each pixel is
    # replaced by its fine-scale result, the more the noisier it is than its neighbours. With half
    # of the pixels at noise 0.1 and the others without, that lowers the error of the former from
    # 0.0286 to 0.0267 and of the latter from 0.0071 to 0.0004.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(noise > 0, (minimum_filter(noise, 3) / noise) ** 2, 1)
    shares[missing] = 0
    # A missing pixel counts as noisy as the median one: a few of them change nothing elsewhere.
    typical = np.median(noise[~missing])
    deviation = np.where(missing, 1, shares) * np.where(missing, typical, noise)
    half_setting, half = setting.halved(1.0)
    half_noise = half * np.sqrt(shrunk(deviation[None] ** 2)[0])
    coarse = _one_scale(half_setting, half_noise, grids)
    return TwoScales(fine, coarse, setting.patch_size, shares)


def _one_scale(setting: Setting, noise: FloatArray, grids: Sequence[int]) -> EPLL:
    loudest = 1.0 if setting.noise is None else max(1.0, *setting.noise.ratios)
    levels = descending_levels(noise, LEAST_SIGMA / loudest)
    least = levels[-1]
    with np.errstate(divide="ignore", over="ignore"):
        precision = (least / noise) ** 2
    # Shares min(1, (t / s)^2), where t is the patch noise of the next pass and s the pixel's own.
    # On the halves at noise 10 and 40 (see LEVEL_RATIO) min(1, t / s) gave 33.32 and 25.44 dB. The
    # t^2 / (t^2 + s^2) of half-quadratic splitting, with this pass's t, gave 33.22 and 25.63, but
    # at noise 25 with 5 or 50 % missing 27.2 and 24.8 dB at trusted pixels, not 27.9 and 26.1.
    first = [
        Pass((least / now) ** 2, (following / least) ** 2, i)
        for i, (now, following) in enumerate(itertools.pairwise(levels))
    ]
    last = [each._replace(grid=each.grid + len(first)) for each in schedule(least, grids)]
    return EPLL(setting, least, first + last, precision, adapts=not first)


def descending_levels(noise: FloatArray, least_sigma: float = LEAST_SIGMA) -> list[float]:
    """Return the patch noise of the first passes and, last, the level of the least noisy pixels.

    ``noise`` is the level at each pixel, infinite where one is missing. The last level is not below
    ``least_sigma``.
    """
    known = noise[np.isfinite(noise)]
    least = max(float(known.min()), least_sigma)
    most = max(float(known.max()), least)
    if known.size < noise.size:
        # Where all the noise is stronger than that, there is still something to come down from.
        most = max(most, FILLING_SIGMA, 1.5 * least)
        n_first = FILLING_PASSES
    else:
        n_first = round(math.log(most / least, LEVEL_RATIO))
    if n_first == 0:
        return [math.sqrt(most * least)]
    return [float(level) for level in np.geomspace(most, least, n_first + 1)]
