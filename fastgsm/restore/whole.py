"""One image in memory: planes mixed, restored and mixed back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.colour import mixing_matrix
from fastgsm.restore.method import Method
from fastgsm.restore.single_pass import SinglePass


def denoise_planes(
    planes: FloatArray,
    noise: Any,
    new_method: Callable[[Any], Method],
    progress: bool,
    return_std: bool,
) -> tuple[FloatArray, FloatArray | None]:
    """Denoise (channels, height, width) in units of the data range.

    The noise is one number or an array (height, width). With ``return_std``, which takes a
    `SinglePass`, also gives the variances of the result.
    """
    n_channels = planes.shape[0]
    transform = mixing_matrix(n_channels).astype(planes.dtype)
    mixed = _weighted_sums(transform, planes) if n_channels > 1 else planes
    method = new_method(noise / math.sqrt(n_channels))
    with Progress(method.n_steps(planes.shape), "denoising", enabled=progress) as bar:
        if return_std:
            restored, variance = cast(SinglePass, method).with_variance(mixed, bar)
        else:
            restored, variance = method(mixed, bar), None
    if n_channels > 1:
        inverse = transform.T * n_channels
        restored = _weighted_sums(inverse, restored)
        if variance is not None:  # of planes whose errors are taken to be uncorrelated
            variance = _weighted_sums(np.square(inverse), variance)
    return restored, variance


def _weighted_sums(weights: FloatArray, planes: FloatArray) -> FloatArray:
    """Mix planes: ``weights`` (m, n) times ``planes`` (n, height, width).

    Not by BLAS: its threads would spin for a tenth of a second and keep a core from the kernels,
    which made ``denoise(quality="fast")`` of a colour image of 481x321 pixels take twice as long.
    """
    return np.einsum("mn,nhw->mhw", weights, planes)
