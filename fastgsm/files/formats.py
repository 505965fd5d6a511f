"""The formats of image files: which are known, and how each is read and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import check_integer
from fastgsm.files import pillow, tiff, tiff_write
from fastgsm.files.image_file import ImageFile, image_file
from fastgsm.files.paths import atomic_path, check_output_path, check_regular, decoding

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".npy": "NPY",
}

# Images from cameras and scanners have fewer. In 16-bit colour, this many take 1 GiB.
MAX_PIXELS = 178_956_970


def image_files(path: Path) -> list[Path]:
    """Return the image files of a folder, sorted and without its sub-folders, or the file itself.

    Hidden files are left out.
    """
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in FORMATS]
    files = [p for p in files if not p.name.startswith(".") and not p.is_dir()]
    if not files:
        raise ValueError(f"no image ({', '.join(FORMATS)}) in the folder {path}")
    return files


def read(path: Path, max_pixels: int, max_pages: int) -> list[ImageFile]:
    """Read the pages of an image file."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give an image file")
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    decode = DECODERS[_format_of(path)]
    max_pixels = check_integer(max_pixels, "max_pixels")
    check_regular(path)
    with open(path, "rb") as file, decoding(f"cannot read {path}: "):
        return decode(file, max_pixels, max_pages)


def read_mask(path: Path, max_pixels: int) -> NDArray[np.bool_]:
    """Read a mask, True where it is not 0: a grey image of two values, or booleans in an NPY file.

    Raise ValueError if it is anything else.
    """
    if path.suffix.lower() == ".npy" and path.is_file():
        with open(path, "rb") as file, decoding(f"cannot read {path}: "):
            [image] = _read_npy(file, max_pixels, max_pages=1, kinds="buif")
    else:
        [image] = read(path, max_pixels, max_pages=1)
    channels = image.array.reshape(*image.array.shape[:2], -1)
    values = np.unique(channels)
    grey = (channels == channels[..., :1]).all() and image.alpha is None
    all_missing = channels.dtype != np.bool_ and not values.any()
    if not grey or all_missing or np.count_nonzero(values) > 1:
        raise ValueError(
            f"--mask {path} has {len(values)} values{'' if grey else ', and colour or alpha'};"
            f" wanted a grey image of two: 0 where a pixel is missing, another value elsewhere"
        )
    trusted: NDArray[np.bool_] = channels[..., 0] != 0
    return trusted


def write(path: str | os.PathLike[str], pages: Sequence[ImageFile]) -> None:
    """Write pages that `check_output` has accepted."""
    encode = ENCODERS[_format_of(Path(path))]
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        encode(file, pages)


def check_output(
    path: str | os.PathLike[str],
    pages: Sequence[ImageFile],
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Raise, before any work is done, what `write_pages` would raise about its arguments."""
    path = Path(path)
    format_ = _format_of(path)
    if len(pages) != 1 and format_ != "TIFF":
        raise ValueError(f"{format_} holds one page, not {len(pages)}; write TIFF (.tif)")
    if not pages:
        raise ValueError("there is no page to write; give at least one")
    if source is not None and path.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input file {source}; give another output file")
    check_output_path(path)
    for page in pages:
        _check_held(format_, page)


def _check_held(format_: str, image: ImageFile) -> None:
    """Raise if the format cannot hold the image."""
    dtype = image.array.dtype
    allowed = {"PNG": ("uint8", "uint16"), "JPEG": ("uint8",)}.get(format_)
    if allowed and dtype.name not in allowed:
        remedy = "PNG (.png) or TIFF (.tif)" if dtype == np.uint16 else "TIFF (.tif) or NPY (.npy)"
        held = " or ".join(allowed)
        raise ValueError(f"{format_} holds {held} pixels, not {dtype}; write {remedy}")
    if dtype.kind not in "uif":
        raise ValueError(f"pixels must be integers or floats, not {dtype}")
    if format_ == "JPEG" and image.alpha is not None:
        raise ValueError("JPEG holds no alpha channel; write PNG (.png) or TIFF (.tif)")
    if format_ == "JPEG" and image.notes is not None:
        pillow.check_notes(image.notes)
    if format_ != "TIFF" and (image.n_channels != image.n_colours or image.n_channels == 2):
        raise ValueError(
            f"{format_} holds grey or RGB pixels, not {image.n_channels} channels; write TIFF "
            f"(.tif)"
        )
    if format_ != "TIFF" and image.mask is not None:
        raise ValueError(f"{format_} holds no mask of missing pixels; write TIFF (.tif)")


def _format_of(path: Path) -> str:
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {known}") from None


def _read_picture(file: BinaryIO, max_pixels: int, max_pages: int) -> list[ImageFile]:
    return [pillow.read(file, max_pixels)]


def _read_npy(
    file: BinaryIO, max_pixels: int, max_pages: int, kinds: str = "uif"
) -> list[ImageFile]:
    # Mapping compares the header with the file's size before anything is allocated. So a file
    # that is not compressed needs no other limit.
    stored = np.lib.format.open_memmap(file.name, mode="r")
    if stored.dtype.kind not in kinds:
        raise ValueError(f"pixels must be integers or floats, not {stored.dtype}")
    return [image_file(np.array(stored))]


def _write_npy(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    image = pages[0]
    np.save(file, np.expand_dims(image.stored, image.ones), allow_pickle=False)


# The numbers are the limits of pixels and of pages.
DECODERS: dict[str, Callable[[BinaryIO, int, int], list[ImageFile]]] = {
    "PNG": _read_picture,
    "JPEG": _read_picture,
    "TIFF": tiff.read,
    "NPY": _read_npy,
}
ENCODERS: dict[str, Callable[[BinaryIO, Sequence[ImageFile]], None]] = {
    "PNG": lambda file, pages: pillow.write_png(file, pages[0]),
    "JPEG": lambda file, pages: pillow.write_jpeg(file, pages[0]),
    "TIFF": tiff_write.write,
    "NPY": _write_npy,
}
