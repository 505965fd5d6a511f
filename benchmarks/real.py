"""How well real noise is removed when nothing is told about it.

    python -m benchmarks.quality --data DIR --real --only cc15 --preset balanced --json real.json

DIR (default: the environment variable FASTGSM_DATA) holds these folders. Pairs of images have equal
names in the subfolders `noisy` and `clean`.

- `cc15`, `polyu`: crops of photographs with the noise of a camera, in colour, 8 bits.
- `w2s`: fluorescence micrographs, grey, 8 bits, each stretched on its own. PSNR is measured after
  the least-squares fit a x + b onto the clean frame.
- `kodak24`: clean photographs, which should stay as they are (--only clean).
- `bsd68`: gets noise here: white, or blurred by a Gaussian; the noise of image number i is drawn by
  default_rng(i), and neither clipped nor rounded (--only white, --only blurred).

PSNR has peak 1. Results for images of 8 bits are rounded to 8 bits.

With --rivals, bm3d and OpenCV restore `cc15` too, at the fixed level that suits them best, and bm3d
the blurred noise, of which it is told the spectrum. With --times N, seconds per megapixel and the
ratio to the same preset that is told its noise are measured, each the shortest of N in turn.

With --write, each measured table replaces its part of docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastgsm
from fastgsm.io import image_files, write_image
from fastgsm.metrics import psnr
from fastgsm.study import measure as _study

from . import common, markdown, rivals
from .quality import (
    CROPS,
    QUALITIES,
    SIGMAS,
    Image,
    add_noise,
    enlarged_middles,
    middle,
    read,
)

WHITE = (5.0, *SIGMAS)
# Gaussians that blur noise, in pixels, and its standard deviation afterwards, in grey levels.
BLURS, BLURRED_SIGMA = (0.7, 1.0, 1.5), 25.0
# Levels among which the best is chosen, ascending.
ASSUMED_SIGMAS = (25.0, 30.0, 40.0, 50.0, 65.0, 80.0)
BM3D_SIGMAS, OPENCV_LEVELS = (8.0, 10.0, 13.0, 16.0, 20.0), (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
BLIND, CAMERA = "auto", "camera"
CALLS = {BLIND: "no argument", CAMERA: 'noise="camera"'}
# Mean PSNR over cc15, as Xu, Zhang and Zhang (ECCV 2018) and Hou et al. (TIP 2020, NLH) give it.
PUBLISHED = {
    "CBM3D": 35.19,
    "WNNM": 35.77,
    "NC": 36.43,
    "CC": 36.88,
    "MCWNNM": 37.72,
    "TWSC": 37.81,
    "NLH": 38.49,
}

Restore = Callable[[Image], Image]
# The figure of a result beside the clean image, both in [0, 1].
Measure = Callable[[Image, Image], float]
# Noisy, as it is given to the methods, and clean in [0, 1].
Pair = tuple[Image, Image]


@dataclass(frozen=True)
class Settings:
    """What to measure; `every` is None for each set's own."""

    data: Path
    presets: Sequence[str] = QUALITIES
    every: int | None = None
    rivals: bool = False
    rounds: int = 0
    crops: Path | None = None

    def step(self, name: str) -> int:
        """Return N if every N-th image of a set is used."""
        return (6 if name in ("white", "blurred") else 1) if self.every is None else self.every


@dataclass
class Row:
    """What one method made of the images of a set; PSNR in decibels, image by image."""

    set: str
    method: str
    noisy: list[float]
    restored: list[float]
    noise: str = ""
    seconds_per_megapixel: float | None = None
    ratio: float | None = None

    @property
    def psnr(self) -> float:
        return float(np.mean(self.restored))

    @property
    def gains(self) -> Image:
        return np.subtract(self.restored, self.noisy)


def in_unit(image: Image) -> Image:
    """Return an image in [0, 1]: integers are divided by their type's largest value."""
    if image.dtype.kind == "f":
        return image
    return image / np.iinfo(image.dtype).max


