"""Denoising of whole images: the entry point, which checks what it is given."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from fastgsm._arrays import as_given, is_dask, is_stored, peak_of, real_array
from fastgsm._checks import check_choice, check_integer, check_random_state
from fastgsm._images import (
    as_float_image,
    as_type,
    channels_back,
    channels_first,
    check_image_2d,
    check_out,
    check_sigma,
    delivered,
    noise_level,
    trusted_pixels,
    warn_unlikely_range,
    with_median,
)
from fastgsm._parts import Part
from fastgsm.kernels._jit import limit_workers
from fastgsm.models import PatchModel
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.noise.anscombe import as_stabilised_image, check_noise, exact_unbiased_inverse
from fastgsm.noise.white import estimate_sigma
from fastgsm.restore.method import Method
from fastgsm.restore.presets import PRESETS, new_method, patch_size_of, resolve_priors, stride_of
from fastgsm.restore.uneven import filled
from fastgsm.restore.whole import denoise_planes

# Values of a memory-mapped image up to which it is denoised as a whole: sixteen tiles.
MAPPED_WHOLE = 2**26


def denoise(
    image: ArrayLike,
    sigma: float | ArrayLike | None = None,
    *,
    prior: PatchModel | str | None = None,
    noise: str | tuple[float, float, float] | None = None,
    quality: str = "balanced",
    aggregation: str = "mean",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    mask: ArrayLike | None = None,
    out: Any = None,
    workers: int | None = None,
    random_state: Any = 0,
    progress: bool = False,
    return_std: bool = False,
) -> Any:
    """Remove white Gaussian noise, or the noise of photon counts, from an image.

    Patches are replaced by their posterior means under a patch prior, and every pixel by the
    average over the patches that cover it; missing pixels are filled in.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image, floats or integers, at least one patch large. Not modified. An array, or what
        NumPy makes one of: nested lists, a grey or RGB image of Pillow, xarray's DataArray. An
        array of Dask is denoised lazily (see `fastgsm.distributed.denoise_dask`), with `sigma`,
        `prior`, `quality`, `stride`, `channel_axis`, `data_range` and `random_state` alone.
    sigma : float or array_like of shape (height, width), optional
        Standard deviation of the noise in the image's own units: grey levels for integers. One
        number, or one for each pixel, equal for all channels: see Notes. By default one number is
        estimated, from patches without masked pixels (see `estimate_sigma`). Where it is 0, or so
        small that rounding would add more noise than is removed, pixels that are not masked come
        back as they are: below 1e-6 of the data range where the image is computed in float32 (that
        is for float16, float32 and integers of up to 16 bits), below 2e-15 otherwise.
    prior : fitted model, str or pair of these, optional
        Model of the patches, or name of a bundled one (see `list_priors`). Of a pair the second is
        for the channels' differences, in a colour image the opponent colours; except for "fast",
        its shapes belong to those of the first one by one. By default the bundled ones that go with
        `quality`. How the training patches were centred is read off the model:
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
        mixture of scale mixtures whose weights are adapted to each part of the image. "best"
        refines its result by a Gaussian for every group of similar patches of the image itself
        [3]_.
    aggregation : {"mean", "center"}
        "mean" averages all the patches that cover a pixel; the single pass weights each by the
        precision that it expects of itself. "center" keeps each patch's central
        pixel only: the textbook baseline, for comparison; it needs ``quality="fast"``.
    stride : int, optional
        Distance between patches in pixels; larger is faster and worse. By default 1 for "fast" and
        half of a patch's size otherwise. "center" needs 1.
    channel_axis : int, optional
        Axis of the channels of a colour image; None for grey. Channels are decorrelated by an
        orthonormal transform and denoised one by one; the noise is taken to be equal in all.
        Without a `prior`, three channels are taken to be red, green and blue: "fast" and "balanced"
        then have a prior of their own for the opponent colours.
    data_range : float, optional
        Value that the prior's 1.0 stands for. By default 1.0 for floats and the type's maximum
        for integers; where that is far from the values of the image, there is a warning. With
        `noise` it counts from the offset, and by default the image's own range is taken.
    mask : array_like of bool, shape (height, width) or the image's, optional
        True where a pixel is to be trusted. The others are filled in from the prior, whatever they
        hold: see Notes. NaN pixels count as masked; masked in one channel is masked in all.
    out : array, optional
        Array of the image's shape and of the result's type to write to; may be `image` itself if
        that is an array of NumPy. If it or the image is an array of Zarr or HDF5, or whatever gives
        and takes parts by slicing, or if both are memory-mapped (`numpy.memmap`), apart and of more
        than 2^26 values, tiles are read, denoised and written one by one, in bounded memory, as by
        `denoise_tiles`. The result is the same; but `noise`, `mask`, `return_std`, another
        `aggregation`, a map for `sigma` and NaN are refused. To go on with a run that was stopped,
        call `denoise_tiles` itself, with a `checkpoint`.
    workers : int, optional
        Most threads to use; by default as many as Numba is set to. The result does not depend
        on it.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the places of the patches' grids, which "balanced" and "best" draw.
    progress : bool
        Show progress on standard error.
    return_std : bool
        Also give the standard deviation of every pixel's error. Needs ``quality="fast"``,
        ``aggregation="mean"`` and a prior that is an MVN, GSM, GMM or MoGSM.

    Returns
    -------
    denoised : ndarray, or DataArray if the image is one
        Of the image's shape; a DataArray has the image's coordinates, name and attributes.
        float16, float32 and float64 are kept; integers come back in their type, rounded. What lies
        beyond the largest value of the type is clipped to it.
    std : ndarray, or DataArray if the image is one
        Only with `return_std`: posterior standard deviation of every pixel, of the image's shape
        and in its units, neither rounded nor clipped. float64 where the image is computed in
        float64, otherwise float32; 0 without noise. See Notes.

    Raises
    ------
    TypeError
        If the image is not of integers or real floats, is a masked array or has a mode of Pillow's
        other than grey and RGB, if sigma is not of numbers or the mask not of booleans.
    ValueError
        If the image is smaller than a patch, holds infinity or has the wrong dimension, if it or
        sigma reaches beyond a billion times the data range, if every
        pixel is masked or NaN, if sigma is negative, NaN or infinite, if sigma or the mask has
        another shape, if sigma is to be estimated and too few patches are free of masked pixels,
        if the prior is unknown, if `noise` is given together with `sigma`, is neither "poisson" nor
        three finite numbers, or has a gain of 0 or less or a negative read noise, or if
        `return_std` is asked of a quality, an aggregation or a prior that does not have it, or with
        `noise`, masked pixels or a sigma map, or if an option is given that tiles lack.

    Notes
    -----
    `std` is what the prior expects the errors to be, from the filters that the patches around a
    pixel take. It is calibrated: over a photograph, the errors divided by it have a standard
    deviation near 1. With the default prior and stride, at noise 10, 25 and 50 of 255, that was
    0.80 to 1.44 on 17 images of BSD68, and outside of 0.8 to 1.25 for two of the 51.

    Its limits: it says nothing about a single pixel that the prior misjudges. It is too large in
    areas without any texture, up to twice, and in colour images, by a tenth. It is too small, by a
    quarter or more, for fine texture that strong noise hides and for noise of 75 of 255 and above.
    With priors of your own it is as good as they fit the image; under an MVN, which has one filter,
    it is the same everywhere but near the borders. The noise must be white and `sigma` right.

    Masked pixels, and noise that differs from pixel to pixel, are for EPLL: patches are restored at
    falling noise levels, and a pixel takes less of the noisy image the noisier it is, and nothing
    where it is masked. The mixture's weights are not adapted then. "fast" does what "balanced" does
    (its own prior fills little better than linear interpolation), ``aggregation="center"`` is
    refused, and "best" refines only where the noise of all trusted pixels is equal and not 0.
    Masked pixels, however few, make "balanced" take some seven times as long, because they are
    approached in twenty passes more; a map makes it take about twice as long.

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
    if is_dask(image):
        from fastgsm.distributed import denoise_dask

        refused = {
            "noise": noise is not None, "aggregation": aggregation != "mean",
            "mask": mask is not None, "out": out is not None, "workers": workers is not None,
            "progress": bool(progress), "return_std": bool(return_std),
        }  # fmt: skip
        why = "image is an array of Dask, which is denoised lazily"
        _refuse(refused, why, "compute the image first")
        return denoise_dask(
            image, cast(Any, sigma), prior=prior, quality=quality, stride=stride,
            channel_axis=channel_axis, data_range=data_range, random_state=random_state,
        )  # fmt: skip
    if out is not None and (is_stored(image) or is_stored(out) or _both_mapped(image, out)):
        from fastgsm.tiles import denoise_tiles

        refused = {
            "noise": noise is not None, "aggregation": aggregation != "mean",
            "mask": mask is not None, "return_std": bool(return_std),
            "a map for sigma": np.ndim(cast(Any, sigma)) > 0,
        }  # fmt: skip
        why = "image or out is stored, which is denoised by tiles"
        _refuse(refused, why, "give image and out as arrays of NumPy in memory")
        return denoise_tiles(
            image, out, cast(Any, sigma), prior=prior, quality=quality, stride=stride,
            channel_axis=channel_axis, data_range=data_range, workers=workers,
            random_state=random_state, progress=progress,
        )  # fmt: skip
    return denoise_array(
        image, sigma, prior=prior, noise=noise, quality=quality, aggregation=aggregation,
        stride=stride, channel_axis=channel_axis, data_range=data_range, mask=mask, out=out,
        workers=workers, random_state=random_state, progress=progress, return_std=return_std,
    )  # fmt: skip


