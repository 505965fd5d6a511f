"""TIFF files, by tifffile, or by Pillow where tifffile lacks the compression."""

from __future__ import annotations

import itertools
import lzma
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import pillow as _pillow
from fastgsm.files.pillow import ORIENTATION

if TYPE_CHECKING:
    from fastgsm.files.image_file import ImageFile

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
MAX_PAGES = 10_000
CLASSIC = 2**32 - 2**25  # bytes of pixels; a TIFF of more needs wider offsets

RESOLUTION, RESOLUTION_UNIT = (282, 283), 296
DESCRIPTION = 270
FRACTIONS = {5: "u4", 10: "i4"}  # types of tags: numerator, denominator
POINTERS = (13, 18)  # types of tags that say where in the file something else begins
# Tags that say how the pixels lie in the file, which is written anew; that point to tables of
# tags (330, 34665 EXIF, 34853 GPS, 40965); or that are written from what was read.
LAYOUT = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284),
    *(288, 289, 290, 291, 292, 293, 317, 320, 321, 322, 323, 324, 325, 330, 338, 339, 347, 400),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 32997, 32998),
    *(34665, 34853, 40965, *RESOLUTION, RESOLUTION_UNIT, ORIENTATION, ICC_PROFILE),
}
SLACK = 2**16  # bytes after the pixels of a part, which some writers leave there


@dataclass(frozen=True)
class Tags:
    """What a page says beside its pixels (description, date, place, ...), as bytes of the file."""

    byteorder: str  # "<" or ">"
    resolution: tuple[Any, Any] | None  # pixels per unit, as fractions, across and down
    unit: int  # of the resolution: 1 none, 2 inch, 3 centimetre
    others: tuple[tuple[int, int, bytes], ...]  # number, type, value


def read(file: BinaryIO, max_pixels: int, max_pages: int) -> list[tuple[Any, ...]]:
    """Give of each page its pixels with alpha as the last channel, and what belongs to them.

    That is the orientation, the colour profile and the other tags. Thumbnails are left out.
    """
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        pages = _full_pages(tiff, max_pages)
        size = os.fstat(file.fileno()).st_size
        read_pixels = 0
        for _, page in pages:
            if page.compression != 1:
                _pillow.check_size(page.imagewidth, page.imagelength, max_pixels - read_pixels)
                _pillow.check_size(page.tilewidth, page.tilelength, max_pixels - read_pixels)
                read_pixels += page.imagewidth * page.imagelength
            _check(page, size)
            _check_expansion(file, page)
        return [
            (
                _pixels(file, page, number, max_pixels),
                page.tags.valueof(ORIENTATION, 1),
                page.tags.valueof(ICC_PROFILE),
                _tags(file, tiff.byteorder, page),
            )
            for number, page in pages
        ]


