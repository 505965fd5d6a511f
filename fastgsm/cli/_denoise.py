"""``fastgsm denoise``: image files, folders of them, and stacks of pages."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgsm.cli import _options, _pages, _tiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


EXAMPLES = """\
  fastgsm denoise noisy.png clean.png
  fastgsm denoise noisy.png clean.png --sigma 25 --quality best
  fastgsm denoise photos/ cleaned/
  fastgsm denoise scan.tif clean.tif --prior mine.npz --mask trusted.png
  fastgsm denoise stack.tif clean.tif --noise 2.2,100,1.6
  fastgsm denoise big.tif clean.zarr --tile 2048

With several images or a folder, OUT is a folder, which is created if missing, and each result has
the name of its image. If an image fails, it is named on standard error, the others are still done,
and the exit status is 1. The same holds for a stack: a page that fails is written unchanged.

Pixels that a GeoTIFF marks as missing (GDAL's no-data value or mask page) come back as they were.
Channels of a TIFF besides grey or red, green and blue are denoised one by one.

With --tile, IN is one image (a TIFF of one page, an NPY file or the folder of a Zarr array) and OUT
is another (.tif, .npy or .zarr). Neither is in memory as a whole, but the result is the same. It
stays in the folder OUT.partial until it is complete. After an interrupt, the same command continues
from there."""


def add_to(commands: Any) -> None:
    """Add the sub-command."""
    command = _options.add_command(commands, "denoise", run, "denoise image files", EXAMPLES)
    command.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help="PNG, JPEG, TIFF (8 bit, 16 bit or float; all pages) or NPY files, or folders of them "
        "(without their sub-folders); never overwritten",
    )
    command.add_argument(
        "output",
        metavar="OUT",
        help="file to write, in the format of its extension, or folder; existing files are "
        "replaced",
    )
    _add_noise_and_mask(command)
    command.add_argument(
        "--data-range",
        type=float,
        metavar="R",
        help="contrast of the scene (default: 1 for floats and the type's maximum for integers; "
        "the image's own where it is far from that)",
    )
    _options.add_shared(command, "--max-pixels")
    command.add_argument(
        "--prior",
        metavar="NAME|FILE",
        help="a bundled prior (see 'fastgsm priors'), or a model written by 'fastgsm train' "
        "(default: depends on --quality)",
    )
    command.add_argument(
        "--quality",
        choices=_options.QUALITIES,
        help=f"speed or quality: {', '.join(_options.QUALITIES.values())}",
    )
    command.add_argument(
        "--tile",
        type=_options.positive,
        metavar="SIDE",
        help="side of the tiles, in pixels, for an image larger than memory, for example 2048; "
        "see below",
    )
    command.add_argument(
        "--workers",
        type=_options.positive,
        metavar="N",
        help="largest number of threads to use (default: one per core)",
    )
    _options.add_shared(command, "--json", "--quiet")


def _add_noise_and_mask(command: argparse.ArgumentParser) -> None:
    noise = command.add_mutually_exclusive_group()
    noise.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="standard deviation of the noise, in the units of the pixels: grey levels for 8 and "
        "16 bit, usually 0 to 1 for floats (default: estimated for each page)",
    )
    noise.add_argument(
        "--noise",
        type=_options.noise,
        metavar="auto|white|camera|poisson|GAIN,OFFSET,READ_NOISE|FILE",
        help="kind of noise: 'auto', the default, decides by the image; 'white' is independent "
        "from pixel to pixel; 'camera' is for a finished photograph, whose noise is correlated; "
        "'poisson' if pixels are photon counts; or a sensor's grey levels per photon, its value "
        "without light, and the standard deviation of its read noise, separated by commas; or a "
        "file that NoiseModel.save wrote",
    )
    command.add_argument(
        "--mask",
        metavar="FILE",
        help="grey image of the same size, or an NPY file of booleans: 0 where a pixel is missing, "
        "one other value elsewhere; missing pixels are filled in",
    )


def run(args: argparse.Namespace) -> int:
    """Denoise one image or several; return the exit status.

    It is 1 if some of several images failed, or some pages of an image.
    """
    if args.tile is not None:
        return _tiles.run(args)
    _tiles.refuse_zarr(args)
    if len(args.inputs) > 1 or Path(args.inputs[0]).is_dir() or Path(args.output).is_dir():
        return _run_several(args)
    source, output = Path(args.inputs[0]), Path(args.output)
    figures = _denoise_file(args, source, output, _library_options(args), not args.quiet)
    _options.report(args, figures | {"input": args.inputs[0], "output": args.output})
    return 1 if figures["failed_pages"] else 0


def _run_several(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    sources = _sources(args.inputs)
    folder = Path(args.output)
    outputs = _outputs(sources, folder)
    options = _library_options(args)
    folder.mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    for number, (source, output) in enumerate(zip(sources, outputs, strict=True), 1):
        try:
            figures = _denoise_file(args, source, output, options, progress=False)
        except _pages.ERRORS as error:
            line = _options.one_line(error)
            images.append({"input": str(source), "output": None, "error": line})
            named = line if str(source) in line else f"{source}: {line}"
            print(f"fastgsm: error: {named}", file=sys.stderr, flush=True)
            continue
        images.append(figures)
        _options.say(args, f"[{number}/{len(sources)}] {source}: {_options.sentence(figures)}")
    seconds = time.perf_counter() - start
    failed = sum("error" in image for image in images)
    if args.json:
        _options.print_json({"images": images, "failed": failed, "seconds": seconds})
    _options.say(
        args,
        f"denoised {len(images) - failed} of {len(images)} images in {seconds:.2f} s, written to "
        f"{folder}{f'; {failed} failed' if failed else ''}",
    )
    return 1 if failed or any(image.get("failed_pages") for image in images) else 0


def _sources(inputs: list[str]) -> list[Path]:
    """Return the files and the images in folders, each once, in the order given."""
    from fastgsm.io import image_files

    files = dict.fromkeys(file for name in inputs for file in image_files(Path(name)))
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"no such file or folder: {file}")
    return list(files)


def _outputs(sources: list[Path], folder: Path) -> list[Path]:
    """Return a file in ``folder`` for each source; raise if one would replace another."""
    from fastgsm.files.paths import check_parent
    from fastgsm.io import FORMATS

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; several images need a folder to be written to")
    if not folder.exists() and folder.suffix.lower() in FORMATS:
        raise ValueError(
            f"{folder} is the name of an image; several images need a folder to be written to"
        )
    check_parent(folder)
    places = {source.resolve(): source for source in sources}
    owners: dict[Path, Path] = {}
    for source in sources:
        output = folder / source.name
        if given := places.get(output.resolve()):
            raise ValueError(f"{output} is the input file {given}; give another output folder")
        if output in owners:
            raise ValueError(
                f"{owners[output]} and {source} would both be written to {output}; denoise them "
                f"to different folders"
            )
        owners[output] = source
    return list(owners)


def _library_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `fastgsm.denoise` that are the same for all images."""
    given = {
        "data_range": args.data_range,
        "prior": None if args.prior is None else _options.prior(args.prior),
        "quality": args.quality,
        "workers": args.workers,
        "mask": None if args.mask is None else _read_mask(args),
    }
    return {name: value for name, value in given.items() if value is not None}


def _denoise_file(
    args: argparse.Namespace, source: Path, output: Path, options: dict[str, Any], progress: bool
) -> dict[str, Any]:
    """Denoise one file; return what to report about it."""
    from fastgsm import io

    if args.mask is not None and output.exists() and output.samefile(args.mask):
        raise ValueError(f"{output} is the mask {args.mask}; give another output file")
    pages = io.read_pages(source, max_pixels=args.max_pixels or io.MAX_PIXELS)
    io.check_output(output, pages, source=source)
    start = time.perf_counter()
    cleaned, noises = _pages.restore(args, source, pages, options, progress)
    seconds = time.perf_counter() - start
    io.write_pages(output, cleaned, source=source)
    return _options.figures(args, source, output, pages, noises, seconds)


def _read_mask(args: argparse.Namespace) -> NDArray[np.bool_]:
    """Read a mask, True where the file is not 0."""
    from fastgsm import io
    from fastgsm.files.formats import read_mask

    return read_mask(Path(args.mask), args.max_pixels or io.MAX_PIXELS)
