"""What ``fastgsm denoise`` does with the pages of one file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgsm.cli import _options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastgsm.files.image_file import ImageFile
    from fastgsm.noise.model import NoiseModel

# Errors after which the other images and pages are still tried: after a MemoryError, the next image
# may be small enough.
ERRORS = (ValueError, TypeError, OSError, MemoryError)


def restore(
    args: argparse.Namespace,
    source: Path,
    pages: list[ImageFile],
    options: dict[str, Any],
    progress: bool,
) -> tuple[list[ImageFile], list[NoiseModel | None]]:
    """Denoise each page; return the pages and their noise.

    A page that cannot be denoised is named on standard error and kept as it is, with None for its
    noise. If none can be, an error with that of the first page is raised.
    """
    from fastgsm._progress import Progress

    cleaned: list[ImageFile] = []
    noises: list[NoiseModel | None] = []
    errors: dict[int, Exception] = {}
    several = len(pages) > 1
    with Progress(len(pages), "denoising pages", progress and several) as bar:
        for number, page in enumerate(pages, 1):
            noise: NoiseModel | None = None
            try:
                clean, noise = _restored(args, page, options, progress and not several)
            except ERRORS as error:
                errors[number] = error
                clean = page
            cleaned.append(clean)
            noises.append(noise)
            bar.update()
    if not several and errors:
        raise errors[1]
    if len(errors) == len(pages):
        first = _options.one_line(errors[1])
        raise ValueError(f"none of its {len(pages)} pages can be denoised; page 1: {first}")
    for number, reason in errors.items():
        print(
            f"fastgsm: error: {source}, page {number} of {len(pages)}: "
            f"{_options.one_line(reason)} (it is written as it was)",
            file=sys.stderr,
            flush=True,
        )
    return cleaned, noises


def _restored(
    args: argparse.Namespace, page: ImageFile, options: dict[str, Any], progress: bool
) -> tuple[ImageFile, NoiseModel]:
    """Denoise one page; return it with its noise: that of the colours, or of the first channel."""
    import numpy as np

    import fastgsm

    array, mask = _trusted(args, page, options.get("mask"))
    options = options if mask is None else {**options, "mask": mask}
    clean = np.empty_like(array)
    noises = []
    for part in _independent(args, page):
        noise = _noise_of(args, array[part], mask)
        clean[part] = fastgsm.denoise(
            array[part],
            args.sigma,
            noise=noise if args.sigma is None else "white",
            channel_axis=None if array[part].ndim == 2 else -1,
            progress=progress,
            **options,
        )
        noises.append(noise)
    return page.with_values(clean), noises[0]


def _independent(args: argparse.Namespace, page: ImageFile) -> list[Any]:
    """Return the index of each part that is denoised by itself.

    That is all of a grey or an RGB image. Other channels may show something else: denoised together
    they would lose, 0.5 to 1 dB in two images that have nothing in common. A model of the noise of
    several channels is for all of them.
    """
    first = page.n_colours
    if page.n_channels == first or getattr(args.noise, "n_channels", 1) > 1:
        return [...]
    rest = [(..., channel) for channel in range(first, page.n_channels)]
    return [(..., 0 if first == 1 else slice(first)), *rest]


def _trusted(
    args: argparse.Namespace, page: ImageFile, mask: NDArray[np.bool_] | None
) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
    """Return the pixels, and where to trust them: by --mask, and where they have a value.

    Missing pixels get the value of another one, so that no range is taken from them.
    """
    if mask is not None and mask.shape != page.array.shape[:2]:
        height, width = mask.shape
        raise ValueError(
            f"--mask {args.mask} has {width}x{height} pixels; wanted those of the image as it is "
            f"stored, {page.array.shape[1]}x{page.array.shape[0]}"
        )
    missing = page.missing
    if missing is None:
        return page.array, mask
    if missing.all():
        raise ValueError("none of its pixels has a value: all are masked or the no-data value")
    array = page.array.copy()
    array[missing] = array[~missing][0]
    return array, ~missing if mask is None else mask & ~missing


def _noise_of(args: argparse.Namespace, array: np.ndarray, mask: Any) -> NoiseModel:
    """Return the noise of pixels, estimated from those that are not missing if need be."""
    import fastgsm
    from fastgsm.noise import NoiseModel
    from fastgsm.noise.kinds import check_noise

    if args.sigma is not None:
        return NoiseModel.white(args.sigma)
    noise = check_noise(args.noise, None)
    if isinstance(noise, NoiseModel):
        return noise
    return fastgsm.estimate_noise(
        array,
        channel_axis=None if array.ndim == 2 else -1,
        mask=mask,
        kind=noise,
        data_range=args.data_range,
    )