def in_bytes(images: dict[int, Image]) -> dict[int, Image]:
    """Return images of 8 bits as they are stored."""
    return {number: np.rint(255 * image).astype(np.uint8) for number, image in images.items()}


def fitted_psnr(clean: Image, image: Image) -> float:
    """Return the PSNR after the least-squares fit a x + b onto the clean image."""
    line = np.polyfit(image.ravel(), clean.ravel(), 1)
    return psnr(clean, np.polyval(line, image))


def measure(pairs: Sequence[Pair], restore: Restore, figure: Measure = psnr) -> list[float]:
    """Restore every noisy image, and return the figures of the results."""
    return [figure(clean, in_unit(restore(noisy))) for noisy, clean in pairs]


def measure_side_by_side(pairs: Sequence[Pair], restore: Restore) -> list[float]:
    """Do the same with images in processes, for bm3d, which is slow and runs on one core."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn) as pool:
        results = list(pool.map(restore, [noisy for noisy, _ in pairs]))
    return [psnr(clean, in_unit(x)) for (_, clean), x in zip(pairs, results, strict=True)]


def denoise(noisy: Image, quality: str, noise: Any = BLIND) -> Image:
    """Denoise with a preset and what it is told of the noise."""
    return fastgsm.denoise(noisy, noise=noise, quality=quality, channel_axis=channel_axis(noisy))


def channel_axis(image: Image) -> int | None:
    return -1 if image.ndim == 3 else None


def times(pairs: Sequence[Pair], quality: str, kind: str, rounds: int) -> tuple[float, float]:
    """Return seconds per megapixel, and the ratio to the preset that is told its own estimate."""
    seconds = np.zeros(2)
    for noisy, _ in pairs:
        known = fastgsm.estimate_noise(noisy, kind=kind, channel_axis=channel_axis(noisy))
        calls = [partial(denoise, noisy, quality, noise) for noise in (kind, known)]
        seconds += common.alternate(*calls, rounds=rounds)
    megapixels = sum(clean.shape[0] * clean.shape[1] for _, clean in pairs) / 1e6
    return float(seconds[0] / megapixels), float(seconds[0] / seconds[1])


class Told(NamedTuple):
    """A method with the level that it is told; unlike a closure, it can go to a process."""

    restore: Callable[[Image, float], Image]
    level: float

    def __call__(self, noisy: Image) -> Image:
        return self.restore(noisy, self.level)


def best_level(
    pairs: Sequence[Pair],
    restore: Callable[[Image, float], Image],
    levels: Sequence[float],
    figures: Callable[[Sequence[Pair], Restore], list[float]] = measure,
) -> float:
    """Return the level of the highest mean PSNR, trying larger ones until it falls."""
    best, highest = levels[0], -np.inf
    for level in levels:
        mean = float(np.mean(figures(pairs, Told(restore, level))))
        if mean < highest:
            break
        best, highest = level, mean
    return best


# The sets.


def photographs(settings: Settings, name: str) -> list[Pair]:
    """Read pairs of 8 bits."""
    folders = [settings.data / name / part for part in ("noisy", "clean")]
    noisy, clean = (read(folder, settings.step(name)) for folder in folders)
    names, clean_names = ([file.name for file in image_files(folder)] for folder in folders)
    if names != clean_names:
        raise SystemExit(f"{folders[0]} and {folders[1]} do not hold files of the same names")
    return list(zip(in_bytes(noisy).values(), clean.values(), strict=True))


def preset_rows(
    settings: Settings, name: str, calls: Iterable[str], figure: Measure = psnr
) -> Iterator[Row]:
    """Measure the presets on real noise, each called in one or two ways."""
    pairs = photographs(settings, name)
    noisy = measure(pairs, lambda image: image, figure)
    for call, quality in product(calls, settings.presets):
        restore = partial(denoise, quality=quality, noise=call)
        row = Row(name, f"{quality}, {CALLS[call]}", noisy, measure(pairs, restore, figure))
        if settings.rounds:
            row.seconds_per_megapixel, row.ratio = times(pairs, quality, call, settings.rounds)
        if settings.crops is not None:
            write_crops(settings.crops, f"{name}-{quality}-{call}", pairs, restore)
        yield row


def write_crops(folder: Path, name: str, pairs: Sequence[Pair], restore: Restore) -> None:
    """Write the middles of the first images: noisy, result and clean, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (noisy, clean) in enumerate(pairs[:CROPS]):
        shown = [in_unit(noisy), in_unit(restore(noisy)), clean]
        write_image(folder / f"{name}-{number}.png", enlarged_middles([shown]))


