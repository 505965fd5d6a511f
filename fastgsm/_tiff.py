"""TIFF files, by tifffile, or by Pillow where tifffile lacks the compression."""

from __future__ import annotations

import lzma
import math
import os
import zlib
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from fastgsm import _pillow
from fastgsm._extras import import_extra
from fastgsm._pillow import ORIENTATION

ICC_PROFILE = 34675  # number of the tag

# A TIFF can name other files that its pixels are in; a stranger's shall not have them read.
ONE_FILE = {"is_ome": False, "is_mmstack": False, "is_ndtiff": False}

# What expands a compressed part in steps, by the number of the compression.
EXPANDERS: dict[int, Any] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: lzma.LZMADecompressor,
}
ZSTD = (34926, 50000)
MAX_PAGES = 100  # one and its thumbnails are read
SLACK = 2**16  # bytes after the pixels of a part, which some writers leave there


def read(file: BinaryIO, max_pixels: int) -> tuple[np.ndarray, int, bytes | None]:
    """Give the pixels with alpha as the last channel, the orientation and the colour profile."""
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        _check_pages(tiff)
        series = [s for s in tiff.series if not s.keyframe.is_reduced]  # less any thumbnails
        if len(series) != 1 or not set(series[0].axes) <= set("YXS"):
            shapes = ", ".join(f"{s.axes} {s.shape}" for s in series)
            raise ValueError(f"it has several pages or channels ({shapes}); save each as an image")
        page = series[0].keyframe
        _check(page, os.fstat(file.fileno()).st_size, max_pixels)
        _check_expansion(file, page)
        stored = _pixels(file, series[0], max_pixels)
        tags = page.tags
        return stored, tags.valueof(ORIENTATION, 1), tags.valueof(ICC_PROFILE)


def write(
    file: BinaryIO, stored: np.ndarray, orientation: int, icc: bytes | None, *, has_alpha: bool
) -> None:
    """Write pixels of any type."""
    is_colour = stored.ndim == 3 and stored.shape[2] >= 3
    tag = (ORIENTATION, 3, 1, orientation, True)  # number, type (short), one value
    import_extra("tifffile").imwrite(
        file,
        stored,
        photometric="rgb" if is_colour else "minisblack",
        planarconfig="contig" if stored.ndim == 3 else None,
        extrasamples=["unassalpha"] if has_alpha else None,
        iccprofile=icc,
        extratags=[tag] if orientation != 1 else (),
        metadata=None,
    )


def _check_pages(tiff: Any) -> None:
    """Raise if the pages lead back to an earlier one, which tifffile would follow for ever."""
    offsets: set[int] = set()
    for page in tiff.pages:
        if page.offset in offsets:
            raise ValueError("its pages lead round in a circle; the file is damaged")
        offsets.add(page.offset)
        if len(offsets) > MAX_PAGES:
            raise ValueError(f"it has more than {MAX_PAGES} pages; save each as an image")


def _check(page: Any, file_size: int, max_pixels: int) -> None:
    if page.compression == 1:
        if page.nbytes > file_size:
            raise ValueError(
                f"{page.nbytes} bytes of pixels cannot be in {file_size} bytes of file"
            )
    else:
        _pillow.check_size(page.imagewidth, page.imagelength, max_pixels)
        _pillow.check_size(page.tilewidth, page.tilelength, max_pixels)
        parts = zip(page.dataoffsets, page.databytecounts, strict=False)  # as many: see below
        if any(offset + size > file_size for offset, size in parts):
            raise ValueError("parts of its pixels lie beyond its end; the file is damaged")
    colours = 3 if page.photometric == 2 else 1
    if page.samplesperpixel > colours + 1 and page.photometric in (0, 1, 2):
        raise ValueError(f"it has {page.samplesperpixel} channels; fastgsm reads grey and RGB")
    if 1 in page.extrasamples:
        raise ValueError("its alpha is premultiplied; save it with straight alpha")
    # tifffile takes missing parts for zeros
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of its pixels are missing; the file is damaged")


def _check_expansion(file: BinaryIO, page: Any) -> None:
    """Raise if a part of the image expands to more bytes than it has pixels for.

    tifffile expands a part to whatever size it has, without asking, unless imagecodecs does it.
    """
    if page.compression in ZSTD and find_spec("imagecodecs") is None:
        raise ValueError("it is compressed by zstd; install imagecodecs, or save it with deflate")
    if page.compression not in EXPANDERS:
        return
    largest = math.prod(page.chunks) * page.dtype.itemsize
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        expander = EXPANDERS[page.compression]()
        if len(expander.decompress(file.read(size), largest + SLACK)) == largest + SLACK:
            raise ValueError(f"a part of it expands to more than its {largest} bytes of pixels")


def _pixels(file: BinaryIO, series: Any, max_pixels: int) -> np.ndarray:
    page = series.keyframe
    bits, min_is_black, rgb = page.bitspersample, page.photometric == 1, page.photometric == 2
    if (min_is_black or rgb) and bits in (8, 16, 32, 64):
        try:
            stored: np.ndarray = series.asarray()
            return np.moveaxis(stored, 0, -1) if series.axes == "SYX" else stored
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # tifffile alone lacks LZW and JPEG; Pillow has them, but not 16-bit colour
            if bits != 8 and not (min_is_black and page.samplesperpixel == 1):
                raise
    elif bits not in (1, 2, 4, 8):
        kind = f"{bits}-bit {page.photometric.name}"
        raise ValueError(f"it is {kind}; save it as grey or RGB of 8 or 16 bit")
    return _pillow.pixels(_pillow.open_picture(file, ["TIFF"], max_pixels))
