"""The noise of an image, estimated from the image alone: what kind it is, and how strong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import real_array
from fastgsm._checks import check_choice
from fastgsm._images import as_float_image, channels_first, trusted_pixels, with_median
from fastgsm.noise.camera import camera_covariance
from fastgsm.noise.kinds import Kind
from fastgsm.noise.model import NoiseModel
from fastgsm.noise.white import sigma_of_planes


def estimated(
    kind: Kind,
    sigma: float | None,
    image: NDArray[Any],
    channel_axis: int | None,
    data_range: float | None,
    trusted: NDArray[np.bool_] | None,
) -> NoiseModel:
    """Return the noise of a checked image, see `estimate_noise`."""
    known = image if trusted is None else with_median(image, trusted, channel_axis)
    if kind == "camera":
        pixels, unit = as_float_image(known, data_range=data_range)
        covariance = camera_covariance(channels_first(pixels, channel_axis), trusted)
        return NoiseModel.from_covariance(covariance * unit**2, camera=True)
    if sigma is None:
        # In the range of the type, whatever was given: the estimate does not depend on it.
        pixels, unit = as_float_image(known)
        sigma = sigma_of_planes(channels_first(pixels, channel_axis), unit, trusted)
    return NoiseModel.white(sigma)
