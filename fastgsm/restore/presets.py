"""Qualities: one record each, listed in `PRESETS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fastgsm._parts import grown
from fastgsm._types import FloatArray
from fastgsm.restore.cascade import CascadePasses
from fastgsm.restore.epll import EPLL, GRIDS, THOROUGH_GRIDS, schedule
from fastgsm.restore.method import Method, Reach, Setting, Within
from fastgsm.restore.nonlocal_mvn import NonlocalMVN, Refined
from fastgsm.restore.single_pass import SinglePass
from fastgsm.restore.two_scales import CORRECTION_HALO, TwoScales
from fastgsm.restore.uneven import uneven_epll

DEFAULT_QUALITY = "balanced"


@dataclass(frozen=True)
class Preset:
    """A method, the bundled priors that go with it, and what it supports."""

    prior: str
    """Name of the bundled prior."""
    chroma: str | None
    """Name of the one for the opponent colours of three channels; None if `prior` serves them."""
    default_stride: Callable[[int], int]
    """Returns the distance between patches for a patch size."""
    reach: Callable[[int, int], Reach]
    """Returns how far the method looks for white noise of one level, for a patch size and a
    stride."""
    new: Callable[[Setting, float], Method]
    """Returns the method for one noise level in the units of the prior."""
    longest_reach: Callable[[int, int], Reach]
    """Returns how far the method looks for any noise."""
    new_uneven: Callable[[Setting, FloatArray], Method] | None = None
    """Returns the method for a noise level for each pixel (height, width), infinite where one is
    missing. Without this, such images get the default quality."""
    shapes_correspond: bool = True
    """The two models of a pair must have equally many shapes, which correspond one to one."""
    cascades: tuple[str, str] | None = None
    """Names of the bundled cascades for white noise, where no prior is given: for the luminance
    and for opponent colours."""
    keeps_centres: bool = False
    """``aggregation="center"`` is supported."""
    has_variance: bool = False
    """``return_std=True`` is supported: `with_variance` also returns expected squared errors."""


def half_a_patch(patch_size: int) -> int:
    """Return half of the side of a patch, at least 1."""
    return max(1, patch_size // 2)


def new_single_pass(setting: Setting, level: float) -> Method:
    """Return "fast": a cascade if there is one, or the single pass under a model.

    The single pass has two scales for noise that is strong at low frequencies.

    On real photographs (cc15) the second scale gains 0.3 dB. Twice the stride does as well there.
    """
    fine = SinglePass(setting, level)
    if setting.cascades is not None and setting.is_white:
        ratios = None if setting.noise is None else setting.noise.ratios
        return CascadePasses(setting.cascades, level, ratios, fine)
    if setting.noise is None or not setting.noise.strong_lows or setting.center:
        return fine
    stride = min(2 * setting.stride, setting.patch_size)
    half_setting, half_level = setting.halved(level)
    coarse = SinglePass(replace(half_setting, stride=stride), half_level)
    return TwoScales(fine, coarse, setting.patch_size)


def two_scale_single_pass_reach(patch_size: int, stride: int) -> Reach:
    """Return how far `new_single_pass` looks for noise that is strong at low frequencies."""
    coarse = SinglePass.reach(patch_size, min(2 * stride, patch_size))
    return TwoScales.reach(SinglePass.reach(patch_size, stride), coarse)


def fine_halo(patch_size: int, stride: int) -> int:
    """Return how far EPLL at full size looks, with the correction of low frequencies."""
    return EPLL.reach(patch_size, stride).halo + CORRECTION_HALO


def two_scale_reach(patch_size: int, stride: int) -> Reach:
    """Return how far `new_two_scale_epll` looks."""
    one_scale = EPLL.reach(patch_size, stride)
    return TwoScales.reach(one_scale, one_scale)


def new_two_scale_epll(setting: Setting, level: float, grids: Sequence[int]) -> Method:
    """Return "balanced": EPLL at two scales for one noise level."""
    fine: Method
    fine, coarse = (
        EPLL(each, its_level, schedule(its_level, grids))
        for each, its_level in ((setting, level), setting.halved(level))
    )
    if setting.inner is not None:
        halo = fine_halo(setting.patch_size, setting.stride)
        step = two_scale_reach(setting.patch_size, setting.stride).step
        fine = Within(fine, grown(setting.inner, halo, step))
    return TwoScales(fine, coarse, setting.patch_size)


def refined_reach(patch_size: int, stride: int) -> Reach:
    """Return how far `new_refined` looks."""
    pilot, refinement = two_scale_reach(patch_size, stride), NonlocalMVN.reach()
    return Reach(pilot.halo + refinement.halo, math.lcm(pilot.step, refinement.step))


def new_refined(setting: Setting, level: float) -> Method:
    """Return "best": two-scale EPLL with thorough grids, and the refinement of its result."""
    refinement = NonlocalMVN(level, setting.dtype, noise=setting.noise)
    refined = partial(Refined, refinement=refinement)
    if setting.inner is None:
        return refined(new_two_scale_epll(setting, level, THOROUGH_GRIDS))
    step = refined_reach(setting.patch_size, setting.stride).step
    part = grown(setting.inner, NonlocalMVN.reach().halo, step)
    pilot = new_two_scale_epll(replace(setting, inner=part), level, THOROUGH_GRIDS)
    return refined(pilot, part=part)


def new_uneven_refined(setting: Setting, noise: FloatArray) -> Method:
    """Return EPLL for uneven noise, refined where all trusted pixels are equally noisy."""
    pilot = uneven_epll(setting, noise, THOROUGH_GRIDS)
    missing = np.isinf(noise)
    levels = np.unique(noise[~missing])
    if levels.size > 1 or levels[0] == 0:  # no one level to refine at
        return pilot
    refinement = NonlocalMVN(float(levels[0]), setting.dtype, noise=setting.noise)
    return Refined(pilot, refinement, missing)


# Gains of separate priors for the opponent colours, on crops of 256x256 pixels of every second
# Kodak image at noise 15, 25 and 50 of 255, with priors trained on the others: "fast" under models
# 0.32, 0.36 and 0.46 dB, "balanced" 0.16, 0.15 and 0.09. "best" would lose 0.03, 0.03 and 0.02: its
# refinement learns the colours from the image, and a less smooth pilot teaches it more.
PRESETS = {
    "fast": Preset(
        "gsm",
        "gsm-chroma",
        lambda patch_size: 1,
        SinglePass.reach,
        new_single_pass,
        two_scale_single_pass_reach,
        shapes_correspond=False,
        cascades=("cascade-fast", "cascade-fast-chroma"),
        keeps_centres=True,
        has_variance=True,
    ),
    "balanced": Preset(
        "mogsm",
        "mogsm-chroma",
        half_a_patch,
        two_scale_reach,
        partial(new_two_scale_epll, grids=GRIDS),
        two_scale_reach,
        partial(uneven_epll, grids=GRIDS),
    ),
    "best": Preset(
        "mogsm-large",
        None,
        half_a_patch,
        refined_reach,
        new_refined,
        refined_reach,
        new_uneven_refined,
    ),
}