def denoise_array(
    image: Any,
    sigma: Any,
    *,
    prior: Any = None,
    noise: Any = None,
    quality: str = "balanced",
    aggregation: str = "mean",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    mask: Any = None,
    out: Any = None,
    workers: int | None = None,
    random_state: Any = 0,
    progress: bool = False,
    return_std: bool = False,
    inner: Part | None = None,
) -> Any:
    """Do what `denoise` does with an image in memory.

    With ``inner``, only this part of the result is wanted: see `new_method`.
    """
    check_choice(quality, "quality", tuple(PRESETS))
    check_choice(aggregation, "aggregation", ("mean", "center"))
    rng = check_random_state(random_state)
    if workers is not None:
        workers = check_integer(workers, "workers")
    original = real_array(image, "image")
    light = None if noise is None else check_noise(noise, sigma)
    trusted = trusted_pixels(original, mask, channel_axis)
    known = original if trusted is None else with_median(original, trusted, channel_axis)
    if light is None:
        pixels, unit = as_float_image(known, data_range=data_range)
        if data_range is None:
            warn_unlikely_range(peak_of(pixels), unit)
    else:
        pixels, unit = as_stabilised_image(known, light, channel_axis, data_range)
        sigma = 1.0
    planes = channels_first(pixels, channel_axis)
    if sigma is None:
        sigma = estimate_sigma(known, channel_axis=channel_axis, mask=trusted)
    level = noise_level(check_sigma(sigma, planes.shape[1:]), unit, pixels)
    if trusted is not None:
        level = np.where(trusted, level, np.inf)
    uneven = isinstance(level, np.ndarray)
    if uneven and aggregation == "center":
        raise ValueError(
            "aggregation is 'center', which knows one noise level and no masked pixels; leave it "
            "out where there is a mask, NaN or a noise level for each pixel."
        )
    if uneven and quality == "fast":
        quality = "balanced"
    model, chroma = resolve_priors(prior, quality, len(planes))
    patch_size = patch_size_of(model)
    check_image_2d(planes[0], patch_size)
    stride = stride_of(quality, patch_size, stride)
    if return_std:
        _check_std(model, quality, aggregation, uneven or light is not None)
    if aggregation == "center" and (stride != 1 or quality != "fast"):
        raise ValueError(
            f"stride is {stride} and quality {quality!r}; aggregation='center' takes one pixel "
            f"from each patch, once, and needs stride 1 and quality='fast'."
        )
    check_out(out, original)
    if np.all(level == 0):
        copy = delivered(original if out is not None else original.copy(), out, image)
        return (copy, as_given(image, np.zeros_like(pixels, order="C"))) if return_std else copy

    def method(level: Any) -> Method:
        center = aggregation == "center"
        return new_method(
            quality, model, chroma, level, planes.dtype, patch_size, stride, rng,
            center=center, inner=inner,
        )  # fmt: skip

    with limit_workers(workers):
        if trusted is not None:
            planes = filled(planes, trusted)
        restored, variance = denoise_planes(planes, level, method, bool(progress), bool(return_std))
    result = channels_back(restored, channel_axis)
    if light is not None:
        result, unit = exact_unbiased_inverse(result * result.dtype.type(unit), *light), 1.0
    result = as_type(result, original.dtype, unit)
    if uneven:
        noiseless = level == 0 if channel_axis is None else np.expand_dims(level == 0, channel_axis)
        np.copyto(result, original, where=noiseless)
    denoised = delivered(result, out, image)
    if variance is None:
        return denoised
    std = np.sqrt(variance) * variance.dtype.type(unit)
    return denoised, as_given(image, np.ascontiguousarray(channels_back(std, channel_axis)))