@contextmanager
def opened(file: BinaryIO, max_part: int) -> Iterator[tuple[Any, int, bytes | None, Tags]]:
    """Open the one page of a file, of which parts are read when they are asked for.

    Gives an array, the orientation, the colour profile and the other tags. A compressed strip or
    tile, which is only read as a whole, has at most ``max_part`` values.
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
        tags = page.tags
        orientation, icc = tags.valueof(ORIENTATION, 1), tags.valueof(ICC_PROFILE)
        yield array, orientation, icc, _tags(file, tiff.byteorder, page)


class _Parts:
    """The pixels (height, width[, channels]) of a page in strips or tiles.

    A strip or tile is read and expanded whenever pixels of it are asked for. tifffile's own array
    of this kind works with some releases of Zarr only.
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
        n_planes = samples if self._page.axes == "SYX" else 1
        for plane, i, j in itertools.product(
            range(n_planes),
            range(rows.start // length, -(-rows.stop // length)),
            range(columns.start // width, -(-columns.stop // width)),
        ):
            pixels = self._expand((plane * down + i) * across + j)
            (to_rows, of_rows), (to_columns, of_columns) = (
                _overlap(wanted, first, sides)
                for wanted, first, sides in (
                    (rows, i * length, length),
                    (columns, j * width, width),
                )
            )
            channels = slice(plane, plane + 1) if n_planes > 1 else slice(None)
            out[to_rows, to_columns, channels] = pixels[of_rows, of_columns]
        return out if len(self.shape) == 3 else out[..., 0]

    def _expand(self, number: int) -> np.ndarray:
        """Give the pixels (rows, columns, samples) of a strip or tile."""
        page = self._page
        self._file.seek(page.dataoffsets[number])
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        data = self._file.read(page.databytecounts[number])
        pixels, *_ = page.decode(data, number, **tables)
        return pixels[0]


def _overlap(wanted: slice, first: int, length: int) -> tuple[slice, slice]:
    """Give where the pixels from ``first`` on belong in those wanted, and which of them do."""
    start, stop = max(wanted.start, first), min(wanted.stop, first + length)
    return (
        slice(start - wanted.start, stop - wanted.start),
        slice(start - first, stop - first),
    )


def check_part(shape: Sequence[int], max_part: int) -> None:
    """Raise if what is only read as a whole is too large for that."""
    if math.prod(shape) > max_part:
        raise ValueError(
            f"its strips, tiles or chunks have up to {math.prod(shape)} values, of which none can "
            f"be read without the others; save it with parts of at most {max_part}"
        )


def create(path: str | os.PathLike[str], page: ImageFile) -> np.memmap[Any, Any]:
    """Write a file of one page without its pixels, and give these to be written."""
    order = {} if page.tags is None else {"byteorder": page.tags.byteorder}
    shape, dtype = page.array.shape, page.array.dtype
    bigtiff = math.prod(shape) * dtype.itemsize > CLASSIC
    options = _options([page]) | order | {"bigtiff": bigtiff}
    return import_extra("tifffile").memmap(path, shape=shape, dtype=dtype, **options)


def reopen(path: str | os.PathLike[str]) -> np.memmap[Any, Any]:
    """Give the pixels of what `create` made, to go on writing them."""
    return import_extra("tifffile").memmap(path, page=0, mode="r+", **ONE_FILE)


def write(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    """Write pages of any type."""
    orders = {page.tags.byteorder for page in pages if page.tags is not None}
    if len(orders) > 1:
        raise ValueError("the pages come from files of different byte order; write each by itself")
    size = sum(page.stored.nbytes for page in pages)
    options = {"byteorder": orders.pop() if orders else None, "bigtiff": size > CLASSIC}
    with import_extra("tifffile").TiffWriter(file, **options) as tiff:
        if _is_stack(pages):
            _write_stack(tiff, pages)
        else:
            for page in pages:
                _write_stack(tiff, [page])


def _is_stack(pages: Sequence[ImageFile]) -> bool:
    """Say whether the pixels of all pages may lie one after the other, before the second entry.

    ImageJ reads nothing but the first entry, and so needs it. What other entries say that the
    first does not would be lost: only in ImageJ's own files, where nobody reads it, it is.
    """
    first, *others = pages
    repeated = _repeated(pages)
    is_imagej = any(n == DESCRIPTION and v[:7] == b"ImageJ=" for n, _, v in _others(first))
    return all(
        _frame(page) == _frame(first) and (is_imagej or set(_others(page)) == repeated)
        for page in others
    )


def _others(page: ImageFile) -> tuple[tuple[int, int, bytes], ...]:
    return () if page.tags is None else page.tags.others


def _repeated(pages: Sequence[ImageFile]) -> set[tuple[int, int, bytes]]:
    """Give the tags that all pages have, with the same values."""
    return set.intersection(*(set(_others(page)) for page in pages))


def _frame(page: ImageFile) -> tuple[Any, ...]:
    """Give what must be equal for pages to be written as one stack."""
    layout = page.stored.shape, page.array.dtype, page.array.ndim
    scale = None if page.tags is None else (page.tags.resolution, page.tags.unit)
    return *layout, page.orientation, page.icc_profile, scale


def _write_stack(tiff: Any, pages: Sequence[ImageFile]) -> None:
    """Write pages alike, the pixels of one directly after those of another."""
    stored = pages[0].stored if len(pages) == 1 else np.stack([page.stored for page in pages])
    tiff.write(stored, **_options(pages))


def _options(pages: Sequence[ImageFile]) -> dict[str, Any]:
    """Give what tifffile must know of pages alike, beside their pixels."""
    first, tags, repeated = pages[0], pages[0].tags, _repeated(pages)
    extra = (
        [_extra_tag(tag, tags.byteorder, tag in repeated) for tag in tags.others] if tags else []
    )
    if first.orientation != 1:
        extra.append((ORIENTATION, 3, 1, first.orientation, False))
    return {
        "photometric": "rgb" if first.array.ndim == 3 else "minisblack",
        "planarconfig": "contig" if first.array.ndim == 3 or first.alpha is not None else None,
        "extrasamples": ["unassalpha"] if first.alpha is not None else None,
        "resolution": tags.resolution if tags else None,
        "resolutionunit": tags.unit if tags else None,
        "iccprofile": first.icc_profile,
        "extratags": extra,
        "metadata": None,
        "software": False,
    }


def _extra_tag(tag: tuple[int, int, bytes], byteorder: str, everywhere: bool) -> tuple[Any, ...]:
    """Give a tag as tifffile wants it: number, type, count, value, whether it is only written once.

    tifffile counts the bytes of fractions wrongly, so they are given as numbers.
    """
    number, kind, value = tag
    if kind not in FRACTIONS:
        return number, kind, None, value, not everywhere
    numbers = np.frombuffer(value, byteorder + FRACTIONS[kind]).tolist()
    return number, kind, len(numbers) // 2, tuple(numbers), not everywhere


def _full_pages(tiff: Any, max_pages: int) -> list[tuple[int, Any]]:
    """Give the pages with their numbers in the file, less thumbnails.

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


def _tags(file: BinaryIO, byteorder: str, page: Any) -> Tags:
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
    return Tags(byteorder, (across, down) if known else None, unit, tuple(others))


def _check(page: Any, file_size: int) -> None:
    if page.compression == 1:
        # Eight pixels of 1 bit share a byte, which tifffile does not count.
        n_bytes = page.size * int(np.min(page.bitspersample)) // 8
        if n_bytes > file_size:
            raise ValueError(f"{n_bytes} bytes of pixels cannot be in {file_size} bytes of file")
    else:
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


def _pixels(file: BinaryIO, page: Any, number: int, max_pixels: int) -> np.ndarray:
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
    picture = _pillow.open_picture(file, ["TIFF"], max_pixels)
    picture.seek(number)
    _pillow.check_size(picture.width, picture.height, max_pixels)
    return _pillow.pixels(picture)
