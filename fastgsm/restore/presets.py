"""The presets of `denoise`: a method, and the bundled priors that go with it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastgsm._parts import Part, grown
from fastgsm.models import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.patches import check_stride
from fastgsm.priors import load_prior
from fastgsm.restore.epll import EPLL, GRIDS, THOROUGH_GRIDS, schedule
from fastgsm.restore.local_weights import BLOCK
from fastgsm.restore.local_weights import REACH as LOCAL_REACH
from fastgsm.restore.method import Method, Refined, Within
from fastgsm.restore.nonlocal_mvn import BAND_ROWS as REFINED_ROWS
from fastgsm.restore.nonlocal_mvn import PATCH_SIZE, RADIUS, STRIDE, NonlocalMVN
from fastgsm.restore.single_pass import BAND_ROWS, OpponentSinglePass, SinglePass
from fastgsm.restore.two_scales import TwoScales
from fastgsm.restore.uneven import uneven_epll


class Preset(NamedTuple):
    """Names of the bundled priors that a preset takes."""

    prior: str
    chroma: str | None
    """For the opponent colours of an image of three channels; None if `prior` is for them too."""


# What priors of their own for the opponent colours gain, on crops of 256x256 pixels of every second
# Kodak image at noise 15, 25 and 50 of 255, by priors from the others: "fast" 0.32, 0.36 and
# 0.46 dB, "balanced" 0.16, 0.15 and 0.09. "best" would lose 0.03, 0.03 and 0.02: its refinement
# learns the colours from the image, and a pilot that is less smooth teaches it more.
PRESETS = {
    "fast": Preset("gsm", "gsm-chroma"),
    "balanced": Preset("mogsm", "mogsm-chroma"),
    "best": Preset("mogsm-large", None),
}


def resolve_priors(
    prior: Any, quality: str, n_channels: int
) -> tuple[PatchModel, PatchModel | None]:
    """Give the model of the luminance, and that of the other planes if they have their own."""
    preset = PRESETS[quality]
    if prior is None:
        own = preset.chroma is not None and n_channels == 3
        prior = (preset.prior, preset.chroma) if own else preset.prior
    if not isinstance(prior, (tuple, list)):
        return _resolve_prior(prior), None
    if len(prior) != 2 or n_channels == 1:
        raise ValueError(
            f"prior is a sequence of {len(prior)}, for {n_channels} channels; wanted one prior, or "
            f"for several channels a pair: for the mean of the channels and for their differences."
        )
    model, chroma = (_resolve_prior(each) for each in prior)
    if model.n_features_in_ != chroma.n_features_in_:
        raise ValueError(
            f"the priors are of {model.n_features_in_} and {chroma.n_features_in_} features; "
            f"wanted patches of one size."
        )
    if quality != "fast" and (_n_shapes(model) != _n_shapes(chroma) or not _n_shapes(model)):
        raise ValueError(
            f"the priors have {_n_shapes(model)} and {_n_shapes(chroma)} shapes; with quality "
            f"{quality!r} wanted mixtures of as many shapes, which belong together one by one."
        )
    return model, chroma


def _n_shapes(model: PatchModel) -> int:
    """Give the number of shapes; 0 of a model without."""
    return len(model._density.means) if isinstance(model, ScaleMixtureModel) else 0


def _resolve_prior(prior: PatchModel | str) -> PatchModel:
    """Give a bundled prior by its name, or a fitted model as it is."""
    if isinstance(prior, str):
        return load_prior(prior)
    if not isinstance(prior, PatchModel):
        raise TypeError(
            f"prior is a {type(prior).__name__}; wanted a fitted fastgsm model or the name of a "
            f"bundled prior (see fastgsm.list_priors())."
        )
    prior._check_fitted()
    return prior


def patch_size_of(model: PatchModel) -> int:
    """Give the side of the square patches that a model is of."""
    d = model.n_features_in_
    if math.isqrt(d) ** 2 != d:
        raise ValueError(
            f"prior has {d} features, which is no square; wanted a model of square patches."
        )
    return math.isqrt(d)


def stride_of(quality: str, patch_size: int, stride: Any) -> int:
    """Give the stride that was asked for, or the preset's."""
    if stride is None:
        stride = 1 if quality == "fast" else max(1, patch_size // 2)
    return check_stride(stride, patch_size)


def new_method(
    quality: str,
    model: PatchModel,
    chroma: PatchModel | None,
    noise: Any,
    dtype: np.dtype[Any],
    patch_size: int,
    stride: int,
    rng: np.random.Generator,
    *,
    center: bool,
    inner: Part | None = None,
) -> Method:
    """Give what a preset does at one noise level, or at one for each pixel.

    Parameters
    ----------
    quality : {"fast", "balanced", "best"}
        Not "fast" where there is a noise level for each pixel.
    model : fitted model
    chroma : fitted model, optional
        For the planes after the first.
    noise : float or ndarray of shape (height, width)
        Standard deviation, in the units of the prior; infinite where a pixel is missing.
    dtype : dtype
        float32 or float64: the type of the planes.
    patch_size, stride : int
    rng : numpy.random.Generator
    center : bool
        Keep only each patch's central pixel; for "fast".
    inner : (rows, columns), optional
        Part of the planes that is wanted at one noise level. It begins at multiples of the preset's
        step, and the rest of the result may be anything.
    """
    if quality == "fast":
        first, *others = (
            SinglePass(each, noise, dtype, patch_size, stride, center)
            for each in (model, chroma)
            if each is not None
        )
        return OpponentSinglePass(first, *others) if others else first
    grids = THOROUGH_GRIDS if quality == "best" else GRIDS
    missing = None
    if isinstance(noise, np.ndarray):
        pilot = uneven_epll(model, noise, patch_size, stride, rng, grids, chroma)
        missing = np.isinf(noise)
        levels = np.unique(noise[~missing])
        if levels.size > 1 or levels[0] == 0:  # no one level to refine at
            return pilot
        noise = float(levels[0])
    else:
        fine: Method
        fine, coarse = (
            EPLL(model, level, patch_size, stride, rng, schedule(level, grids), chroma=chroma)
            for level in (noise, noise / 2)
        )
        if inner is not None:
            _, of_fine, of_refinement = halos(quality, patch_size)
            step = reach(quality, patch_size, stride).step
            fine = Within(fine, grown(inner, of_fine, step))
            inner = grown(inner, of_refinement, step)
        pilot = TwoScales(fine, coarse, patch_size)
    if quality == "balanced":
        return pilot
    return Refined(pilot, NonlocalMVN(noise, dtype), missing, inner)


class Reach(NamedTuple):
    """How far the methods look, in pixels."""

    halo: int
    """A pixel of the result does not depend on pixels of the image farther away than this."""
    step: int
    """A part of the image that begins at multiples of this has the patches of the whole in it,
    summed in the same order."""


def reach(quality: str, patch_size: int, stride: int) -> Reach:
    """Give how far a preset looks at one noise level."""
    if quality == "fast":
        return Reach(patch_size, max(BAND_ROWS, patch_size) * stride)
    step = math.lcm(2 * stride, 2 * BLOCK)
    if quality == "best":
        step = math.lcm(step, REFINED_ROWS * STRIDE)
    return Reach(halos(quality, patch_size).coarse, step)


class Halos(NamedTuple):
    """How far from a pixel of the result the parts of a method look, in pixels."""

    coarse: int
    """EPLL at half of the size, and all parts together."""
    fine: int
    """EPLL at full size."""
    refinement: int
    """0 where there is none."""


def halos(quality: str, patch_size: int) -> Halos:
    """Give how far the parts of "balanced" and "best" look at one noise level.

    What changes at one pixel changes the patches that cover it and, by their sums, all the pixels
    of these, in every pass anew. In the first, it also changes the weights of the shapes in its
    block. At half of the size all of this is twice as far. The enlargement takes two pixels of that
    size on either side, which are means over four. In the refinement, patches are matched, and
    restored, anywhere in their window.
    """
    one_scale = patch_size + (len(GRIDS) - 1) * (patch_size - 1) + LOCAL_REACH
    refinement = 2 * RADIUS + 2 * PATCH_SIZE if quality == "best" else 0
    return Halos(2 * (one_scale + 2) + 2 + refinement, one_scale + 4 + refinement, refinement)