def _check_std(model: PatchModel, quality: str, aggregation: str, varies: bool) -> None:
    """Refuse a standard deviation where a pixel has no expected error to take it from."""
    if varies:
        raise ValueError(
            "return_std was asked for with noise=, masked or NaN pixels or a sigma map; it needs "
            "one noise level and no missing pixel. Leave return_std out."
        )
    if quality != "fast" or aggregation != "mean":
        raise ValueError(
            f"quality is {quality!r} and aggregation {aggregation!r}; return_std needs "
            f"quality='fast' and aggregation='mean', which average patches by the errors that they "
            f"expect. Give these, or leave return_std out."
        )
    if not isinstance(model, ScaleMixtureModel):
        raise ValueError(
            f"prior is a {type(model).__name__}; return_std needs an MVN, GSM, GMM or MoGSM. Give "
            f"one of these, or use the model's own denoise_patches(Y, sigma, return_std=True)."
        )


def _refuse(given: dict[str, bool], why: str, remedy: str) -> None:
    """Raise for the first option that was given and that the way of denoising lacks."""
    for name, was_given in given.items():
        if was_given:
            raise ValueError(
                f"{name} was given, and {why} and without it. Leave it out, or {remedy}."
            )


def _both_mapped(image: Any, out: Any) -> bool:
    """Say whether a large image is mapped from a file, and its result into another."""
    mapped = isinstance(image, np.memmap) and isinstance(out, np.memmap)
    if not mapped or image.size <= MAPPED_WHOLE:
        return False
    from fastgsm._arrays import share_pixels

    return not share_pixels(image, out)
