"""Denoising by tiles: images larger than memory, restored as if they were whole.

A tile is denoised with a margin, so wide that nothing beyond it matters, and cut out of the result.
Margins begin where the whole image's patches begin, so a tile has the same ones, summed in the same
order: the result is that of the whole image, to the bit.
"""

from __future__ import annotations

import copy
import hashlib
import os
from typing import Any

import numpy as np

from fastgsm._arrays import peak_of, share_pixels
from fastgsm._checks import (
    check_choice,
    check_integer,
    check_nonnegative,
    check_positive,
    check_random_state,
)
from fastgsm._denoise import denoise_array
from fastgsm._images import (
    TOO_BRIGHT,
    default_data_range,
    warn_unlikely_range,
)
from fastgsm._parts import Tile, index, pixel_shape, read_part, tiles_of
from fastgsm._progress import Progress
from fastgsm.files.tile_log import Checkpoint
from fastgsm.models import PatchModel
from fastgsm.noise.scan import estimate_sigma_by_tiles
from fastgsm.restore.method import centring
from fastgsm.restore.presets import PRESETS, patch_size_of, reach, resolve_priors, stride_of

TILE = 2048


def denoise_tiles(
    image: Any,
    out: Any,
    sigma: float | None = None,
    *,
    tile: int = TILE,
    checkpoint: str | os.PathLike[str] | None = None,
    prior: Any = None,
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
        Whatever has `shape` and `dtype` and gives a NumPy array for a part,
        ``image[rows, columns]``: a memory-mapped file, a Zarr array, an HDF5 data set. Read twice
        if sigma is not given.
    out : array of the same shape and dtype
        Where each tile is written, by ``out[rows, columns] = tile``. Neither `image` itself nor the
        same file or data set, opened once more: the tiles beside one need its noisy pixels.
    sigma : float, optional
        As of `denoise`: one number. By default estimated from the whole image.
    tile : int
        Least side of a tile, in pixels. The memory needed grows with its square: some 12 times a
        tile of 2048 in float32, 200 MB; 23 times one of 1024 ("best").
    checkpoint : path, optional
        File that says which tiles are done. If it exists, these are not done again: `out` must then
        hold them, which is checked by reading them, and the image (judged by its first tile) and
        the options must be those of that run. So open `out` without emptying it: in mode "r+", not
        "w+". Removed at the end.
    prior, quality, stride, channel_axis, data_range, workers, random_state, progress
        As of `denoise`; but no `random_state` of None with a checkpoint.

    Returns
    -------
    out

    Raises
    ------
    TypeError, ValueError
        As `denoise`; also if the image holds NaN, if the prior needs the mean of the whole image,
        if `out` does not match or is where the image is, if the checkpoint is of another run or no
        checkpoint at all, or if `out` does not hold what it says is done.

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
    shape = pixel_shape(image, channel_axis)
    _check_out(image, out)
    if checkpoint is not None and random_state is None:
        raise ValueError(
            "random_state is None, with which no run repeats another, so none could go on from the "
            "checkpoint. Give random_state an integer, or leave checkpoint out."
        )
    # Whoever gives a Checkpoint, not its path, has more to do before it may go.
    given: Any = checkpoint
    log = given if isinstance(given, Checkpoint) else Checkpoint(given)
    tiles, options = plan(image, shape, tile, prior, quality, stride, channel_axis, data_range)
    if sigma is None:
        sigma = estimate_sigma_by_tiles(image, shape, tile, channel_axis, progress)
    sigma = check_nonnegative(sigma, "sigma")
    rng = check_random_state(random_state)
    log.begin(
        lambda: _digest(image, sigma, tiles, options, rng),
        lambda number: _digest_of_pixels(out[index(tiles[number].inner, channel_axis)]),
        progress,
    )
    # Of a run that goes on, the first part has seen other tiles: these alone may all be dark.
    resumed, unit, peak = bool(log.done), options["data_range"], 0.0
    with Progress(len(tiles), "denoising tiles", enabled=progress) as bar:
        for number, part in enumerate(tiles):
            if number not in log.done:
                noisy = read_part(image, part.outer, channel_axis)
                # One tile shows that an image is too bright; that it is too dark, only all of them.
                before, peak = peak, max(peak, peak_of(noisy) / unit)
                if data_range is None and before <= TOO_BRIGHT < peak:
                    warn_unlikely_range(peak, unit)
                clean = denoise_part(noisy, sigma, part, options, rng, workers)
                out[index(part.inner, channel_axis)] = clean
                log.add(number)
            bar.update()
    if data_range is None and not resumed and peak <= TOO_BRIGHT:
        warn_unlikely_range(peak, unit)
    if log is not given:
        if hasattr(out, "flush"):  # of what is mapped, before the list of what is done goes
            out.flush()
        log.remove()
    return out


def plan(
    image: Any,
    shape: tuple[int, int],
    tile: int,
    prior: Any,
    quality: str,
    stride: int | None,
    channel_axis: int | None,
    data_range: float | None,
) -> tuple[list[Tile], dict[str, Any]]:
    """Check options, and give the tiles of an image and the options with which each is denoised."""
    check_choice(quality, "quality", tuple(PRESETS))
    tile = check_integer(tile, "tile")
    n_channels = 1 if channel_axis is None else image.shape[channel_axis]
    model, chroma = resolve_priors(prior, quality, n_channels)
    if any(each is not None and centring(each)[1] for each in (model, chroma)):
        raise ValueError(
            "prior is of images without their mean, which no tile knows; wanted one of patches "
            "without their mean, or of patches as they are. Train it with center='patch'."
        )
    patch_size = patch_size_of(model)
    stride = stride_of(quality, patch_size, stride)
    if data_range is None:
        data_range = default_data_range(np.dtype(image.dtype))
    options = {
        "prior": prior,
        "quality": quality,
        "stride": stride,
        "channel_axis": channel_axis,
        "data_range": check_positive(data_range, "data_range"),
    }
    return tiles_of(shape, tile, *reach(quality, patch_size, stride)), options


def denoise_part(
    noisy: Any,
    sigma: float,
    part: Tile,
    options: dict[str, Any],
    rng: np.random.Generator,
    workers: int | None = None,
) -> Any:
    """Denoise a tile with its margins, and give its inner part."""
    # Every tile draws the same grids: those of the whole image.
    seed = copy.deepcopy(rng)
    clean = denoise_array(
        noisy, sigma, **options, workers=workers, random_state=seed, inner=part.cut
    )
    return clean[index(part.cut, options["channel_axis"])]


def _digest(
    image: Any, sigma: float, tiles: list[Tile], options: dict[str, Any], rng: np.random.Generator
) -> str:
    """Give a number for a run, which another run does not have."""
    given = options["prior"]
    priors = given if isinstance(given, (tuple, list)) else [given]
    settings = [image.shape, str(image.dtype), sigma, tiles[0].inner[0].stop, str(options)]
    digest = hashlib.sha256(f"{settings} {rng.bit_generator.state}".encode())
    for prior in priors:
        if isinstance(prior, PatchModel):
            for values in prior._arrays().values():
                digest.update(values.tobytes())
    first = read_part(image, tiles[0].inner, options["channel_axis"])
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
