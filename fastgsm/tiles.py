"""Denoising by tiles: images larger than memory, restored as if they were whole.

A tile is denoised with a margin, so wide that nothing beyond it matters, and cut out of the result.
Margins begin where the whole image's patches begin, so a tile has the same ones, summed in the same
order: the result is that of the whole image, to the bit.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastgsm._progress import Progress
from fastgsm._stored import share_pixels
from fastgsm._validation import (
    TOO_BRIGHT,
    as_float_image,
    channels_first,
    check_channel_axis,
    check_choice,
    check_integer,
    check_nonnegative,
    check_positive,
    check_random_state,
    check_shape_2d,
    default_data_range,
    peak_of,
    plain_array,
    warn_unlikely_range,
)
from fastgsm.denoise import denoise_array
from fastgsm.io import atomic_path, check_output_path
from fastgsm.models import PatchModel
from fastgsm.noise import (
    PATCH,
    exponent_of_unit,
    grid_patches,
    grid_stride,
    sigma_of_variances,
    variance_of_patches,
)
from fastgsm.presets import PRESETS, Part, grown, patch_size_of, reach, resolve_priors, stride_of
from fastgsm.single_pass import centring

TILE = 2048
# Of a checkpoint's file, so that no other file is taken for one, and overwritten.
FIRST_WORD = b"fastgsm-tiles-1 "


class Tile(NamedTuple):
    """A part of an image, as (rows, columns), and what must be known to restore it."""

    inner: Part
    outer: Part
    """The inner part with its margins."""

    @property
    def cut(self) -> Part:
        """The inner part within the outer one."""
        first, second = (
            slice(i.start - o.start, i.stop - o.start)
            for i, o in zip(self.inner, self.outer, strict=True)
        )
        return first, second


def tiles_of(shape: tuple[int, int], side: int, halo: int, step: int) -> list[Tile]:
    """Cut an image into tiles of at least ``side`` pixels, in the order of reading.

    Parameters
    ----------
    shape : (height, width)
    side : int
        In pixels; rounded up to a multiple of `step`.
    halo : int
        Least width of the margins.
    step : int
        Tiles and their margins begin at multiples of this.
    """
    height, width = shape
    side = -(-side // step) * step
    tiles = []
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        inner = slice(top, min(top + side, height)), slice(left, min(left + side, width))
        rows, cols = grown(inner, halo, step)
        outer = slice(rows.start, min(rows.stop, height)), slice(cols.start, min(cols.stop, width))
        tiles.append(Tile(inner, outer))
    return tiles


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
                noisy = _read(image, part.outer, channel_axis)
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


class Scan(NamedTuple):
    """What the noise of an image is estimated from, in one part of it, by channels."""

    place: tuple[int, int]
    """Row and column of the first patch in the grid of the whole image."""
    patches: list[Any]
    low: list[Any]
    high: list[Any]
    unit: float


def scan_blocks(shape: tuple[int, int], tile: int) -> tuple[int, list[Part]]:
    """Give the stride of the patches that `scan` looks at, and the parts that it wants."""
    stride = grid_stride(shape)
    blocks = tiles_of(shape, -(-tile // stride) * stride, 0, stride)
    # A patch belongs to the part that its first pixel is in.
    parts = [
        (
            slice(rows.start, min(rows.stop + PATCH - 1, shape[0])),
            slice(cols.start, min(cols.stop + PATCH - 1, shape[1])),
        )
        for rows, cols in (block.inner for block in blocks)
    ]
    return stride, parts


def scan(pixels: Any, part: Part, stride: int, channel_axis: int | None) -> Scan:
    """Look at one part of an image."""
    scaled, unit = as_float_image(pixels)
    planes = channels_first(scaled, channel_axis)
    fits = min(planes.shape[1:]) >= PATCH
    return Scan(
        (part[0].start // stride, part[1].start // stride),
        [grid_patches(plane, stride).copy() for plane in planes] if fits else [],
        [plane.min() for plane in planes],
        [plane.max() for plane in planes],
        unit,
    )


def sigma_of_scans(scans: list[Scan], shape: tuple[int, int], stride: int) -> float:
    """Estimate the noise of an image as `estimate_sigma` does, from scans of all its parts."""
    grid_shape = [(length - PATCH) // stride + 1 for length in shape]
    extremes = [[*each.low, *each.high] for each in scans]
    exponent = exponent_of_unit(float(np.abs(extremes).max()))
    variances = []
    for channel in range(len(scans[0].low)):
        dtype = scans[0].low[channel].dtype
        grid = np.empty((PATCH, PATCH, *grid_shape), dtype)
        for each in scans:
            if each.patches:
                patches, (top, left) = each.patches[channel], each.place
                height, width = patches.shape[2:]
                grid[:, :, top : top + height, left : left + width] = patches
        low = min(each.low[channel] for each in scans)
        high = max(each.high[channel] for each in scans)
        if exponent:
            grid, low, high = (np.ldexp(values, -exponent) for values in (grid, low, high))
        variances.append(variance_of_patches(grid, low, high))
    return sigma_of_variances(variances, scans[0].unit, exponent)


def estimate_sigma_by_tiles(
    image: Any, shape: tuple[int, int], tile: int, channel_axis: int | None, progress: bool
) -> float:
    """Estimate the noise of an image as `estimate_sigma` does, from parts of it."""
    stride, parts = scan_blocks(shape, tile)
    scans = []
    with Progress(len(parts), "estimating the noise", enabled=progress) as bar:
        for part in parts:
            pixels = _read(image, part, channel_axis)
            scans.append(scan(pixels, part, stride, channel_axis))
            bar.update()
    return sigma_of_scans(scans, shape, stride)


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
    first = _read(image, tiles[0].inner, options["channel_axis"])
    digest.update(first.tobytes())
    return digest.hexdigest()


def _digest_of_pixels(pixels: Any) -> str:
    return hashlib.sha256(np.asarray(pixels).tobytes()).hexdigest()[:16]


def pixel_shape(image: Any, channel_axis: int | None) -> tuple[int, int]:
    """Give (height, width) of an image that has a shape."""
    try:
        shape = tuple(image.shape)
        _ = np.dtype(image.dtype)
    except (AttributeError, TypeError):
        raise TypeError(
            f"image is a {type(image).__name__}; wanted an array with shape, dtype and indexing: "
            f"a NumPy, Zarr or HDF5 array."
        ) from None
    sides = list(shape)
    if channel_axis is not None:
        del sides[check_channel_axis(shape, channel_axis)]
    return check_shape_2d(sides, "the shape of image", PATCH)


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


def index(part: Part, channel_axis: int | None) -> tuple[slice, ...]:
    """Give the index of a part of the pixels, with all channels."""
    return with_channels(part, slice(None), channel_axis)


def with_channels(pixels: tuple[Any, Any], channels: Any, axis: int | None) -> tuple[Any, ...]:
    """Put what is of the channels between what is of rows and of columns, where their axis is."""
    both = list(pixels)
    if axis is not None:
        both.insert(axis % 3, channels)
    return tuple(both)


def _read(image: Any, part: Part, channel_axis: int | None) -> Any:
    pixels = plain_array(image[index(part, channel_axis)], "image")
    check_no_nan(pixels, part)
    return pixels


def check_no_nan(pixels: Any, part: Part) -> None:
    """Raise ValueError if a part of an image holds NaN."""
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        rows, cols = part
        raise ValueError(
            f"image holds NaN in rows {rows.start} to {rows.stop} and columns {cols.start} to "
            f"{cols.stop}; wanted finite pixels. Missing pixels are filled by denoise alone, in "
            f"an array of NumPy that is in memory."
        )


class Checkpoint:
    """The tiles that are done, in a file; there is none until the first of them is.

    Its first line names the run. Each of the others is the number of a tile and a digest of what
    `out` holds there.

    Parameters
    ----------
    path : path or None
        File to write, and to go on from if it exists; None for no checkpoint.

    Attributes
    ----------
    done : dict of int to str
        Tiles and their digests; empty until `begin` has found that they are of this run.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.done: dict[int, str] = {}
        self._path = None if path is None else Path(path)
        self._run, self._listed = "", dict[int, str]()
        if self._path is not None:
            check_output_path(self._path)
            if self._path.exists() and self._path.stat().st_size:
                self._run, self._listed = _read_checkpoint(self._path)

    def begin(
        self, run: Callable[[], str], held: Callable[[int], str], progress: bool = False
    ) -> None:
        """Raise ValueError if the file is of another run, or `out` does not hold what is done.

        Parameters
        ----------
        run : callable
            Gives the name of this run.
        held : callable
            Gives the digest of what `out` holds of a tile.
        """
        if self._path is None:
            return
        name, self._held = run(), held
        if self._run not in ("", name):
            raise ValueError(
                f"{self._path} is the checkpoint of another run: image, sigma, tile, random_state "
                f"or options differ. Give those of that run, or delete the file to begin anew."
            )
        self._run = name
        if not self._listed:
            return
        with Progress(len(self._listed), "checking tiles", enabled=progress) as bar:
            for number, pixels in self._listed.items():
                if held(number) != pixels:
                    raise ValueError(
                        f"out does not hold tile {number}, which is done according to "
                        f"{self._path}; wanted the array of that run as that run left it. Open it "
                        f"without emptying it (mode 'r+', not 'w+'), or delete {self._path} to "
                        f"begin anew."
                    )
                bar.update()
        self.done = self._listed
        self._write()  # without a line that was cut short

    def add(self, number: int) -> None:
        """Note that a tile is done."""
        if self._path is None:
            return
        self.done[number] = self._held(number)
        if len(self.done) == 1:
            self._write()
        else:
            with self._path.open("a") as file:
                file.write(f"{number} {self.done[number]}\n")

    def _write(self) -> None:
        assert self._path is not None
        lines = [self._run, *(f"{number} {pixels}" for number, pixels in self.done.items())]
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(FIRST_WORD + "".join(f"{line}\n" for line in lines).encode())

    def remove(self) -> None:
        """Delete the file: the run is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _read_checkpoint(path: Path) -> tuple[str, dict[int, str]]:
    """Give the name of a run, and the tiles that are done; raise if it is any other file."""
    with path.open("rb") as file:
        ours = file.read(len(FIRST_WORD)) == FIRST_WORD
        content = file.read() if ours else b""
    try:
        # A line that a kill left unfinished counts as none.
        run, *lines = content.decode("ascii").split("\n")[:-1]
        return run, {int(number): pixels for number, pixels in map(str.split, lines)}
    except ValueError:
        raise ValueError(
            f"{path} exists and is no checkpoint of tiles; wanted one, or a name that is free. "
            f"Give checkpoint another name, or delete the file."
        ) from None
