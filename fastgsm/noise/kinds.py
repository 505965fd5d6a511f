"""The argument ``noise`` of `denoise`: a model of the noise, or a kind that is to be estimated."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import numpy as np

from fastgsm._checks import check_choice
from fastgsm.noise.model import NoiseModel

Kind = Literal["auto", "white", "camera"]


def check_noise(noise: Any, sigma: Any) -> NoiseModel | Kind:
    """Return the model or the kind of noise for the arguments ``noise`` and ``sigma``."""
    named = isinstance(noise, str)
    if noise is None or (named and noise in ("auto", "white")):
        return "white" if noise == "white" or sigma is not None else "auto"
    if sigma is not None:
        given = repr(sigma) if np.ndim(sigma) == 0 else f"an array of shape {np.shape(sigma)}"
        raise ValueError(
            f"sigma is {given} and noise is {noise!r}; wanted one of them. Give sigma for white "
            f"noise, which is the same everywhere. Leave it out for other noise."
        )
    if named and noise == "poisson":
        return NoiseModel.poisson()
    if named and noise == "camera":
        return "camera"
    if isinstance(noise, NoiseModel):
        return noise
    values = list(noise) if np.iterable(noise) and not named else []
    if len(values) != 3:
        raise ValueError(
            f"noise is {noise!r}; wanted 'auto', 'white', 'camera' for a finished photograph, "
            f"'poisson' for photon counts, three numbers (gain, offset, read_noise) in the image's "
            f"own units, or a NoiseModel."
        )
    return NoiseModel.poisson(*values)


def check_kind(kind: Any) -> Kind:
    """Return the kind of noise, or raise ValueError if there is no such kind."""
    check_choice(kind, "kind", get_args(Kind))
    return cast(Kind, kind)


def known_noise(
    noise: NoiseModel | Kind, sigma: float | None, n_channels: int
) -> NoiseModel | None:
    """Return the noise if it is known without a look at the image, or None.

    Where ``sigma`` is given, how the noise of several channels is correlated is measured.
    """
    if isinstance(noise, NoiseModel):
        return noise
    if sigma is not None and (sigma == 0 or n_channels == 1):
        return NoiseModel.white(sigma)
    return None


def is_white(noise: NoiseModel | Kind) -> bool:
    """Return whether the noise is white, without a look at the image."""
    return noise.is_white if isinstance(noise, NoiseModel) else noise == "white"


def check_channels(noise: NoiseModel, n_channels: int) -> None:
    """Raise ValueError if the noise is of another number of channels."""
    if noise.n_channels not in (1, n_channels):
        raise ValueError(
            f"noise describes {noise.n_channels} channels and the image has {n_channels}; wanted "
            f"as many, or one, which stands for all. Give channel_axis for a colour image."
        )
