"""``fastgsm denoise --tile``: one image that need not fit into memory."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from fastgsm.cli import _options


def run(args: argparse.Namespace) -> int:
    """Denoise one image by tiles; return the exit status."""
    from fastgsm import tiles
    from fastgsm._checks import check_nonnegative, check_random_state
    from fastgsm._parts import pixel_shape
    from fastgsm.files import stored as _stored
    from fastgsm.files.tile_log import Checkpoint
    from fastgsm.noise.scan import estimate_sigma_by_tiles
    from fastgsm.noise.white import PATCH
    from fastgsm.restore.options import Options
    from fastgsm.restore.presets import DEFAULT_QUALITY

    source, output = _one_image(args)
    start = time.perf_counter()
    with _stored.opened(source) as image:
        _stored.check_output(output, source)
        array, axis, progress = image.array, image.channel_axis, not args.quiet
        options = Options(
            1 if axis is None else array.shape[axis],
            check_random_state(0),
            args.quality or DEFAULT_QUALITY,
            None if args.prior is None else _options.prior(args.prior),
            channel_axis=axis,
            data_range=args.data_range,
            workers=args.workers,
        )
        if args.sigma is not None:
            check_nonnegative(args.sigma, "sigma")
        shape, assumed = pixel_shape(array, axis, PATCH), args.data_range is None
        parts, options = tiles.plan(shape, array.dtype, args.tile, options)
        sides = [side.stop for side in parts[0].inner]
        result = _stored.Result(output, image, (*sides, *array.shape[2:]))
        log = Checkpoint(None)
        try:
            with result.written() as out:
                log = Checkpoint(result.checkpoint)
                sigma = args.sigma
                if sigma is None:
                    sigma = estimate_sigma_by_tiles(array, shape, args.tile, axis, progress)
                tiles.denoise_into(
                    out, array, sigma, parts, options, log, assumed=assumed, progress=progress
                )
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
        figures = _options.figures(
            args.inputs[0],
            args.output,
            [image],
            {
                "sigmas": [sigma],
                "origin": "estimated" if args.sigma is None else "given",
                "seconds": time.perf_counter() - start,
            },
        )
    if args.json:
        _options.print_json({"images": [figures], "failed": 0, "seconds": figures["seconds"]})
    else:
        _options.say(args, f"denoised {_options.sentence(figures)}")
    return 0


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
    for option, given in (
        ("--mask", args.mask),
        ("--noise", args.noise),
        ("--max-pixels", args.max_pixels),
    ):
        if given is not None:
            raise ValueError(
                f"{option} does not apply to --tile, where no image is in memory as a whole; "
                f"leave out {option}, or --tile if the image fits into memory"
            )
    if len(args.inputs) != 1:
        raise ValueError(
            f"--tile denoises one image, not {len(args.inputs)}; run it for each of them"
        )
    return Path(args.inputs[0]), Path(args.output)
