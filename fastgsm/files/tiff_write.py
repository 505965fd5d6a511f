"""Writing TIFF files with tifffile."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files.image_file import ImageFile
from fastgsm.files.kept import ORIENTATION
from fastgsm.files.tiff import IS_MASK, ONE_FILE
from fastgsm.files.tiff_tags import DESCRIPTION

INCH = 2  # as the unit of the resolution
FRACTIONS = {5: "u4", 10: "i4"}  # types of tags that hold a numerator and a denominator
CLASSIC_BYTES = 2**32 - 2**25  # bytes of pixels; a TIFF with more needs wider offsets

NOTHING_ADDED = {"metadata": None, "software": False}  # by tifffile

Tag = tuple[int, int, bytes]  # number, type, value


def write(file: BinaryIO, pages: Sequence[ImageFile]) -> None:
    """Write pages of any type."""
    orders = {page.tags.byteorder for page in pages if page.tags is not None}
    if len(orders) > 1:
        raise ValueError("the pages come from files of different byte order; write each by itself")
    size = sum(page.stored.nbytes for page in pages)
    options = {"byteorder": orders.pop() if orders else None, "bigtiff": size > CLASSIC_BYTES}
    with import_extra("tifffile").TiffWriter(file, **options) as tiff:
        for stack in [pages] if _is_stack(pages) else [[page] for page in pages]:
            stored = stack[0].stored if len(stack) == 1 else np.stack([p.stored for p in stack])
            tiff.write(stored, **_options(stack))
            if stack[0].mask is not None:
                tiff.write(stack[0].mask, photometric="mask", subfiletype=IS_MASK, **NOTHING_ADDED)


def create(path: str | os.PathLike[str], page: ImageFile) -> np.memmap[Any, Any]:
    """Write a file with one page but without its pixels, and return these to be written."""
    order = {} if page.tags is None else {"byteorder": page.tags.byteorder}
    shape, dtype = page.array.shape, page.array.dtype
    bigtiff = math.prod(shape) * dtype.itemsize > CLASSIC_BYTES
    options = _options([page]) | order | {"bigtiff": bigtiff}
    return import_extra("tifffile").memmap(path, shape=shape, dtype=dtype, **options)


def reopen(path: str | os.PathLike[str]) -> np.memmap[Any, Any]:
    """Return the pixels of a file that `create` made, to go on writing them."""
    return import_extra("tifffile").memmap(path, page=0, mode="r+", **ONE_FILE)


def _is_stack(pages: Sequence[ImageFile]) -> bool:
    """Return whether the pixels of all pages may be written together, after the first entry.

    ImageJ needs this, because it reads no entry but the first. Tags that only later entries have
    would be lost. We accept that only for ImageJ's own files, where nobody reads such tags.
    """
    first, *others = pages
    if any(page.mask is not None for page in pages):
        return False  # each is followed by its mask
    repeated = _repeated(pages)
    is_imagej = any(n == DESCRIPTION and v[:7] == b"ImageJ=" for n, _, v in _other_tags(first))
    return all(
        _frame(page) == _frame(first) and (is_imagej or set(_other_tags(page)) == repeated)
        for page in others
    )


def _other_tags(page: ImageFile) -> tuple[Tag, ...]:
    return () if page.tags is None else page.tags.others


def _repeated(pages: Sequence[ImageFile]) -> set[Tag]:
    """Return the tags that all pages have with the same values."""
    return set.intersection(*(set(_other_tags(page)) for page in pages))


def _frame(page: ImageFile) -> tuple[Any, ...]:
    """Return what must be equal for pages to be written as one stack."""
    layout = page.array.shape, page.array.dtype, page.n_colours, page.alpha is not None
    scale = None if page.tags is None else (page.tags.resolution, page.tags.unit)
    return *layout, page.orientation, page.icc_profile, scale


def _options(stack: Sequence[ImageFile]) -> dict[str, Any]:
    """Return what tifffile needs to know about a stack besides its pixels."""
    first, tags, repeated = stack[0], stack[0].tags, _repeated(stack)
    extra = (
        [_extra_tag(tag, tags.byteorder, tag in repeated) for tag in tags.others] if tags else []
    )
    if first.orientation != 1:
        extra.append((ORIENTATION, 3, 1, first.orientation, False))
    n_extra = first.n_channels - first.n_colours
    extra_samples = ["unspecified"] * n_extra + ["unassalpha"] * (first.alpha is not None)
    resolution: Any = tags.resolution if tags else None
    unit = tags.unit if tags else None
    if tags is None and first.dpi is not None:
        resolution, unit = first.dpi, INCH
    return {
        "photometric": "rgb" if first.n_colours == 3 else "minisblack",
        "planarconfig": "contig" if first.stored.ndim == 3 else None,
        "extrasamples": extra_samples or None,
        "resolution": resolution,
        "resolutionunit": unit,
        "iccprofile": first.icc_profile,
        "extratags": extra,
        **NOTHING_ADDED,
    }


def _extra_tag(tag: Tag, byteorder: str, everywhere: bool) -> tuple[Any, ...]:
    """Return a tag in tifffile's form: number, type, count, value, whether to write it only once.

    Fractions are passed as numbers, because tifffile counts their bytes wrongly.
    """
    number, kind, value = tag
    if kind not in FRACTIONS:
        return number, kind, None, value, not everywhere
    numbers = np.frombuffer(value, byteorder + FRACTIONS[kind]).tolist()
    return number, kind, len(numbers) // 2, tuple(numbers), not everywhere
