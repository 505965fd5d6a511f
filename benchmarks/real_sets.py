"""The sets of images with real noise, or with noise of which little is told, and their rows."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import fastgsm
from fastgsm.io import image_files, write_image
from fastgsm.metrics import psnr

from . import common, rivals
from .quality import CROPS, QUALITIES, SIGMAS, Image, add_noise, enlarged_middles, middle, read
from .real_tables import Row

WHITE = (5.0, *SIGMAS)
# Gaussians that blur noise, in pixels, and its standard deviation afterwards, in grey levels.
BLURS, BLURRED_SIGMA = (0.7, 1.0, 1.5), 25.0
# Levels among which the best is chosen, ascending.
ASSUMED_SIGMAS = (25.0, 30.0, 40.0, 50.0, 65.0, 80.0)
BM3D_SIGMAS, OPENCV_LEVELS = (8.0, 10.0, 13.0, 16.0, 20.0), (3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
# PSNR of an image that was left as it is.
UNCHANGED = 100.0
BLIND, CAMERA = "auto", "camera"
CALLS = {BLIND: "no argument", CAMERA: 'noise="camera"'}

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
    rivals: Sequence[str] = ()
    rounds: int = 0
    crops: Path | None = None

    def step(self, name: str) -> int:
        """Return N if every N-th image of a set is used."""
        return (6 if name in ("white", "blurred") else 1) if self.every is None else self.every


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


def likeness(clean: Image, image: Image) -> float:
    """Return the PSNR, or UNCHANGED if the images are equal: means of it are finite."""
    return min(psnr(clean, image), UNCHANGED)


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


@dataclass(frozen=True)
class Told:
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
    if "opencv" in settings.rivals:
        yield opencv_row(photographs(settings, "cc15"))
    if "bm3d" in settings.rivals:
        yield bm3d_row(photographs(settings, "cc15"))


def opencv_row(pairs: Sequence[Pair]) -> Row:
    """Measure OpenCV at its best level for all photographs."""
    h = best_level(pairs, rivals.opencv_nlm_colour, OPENCV_LEVELS)
    restored = measure(pairs, Told(rivals.opencv_nlm_colour, h))
    noisy = measure(pairs, lambda image: image)
    return Row("cc15", f"OpenCV non-local means, h={h:g}", noisy, restored)


def bm3d_row(pairs: Sequence[Pair]) -> Row:
    """Measure bm3d at its best level for all photographs."""
    # It takes minutes for one level: middles have to do for the choice.
    middles = [(middle(noisy), middle(clean)) for noisy, clean in pairs]
    sigma = best_level(middles, rivals.bm3d_colour, BM3D_SIGMAS, measure_side_by_side)
    restored = measure_side_by_side(pairs, Told(rivals.bm3d_colour, sigma))
    noisy = measure(pairs, lambda image: image)
    return Row("cc15", f"bm3d, sigma={sigma:g}", noisy, restored)


def polyu(settings: Settings) -> Iterator[Row]:
    yield from preset_rows(settings, "polyu", (CAMERA, BLIND))


def w2s(settings: Settings) -> Iterator[Row]:
    yield from preset_rows(settings, "w2s", (BLIND,), fitted_psnr)


def clean(settings: Settings) -> Iterator[Row]:
    """Compare results with their own inputs, which are clean."""
    images = read(settings.data / "kodak24", settings.step("clean"))
    pairs = list(zip(in_bytes(images).values(), images.values(), strict=True))
    for quality in settings.presets:
        restored = measure(pairs, partial(denoise, quality=quality), likeness)
        yield Row("clean", f"{quality}, {CALLS[BLIND]}", [], restored)


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
            if quality == "balanced":  # one shows what knowing the spectrum is worth
                yield row(f"{quality}, best sigma", restored=best_white(pairs, quality))
        if "bm3d" in settings.rivals:
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


SETS: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "cc15": cc15,
    "polyu": polyu,
    "w2s": w2s,
    "clean": clean,
    "white": white,
    "blurred": blurred,
}
