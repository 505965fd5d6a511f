"""``fastgsm denoise --tile``: one image that need not fit into memory."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastgsm.cli import _options

if TYPE_CHECKING:
    from fastgsm.files.image_file import ImageFile
    from fastgsm.noise.model import NoiseModel


def run(args: argparse.Namespace) -> int:
    """Denoise one image by tiles; return the exit status."""
    from fastgsm.files import stored

    source, output = _one_image(args)
    start = time.perf_counter()
    with stored.opened(source) as image:
        stored.check_output(output, source)
        noise = _denoise(image, output, args)
        seconds = time.perf_counter() - start
        figures = _options.figures(args, args.inputs[0], args.output, [image], [noise], seconds)
    _options.report(args, figures)
    return 0


def _denoise(image: ImageFile, output: Path, args: argparse.Namespace) -> NoiseModel:
    """Write the denoised image to ``output``, or continue an earlier run; return its noise."""
    from fastgsm import tiles
    from fastgsm._checks import check_nonnegative, check_random_state
    from fastgsm._parts import pixel_shape
    from fastgsm.files.stored import Result
    from fastgsm.files.tile_log import Checkpoint
    from fastgsm.noise.channels import PATCH
    from fastgsm.noise.kinds import check_noise
    from fastgsm.restore.options import Options
    from fastgsm.restore.presets import DEFAULT_QUALITY

    array, axis, progress = image.array, image.channel_axis, not args.quiet
    options = Options(
        1 if axis is None else array.shape[axis],
        check_random_state(0),
        quality=args.quality or DEFAULT_QUALITY,
        prior=None if args.prior is None else _options.prior(args.prior),
        channel_axis=axis,
        data_range=args.data_range,
        workers=args.workers,
    )
    sigma = None if args.sigma is None else check_nonnegative(args.sigma, "sigma")
    shape = pixel_shape(array, axis, PATCH)
    noise = check_noise(args.noise, sigma)
    parts, noise = tiles.plan(shape, args.tile, options, noise)
    sides = [side.stop for side in parts[0].inner]
    result = Result(output, image, (*sides, *array.shape[2:]))
    log = Checkpoint(None)
    try:
        with result.written() as out:
            log = Checkpoint(result.checkpoint)
            known, options = tiles.measured_by_tiles(
                noise, sigma, array, shape, args.tile, options, progress=progress
            )
            tiles.denoise_into(out, array, known, parts, options, log, progress=progress)
    except BaseException as error:
        # An error in the checkpoint itself is raised before any tile counts as done.
        ours = bool(log.done) or not isinstance(error, ValueError)
        if ours and result.checkpoint.exists():
            print(
                f"fastgsm: what is done is kept in {result.folder}; the same command continues "
                f"from there",
                file=sys.stderr,
            )
        raise
    return known


def refuse_zarr(args: argparse.Namespace) -> None:
    """Raise if a Zarr array is to be read or written without --tile."""
    from fastgsm.files.stored import is_zarr

    for name in [*args.inputs, args.output]:
        if is_zarr(Path(name)):
            raise ValueError(
                f"{name}: Zarr arrays are read and written only by tiles; add --tile 2048"
            )


def _one_image(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return the input and the output; raise if an option does not work with tiles."""
    for option in ("--mask", "--max-pixels"):
        if getattr(args, option[2:].replace("-", "_")) is not None:
            raise ValueError(
                f"{option} does not apply to --tile, where no image is in memory as a whole; "
                f"leave out {option}, or --tile if the image fits into memory"
            )
    if len(args.inputs) != 1:
        raise ValueError(
            f"--tile denoises one image, not {len(args.inputs)}; run it for each of them"
        )
    return Path(args.inputs[0]), Path(args.output)
