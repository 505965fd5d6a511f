"""How well images are restored, and how fast: the protocol of the literature, on real images.

    python -m benchmarks.quality --data DIR --preset fast bm3d --every 6 --json quality.json

DIR (default: the environment variable FASTGSM_DATA) holds the folders `bsd68` (68 grey images)
and `cbsd68` (the same in colour) of the Berkeley segmentation data set, or others named by --set.
Image number i of a folder, by sorted file names, in [0, 1], gets the noise
sigma/255 * default_rng(i).standard_normal(shape), neither clipped nor rounded, and is denoised as
float32 with sigma given. PSNR (peak 1) and SSIM (Gaussian window) are averaged over the images. The
time is the sum over the images, without compiling, divided by their megapixels. `bm3d`, the package
of that name, is a preset here too; for colour images, its luminance-first variant is used.

With --write, the result replaces one of the two tables of docs/quality.md. Each table has its
options; any others are refused.

With --crops, the middles of the first images are written side by side: clean, noisy, and denoised
by each preset, at the first noise level, enlarged twice.

With --real, `benchmarks.real` runs instead: real noise, without telling the program anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastgsm
from fastgsm.io import image_files, read_image, write_image
from fastgsm.metrics import psnr
from fastgsm.restore.presets import PRESETS
from fastgsm.study import measure as _study

from . import markdown

SETS = ("bsd68", "cbsd68")
QUALITIES = tuple(PRESETS)
RIVAL = "bm3d"
REAL = "--real"
# The tables of docs/quality.md: their presets, and N if they use every N-th image.
TABLES = {"quality": (QUALITIES, 1), "quality-bm3d": ((*QUALITIES, RIVAL), 6)}
CROPS, CROP_SIDE = 4, 128
SIGMAS = (15.0, 25.0, 50.0)

Image = NDArray[Any]
# Takes a noisy image, sigma and channel_axis.
Denoiser = Callable[[Image, float, int | None], Image]


@dataclass
class Score:
    """Averages over images; PSNR in decibels."""

    images: int
    noisy_psnr: float
    psnr: float
    ssim: float
    seconds_per_megapixel: float


def read(folder: Path, every: int) -> dict[int, Image]:
    """Read a folder's images whose number is a multiple of ``every``, as float64 in [0, 1]."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder; give the folder above it with --data")
    files = list(enumerate(image_files(folder)))[::every]
    arrays = {number: read_image(file).array for number, file in files}
    return {number: array / np.iinfo(array.dtype).max for number, array in arrays.items()}


def add_noise(clean: Image, sigma: float, number: int) -> Image:
    """Add noise of `sigma` grey levels of 255 to image number `number`."""
    noise = np.random.default_rng(number).standard_normal(clean.shape)
    return (clean + sigma / 255 * noise).astype(np.float32)


def measure(denoise: Denoiser, images: dict[int, Image], sigma: float) -> Score:
    """Denoise all images at one noise level."""
    seconds, figures = 0.0, []
    for number, clean in images.items():
        noisy = add_noise(clean, sigma, number)
        channel_axis = -1 if clean.ndim == 3 else None
        if not figures:
            denoise(noisy, sigma / 255, channel_axis)  # compiles
        start = perf_counter()
        denoised = denoise(noisy, sigma / 255, channel_axis)
        seconds += perf_counter() - start
        figures.append((psnr(clean, noisy), psnr(clean, denoised), ssim(clean, denoised)))
    megapixels = sum(image.shape[0] * image.shape[1] for image in images.values()) / 1e6
    return Score(len(images), *np.mean(figures, axis=0).tolist(), seconds / megapixels)


def ssim(clean: Image, denoised: Image) -> float:
    """Return the structural similarity as Wang et al. (2004) define it."""
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            clean,
            denoised.astype(clean.dtype),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if clean.ndim == 3 else None,
        )
    )


def preset(quality: str, prior: Any = None) -> Denoiser:
    """Return `fastgsm.denoise` at a preset, with its own prior or the one given, or bm3d."""
    if quality == RIVAL:
        return rival

    def denoise(noisy: Image, sigma: float, channel_axis: int | None) -> Image:
        return fastgsm.denoise(
            noisy, sigma, prior=prior, quality=quality, channel_axis=channel_axis, data_range=1.0
        )

    return denoise


def rival(noisy: Image, sigma: float, channel_axis: int | None) -> Image:
    """Denoise with bm3d."""
    import bm3d

    return (bm3d.bm3d if channel_axis is None else bm3d.bm3d_rgb)(noisy, sigma)


def crops(denoisers: Sequence[Denoiser], images: dict[int, Image], sigma: float) -> Image:
    """Put clean, noisy and denoised middles side by side, one image per row; uint8, enlarged."""
    rows = []
    for number, clean in list(images.items())[:CROPS]:
        noisy = add_noise(clean, sigma, number)
        channel_axis = -1 if clean.ndim == 3 else None
        rows.append([clean, noisy, *(f(noisy, sigma / 255, channel_axis) for f in denoisers)])
    return enlarged_middles(rows)


