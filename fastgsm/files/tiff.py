"""Reading TIFF files with tifffile, or with Pillow where tifffile lacks the compression."""

from __future__ import annotations

import itertools
import lzma
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import pillow
from fastgsm.files.image_file import ImageFile, Tags, image_file, valid_orientation
from fastgsm.files.pillow import ORIENTATION

ICC_PROFILE = 34675  # number of the tag

# A TIFF can name other files that hold its pixels; an untrusted file must not make us read others.
ONE_FILE = {"is_ome": False, "is_mmstack": False, "is_ndtiff": False}

# Decoders that expand a compressed part step by step, by the number of the compression.
EXPANDERS: dict[int, Any] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: lzma.LZMADecompressor,
}
ZSTD = (34926, 50000)
MAX_PAGES = 10_000
SLACK = 2**16  # bytes that some writers leave after the pixels of a part

RESOLUTION, RESOLUTION_UNIT = (282, 283), 296
POINTERS = (13, 18)  # types of tags that point to another place in the file
# Tags that are not copied: they describe the layout of the pixels, which a writer chooses itself;
# or they point to tables of tags (330, 34665 EXIF, 34853 GPS, 40965); or they are written from
# fields of `ImageFile` and `Tags`.
LAYOUT = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284),
    *(288, 289, 290, 291, 292, 293, 317, 320, 321, 322, 323, 324, 325, 330, 338, 339, 347, 400),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 32997, 32998),
    *(34665, 34853, 40965, *RESOLUTION, RESOLUTION_UNIT, ORIENTATION, ICC_PROFILE),
}


def read(file: BinaryIO, max_pixels: int, max_pages: int) -> list[ImageFile]:
    """Read all pages but thumbnails."""
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        pages = _full_pages(tiff, max_pages)
        size = os.fstat(file.fileno()).st_size
        read_pixels = 0
        for _, page in pages:
            if page.compression != 1:
                pillow.check_size(page.imagewidth, page.imagelength, max_pixels - read_pixels)
                pillow.check_size(page.tilewidth, page.tilelength, max_pixels - read_pixels)
                read_pixels += page.imagewidth * page.imagelength
            _check(page, size)
            _check_expansion(file, page)
        return [
            image_file(_pixels(file, page, number, max_pixels), *_about(file, tiff, page))
            for number, page in pages
        ]


@contextmanager
def opened(file: BinaryIO, max_part: int) -> Iterator[ImageFile]:
    """Open the only page of a file, whose `array` reads pixels when they are asked for.

    A compressed strip or tile can only be read as a whole, and so may have at most ``max_part``
    values.
    """
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        [(_, page), *others] = _full_pages(tiff, MAX_PAGES)
        if others:
            raise ValueError(f"it has {len(others) + 1} pages; save the page wanted by itself")
        grey_or_rgb = page.photometric in (1, 2) and page.bitspersample in (8, 16, 32, 64)
        if page.axes not in ("YX", "YXS", "SYX") or not grey_or_rgb:
            kind = f"{page.bitspersample}-bit {getattr(page.photometric, 'name', 'unknown')}"
            raise ValueError(f"it is {kind} with axes {page.axes}; save it as grey or RGB of 8 or "
                             f"16 bit, or float")  # fmt: skip
        _check(page, os.fstat(file.fileno()).st_size)
        if page.is_final:
            dtype = np.dtype(tiff.byteorder + page.dtype.char)
            offset = page.dataoffsets[0]
            array: Any = np.memmap(file.name, dtype, "r", offset, page.shape)
            array = np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
        else:
            check_part(page.chunks, max_part)
            _check_expansion(file, page)
            array = _Parts(file, page)
        yield ImageFile(array, None, *_about(file, tiff, page))