def cc15(settings: Settings) -> Iterator[Row]:
    yield from preset_rows(settings, "cc15", (CAMERA, BLIND))
    if not settings.rivals:
        return
    pairs = photographs(settings, "cc15")
    noisy = measure(pairs, lambda image: image)
    h = best_level(pairs, rivals.opencv_nlm_colour, OPENCV_LEVELS)
    restored = measure(pairs, Told(rivals.opencv_nlm_colour, h))
    yield Row("cc15", f"OpenCV non-local means, h={h:g}", noisy, restored)
    # bm3d takes minutes for one level: middles have to do for the choice.
    middles = [(middle(noisy), middle(clean)) for noisy, clean in pairs]
    sigma = best_level(middles, rivals.bm3d_colour, BM3D_SIGMAS, measure_side_by_side)
    restored = measure_side_by_side(pairs, Told(rivals.bm3d_colour, sigma))
    yield Row("cc15", f"bm3d, sigma={sigma:g}", noisy, restored)


def polyu(settings: Settings) -> Iterator[Row]:
    yield from preset_rows(settings, "polyu", (CAMERA, BLIND))


def w2s(settings: Settings) -> Iterator[Row]:
    yield from preset_rows(settings, "w2s", (BLIND,), fitted_psnr)


def clean(settings: Settings) -> Iterator[Row]:
    """Compare results with their own inputs, which are clean."""
    images = read(settings.data / "kodak24", settings.step("clean"))
    pairs = list(zip(in_bytes(images).values(), images.values(), strict=True))
    for quality in settings.presets:
        restored = measure(pairs, partial(denoise, quality=quality))
        yield Row("clean", f"{quality}, {CALLS[BLIND]}", [np.inf] * len(pairs), restored)


def white(settings: Settings) -> Iterator[Row]:
    images = read(settings.data / "bsd68", settings.step("white"))
    for sigma in WHITE:
        pairs = [(add_noise(image, sigma, number), image) for number, image in images.items()]
        row = partial(Row, "white", noisy=measure(pairs, lambda image: image), noise=f"{sigma:g}")
        for quality in settings.presets:
            told = fastgsm.NoiseModel.white(sigma / 255)
            for method, noise in ((f"{quality}, sigma", told), (f"{quality}, no argument", BLIND)):
                restored = measure(pairs, partial(denoise, quality=quality, noise=noise))
                yield row(method, restored=restored)


def blurred(settings: Settings) -> Iterator[Row]:
    images = read(settings.data / "bsd68", settings.step("blurred"))
    for blur in BLURS:
        pairs = [(add_blurred(image, blur, number), image) for number, image in images.items()]
        row = partial(
            Row, "blurred", noisy=measure(pairs, lambda image: image), noise=f"{blur:g} px"
        )
        for quality in settings.presets:
            restored = measure(pairs, partial(told_spectrum, blur=blur, quality=quality))
            yield row(f"{quality}, spectrum", restored=restored)
            restored = measure(pairs, partial(denoise, quality=quality))
            yield row(f"{quality}, {CALLS[BLIND]}", restored=restored)
            yield row(f"{quality}, best sigma", restored=best_white(pairs, quality))
        if settings.rivals:
            yield row("bm3d, spectrum", restored=measure_side_by_side(pairs, Told(rival, blur)))


def told_spectrum(noisy: Image, blur: float, quality: str) -> Image:
    """Denoise with a preset, told the spectrum of blurred noise."""
    known = fastgsm.NoiseModel.from_psd(spectrum(noisy.shape, blur))
    return denoise(noisy, quality, known)


