"""Image files: PNG, JPEG, TIFF and NPY, read exactly and written completely or not at all.

Pixels are handed over as they are stored: no rescaling, no rotation by the EXIF orientation, no
conversion between colour spaces. What makes the picture look right (orientation, colour
profile, alpha) travels beside them, so that it can be written back; so do a TIFF's tags.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import check_integer
from fastgsm.colour import grey
from fastgsm.files import pillow as _pillow
from fastgsm.files import png16 as _png16
from fastgsm.files import tiff as _tiff
from fastgsm.files.image_file import ImageFile, image_file
from fastgsm.files.paths import atomic_path, check_output_path, check_regular, reason

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".npy": "NPY",
}

# Cameras and scanners stay below it; decoded, so many pixels of 16-bit colour take 1 GiB.
MAX_PIXELS = 178_956_970


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Read a PNG, JPEG, TIFF or NPY file.

    Sixteen-bit values are read exactly, 1-bit images become 0 and 255, palettes become RGB. An
    NPY array is grey (height, width), or has 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels
    as its last axis.

    Parameters
    ----------
    path : str or path-like
        The file; its extension says the format.
    max_pixels : int
        Most pixels of a compressed image, height times width: a small file can claim to hold more
        than fits into memory. Raise it for larger images from people you trust; for a TIFF
        compressed by LZW or JPEG, ``PIL.Image.MAX_IMAGE_PIXELS`` as well.

    Returns
    -------
    ImageFile
        Pixels, and what belongs to them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is neither a regular file nor of a known kind, damaged, larger than `max_pixels`, has
        several pages, or has colours other than grey and RGB.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_image, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/grey.npy", np.eye(3, dtype=np.uint8))
    ...     image = read_image(f"{folder}/grey.npy")
    >>> image.array.shape, image.channel_axis, image.alpha is None
    ((3, 3), None, True)
    """
    [image] = _read(Path(path), max_pixels, max_pages=1)
    return image


