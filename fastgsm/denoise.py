"""Denoising of whole images: the entry point, which checks what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._progress import Progress
from fastgsm._validation import (
    FloatArray,
    as_float_image,
    channels_first,
    check_choice,
    check_image_2d,
    check_integer,
    check_nonnegative,
    check_random_state,
    warn_unlikely_range,
)
from fastgsm.anscombe import as_stabilised_image, check_noise, exact_unbiased_inverse
from fastgsm.colour import decorrelating_matrix
from fastgsm.epll import EPLL, PASSES, THOROUGH_PASSES
from fastgsm.kernels._jit import limit_workers
from fastgsm.models import PatchModel
from fastgsm.noise import estimate_sigma
from fastgsm.nonlocal_mvn import NonlocalMVN
from fastgsm.patches import check_stride
from fastgsm.priors import load_prior
from fastgsm.single_pass import SinglePass
from fastgsm.two_scales import Method, TwoScales

PRESET_PRIORS = {"fast": "gsm", "balanced": "mogsm", "best": "mogsm"}


def denoise(
    image: ArrayLike,
    sigma: float | None = None,
    *,
    prior: PatchModel | str | None = None,
    noise: str | tuple[float, float, float] | None = None,
    quality: str = "balanced",
    aggregation: str = "mean",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    mask: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    workers: int | None = None,
    random_state: Any = 0,
    progress: bool = False,
    return_std: bool = False,
) -> NDArray[Any]:
    """Remove white Gaussian noise, or the noise of photon counts, from an image.

    Patches are replaced by their posterior means under a patch prior, and every pixel by the
    average over the patches that cover it.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image, floats or integers, at least one patch large. Not modified.
    sigma : float, optional
        Standard deviation of the noise in the image's own units: grey levels for integers. By
        default it is estimated (see `estimate_sigma`). 0 returns a copy.
    prior : fitted model or str, optional
        Model of the patches, or name of a bundled one (see `list_priors`). By default the bundled
        one that goes with `quality`. How the training patches were centred is read off the model:
        one without variance along the constant patch is applied to patches without their mean; one
        of mean zero otherwise to the image without its mean; any other to the patches as they are.
    noise : "poisson" or (gain, offset, read_noise), optional
        Noise that grows with the light, in place of `sigma`. "poisson" is for photon counts, whose
        variance is their mean. The triple, in the image's own units, is for a camera's values
        ``gain * Poisson(photons) + offset + N(0, read_noise^2)``; "poisson" is (1, 0, 0). The image
        is stabilised [4]_, denoised, and brought back by the exact unbiased inverse [5]_; the
        result is never below `offset`.
    quality : {"fast", "balanced", "best"}
        Method, and the prior that goes with it. "fast" restores every patch once, under a Gaussian
        scale mixture [1]_. "balanced" alternates between patches and pixels (EPLL [2]_), under a
        mixture of scale mixtures. "best" refines its result by a Gaussian for every group of
        similar patches of the image itself [3]_.
    aggregation : {"mean", "center"}
        "mean" averages all the patches that cover a pixel. "center" keeps each patch's central
        pixel only: the textbook baseline, for comparison; it needs ``quality="fast"``.
    stride : int, optional
        Distance between patches in pixels; larger is faster and worse. By default 1 for "fast" and
        half of a patch's size otherwise. "center" needs 1.
    channel_axis : int, optional
        Axis of the channels of a colour image; None for grey. Channels are decorrelated by an
        orthonormal transform and denoised one by one; the noise is taken to be equal in all.
    data_range : float, optional
        Value that the prior's 1.0 stands for. By default 1.0 for floats and the type's maximum
        for integers; where that is far from the values of the image, there is a warning. With
        `noise` it counts from the offset, and by default the image's own range is taken.
    mask : array_like of bool, optional
        Not available yet.
    out : ndarray, optional
        Array of the image's shape and of the result's type to write to; may be `image` itself.
    workers : int, optional
        Most threads to use; by default as many as Numba is set to. The result does not depend
        on it.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the places of the patches' grids, which "balanced" and "best" draw.
    progress : bool
        Show progress on standard error.
    return_std : bool
        Not available yet.

    Returns
    -------
    denoised : ndarray
        Of the image's shape. float16, float32 and float64 are kept; integers come back in their
        type, rounded and clipped to its range.

    Raises
    ------
    TypeError
        If the image is not of integers or real floats, or sigma is not a number.
    ValueError
        If the image is smaller than a patch, holds NaN or has the wrong dimension, if sigma is
        negative or NaN, if the prior is unknown, or if `noise` is given together with `sigma`, is
        neither "poisson" nor three finite numbers, or has a gain of 0 or less or a negative read
        noise.
    NotImplementedError
        For what is not available yet, as said above.

    References
    ----------
    .. [1] J. Portilla, V. Strela, M. Wainwright, E. Simoncelli, "Image denoising using scale
       mixtures of Gaussians in the wavelet domain", IEEE Trans. Image Processing 12(11), 2003.
    .. [2] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011.
    .. [3] M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image denoising algorithm",
       SIAM J. Imaging Sciences 6(3), 2013.
    .. [4] J.-L. Starck, F. Murtagh, A. Bijaoui, "Image Processing and Data Analysis: The Multiscale
       Approach", Cambridge University Press, 1998.
    .. [5] M. Makitalo and A. Foi, "Optimal inversion of the generalized Anscombe transformation for
       Poisson-Gaussian noise", IEEE Trans. Image Processing 22(1), 2013.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> clean = fastgsm.datasets.dead_leaves((96, 96), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=0)
    >>> denoised = fastgsm.denoise(noisy, sigma=0.1)
    >>> bool(np.mean((denoised - clean) ** 2) < 0.4 * np.mean((noisy - clean) ** 2))
    True
    """
    check_choice(quality, "quality", tuple(PRESET_PRIORS))
    check_choice(aggregation, "aggregation", ("mean", "center"))
    _refuse_unavailable(mask=mask, return_std=return_std)
    rng = check_random_state(random_state)
    if workers is not None:
        workers = check_integer(workers, "workers")
    original = np.asarray(image)
    light = None if noise is None else check_noise(noise, sigma)
    if light is None:
        pixels, unit = as_float_image(original, data_range=data_range)
        if data_range is None:
            warn_unlikely_range(pixels, unit)
    else:
        pixels, unit = as_stabilised_image(original, light, channel_axis, data_range)
        sigma = 1.0
    planes = channels_first(pixels, channel_axis)
    model = _resolve_prior(PRESET_PRIORS[quality] if prior is None else prior)
    patch_size = _patch_size(model)
    check_image_2d(planes[0], patch_size)
    if stride is None:
        stride = 1 if quality == "fast" else max(1, patch_size // 2)
    stride = check_stride(stride, patch_size)
    if aggregation == "center" and (stride != 1 or quality != "fast"):
        raise ValueError(
            f"stride is {stride} and quality {quality!r}; aggregation='center' takes one pixel "
            f"from each patch, once, and needs stride 1 and quality='fast'."
        )
    _check_out(out, original)
    if sigma is None:
        sigma = estimate_sigma(original, channel_axis=channel_axis)
    scaled_sigma = _check_sigma(sigma) / unit
    if scaled_sigma == 0:
        return _finish(original if out is not None else original.copy(), out)

    def method(sigma: float) -> Method:
        if quality == "fast":
            center = aggregation == "center"
            return SinglePass(model, sigma, planes.dtype, patch_size, stride, center)
        passes = PASSES if quality == "balanced" else THOROUGH_PASSES
        fine, coarse = (
            EPLL(model, level, patch_size, stride, rng, passes) for level in (sigma, sigma / 2)
        )
        pilot = TwoScales(fine, coarse, patch_size)
        return pilot if quality == "balanced" else Refined(pilot, NonlocalMVN(sigma, planes.dtype))

    with limit_workers(workers):
        restored = _denoise_planes(planes, scaled_sigma, method, bool(progress))
    result = restored[0] if channel_axis is None else np.moveaxis(restored, 0, channel_axis)
    if light is not None:
        result, unit = exact_unbiased_inverse(result * result.dtype.type(unit), *light), 1.0
    return _finish(_as_type(result, original.dtype, unit), out)


def _refuse_unavailable(*, mask: Any, return_std: bool) -> None:
    for given, what in (
        (mask is not None, "mask"),
        (return_std, "return_std"),
    ):
        if given:
            raise NotImplementedError(
                f"{what} is not available in this version of fastgsm; leave it out."
            )


def _resolve_prior(prior: PatchModel | str) -> PatchModel:
    if isinstance(prior, str):
        return load_prior(prior)
    if not isinstance(prior, PatchModel):
        raise TypeError(
            f"prior is a {type(prior).__name__}; wanted a fitted fastgsm model or the name of a "
            f"bundled prior (see fastgsm.list_priors())."
        )
    prior._check_fitted()
    return prior


def _patch_size(model: PatchModel) -> int:
    d = model.n_features_in_
    if math.isqrt(d) ** 2 != d:
        raise ValueError(
            f"prior has {d} features, which is no square; wanted a model of square patches."
        )
    return math.isqrt(d)


def _check_sigma(sigma: Any) -> float:
    if np.ndim(sigma) > 0:
        raise NotImplementedError(
            f"sigma has shape {np.shape(sigma)}: a noise level for each pixel is not available in "
            f"this version of fastgsm; give one number."
        )
    return check_nonnegative(sigma, "sigma")


def _check_out(out: Any, image: NDArray[Any]) -> None:
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; wanted a NumPy array.")
    if out.shape != image.shape or out.dtype != image.dtype or not out.flags.writeable:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; wanted a writable array of shape "
            f"{image.shape} and dtype {image.dtype}."
        )


def _finish(result: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    if out is None:
        return np.ascontiguousarray(result)
    out[...] = result
    return out


def _as_type(values: FloatArray, dtype: np.dtype[Any], data_range: float) -> NDArray[Any]:
    """Give the restored values in the image's own units and type."""
    values = values * values.dtype.type(data_range) if data_range != 1.0 else values
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # The largest 64-bit integers are no floats: clip to the last float inside the range.
        top = float(limits.max)
        top = top if int(top) <= limits.max else float(np.nextafter(top, 0))
        values = np.clip(np.rint(values.astype(np.float64)), float(limits.min), top)
    return values.astype(dtype, copy=False)


def _denoise_planes(
    planes: FloatArray,
    sigma: float,
    new_method: Callable[[float], Method],
    progress: bool,
) -> FloatArray:
    """Denoise (channels, height, width) in units of the data range."""
    n_channels = planes.shape[0]
    # A transform of equal channels is the square root of their number times one of them: divided by
    # that, it has the contrast of a grey image, which the prior knows.
    gain = math.sqrt(n_channels)
    transform = (decorrelating_matrix(n_channels) / gain).astype(planes.dtype)
    mixed = np.tensordot(transform, planes, 1) if n_channels > 1 else planes
    method = new_method(sigma / gain)
    with Progress(method.n_steps(planes.shape), "denoising", enabled=progress) as bar:
        restored = method(mixed, bar)
    return np.tensordot(transform.T * n_channels, restored, 1) if n_channels > 1 else restored


class Refined:
    """A method, and the non-local refinement of its result."""

    def __init__(self, pilot: Method, refinement: NonlocalMVN) -> None:
        self._pilot = pilot
        self._refinement = refinement

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Number of progress updates that planes of the given shape take."""
        return self._pilot.n_steps(shape) + self._refinement.n_steps(shape)

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width)."""
        return self._refinement(planes, self._pilot(planes, bar), bar)