class _Parts:
    """The pixels (height, width[, channels]) of a page that is stored in strips or tiles.

    A strip or tile is read and expanded whenever some of its pixels are asked for. tifffile's own
    array of this kind works only with some releases of Zarr.
    """

    def __init__(self, file: BinaryIO, page: Any) -> None:
        self.shape = (*page.shape[1:], page.shape[0]) if page.axes == "SYX" else page.shape
        self.dtype = page.dtype
        self._file, self._page = file, page

    def __getitem__(self, part: tuple[slice, ...]) -> np.ndarray:
        rows, columns = part[:2]
        samples = self._page.samplesperpixel
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start, samples), self.dtype)
        length, width = self._page.chunks[:2]
        down, across = -(-self.shape[0] // length), -(-self.shape[1] // width)
        # In the layout SYX, each channel has its own strips or tiles.
        n_separate = samples if self._page.axes == "SYX" else 1
        for channel, i, j in itertools.product(
            range(n_separate),
            range(rows.start // length, -(-rows.stop // length)),
            range(columns.start // width, -(-columns.stop // width)),
        ):
            pixels = self._expand((channel * down + i) * across + j)
            to_rows, from_rows = _overlap(rows, i * length, length)
            to_columns, from_columns = _overlap(columns, j * width, width)
            channels = slice(channel, channel + 1) if n_separate > 1 else slice(None)
            out[to_rows, to_columns, channels] = pixels[from_rows, from_columns]
        return out if len(self.shape) == 3 else out[..., 0]

    def _expand(self, number: int) -> np.ndarray:
        """Return the pixels (rows, columns, samples) of a strip or tile."""
        page = self._page
        self._file.seek(page.dataoffsets[number])
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        data = self._file.read(page.databytecounts[number])
        pixels, *_ = page.decode(data, number, **tables)
        return pixels[0]


def _overlap(wanted: slice, first: int, length: int) -> tuple[slice, slice]:
    """Return where a part that starts at ``first`` overlaps ``wanted``: in ``wanted``, in the part.

    Both slices count from the start of their own range.
    """
    start, stop = max(wanted.start, first), min(wanted.stop, first + length)
    return slice(start - wanted.start, stop - wanted.start), slice(start - first, stop - first)


def check_part(shape: Sequence[int], max_part: int) -> None:
    """Raise if a strip, tile or chunk, which is only read as a whole, is too large."""
    if math.prod(shape) > max_part:
        raise ValueError(
            f"its strips, tiles or chunks have up to {math.prod(shape)} values, and each can only "
            f"be read as a whole; save it with parts of at most {max_part}"
        )


def _full_pages(tiff: Any, max_pages: int) -> list[tuple[int, Any]]:
    """Return the pages but thumbnails, with their numbers in the file.

    tifffile would follow pages that lead back to an earlier one for ever.
    """
    offsets: set[int] = set()
    pages = []
    for number, page in enumerate(tiff.pages):
        if page.offset in offsets:
            raise ValueError("its pages lead round in a circle; the file is damaged")
        offsets.add(page.offset)
        if not page.is_reduced:
            pages.append((number, page))
        if len(pages) > max_pages == 1:
            raise ValueError("it has several pages; fastgsm.io.read_pages reads them")
        if len(offsets) > MAX_PAGES:
            raise ValueError(f"it has more than {MAX_PAGES} pages; split it")
    if not pages:
        raise ValueError("it has no page; the file is damaged")
    series = [s for s in tiff.series if not s.keyframe.is_reduced]
    if sum(s.size for s in series) != sum(page.size for _, page in pages):
        shapes = ", ".join(f"{s.axes} {s.shape}" for s in series)
        raise ValueError(f"its {len(pages)} pages are not all of its planes ({shapes}); "
                         f"save it with an entry for each plane")  # fmt: skip
    return pages


def _about(file: BinaryIO, tiff: Any, page: Any) -> tuple[int, bytes | None, Tags]:
    """Return the orientation and the colour profile of a page, and its other tags."""
    others = []
    for tag in page.tags:
        if tag.code in LAYOUT or tag.dtype in POINTERS:
            continue
        file.seek(tag.valueoffset)
        value = file.read(tag.valuebytecount)
        if len(value) < tag.valuebytecount:
            raise ValueError(f"its tag {tag.code} is cut off; the file is damaged")
        others.append((int(tag.code), int(tag.dtype), value))
    across, down = (page.tags.valueof(code) for code in RESOLUTION)
    known = all(np.shape(r) == (2,) and r[1] > 0 for r in (across, down))
    unit = page.tags.valueof(RESOLUTION_UNIT, 2)
    tags = Tags(tiff.byteorder, (across, down) if known else None, unit, tuple(others))
    orientation = valid_orientation(page.tags.valueof(ORIENTATION, 1))
    return orientation, page.tags.valueof(ICC_PROFILE), tags


def _check(page: Any, file_size: int) -> None:
    """Raise if the pixels of a page cannot all be in the file, or are of a kind we do not read."""
    if page.compression == 1:
        # Eight pixels of 1 bit share a byte, which tifffile does not count.
        n_bytes = page.size * int(np.min(page.bitspersample)) // 8
        if n_bytes > file_size:
            raise ValueError(f"{n_bytes} bytes of pixels cannot be in {file_size} bytes of file")
    else:
        # Not strict: the last check below compares the numbers of both.
        parts = zip(page.dataoffsets, page.databytecounts, strict=False)
        if any(offset + size > file_size for offset, size in parts):
            raise ValueError("parts of its pixels lie beyond its end; the file is damaged")
    colours = 3 if page.photometric == 2 else 1
    if page.samplesperpixel > colours + 1 and page.photometric in (0, 1, 2):
        raise ValueError(f"it has {page.samplesperpixel} channels; fastgsm reads grey and RGB")
    if 1 in page.extrasamples:
        raise ValueError("its alpha is premultiplied; save it with straight alpha")
    # tifffile would fill missing parts with zeros
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of its pixels are missing; the file is damaged")


def _check_expansion(file: BinaryIO, page: Any) -> None:
    """Raise if a part of the image expands to more bytes than its pixels have.

    Without imagecodecs, tifffile expands a part to any size without asking.
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


def _pixels(file: BinaryIO, page: Any, number: int, max_pixels: int) -> np.ndarray:
    """Return the pixels of a page, with alpha as the last channel."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"its axes are {page.axes}; fastgsm reads images of two dimensions")
    bits, min_is_black, rgb = page.bitspersample, page.photometric == 1, page.photometric == 2
    if (min_is_black or rgb) and bits in (8, 16, 32, 64):
        try:
            stored: np.ndarray = page.asarray()
            return np.moveaxis(stored, 0, -1) if page.axes == "SYX" else stored
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # tifffile alone lacks LZW and JPEG; Pillow has them, but not 16-bit colour
            if bits != 8 and not (min_is_black and page.samplesperpixel == 1):
                raise
    elif bits not in (1, 2, 4, 8):
        kind = f"{bits}-bit {page.photometric.name}"
        raise ValueError(f"it is {kind}; save it as grey or RGB of 8 or 16 bit")
    picture = pillow.open_picture(file, ["TIFF"], max_pixels)
    picture.seek(number)
    pillow.check_size(picture.width, picture.height, max_pixels)
    return pillow.pixels(picture)
