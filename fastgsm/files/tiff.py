"""Reading TIFF files: which pages are images, and what each holds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import pillow
from fastgsm.files.image_file import ImageFile, native
from fastgsm.files.nodata import can_hold
from fastgsm.files.tiff_pixels import MASK, Kind, Parts, check_parts_present, kind_of, pixels
from fastgsm.files.tiff_tags import TagValues, about

# A TIFF can name other files that hold its pixels; an untrusted file must not make us read others.
ONE_FILE = {"is_ome": False, "is_mmstack": False, "is_ndtiff": False}
MAX_PAGES = 10_000
IS_MASK = 4  # in the tag NewSubfileType


class Entry(NamedTuple):
    """A page that is an image, and its mask."""

    page: Any
    mask: Any = None
    """The page that is its mask, if it has one."""


def read(file: BinaryIO, max_pixels: int, max_pages: int) -> list[ImageFile]:
    """Read all pages but thumbnails."""
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        entries = _entries(tiff, max_pages)
        size = os.fstat(file.fileno()).st_size
        kinds = []
        for entry in entries:
            kinds.append(kind_of(entry.page))
            for page in entry:
                if page is not None and page.compression != 1:
                    pillow.check_size(page.imagewidth, page.imagelength, max_pixels)
                    pillow.check_size(page.tilewidth, page.tilelength, max_pixels)
                    max_pixels -= page.imagewidth * page.imagelength
                if page is not None:
                    check_parts_present(file, page, size)
        values = TagValues(file)
        return [_image(file, values, tiff, *each) for each in zip(entries, kinds, strict=True)]


@contextmanager
def opened(file: BinaryIO, max_part: int) -> Iterator[ImageFile]:
    """Open the only page of a file, whose `array` reads pixels when they are asked for.

    A compressed strip or tile can only be read as a whole, and so may have at most ``max_part``
    values.
    """
    with import_extra("tifffile").TiffFile(file, **ONE_FILE) as tiff:
        [(page, mask), *others] = _entries(tiff, MAX_PAGES)
        if others:
            raise ValueError(f"it has {len(others) + 1} pages; save the page wanted by itself")
        kind = kind_of(page)
        _check_for_tiles(page, mask, kind)
        check_parts_present(file, page, os.fstat(file.fileno()).st_size)
        if page.is_final:
            dtype = np.dtype(tiff.byteorder + page.dtype.char)
            offset = page.dataoffsets[0]
            array: Any = np.memmap(file.name, dtype, "r", offset, page.shape)
            array = np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
        else:
            check_part_size(page.chunks, max_part)
            array = Parts(file, page)
        orientation, icc_profile, tags = about(TagValues(file), tiff, page, kind.rgb)
        if tags.nodata is not None and can_hold(page.dtype, tags.nodata):
            number = tags.nodata.rstrip(b"\0 ").decode("latin-1")
            raise ValueError(
                f"its pixels of {number} have no value (tag GDAL_NODATA), and --tile cannot leave "
                f"pixels out; leave out --tile, or, if none is missing, remove the tag with "
                f"gdal_edit.py -unsetnodata"
            )
        yield ImageFile(array, None, orientation, icc_profile, tags)


def _check_for_tiles(page: Any, mask: Any, kind: Kind) -> None:
    """Raise if a page cannot be denoised tile by tile."""
    if not kind.as_stored or page.bitspersample < 8:
        name = f"{page.bitspersample}-bit {getattr(page.photometric, 'name', 'unknown')}"
        raise ValueError(f"it is {name} with axes {page.axes}; save it as grey or RGB of 8 or "
                         f"16 bit, or float")  # fmt: skip
    if mask is not None:
        raise ValueError("it has a mask of missing pixels, and --tile cannot leave pixels out; "
                         "leave out --tile")  # fmt: skip
    if kind.alpha is not None:
        raise ValueError(f"it has {page.samplesperpixel} channels, the last of them alpha, which "
                         f"--tile does not support; save it without alpha")  # fmt: skip
    if page.samplesperpixel > kind.n_colours:
        raise ValueError(f"it has {page.samplesperpixel} channels, which --tile does not support; "
                         f"leave out --tile, or save each by itself")  # fmt: skip


def check_part_size(shape: Sequence[int], max_part: int) -> None:
    """Raise if a strip, tile or chunk, which is only read as a whole, is too large."""
    if math.prod(shape) > max_part:
        raise ValueError(
            f"its strips, tiles or chunks have up to {math.prod(shape)} values, and each can only "
            f"be read as a whole; save it with parts of at most {max_part}"
        )


def _entries(tiff: Any, max_pages: int) -> list[Entry]:
    """Return the pages that are images, each with its mask. Thumbnails are left out.

    tifffile would follow pages that lead back to an earlier one for ever.
    """
    offsets: set[int] = set()
    entries: list[Entry] = []
    for page in tiff.pages:
        if page.offset in offsets:
            raise ValueError("its pages lead round in a circle; the file is damaged")
        offsets.add(page.offset)
        if len(offsets) > MAX_PAGES:
            raise ValueError(f"it has more than {MAX_PAGES} pages; split it")
        if page.is_reduced:
            continue
        if page.subfiletype & IS_MASK or page.photometric == MASK:
            entries.append(_with_mask(entries.pop() if entries else None, page))
        elif max_pages > 1 or not entries:
            entries.append(Entry(page))
        elif not _may_be_thumbnail(page, entries[0].page):
            raise ValueError("it has several pages; fastgsm.io.read_pages reads them")
    if not entries:
        raise ValueError("it has no page that is an image and not a thumbnail; save the image again"
                         if offsets else "it has no page; the file is damaged")  # fmt: skip
    _check_planes(tiff)
    return entries


def _check_planes(tiff: Any) -> None:
    """Raise if the file says that it has planes without an entry (page) of their own."""
    for series in tiff.series:
        n_entries = sum(page is not None for page in series.pages)
        if series.size > n_entries * series.keyframe.size:
            raise ValueError(
                f"its {n_entries} pages are not all of its planes ({series.axes} {series.shape}); "
                f"save it with an entry for each plane"
            )


def _may_be_thumbnail(page: Any, image: Any) -> bool:
    """Return whether a page has the shape of the image, but at most half its size.

    Cameras write thumbnails that are not marked as such.
    """
    sides, whole = (page.imagelength, page.imagewidth), (image.imagelength, image.imagewidth)
    factor = max(whole[0] / sides[0], whole[1] / sides[1])
    return factor >= 2 and all(abs(w / factor - s) <= 1 for w, s in zip(whole, sides, strict=True))


def _with_mask(entry: Entry | None, mask: Any) -> Entry:
    """Return an image with the mask that follows it in the file."""
    if entry is None or entry.mask is not None:
        raise ValueError("it has a mask without an image before it; the file is damaged")
    sizes = [(page.imagelength, page.imagewidth) for page in (entry.page, mask)]
    if sizes[0] != sizes[1] or mask.samplesperpixel != 1 or mask.bitspersample not in (1, 8):
        raise ValueError(
            f"its mask of {sizes[1][1]}x{sizes[1][0]} pixels, {mask.samplesperpixel} samples and "
            f"{mask.bitspersample} bits does not fit its image of {sizes[0][1]}x{sizes[0][0]}; "
            f"wanted the same size, and one sample of 1 bit or 8"
        )
    return Entry(entry.page, mask)


def _image(file: BinaryIO, values: TagValues, tiff: Any, entry: Entry, kind: Kind) -> ImageFile:
    """Return what a page holds."""
    page = entry.page
    stored = pixels(file, page, kind)
    orientation, icc_profile, tags = about(values, tiff, page, kind.rgb)
    if tags.nodata is not None and not (kind.as_stored and page.bitspersample >= 8):
        raise ValueError("its values are converted (white as 0, palette, few bits or YCbCr), so "
                         "that those without a value (tag GDAL_NODATA) cannot come back; save it "
                         "as grey or RGB of 8 bits or more")  # fmt: skip
    array, alpha = stored, None
    if kind.alpha is not None:
        alpha = np.ascontiguousarray(stored[..., kind.alpha])
        array = np.delete(stored, kind.alpha, axis=-1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if 0 in array.shape:
        raise ValueError(f"the image is empty: its shape is {array.shape}")
    image = ImageFile(native(array), alpha, orientation, icc_profile, tags)
    if entry.mask is None:
        return image
    valid = pixels(file, entry.mask, Kind(MASK, 1, None)) != 0
    return replace(image, mask=valid)
