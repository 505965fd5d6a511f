"""Denoising by tiles: images larger than memory, restored as if they were whole.

A tile is denoised with margins so wide that nothing beyond them matters, and cut out of the result.
Margins start where a patch of the whole image starts, so a tile has the same patches, summed in the
same order: the result is that of the whole image, to the bit.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._arrays import share_pixels
from fastgsm._checks import check_integer, check_nonnegative, check_random_state
from fastgsm._data_range import BOX_PIXELS, Extent
from fastgsm._images import channels_first
from fastgsm._parts import Part, Tile, index, pixel_shape, read_part, tiles_of
from fastgsm._progress import Progress
from fastgsm.files.tile_log import Checkpoint
from fastgsm.models import PatchModel
from fastgsm.noise.channels import PATCH
from fastgsm.noise.kinds import Kind, check_noise, known_noise
from fastgsm.noise.model import NoiseModel
from fastgsm.noise.scan import Scan, noise_of_scans, scan, scan_blocks
from fastgsm.restore.options import Options
from fastgsm.restore.priors import Priors, centring
from fastgsm.restore.whole import denoise_array

TILE = 2048


def denoise_tiles(
    image: Any,
    out: Any,
    sigma: Any = None,
    *,
    tile: int = TILE,
    checkpoint: str | os.PathLike[str] | None = None,
    prior: Priors | None = None,
    noise: Any = "auto",
    quality: str = "balanced",
    stride: int | None = None,
    channel_axis: int | None = None,
    data_range: float | None = None,
    workers: int | None = None,
    random_state: Any = 0,
    progress: bool = False,
) -> Any:
    """Denoise an image that need not fit into memory, tile by tile.

    The result is that of `denoise`, to the bit, whatever the size of the tiles; under an ICA, to
    rounding.

    Parameters
    ----------
    image : array of shape (height, width), or with one more axis for channels
        Anything with `shape` and `dtype` that returns a NumPy array for a part,
        ``image[rows, columns]``: a memory-mapped file, a Zarr array, an HDF5 data set. Read twice,
        first to estimate the noise and the data range, unless both are given. (`sigma` gives the
        noise of one channel; how that of several is correlated is measured, or said by a
        `NoiseModel`.)
    out : array of the same shape and dtype
        Each tile is written by ``out[rows, columns] = tile``. Neither `image` itself nor the same
        file or data set, opened again: neighbouring tiles need its noisy pixels.
    sigma : float, optional
        As in `denoise`, but one number. By default the noise is estimated from the whole image.
    tile : int
        Least side of a tile, in pixels. The memory needed grows with its square: some 12 times a
        tile of 2048 in float32, 200 MB; 23 times one of 1024 ("best").
    checkpoint : path, optional
        File that lists the tiles that are done. If it exists, these are not done again. `out` must
        then hold them, which is checked by reading them, and the image (judged by its first tile)
        and the options must be those of that run. So open `out` without emptying it: in mode "r+",
        not "w+". Removed at the end.
    prior, noise, quality, stride, channel_axis, data_range, workers, random_state, progress
        As in `denoise`. With a checkpoint, `random_state` may not be None.

    Returns
    -------
    out

    Raises
    ------
    TypeError, ValueError
        As `denoise`; also if the image holds NaN, if the prior needs the mean of the whole image,
        if `out` does not match or shares memory or a file with the image, if the checkpoint belongs
        to another run or is not a checkpoint, or if `out` does not hold the tiles it lists.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> image = fastgsm.datasets.dead_leaves((300, 200), random_state=0)
    >>> noisy = fastgsm.datasets.add_noise(image, 0.1, random_state=0)
    >>> out = np.empty_like(noisy)
    >>> by_tiles = fastgsm.denoise_tiles(noisy, out, 0.1, quality="fast", tile=64)
    >>> bool((by_tiles == fastgsm.denoise(noisy, 0.1, quality="fast")).all())
    True
    """
    shape = pixel_shape(image, channel_axis, PATCH)
    if sigma is not None:
        sigma = check_nonnegative(sigma, "sigma")
    given = check_noise(noise, sigma)
    _check_out(image, out)
    if checkpoint is not None and random_state is None:
        raise ValueError(
            "random_state is None, so no run repeats another and none could continue from the "
            "checkpoint. Give random_state an integer, or leave checkpoint out."
        )
    log = Checkpoint(checkpoint)
    n_channels = 1 if channel_axis is None else image.shape[channel_axis]
    options = Options(
        n_channels, check_random_state(random_state), quality=quality, prior=prior,
        given_stride=stride, channel_axis=channel_axis, data_range=data_range, workers=workers,
    )  # fmt: skip
    tiles, given = plan(shape, tile, options, given)
    known, options = measured_by_tiles(given, sigma, image, shape, tile, options, progress=progress)
    denoise_into(out, image, known, tiles, options, log, progress=progress)
    if hasattr(out, "flush"):  # mapped pixels go to the disk before the list of done tiles goes
        out.flush()
    log.remove()
    return out


def plan(
    shape: tuple[int, int], tile: int, options: Options, noise: NoiseModel | Kind
) -> tuple[list[Tile], NoiseModel | Kind]:
    """Return the tiles of an image, and the noise with which each is denoised."""
    tile = check_integer(tile, "tile")
    options.check(shape)
    noise = options.suited(noise)
    if any(each is not None and centring(each)[1] for each in options.models):
        raise ValueError(
            "this prior expects the mean of the whole image to be removed, which a tile cannot "
            "know; use one trained with center='patch' or center=None."
        )
    return tiles_of(shape, tile, *options.reach(noise)), noise


class Measured(NamedTuple):
    """What is measured in one part of an image."""

    scan: Scan | None
    """For the noise, where it is to be estimated."""
    extent: Extent | None
    """For the data range, where none was given and the part is large enough."""

    @classmethod
    def of(
        cls,
        pixels: NDArray[Any],
        part: Part,
        stride: int,
        known: NoiseModel | None,
        options: Options,
    ) -> Measured:
        """Measure a part, of which ``pixels`` are given, unless all is known."""
        axis = options.channel_axis
        planes = channels_first(pixels, axis)
        # Parts overlap by more than a box, so one smaller than a box has none of its own.
        measures = options.data_range is None and min(planes.shape[1:]) >= BOX_PIXELS
        return cls(
            scan(pixels, part, stride, axis) if known is None else None,
            Extent.of(planes) if measures else None,
        )


def measured_by_tiles(
    noise: NoiseModel | Kind,
    sigma: float | None,
    image: Any,
    shape: tuple[int, int],
    tile: int,
    options: Options,
    *,
    progress: bool,
) -> tuple[NoiseModel, Options]:
    """Return the noise of an image, and options that know its extent.

    The image is read part by part, unless the noise is known and the data range was given.
    """
    known = known_noise(noise, sigma, options.n_channels)
    if known is not None and options.data_range is not None:
        return known, options
    stride, parts = scan_blocks(shape, tile)
    measured = []
    with Progress(len(parts), "measuring the image", enabled=progress) as bar:
        for part in parts:
            pixels = read_part(image, part, options.channel_axis)
            measured.append(Measured.of(pixels, part, stride, known, options))
            bar.update()
    dtype = np.dtype(image.dtype)
    return joined(measured, noise, sigma, known, dtype, shape, stride, options)


def joined(
    parts: list[Measured],
    noise: NoiseModel | Kind,
    sigma: float | None,
    known: NoiseModel | None,
    dtype: np.dtype[Any],
    shape: tuple[int, int],
    stride: int,
    options: Options,
) -> tuple[NoiseModel, Options]:
    """Return the noise of an image, and options that know its extent, from all of its parts."""
    if options.data_range is None:
        extents = [each.extent for each in parts if each.extent is not None]
        options = replace(options, extent=Extent.joined(extents))
    if known is None:
        assert not isinstance(noise, NoiseModel)
        scans = [each.scan for each in parts if each.scan is not None]
        known = noise_of_scans(noise, sigma, scans, shape, stride, options.unit(dtype))
    options.warn(dtype, known)
    return known, options


def denoise_into(
    out: Any,
    image: Any,
    noise: NoiseModel,
    tiles: list[Tile],
    options: Options,
    log: Checkpoint,
    *,
    progress: bool,
) -> None:
    """Denoise the tiles that ``log`` does not list, and write each to ``out``.

    Arguments have been checked.
    """
    axis = options.channel_axis
    log.begin(
        lambda: _digest(image, noise, tiles, options),
        lambda number: _digest_of_pixels(out[index(tiles[number].inner, axis)]),
        progress,
    )
    with Progress(len(tiles), "denoising tiles", enabled=progress) as bar:
        for number, part in enumerate(tiles):
            if number not in log.done:
                noisy = read_part(image, part.outer, axis)
                out[index(part.inner, axis)] = denoise_tile(noisy, noise, part, options)
                log.add(number)
            bar.update()


def denoise_tile(
    noisy: NDArray[Any], noise: NoiseModel, part: Tile, options: Options
) -> NDArray[Any]:
    """Denoise a tile with its margins, and return its inner part."""
    clean, _ = denoise_array(noisy, noise, options, inner=part.cut)
    return clean[index(part.cut, options.channel_axis)]


def _digest(image: Any, noise: NoiseModel, tiles: list[Tile], options: Options) -> str:
    """Return a digest that identifies a run."""
    names = "prior", "quality", "stride", "channel_axis", "data_range", "extent"
    settings = {name: getattr(options, name) for name in names}
    described = [
        image.shape,
        str(image.dtype),
        noise.photons,
        noise.camera,
        tiles[0].inner[0].stop,
        str(settings),
    ]
    digest = hashlib.sha256(f"{described} {options.rng.bit_generator.state}".encode())
    digest.update(noise.sigma.tobytes() + noise.correlation.tobytes())
    given = options.prior
    for prior in given if isinstance(given, (tuple, list)) else [given]:
        if isinstance(prior, PatchModel):
            for values in prior._arrays().values():
                digest.update(values.tobytes())
    first = read_part(image, tiles[0].inner, options.channel_axis)
    digest.update(first.tobytes())
    return digest.hexdigest()


def _digest_of_pixels(pixels: Any) -> str:
    return hashlib.sha256(np.asarray(pixels).tobytes()).hexdigest()[:16]


def _check_out(image: Any, out: Any) -> None:
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape != image.shape or dtype != image.dtype:
        raise ValueError(
            f"out has shape {shape} and dtype {dtype}; wanted an array of shape {image.shape} and "
            f"dtype {image.dtype}, like image."
        )
    if share_pixels(image, out):
        raise ValueError(
            "out shares memory, a file or a data set with image, whose noisy pixels the next tiles "
            "need; wanted an array of its own."
        )
