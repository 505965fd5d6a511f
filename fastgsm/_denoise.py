"""The public `denoise`: checks what it is given, once, and hands it on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastgsm._arrays import is_dask, is_stored, real_array, share_pixels
from fastgsm._checks import check_random_state
from fastgsm._data_range import Extent
from fastgsm._images import (
    channels_first,
    check_out,
    check_sigma,
    delivered,
    trusted_pixels,
    without_ones,
)
from fastgsm._types import FloatArray
from fastgsm.distributed import denoise_dask
from fastgsm.noise.estimate import estimated
from fastgsm.noise.kinds import check_noise
from fastgsm.noise.model import NoiseModel
from fastgsm.restore.options import Options
from fastgsm.restore.priors import Priors
from fastgsm.restore.whole import denoise_array
from fastgsm.tiles import denoise_tiles

# Values in a memory-mapped image up to which it is denoised as a whole: sixteen tiles.
MAPPED_WHOLE = 2**26


def denoise(
    image: ArrayLike,
    sigma: float | ArrayLike | None = None,
    *,
    prior: Priors | None = None,
    noise: str | tuple[float, float, float] | NoiseModel | None = "auto",
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
    """Remove noise from an image.

    - ``denoise(noisy)`` finds the kind and the level of the noise in the image.
    - ``denoise(noisy, sigma=0.1)`` removes white noise of this level.
    - ``denoise(photo, channel_axis=-1)`` denoises a colour image.
    - ``denoise(noisy, noise=model)`` removes noise that you describe: see `NoiseModel`.
    - ``quality="fast"`` is faster; ``quality="best"`` is slower and better.

    Floats are expected to fill [0, 1] and integers their type. Where an image is far from that, its
    own range is used; `data_range` gives another.

    Parameters
    ----------
    image : array_like of shape (height, width), or with one more axis for channels
        Noisy image, floats or integers, at least one patch large. Not modified. Other axes of
        length 1 are left out and come back, unless `channel_axis` is given. An array or
        anything that NumPy converts to one: nested lists, a grey or RGB image of Pillow, xarray's
        DataArray. A Dask array is denoised lazily (see `fastgsm.distributed.denoise_dask`).
    sigma : float or array_like of shape (height, width), optional
        Standard deviation of white noise in the image's own units: one number, or one for each
        pixel; it is the level of every channel. Correlations between the channels' noise are
        measured in the image, unless the level differs from pixel to pixel. By default the noise is
        as `noise` says.
    prior : fitted model, str or pair of these, optional
        Model of the patches, or name of a bundled one (see `list_priors`). In a pair, the second
        model is for the colour differences; except for "fast", its shapes correspond one-to-one to
        those of the first. By default what is bundled with `quality`; see Notes.
    noise : {"auto", "white", "camera", "poisson"}, (gain, offset, read_noise) or NoiseModel
        Kind of noise. "auto", the default, decides by the image (see `estimate_noise`); with
        `sigma` or `return_std` it is "white". "white" is independent from pixel to pixel. "camera"
        is what a camera leaves in a finished photograph. Levels, and correlations between channels,
        are measured in the image for these three. The others are known, and go without `sigma`, as
        "camera" does. "poisson" is for photon counts, whose variance is their mean. The triple, in
        the image's own units, is for a sensor's values
        ``gain * Poisson(photons) + offset + N(0, read_noise^2)``; "poisson" is (1, 0, 0). A
        `NoiseModel` also describes noise that is correlated between pixels.
    quality : {"fast", "balanced", "best"}
        Method, and the bundled prior that goes with it; see Notes.
    aggregation : {"mean", "center"}
        "mean" averages all patches that cover a pixel. "center" keeps only each patch's central
        pixel: the textbook baseline, for comparison. It needs ``quality="fast"``.
    stride : int, optional
        Distance between patches in pixels; larger is faster and worse. By default half of a patch's
        size; for "fast" 1 under a prior, and otherwise 2. "center" needs 1.
    channel_axis : int, optional
        Axis of the channels of a colour image; None for grey. Channels may differ in their noise,
        which may be correlated between them: under white noise, three equal channels are restored
        as one. Noise of photons counts as independent between channels. Without a `prior`, three
        channels are taken to be red, green and blue.
    data_range : float, optional
        Contrast of the scene, the value that corresponds to the prior's 1.0. By default 1.0 for
        floats and the type's maximum for integers; but where the image spans less than a third or
        more than twice that, its span. (Of means over 5x5 pixels, and where that is small, with the
        deviations around them. There is a warning where the two differ tenfold.) For noise of
        photons it counts from the offset, and by default the image's own range is used. "auto" and
        "camera" judge the level of the noise relative to it.
    mask : array_like of bool, shape (height, width) or the image's, optional
        True where a pixel is to be trusted. The others are filled in, whatever they hold. NaN
        pixels count as masked. A pixel that is masked in one channel is masked in all.
    out : array, optional
        Array of the image's shape and of the result's type to write to. It may be `image` itself if
        that is a NumPy array. Stored arrays are denoised tile by tile; see Notes.
    workers : int, optional
        Most threads to use; by default as many as Numba is set to. The result does not depend on
        it.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed for the positions of the patch grids, which "balanced" and "best" draw.
    progress : bool
        Show progress on standard error.
    return_std : bool
        Also return the standard deviation of every pixel's error. It needs ``quality="fast"``,
        ``aggregation="mean"`` and any prior but an ICA.

    Returns
    -------
    denoised : ndarray, or DataArray if the image is one
        Of the image's shape; a DataArray has the image's coordinates, name and attributes.
        float16, float32 and float64 are kept; integers come back in their type, rounded. Values
        beyond the limits of the type are clipped.
    std : ndarray, or DataArray if the image is one
        Only with `return_std`: posterior standard deviation of every pixel, of the image's shape
        and in its units, neither rounded nor clipped. float64 where the image is computed in
        float64, otherwise float32; 0 without noise. See Notes.

    Raises
    ------
    TypeError
        If the image does not hold integers or real floats, is a masked array or a Pillow image in a
        mode other than grey and RGB, if sigma does not hold numbers or the mask booleans.
    ValueError
        If the image is smaller than a patch, holds infinity or has the wrong dimension; if it or
        sigma exceeds a billion times the data range; if every pixel is masked or NaN; if sigma is
        negative, NaN or infinite; if sigma or the mask has another shape; if the noise is to be
        estimated and too few patches are free of masked pixels; if the prior is unknown; if `noise`
        is neither one of the words nor three numbers nor a NoiseModel, has a gain of 0 or less or a
        negative read noise, describes another number of channels than the image has (one stands for
        all), or is given together with `sigma` and not "auto" or "white"; if `return_std` is asked
        for with a quality, an aggregation or a prior that does not support it, or with noise that
        is not white, masked pixels or a sigma map; or if an option is given that tiles or Dask do
        not support.

    Notes
    -----
    *Methods.* Patches are replaced by their posterior means under a patch prior, and every pixel by
    the average over the patches that cover it. "fast" does so four times, under mixtures of
    Gaussians whose filters were learnt by restoring photographs. Under a `prior`, for noise that is
    not white, for planes whose noise is outside 0.002 to 0.29 of the data range (with n channels,
    sigma / sqrt(n)), and with another `aggregation`, it restores every patch once, by default under
    a Gaussian scale mixture [1]_, and weights each patch by its expected precision. "balanced"
    alternates between patches and pixels (EPLL [2]_), under a mixture of scale mixtures whose
    weights are adapted to each part of the image. "best" refines its result with a Gaussian for
    every group of similar patches of the image itself [3]_. Channels are mixed into luminance and
    opponent colours and denoised one by one; "fast" and "balanced" have a separate cascade or prior
    for opponent colours.

    *Priors.* How the training patches were centred is read off the model: a model without variance
    along the constant patch is applied to patches without their mean; another model of mean zero to
    the image without its mean; any other to the patches as they are.

    *Weak noise.* Where sigma is 0, or so small that rounding would add more noise than is removed,
    trusted pixels come back unchanged: below 1e-6 of the data range where the image is computed in
    float32 (float16, float32 and integers of up to 16 bits), below 2e-15 otherwise.

    *Kinds of noise.* "auto" first asks whether the variance rises with the brightness as that of
    photons does, then whether the noise is weaker at high frequencies than at middle ones: the same
    everywhere ("correlated"), or as a camera leaves it. Otherwise it is white. Weak noise counts as
    white, and images below 256x256 pixels are judged less surely.

    *Photons.* The image is stabilised [4]_, denoised, and transformed back by the exact unbiased
    inverse [5]_. The result is never below the offset.

    *Channels.* They are mixed so that the first plane has the least noise and the noise of the
    planes is uncorrelated. Each plane is restored at its own level.

    *Correlated noise.* Patches are restored under the prior as seen where the noise is white, and
    "best" refines with the covariance of the noise. An ICA is not supported. "fast" then has a
    second scale, for the low frequencies, as it has for photographs.

    *Photographs.* The levels are estimated from the middle frequencies of the luminance and the low
    frequencies of the chroma, in the patches that look least like texture. An image that has fine
    texture everywhere, and no noise, loses some of it.

    *Masked pixels and sigma maps* need EPLL: patches are restored at falling noise levels, and a
    pixel uses less of the noisy image the noisier it is, and nothing where it is masked. The
    mixture's weights are not adapted then. "fast" does the same as "balanced" (its own prior fills
    little better than linear interpolation), ``aggregation="center"`` is refused, and "best"
    refines only where the noise of all trusted pixels is equal and not 0. Masked pixels, however
    few, make "balanced" take some seven times as long, because twenty more passes approach them; a
    map makes it take about twice as long.

    *Stored arrays.* If `out` or the image is an array of Zarr, HDF5 or another kind that is read
    and written by slicing, or if both are memory-mapped (`numpy.memmap`), do not overlap and have
    more than 2^26 values, tiles are read, denoised and written one by one in bounded memory, as by
    `denoise_tiles`. The result is the same, but `mask`, `return_std`, another `aggregation`, a map
    for `sigma` and NaN are refused. To continue an interrupted run, call `denoise_tiles` with a
    `checkpoint`. A Dask array supports only `sigma` (one number), `noise`, `prior`, `quality`,
    `stride`, `channel_axis`, `data_range` and `random_state`.

    *Standard deviation.* `std` is what the prior expects the errors to be, from the filters that
    the patches around a pixel use. Without a `prior`, it is what "gsm" expects of a single pass,
    less 5 %, by which the result is better. It is calibrated: over a photograph, the errors divided
    by it have a standard deviation near 1. At noise 10, 25 and 50 of 255 that was 0.77 to 1.49 on
    17 images of BSD68, and outside 0.8 to 1.25 for seven of 51; with ``prior="gsm"`` 0.81 to 1.44,
    and three of 51. It says nothing about a single pixel that the prior misjudges. It is too large
    in areas without texture, up to twice, and in colour images, by a tenth. It is too small, by a
    quarter or more, for fine texture that strong noise hides and for noise of 75 of 255 and above.
    With your own priors it is as good as they fit the image; under an MVN, which has one filter, it
    is the same everywhere but near the borders. The noise must be white and `sigma` right.

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
    never_elsewhere = {
        "aggregation": aggregation != "mean",
        "mask": mask is not None,
        "return_std": bool(return_std),
    }
    if is_dask(image):
        never_on_dask = {"out": out is not None, "workers": workers is not None}
        _refuse(
            {**never_elsewhere, **never_on_dask, "progress": bool(progress)},
            "image is an array of Dask, which is denoised lazily",
            "compute the image first",
        )
        return denoise_dask(
            image, sigma, prior=prior, noise=noise, quality=quality, stride=stride,
            channel_axis=channel_axis, data_range=data_range, random_state=random_state,
        )  # fmt: skip
    if out is not None and (is_stored(image) or is_stored(out) or _both_mapped(image, out)):
        _refuse(
            {**never_elsewhere, "a map for sigma": sigma is not None and np.ndim(sigma) > 0},
            "image or out is stored, which is denoised by tiles",
            "give image and out as arrays of NumPy in memory",
        )
        return denoise_tiles(
            image, out, sigma, prior=prior, noise=noise, quality=quality, stride=stride,
            channel_axis=channel_axis, data_range=data_range, workers=workers,
            random_state=random_state, progress=progress,
        )  # fmt: skip
    given = check_noise(noise, sigma)
    original = real_array(image, "image")
    check_out(out, original)
    original, mask, sigma = without_ones(channel_axis, original, mask, sigma)
    channels = channels_first(original, channel_axis)
    trusted = trusted_pixels(original, mask, channel_axis)
    options = Options(
        len(channels), check_random_state(random_state), quality=quality, prior=prior,
        aggregation=aggregation, given_stride=stride, channel_axis=channel_axis,
        data_range=data_range, workers=workers, progress=bool(progress),
        return_std=bool(return_std),
    )  # fmt: skip
    if data_range is None:
        options = replace(options, extent=Extent.unless_likely(channels, trusted))
    level = None if sigma is None else check_sigma(sigma, channels.shape[1:])
    if trusted is not None or isinstance(level, np.ndarray):
        options = options.for_uneven_noise()
    options.check(channels.shape[1:])
    given = options.suited(given)
    if isinstance(level, np.ndarray):
        known: NoiseModel | FloatArray = level
    elif isinstance(given, NoiseModel):
        known = given
    else:
        unit = options.unit(original.dtype)
        known = estimated(given, level, original, channel_axis, unit, trusted)
    if options.needs_extent(known):
        options = replace(options, extent=Extent.of(channels, trusted))
    options.warn(original.dtype, known)
    denoised, std = denoise_array(original, known, options, trusted)
    denoised = delivered(denoised, out, image)
    return denoised if std is None else (denoised, delivered(std, None, image))


def _refuse(given: dict[str, bool], why: str, remedy: str) -> None:
    """Raise ValueError for the first given option that this way of denoising does not support."""
    for name, was_given in given.items():
        if was_given:
            raise ValueError(
                f"{name} was given, and {why} and without it. Leave it out, or {remedy}."
            )


def _both_mapped(image: Any, out: Any) -> bool:
    """Return whether a large image is mapped from a file, and its result into another."""
    mapped = isinstance(image, np.memmap) and isinstance(out, np.memmap)
    return mapped and image.size > MAPPED_WHOLE and not share_pixels(image, out)
