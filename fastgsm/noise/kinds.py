"""The kinds of noise that `denoise` knows, as its argument ``noise`` names them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastgsm.noise.anscombe import Photons, check_triple

Noise = Photons | Literal["white", "camera"]


def is_white(noise: Any) -> bool:
    """Return whether the argument ``noise`` of `denoise` asks for white noise, the default."""
    return noise is None or (isinstance(noise, str) and noise == "white")


def check_noise(noise: Any, sigma: Any) -> Noise:
    """Return the kind of noise for the arguments ``noise`` and ``sigma`` of `denoise`."""
    if is_white(noise):
        return "white"
    if sigma is not None:
        raise ValueError(
            f"sigma is {sigma!r} and noise is {noise!r}; wanted one of them. Give sigma for white "
            f"noise, which is the same everywhere. Leave it out for other noise."
        )
    if isinstance(noise, str) and noise == "poisson":
        return 1.0, 0.0, 0.0
    if isinstance(noise, str) and noise == "camera":
        return "camera"
    values = list(noise) if np.iterable(noise) and not isinstance(noise, str) else []
    if len(values) != 3:
        raise ValueError(
            f"noise is {noise!r}; wanted 'white', 'camera' for a finished photograph, 'poisson' "
            f"for photon counts, or three numbers (gain, offset, read_noise) in the image's own "
            f"units."
        )
    return check_triple(values)