def rival(noisy: Image, blur: float) -> Image:
    """Denoise with bm3d, told the spectrum of blurred noise."""
    return rivals.bm3d_psd(noisy, spectrum(noisy.shape, blur))


def best_white(pairs: Sequence[Pair], quality: str) -> list[float]:
    """Measure a preset that takes the noise for white, at the best level for all the images."""

    def restore(noisy: Image, sigma: float) -> Image:
        return fastgsm.denoise(noisy, sigma / 255, quality=quality)

    return measure(pairs, partial(restore, sigma=best_level(pairs, restore, ASSUMED_SIGMAS)))


def transfer(shape: tuple[int, ...], blur: float) -> Image:
    """Return the Fourier transform of a Gaussian that keeps the variance of white noise."""
    rows, columns = (np.fft.fftfreq(n) for n in shape)
    gains = np.exp(-2 * (np.pi * blur) ** 2 * (rows[:, None] ** 2 + columns**2))
    return gains / np.sqrt(np.mean(gains**2))


def spectrum(shape: tuple[int, ...], blur: float) -> Image:
    """Return the expected ``abs(fft2(noise)) ** 2`` of blurred noise."""
    return np.prod(shape) * (BLURRED_SIGMA / 255 * transfer(shape, blur)) ** 2


def add_blurred(clean: Image, blur: float, number: int) -> Image:
    """Add noise that was blurred periodically to image number `number`."""
    drawn = np.fft.fft2(np.random.default_rng(number).standard_normal(clean.shape))
    noise = np.fft.ifft2(drawn * transfer(clean.shape, blur)).real
    return (clean + BLURRED_SIGMA / 255 * noise).astype(np.float32)


# The tables.


def gain_table(rows: Sequence[Row]) -> str:
    """Return PSNR and gains over the noisy images, with the figures of others."""
    first = rows[0]
    header = ["method", "PSNR, dB", "gain, dB", "gain of the worst image, dB"]
    lines = [[f"noisy ({len(first.noisy)} images)", f"{np.mean(first.noisy):.2f}", "", ""]]
    lines += [
        [row.method, f"{row.psnr:.2f}", f"{row.gains.mean():.2f}", f"{row.gains.min():.2f}"]
        for row in rows
    ]
    if any(row.ratio is not None for row in rows):
        header += ["s per megapixel", "times as long as told its noise"]
        lines[0] += ["", ""]
        for line, row in zip(lines[1:], rows, strict=True):
            timed = row.ratio is not None
            line += [f"{row.seconds_per_megapixel:.2f}", f"{row.ratio:.2f}"] if timed else ["", ""]
    if first.set == "cc15":
        empty = [""] * (len(header) - 2)
        lines += [[f"{name}, published", f"{mean:.2f}", *empty] for name, mean in PUBLISHED.items()]
    return markdown.table(header, lines)


def clean_table(rows: Sequence[Row]) -> str:
    """Return how near clean images stay to themselves."""
    header = ["method", "images", "mean PSNR, dB", "worst image, dB"]
    lines = [
        [row.method, len(row.restored), f"{row.psnr:.2f}", f"{min(row.restored):.2f}"]
        for row in rows
    ]
    return markdown.table(header, lines)


def noise_table(rows: Sequence[Row]) -> str:
    """Return mean PSNR, one column for each noise."""
    columns: dict[str, dict[str, Row]] = {}
    for row in rows:
        columns.setdefault(row.noise, {})[row.method] = row
    by_method = list(columns.values())
    lines = [
        [f"noisy ({len(rows[0].noisy)} images)"]
        + [f"{np.mean(next(iter(column.values())).noisy):.2f}" for column in by_method]
    ]
    lines += [
        [method, *(f"{column[method].psnr:.2f}" for column in by_method)] for method in by_method[0]
    ]
    return markdown.table(["PSNR, dB", *columns], lines)


