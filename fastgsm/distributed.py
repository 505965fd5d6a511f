"""Learning and denoising on Dask: data of any size, on the cores of one machine or of many."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastgsm._checks import check_choice, check_integer, check_nonnegative, check_random_state
from fastgsm._extras import import_extra
from fastgsm._images import check_channel_axis
from fastgsm._parts import Tile, check_no_nan, index, pixel_shape, with_channels
from fastgsm._patch_sources import Draw, patch_sources
from fastgsm.learning.dask import check_dask, source_data
from fastgsm.models import EMIteration, PatchModel, SufficientStatistics
from fastgsm.noise.channels import PATCH
from fastgsm.noise.kinds import Kind, check_noise, known_noise
from fastgsm.noise.model import NoiseModel
from fastgsm.noise.scan import scan_blocks
from fastgsm.restore.options import Options
from fastgsm.restore.priors import Priors
from fastgsm.tiles import TILE, Measured, denoise_tile, joined, plan

Model = TypeVar("Model", bound=PatchModel)


def denoise_dask(
    image: Any,
    sigma: Any = None,
    *,
    tile: int = TILE,
    prior: Priors | None = None,
    noise: Any = "auto",
    quality: str = "balanced",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    random_state: Any = 0,
) -> Any:
    """Denoise a Dask array, lazily.

    Nothing is computed before the result is. Each tile is one task, with margins so wide that the
    result is that of `fastgsm.denoise`, to the bit, whatever the chunks and the tiles.

    Parameters
    ----------
    image : dask.array.Array of shape (..., height, width), with one more axis for channels
        Further axes in front (time, depth, field of view) hold independent images.
    sigma : float, optional
        As in `denoise`, but one number. Unless the noise and `data_range` are given, they are
        estimated once for each image, from all of it; its chunks are then needed twice.
    tile : int
        Least side of a tile, in pixels.
    prior, noise, quality, stride, channel_axis, data_range, random_state
        As in `denoise_tiles`.

    Returns
    -------
    dask.array.Array
        Of the same shape and dtype; its chunks are the tiles. Warnings appear where the noise and
        the data range are estimated: on a cluster, in a worker's log.

    Raises
    ------
    ImportError
        If Dask is not installed (``pip install "fastgsm[dask]"``).
    TypeError, ValueError
        As `denoise_tiles`. Errors about pixels are raised when they are computed.

    Examples
    --------
    >>> import dask.array as da, fastgsm
    >>> from fastgsm.distributed import denoise_dask
    >>> image = fastgsm.datasets.dead_leaves((120, 100), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(image, 0.1, random_state=0)
    >>> lazy = denoise_dask(da.from_array(noisy, chunks=50), 0.1, quality="fast", tile=64)
    >>> bool((lazy.compute() == fastgsm.denoise(noisy, 0.1, quality="fast")).all())
    True
    """
    check_dask(image, "image")
    if sigma is not None:
        sigma = check_nonnegative(sigma, "sigma")
    given = check_noise(noise, sigma)
    if 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}, without a pixel; wanted some.")
    stacked = image.ndim > (2 if channel_axis is None else 3)
    n_channels = 1
    if channel_axis is not None:
        channel_axis = check_channel_axis(image.shape, channel_axis, stack=stacked)
        n_channels = image.shape[channel_axis]
        if stacked:  # count from the end: the axes before the pixels' go one by one
            channel_axis = channel_axis % image.ndim - image.ndim
    options = Options(
        n_channels, check_random_state(random_state), quality=quality, prior=prior,
        given_stride=stride, channel_axis=channel_axis, data_range=data_range,
    )  # fmt: skip
    return _denoise_lazily(image, given, sigma, tile, options)


def _denoise_lazily(
    image: Any, noise: NoiseModel | Kind, sigma: float | None, tile: int, options: Options
) -> Any:
    """Return the denoised array, whose chunks are tiles; stack the images of further axes."""
    da = import_extra("dask.array", "dask")
    axis = options.channel_axis
    if image.ndim > (2 if axis is None else 3):
        return da.stack([_denoise_lazily(each, noise, sigma, tile, options) for each in image])
    shape = pixel_shape(image, axis, PATCH)
    tiles, noise = plan(shape, tile, options, noise)
    known = _measured(noise, sigma, image, shape, tile, options)
    parts = [
        image[index(part.outer, axis)]
        .rechunk(-1)
        .map_blocks(
            _denoise_tile,
            known,
            part,
            dtype=image.dtype,
            chunks=_shape_of(part, options),
            meta=np.empty((0,) * image.ndim, image.dtype),
        )
        for part in tiles
    ]
    n_cols = len({part.inner[1].start for part in tiles})
    rows = [parts[first : first + n_cols] for first in range(0, len(parts), n_cols)]
    down, across = (i for i in range(image.ndim) if axis is None or i != axis % 3)
    return da.concatenate([da.concatenate(row, axis=across) for row in rows], axis=down)


def _shape_of(part: Tile, options: Options) -> tuple[int, ...]:
    """Return the shape of a tile of the result."""
    height, width = (each.stop - each.start for each in part.inner)
    return with_channels((height, width), options.n_channels, options.channel_axis)


def _denoise_tile(noisy: Any, known: tuple[NoiseModel, Options], part: Tile) -> Any:
    check_no_nan(noisy, part.outer)
    return denoise_tile(noisy, known[0], part, known[1])


def _measured(
    noise: NoiseModel | Kind,
    sigma: float | None,
    image: Any,
    shape: tuple[int, int],
    tile: int,
    options: Options,
) -> Any:
    """Return a task for the noise and the options, like `measured_by_tiles`."""
    known = known_noise(noise, sigma, options.n_channels)
    delayed = import_extra("dask", "dask").delayed
    stride, parts = scan_blocks(shape, tile)
    measured = []
    # Tasks of their own, so that each worker receives the options, and resolves the priors, once.
    shared = delayed(pickle.loads, pure=True)(pickle.dumps(options))
    if known is None or options.data_range is None:
        measured = [
            delayed(Measured.of)(
                image[index(part, options.channel_axis)], part, stride, known, shared
            )
            for part in parts
        ]
    return delayed(joined)(measured, noise, sigma, known, image.dtype, shape, stride, shared)


def fit_dask(
    model: Model,
    X: Any,
    sample_weight: Any = None,
    *,
    callback: Callable[[EMIteration], Any] | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Model:
    """Fit a model to a Dask array of samples, which are never held together.

    The same as ``model.fit(X)`` with a Dask array. Every iteration is a pass over the chunks (two
    for a `MoGSM`): one task per chunk does the E-step, and only sums travel. They are added in a
    fixed order, so that on processors of one kind the model is the same, to the bit, for any
    number of workers and whichever of them are lost. (An `ICA` of patches above 8x8 needs the same
    number of BLAS threads on each.)

    Parameters
    ----------
    model : any model of fastgsm
        To be fitted, with its options.
    X : dask.array.Array of shape (n_samples, n_features)
        One task holds a chunk in memory, so a chunk should have some 100,000 samples. Every
        iteration computes X again: call ``X.persist()`` first if it fits into the workers' memory.
    sample_weight : array_like or dask.array.Array of shape (n_samples,), optional
        How much each sample counts; not negative.
    callback, progress, checkpoint
        As for `fit`.

    Returns
    -------
    model
        The same object, fitted.

    Raises
    ------
    ImportError
        If Dask is not installed (``pip install "fastgsm[dask]"``).
    TypeError, ValueError
        As `fit`; also if X has chunks of unknown length, or one has another shape than announced.

    Notes
    -----
    With an int as `random_state`, `fit` in memory starts from the same samples and goes through the
    same iterations. So both lead to the same model, up to rounding, for chunks of any size.

    Examples
    --------
    >>> import dask.array as da, fastgsm
    >>> image = fastgsm.datasets.dead_leaves((128, 128), random_state=0)
    >>> X = fastgsm.sample_patches(image, n_patches=4000, random_state=0)
    >>> model = fastgsm.GSM(n_scales=4).fit(da.from_array(X, chunks=(1000, 64)))
    >>> bool(abs(model.lower_bound_ - fastgsm.GSM(n_scales=4).fit(X).lower_bound_) < 1e-3)
    True
    """
    check_dask(X, "X")
    return model.fit(
        X, None, sample_weight, callback=callback, progress=progress, checkpoint=checkpoint
    )


def statistics_dask(model: PatchModel, X: Any, sample_weight: Any = None) -> SufficientStatistics:
    """Do the E-step on a Dask array of samples.

    The same as ``model.sufficient_statistics(X)`` with a Dask array.

    Parameters
    ----------
    model : any model of fastgsm
        Fitted.
    X, sample_weight
        As for `fit_dask`.

    Returns
    -------
    statistics : SufficientStatistics

    Raises
    ------
    TypeError, ValueError
        As for `fit_dask` and `sufficient_statistics`.
    """
    check_dask(X, "X")
    return model.sufficient_statistics(X, sample_weight)


def fit_images(
    model: Model,
    images: Any,
    n_patches: int = 1_000_000,
    patch_size: int = 8,
    *,
    center: str | None = "patch",
    random_state: Any = None,
    tile: int = TILE,
    callback: Callable[[EMIteration], Any] | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Model:
    """Fit a model to patches of images that need not fit into memory.

    The tasks that learn from patches draw them where the pixels are, the same patches in every
    iteration. So the patches are never all held together, and never travel. Otherwise as
    `fit_dask`.

    Parameters
    ----------
    model : any model of fastgsm
        To be fitted, with its options.
    images : array of shape (height, width), iterable of them, or Zarr group
        Grey images: Dask arrays, Zarr arrays, or anything that Dask can make an array from. A stack
        with another axis in front is a list of images; a Zarr group stands for all its arrays, by
        name. The tasks themselves read parts of Zarr arrays, which saves most of Dask's tasks.
        NumPy arrays are sent to the workers in every iteration: give arrays that workers can read.
    n_patches : int
        Number of patches, drawn with replacement; all places in all images are equally likely.
    patch_size : int
        Side of a patch in pixels.
    center : {"patch", None}
        Whether each patch's own mean is subtracted.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the places. Must be an int if `checkpoint` is to resume the fit.
    tile : int
        Side of the part of an image that one task holds, in pixels. It also changes which patches
        are drawn.
    callback, progress, checkpoint
        As for `fit`.

    Returns
    -------
    model
        The same object, fitted.

    Raises
    ------
    ImportError
        If Dask is not installed (``pip install "fastgsm[dask]"``).
    TypeError, ValueError
        As for `sample_patches` and `fit`; for bad pixels, when they are computed.

    Examples
    --------
    >>> import dask.array as da, fastgsm
    >>> from fastgsm.distributed import fit_images
    >>> image = fastgsm.datasets.dead_leaves((256, 256), random_state=0)
    >>> lazy = da.from_array(image, chunks=128)
    >>> model = fit_images(fastgsm.GSM(n_scales=4), [lazy], 5000, random_state=0, tile=128)
    >>> model.n_samples_seen_
    5000.0
    """
    n_patches = check_integer(n_patches, "n_patches")
    patch_size = check_integer(patch_size, "patch_size")
    check_choice(center, "center", ("patch", None))
    draw = Draw(n_patches, patch_size, center, check_integer(tile, "tile"))
    sources, dtype = patch_sources(images, draw, check_random_state(random_state))
    data = source_data(sources, (n_patches, patch_size**2), dtype)
    return model._fit_data(data, callback, progress, checkpoint)