def read_pages(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> list[ImageFile]:
    """Read all pages of a TIFF file, or the one image of a file of another kind.

    Thumbnails (pages marked as reduced) are left out.

    Parameters
    ----------
    path : str or path-like
        The file; its extension says the format.
    max_pixels : int
        As in `read_image`; of a compressed TIFF, of all its pages together.

    Returns
    -------
    list of ImageFile
        The pages in their order; their sizes and types may differ.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `read_image`, but for the pages.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import ImageFile, read_pages, write_pages
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pages(f"{folder}/stack.tif", [ImageFile(np.eye(3)), ImageFile(np.zeros((4, 5)))])
    ...     pages = read_pages(f"{folder}/stack.tif")
    >>> [page.array.shape for page in pages]
    [(3, 3), (4, 5)]
    """
    return _read(Path(path), max_pixels, max_pages=_tiff.MAX_PAGES)


def _read(path: Path, max_pixels: int, max_pages: int) -> list[ImageFile]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give an image file")
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    decode = _DECODERS[_format_of(path)]
    max_pixels = check_integer(max_pixels, "max_pixels")
    check_regular(path)
    with open(path, "rb") as file:
        try:
            pages = decode(file, max_pixels, max_pages)
            return [image_file(*page) for page in pages]
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise ValueError(f"cannot read {path}: {reason(error)}") from error


def read_grey_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    data_range: float | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> dict[Path, NDArray[np.float32]]:
    """Read image files, and the images of folders, as grey images in [0, 1].

    Parameters
    ----------
    paths : path, or iterable of paths
        Files and folders. Of a folder, the files with a known extension are read in the order of
        their names; its sub-folders and hidden files are not.
    data_range : float, optional
        Value that becomes 1. By default 1.0 for floats and the type's maximum for integers.
    max_pixels : int
        Most pixels of one compressed image, as in `read_image`.

    Returns
    -------
    dict of Path to (height, width) float32 array
        In the order given; of colour images the luminance. A file given twice is there once.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError, ImportError
        As `read_image`; also if values lie outside of the data range, a folder holds no image, or
        nothing is given.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_grey_images, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b", "a"):
    ...         write_image(f"{folder}/{name}.png", np.full((2, 2), 51, np.uint8))
    ...     images = read_grey_images(folder)
    >>> [(path.name, float(image[0, 0].round(1))) for path, image in images.items()]
    [('a.png', 0.2), ('b.png', 0.2)]
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files = [file for path in paths for file in image_files(Path(path))]
    if not files:
        raise ValueError("no image given; give at least one file or folder")
    return {
        file: grey(read_image(file, max_pixels=max_pixels).array, str(file), data_range)
        for file in files
    }


def write_image(
    path: str | os.PathLike[str],
    image: ImageFile | np.ndarray,
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write a PNG, JPEG (quality 95), TIFF or NPY file, completely or not at all.

    The file is written under another name in the same folder and then renamed, so that a failure
    leaves neither half a file nor a damaged older one.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace; its extension says the format.
    image : ImageFile or ndarray
        Pixels; an array is laid out as `read_image` says of NPY.
    source : str or path-like, optional
        The file that the image was made from, which is never overwritten.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If `path` is `source`, a folder or of an unknown kind, or its format cannot hold the image.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/out.png", np.zeros((8, 8)))
    Traceback (most recent call last):
        ...
    ValueError: PNG holds uint8 or uint16 pixels, not float64; write TIFF (.tif) or NPY (.npy)
    """
    image = image if isinstance(image, ImageFile) else image_file(image)
    write_pages(path, [image], source=source)


def write_pages(
    path: str | os.PathLike[str],
    pages: Sequence[ImageFile],
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write pages, of which only a TIFF file holds several, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace; its extension says the format.
    pages : sequence of ImageFile
        At least one.
    source : str or path-like, optional
        The file that the pages were made from, which is never overwritten.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `write_image`; also if there is no page, or the format holds only one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.io import ImageFile, write_pages
    >>> write_pages("stack.png", 2 * [ImageFile(np.zeros((8, 8), np.uint8))])
    Traceback (most recent call last):
        ...
    ValueError: PNG holds one page, not 2; write TIFF (.tif)
    """
    check_output(path, pages, source=source)
    encode = _ENCODERS[_format_of(Path(path))]
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


def _format_of(path: Path) -> str:
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {known}") from None


def image_files(path: Path) -> list[Path]:
    """Give the image files of a folder, sorted and without its sub-folders, or the file itself."""
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in FORMATS]
    files = [p for p in files if not p.name.startswith(".") and not p.is_dir()]
    if not files:
        raise ValueError(f"no image ({', '.join(FORMATS)}) in the folder {path}")
    return files


def _read_picture(file: BinaryIO, max_pixels: int, max_pages: int) -> list[tuple[Any, ...]]:
    return [_pillow.read(file, max_pixels)]


def _read_npy(file: BinaryIO, max_pixels: int, max_pages: int) -> list[tuple[Any, ...]]:
    # Mapping compares the header with the file's size before anything is allocated: what is not
    # compressed needs no other limit.
    stored = np.lib.format.open_memmap(file.name, mode="r")
    if stored.dtype.kind not in "uif":
        raise ValueError(f"pixels must be integers or floats, not {stored.dtype}")
    return [(np.array(stored),)]


def _write_npy(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    np.save(file, pages[0].stored, allow_pickle=False)


def _write_png(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    [image] = pages
    write = _png16.write if image.array.dtype == np.uint16 else _pillow.write_png
    write(file, image.stored, image.orientation, image.icc_profile)


def _write_jpeg(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    [image] = pages
    _pillow.write_jpeg(file, image.stored, image.orientation, image.icc_profile)


# A decoder gives of each page what `image_file` takes.
_DECODERS: dict[str, Callable[[BinaryIO, int, int], list[tuple[Any, ...]]]] = {
    "PNG": _read_picture,
    "JPEG": _read_picture,
    "TIFF": _tiff.read,
    "NPY": _read_npy,
}
_ENCODERS = {"PNG": _write_png, "JPEG": _write_jpeg, "TIFF": _tiff.write, "NPY": _write_npy}