def white_table(rows: Sequence[Row]) -> str:
    """Return mean PSNR, and what not knowing sigma costs."""
    lines: dict[str, list[str]] = {}
    told, blind = rows[::2], rows[1::2]
    for known, unknown in zip(told, blind, strict=True):
        losses = np.subtract(unknown.restored, known.restored)
        quality = known.method.split(",")[0]
        lines.setdefault(f"{quality}, difference", []).append(f"{losses.mean():.3f}")
        lines.setdefault(f"{quality}, worst image", []).append(f"{losses.min():.3f}")
    table = [noise_table(rows)]
    table += [f"| {' | '.join([name, *cells])} |" for name, cells in lines.items()]
    return "\n".join(table)


SETS: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "cc15": cc15,
    "polyu": polyu,
    "w2s": w2s,
    "clean": clean,
    "white": white,
    "blurred": blurred,
}
TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "cc15": gain_table,
    "polyu": gain_table,
    "w2s": gain_table,
    "clean": clean_table,
    "white": white_table,
    "blurred": noise_table,
}
WITH_RIVALS = ("cc15", "blurred")


def check_whole(settings: Settings, names: Sequence[str]) -> None:
    """Raise an error if these options do not measure whole tables of docs/quality.md."""
    for name in names:
        markdown.read_part(markdown.QUALITY, f"real-{name}")
    whole = tuple(settings.presets) == QUALITIES and settings.every is None
    if not whole or (not settings.rivals and set(names) & set(WITH_RIVALS)):
        raise SystemExit(
            "--write replaces whole tables of docs/quality.md. Leave out --preset and --every, and "
            f"give --rivals for {' and '.join(WITH_RIVALS)}; or leave out --write to print the "
            "tables."
        )


def write_table(name: str, text: str, settings: Settings) -> None:
    """Replace a table of docs/quality.md."""
    command = f"python -m benchmarks.quality --data DIR --real --only {name}"
    packages = ["fastgsm", "numpy", "numba"]
    if name in WITH_RIVALS:
        command += " --rivals"
        packages += ["bm3d", "opencv-python-headless"] if name == "cc15" else ["bm3d"]
    if settings.rounds:
        command += f" --times {settings.rounds}"
    origin = markdown.origin(f"{command} --write", *packages)
    markdown.write_part(markdown.QUALITY, f"real-{name}", f"{text}\n\n{origin}")


def main(argv: Iterable[str] | None = None) -> None:
    """Measure, print Markdown tables and write JSON."""
    args = _parser().parse_args(None if argv is None else list(argv))
    if args.data is None:
        raise SystemExit("give --data DIR, or set FASTGSM_DATA, to a folder with the sets")
    settings = Settings(args.data, args.preset, args.every, args.rivals, args.times, args.crops)
    if args.write:
        check_whole(settings, args.only)
    results: list[Row] = []
    for name in args.only:
        rows = list(SETS[name](settings))
        text = TABLES[name](rows)
        print(f"{name}\n\n{text}\n", flush=True)
        if args.write:
            write_table(name, text, settings)
        results += rows
    if args.json is not None:
        about = {"versions": _study.versions(), "machine": _study.machine()}
        figures = {"rows": [asdict(row) for row in results], "published": PUBLISHED}
        args.json.write_text(json.dumps(about | figures, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality --real",
        description="PSNR of denoising real noise, about which nothing is told.",
    )
    data = os.environ.get("FASTGSM_DATA")
    add = parser.add_argument
    add("--data", type=Path, default=data and Path(data), help="folder of the sets of images")
    add("--only", nargs="+", choices=SETS, default=list(SETS), help="sets (default: all)")
    add("--preset", nargs="+", choices=QUALITIES, default=QUALITIES, help="default: all")
    add("--every", type=int, help="take every N-th image (default: all, for bsd68 every sixth)")
    add("--rivals", action="store_true", help="also bm3d and OpenCV, which takes an hour")
    add("--times", type=int, default=0, metavar="N", help="measure times, N in turn")
    add("--crops", type=Path, metavar="DIR", help="write crops of real noise into this folder")
    add("--write", action="store_true", help="write tables of docs/quality.md")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return parser


if __name__ == "__main__":
    main()
