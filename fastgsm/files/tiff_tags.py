"""Which tags of a TIFF are copied to a result, by the rule in `files.kept`."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from fastgsm.files.image_file import GDAL_NODATA, Tags, valid_orientation
from fastgsm.files.kept import ORIENTATION, PIXELS, POINTERS, kept_resources, kept_xmp
from fastgsm.files.nodata import check_nodata
from fastgsm.files.tiff_pixels import PALETTE

ICC_PROFILE = 34675  # number of the tag
RESOLUTION, RESOLUTION_UNIT = (282, 283), 296

STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284),
    *(288, 289, 290, 291, 292, 293, 317, 320, 321, 322, 323, 324, 325, 338, 339, 347, 437),
    *(512, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 32997, 32998),
}
FIELDS = {*RESOLUTION, RESOLUTION_UNIT, ORIENTATION, ICC_PROFILE}  # of `ImageFile` and `Tags`
NOT_COPIED = STORAGE | FIELDS | POINTERS | PIXELS
POINTER_TYPES = (13, 18)
CLEANED = {700: kept_xmp, 34377: kept_resources}
DESCRIPTION = 270  # number of the tag
SHAPED = b'{"shape":'  # how tifffile describes the layout of the pixels


class TagValues:
    """The values of the tags of all pages, each read once, although many pages may point to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = os.fstat(file.fileno()).st_size
        self._values: dict[tuple[int, int, int], bytes] = {}

    def value_of(self, tag: Any) -> bytes:
        """Return the bytes of a tag that are kept."""
        key = tag.code, tag.valueoffset, tag.valuebytecount
        if key not in self._values:
            self._file.seek(tag.valueoffset)
            value = self._file.read(tag.valuebytecount)
            if len(value) < tag.valuebytecount:
                raise ValueError(f"its tag {tag.code} is cut off; the file is damaged")
            self._left -= len(value)
            if self._left < 0:
                raise ValueError("the values of its tags overlap; the file is damaged")
            self._values[key] = CLEANED[tag.code](value) if tag.code in CLEANED else value
        return self._values[key]


def about(values: TagValues, tiff: Any, page: Any, rgb: bool) -> tuple[int, bytes | None, Tags]:
    """Return the orientation and the colour profile of a page, and its other tags."""
    others = []
    new_layout = page.axes == "SYX" or page.photometric == PALETTE
    for tag in page.tags:
        if tag.code in NOT_COPIED or tag.dtype in POINTER_TYPES:
            continue
        value = values.value_of(tag)
        if tag.code == GDAL_NODATA:
            check_nodata(value)
        if new_layout and tag.code == DESCRIPTION and value.startswith(SHAPED):
            continue
        if value or not tag.valuebytecount:
            others.append((int(tag.code), int(tag.dtype), value))
    across, down = (page.tags.valueof(code) for code in RESOLUTION)
    known = all(np.shape(r) == (2,) and r[1] > 0 for r in (across, down))
    unit = page.tags.valueof(RESOLUTION_UNIT, 2)
    tags = Tags(tiff.byteorder, (across, down) if known else None, unit, tuple(others), rgb)
    orientation = valid_orientation(page.tags.valueof(ORIENTATION, 1))
    return orientation, page.tags.valueof(ICC_PROFILE), tags