def middle(image: Image) -> Image:
    """Return the middle of an image: CROP_SIDE pixels a side, or all if it has fewer."""
    top, left = (max(n - CROP_SIDE, 0) // 2 for n in image.shape[:2])
    return image[top : top + CROP_SIDE, left : left + CROP_SIDE]


def enlarged_middles(rows: Sequence[Sequence[Image]]) -> Image:
    """Put the middles of images in [0, 1] side by side, row below row; uint8, enlarged twice."""
    shown = np.vstack([np.hstack([middle(image) for image in row]) for row in rows])
    levels = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    return levels.repeat(2, axis=0).repeat(2, axis=1)


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| images | sigma | preset | noisy, dB | PSNR, dB | SSIM | s per megapixel |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for row in rows:
        yield (
            "| {set} ({images}) | {sigma:g} | {preset} | {noisy_psnr:.2f} | {psnr:.2f} "
            "| {ssim:.4f} | {seconds_per_megapixel:.2f} |"
        ).format(**row)


def arguments(name: str) -> str:
    """Return the options that measure a table of docs/quality.md."""
    presets, every = TABLES[name]
    return f"--preset {' '.join(presets)}" + (f" --every {every}" if every > 1 else "")


def part_to_write(args: argparse.Namespace) -> str:
    """Return which table of docs/quality.md these options measure; raise SystemExit if none."""
    whole = tuple(args.set) == SETS and tuple(args.sigma) == SIGMAS and args.prior is None
    for name, options in TABLES.items():
        if whole and (tuple(args.preset), args.every) == options:
            return name
    raise SystemExit(
        f"--write replaces a whole table of docs/quality.md, and these options measure something "
        f"else: --set {' '.join(args.set)} --preset {' '.join(args.preset)} --sigma "
        f"{' '.join(f'{sigma:g}' for sigma in args.sigma)} --every {args.every} --prior "
        f"{args.prior}. Leave out --write to print the table, or give --write with "
        f"{' or '.join(map(arguments, TABLES))}, without --set, --sigma and --prior."
    )


def main(argv: Iterable[str] | None = None) -> None:
    """Measure, print a Markdown table and write JSON."""
    given = sys.argv[1:] if argv is None else list(argv)
    if REAL in given:
        from . import real  # builds upon this module

        return real.main([option for option in given if option != REAL])
    args = _parser().parse_args(given)
    if args.data is None:
        raise SystemExit("give --data DIR, or set FASTGSM_DATA, to a folder with bsd68 and cbsd68")
    part = part_to_write(args) if args.write else None
    prior = args.prior
    if prior is not None and prior not in fastgsm.list_priors():
        prior = fastgsm.load(prior)
    rows = []
    for name in args.set:
        images = read(args.data / name, args.every)
        for sigma in args.sigma:
            for quality in args.preset:
                score = measure(preset(quality, prior), images, sigma)
                rows.append({"set": name, "sigma": sigma, "preset": quality} | asdict(score))
        if args.crops is not None:
            denoisers = [preset(quality, prior) for quality in args.preset]
            file = args.crops.with_stem(f"{args.crops.stem}-{name}")
            write_image(file, crops(denoisers, images, args.sigma[0]))
    text = "\n".join(table(rows))
    print(text)
    if part is not None:
        command = f"python -m benchmarks.quality --data DIR {arguments(part)} --write"
        rivals = [RIVAL] if RIVAL in args.preset else []
        origin = markdown.origin(command, "fastgsm", "numpy", "numba", *rivals)
        markdown.write_part(markdown.QUALITY, part, f"{text}\n\n{origin}")
    if args.json is not None:
        settings = {"every": args.every, "prior": args.prior}
        about = {"versions": _study.versions(), "machine": _study.machine()}
        args.json.write_text(json.dumps(about | settings | {"rows": rows}, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description="PSNR, SSIM and time of denoising by the protocol of the literature.",
    )
    data = os.environ.get("FASTGSM_DATA")
    add = parser.add_argument
    add("--data", type=Path, default=data and Path(data), help="folder of the sets of images")
    add("--set", nargs="+", default=SETS, help="names of the sets (default: bsd68 cbsd68)")
    add("--preset", nargs="+", choices=(*QUALITIES, RIVAL), default=["fast"], help="default: fast")
    add("--sigma", nargs="+", type=float, default=SIGMAS, help="grey levels; default: 15 25 50")
    add("--every", type=int, default=1, help="take every N-th image (default: all)")
    add("--prior", help="a bundled prior or a model file, in place of the preset's")
    add("--crops", type=Path, metavar="PNG", help="write crops here; the set's name is added")
    add("--write", action="store_true", help="write a table of docs/quality.md")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    add(REAL, action="store_true", help="real noise; for its options, give --real --help")
    return parser


if __name__ == "__main__":
    main()
