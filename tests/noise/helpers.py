"""What tests of the noise share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgsm._arrays import peak_of
from fastgsm.noise.channels import channels_of
from fastgsm.noise.covariance import covariance_of_channels


def covariance_of_planes(planes: Any, unit: float = 1.0, mask: Any = None) -> np.ndarray:
    """Return the noise covariance (n, n) of planes (n, height, width) in units of ``unit``."""
    covariance, unit = covariance_of_channels(channels_of(planes, mask), peak_of(planes), unit)
    return covariance * unit**2
