"""TIFF files, by tifffile, or by Pillow where tifffile lacks the compression."""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO

import numpy as np

from fastgsm import _pillow
from fastgsm._extras import import_extra
from fastgsm._pillow import ORIENTATION

ICC_PROFILE = 34675  # number of the tag


def read(file: BinaryIO) -> tuple[np.ndarray, int, bytes | None]:
    """Give the pixels with alpha as the last channel, the orientation and the colour profile."""
    with import_extra("tifffile").TiffFile(file) as tiff:
        series = [s for s in tiff.series if not s.keyframe.is_reduced]  # less any thumbnails
        if len(series) != 1 or not set(series[0].axes) <= set("YXS"):
            shapes = ", ".join(f"{s.axes} {s.shape}" for s in series)
            raise ValueError(f"it has several pages or channels ({shapes}); save each as an image")
        page = series[0].keyframe
        _check(page, os.fstat(file.fileno()).st_size)
        stored = _pixels(file, series[0])
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


def _check(page: Any, file_size: int) -> None:
    pixels, limit = page.imagewidth * page.imagelength, import_extra("PIL.Image").MAX_IMAGE_PIXELS
    if page.compression != 1 and limit and pixels > 2 * limit:
        raise ValueError(f"{pixels} compressed pixels are above the limit of {2 * limit}")
    if page.compression == 1 and page.nbytes > file_size:
        raise ValueError(f"{page.nbytes} bytes of pixels cannot be in {file_size} bytes of file")
    colours = 3 if page.photometric == 2 else 1
    if page.samplesperpixel > colours + 1 and page.photometric in (0, 1, 2):
        raise ValueError(f"it has {page.samplesperpixel} channels; fastgsm reads grey and RGB")
    if 1 in page.extrasamples:
        raise ValueError("its alpha is premultiplied; save it with straight alpha")
    # tifffile takes missing parts for zeros
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of its pixels are missing; the file is damaged")


def _pixels(file: BinaryIO, series: Any) -> np.ndarray:
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
    return _pillow.pixels(_pillow.open_picture(file, ["TIFF"]))
