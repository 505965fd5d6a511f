"""What an image file holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastgsm.files.nodata import away_from, is_nodata

Fraction = tuple[int, int]
GDAL_NODATA = 42113  # number of the tag


@dataclass(frozen=True)
class Tags:
    """What a TIFF page says besides its pixels (description, date, place, ...), as stored bytes."""

    byteorder: str  # "<" or ">"
    resolution: tuple[Fraction, Fraction] | None  # pixels per unit, across and down
    unit: int  # of the resolution: 1 none, 2 inch, 3 centimetre
    others: tuple[tuple[int, int, bytes], ...]  # number, type, value
    rgb: bool = True  # of three channels or more, the first three are red, green and blue

    @property
    def nodata(self) -> bytes | None:
        """The number that GDAL stores where there is no value, as text; None if there is none."""
        return next((value for number, _, value in self.others if number == GDAL_NODATA), None)


@dataclass(frozen=True)
class PictureNotes:
    """What a PNG or JPEG says besides its pixels."""

    dpi: tuple[float, float] | None = None  # pixels per inch, across and down
    exif: bytes | None = None  # without orientation and previews
    xmp: bytes | None = None  # without orientation and previews
    comment: bytes | None = None  # of a JPEG
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # of a PNG: colour, density, date and text


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What an image file holds.

    Attributes
    ----------
    array : ndarray of shape (height, width) or (height, width, channels)
        Grey or RGB pixels in the file's own type. A TIFF may have any number of channels: a channel
        of infrared after red, green and blue, for example.
    alpha : ndarray of shape (height, width), optional
        Opacity, in the type of `array`; None if the file has none.
    orientation : int
        EXIF orientation, 1 (as stored) to 8; viewers turn the pixels by it, fastgsm does not.
    icc_profile : bytes, optional
        The colour profile that the pixel values are meant in.
    tags : optional
        What else a TIFF says about a page (resolution, description, ImageJ's and other tags), to
        be written to another TIFF; None for other files.
    mask : ndarray of bool, shape (height, width), optional
        The mask page that a TIFF has for this page: False where a pixel has no value.
    notes : optional
        What else a PNG or JPEG says (dots per inch, gamma, dates, EXIF, text); None for others.
    ones : tuple of int
        Axes of length 1 that the array in an NPY file has besides those of `array`.
    """

    array: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = 1
    icc_profile: bytes | None = None
    tags: Tags | None = None
    mask: NDArray[np.bool_] | None = None
    notes: PictureNotes | None = None
    ones: tuple[int, ...] = ()

    @property
    def channel_axis(self) -> int | None:
        """Axis of the channels as `fastgsm.denoise` wants it: -1, or None for a grey image."""
        return -1 if self.array.ndim == 3 else None

    @property
    def n_channels(self) -> int:
        """Number of channels without alpha."""
        return 1 if self.array.ndim == 2 else self.array.shape[2]

    @property
    def n_colours(self) -> int:
        """Number of channels that are one picture: 3 for RGB, of which others are independent."""
        return 3 if self.n_channels >= 3 and (self.tags is None or self.tags.rgb) else 1

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch, across and down; None if the file does not say."""
        if self.tags is None:
            return None if self.notes is None else self.notes.dpi
        inch = {2: 1.0, 3: 2.54}.get(self.tags.unit)
        if inch is None or self.tags.resolution is None:
            return None
        (across, of_across), (down, of_down) = self.tags.resolution
        dpi = inch * across / of_across, inch * down / of_down
        return dpi if min(dpi) > 0 else None

    @property
    def stored(self) -> np.ndarray:
        """Pixels with alpha as the last channel: (height, width[, channels])."""
        if self.alpha is None:
            return np.ascontiguousarray(self.array)
        return np.ascontiguousarray(np.dstack([self.array, self.alpha]))

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """Where a pixel has no value in some channel, (height, width); None if all have one.

        The mask page says so, or the number that GDAL's tag names.
        """
        missing = np.zeros(self.array.shape[:2], bool) if self.mask is None else ~self.mask
        nodata = None if self.tags is None else self.tags.nodata
        if nodata is not None:
            found = is_nodata(self.array, nodata)
            missing |= found.any(axis=-1) if found.ndim == 3 else found
        return missing if missing.any() else None

    def with_values(self, array: np.ndarray) -> ImageFile:
        """Return this file with other pixels; missing ones stay missing, and no others become so.

        A value that is the one which stands for "no data" by chance becomes the next one to it.
        """
        missing = self.missing
        nodata = None if self.tags is None else self.tags.nodata
        if nodata is not None:
            array = away_from(array, nodata)
        if missing is not None:
            array = np.where(missing[..., None] if array.ndim == 3 else missing, self.array, array)
        return replace(self, array=array)


def image_file(
    stored: np.ndarray,
    orientation: int = 1,
    icc_profile: bytes | None = None,
    notes: PictureNotes | None = None,
) -> ImageFile:
    """Return what a file holds, from its pixels with alpha as the last channel.

    Axes of length 1 besides height and width are left out of `array`.
    """
    if 0 in stored.shape:
        raise ValueError(f"the image is empty: its shape is {stored.shape}")
    ones = _axes_of_one(stored.shape)
    given, stored = stored.shape, stored.squeeze(ones)
    channels = stored.shape[2] if stored.ndim == 3 else None
    if stored.ndim not in (2, 3) or channels not in (None, 2, 3, 4):
        raise ValueError(
            "an image has shape (height, width), or (height, width, channels) with 2 (grey, alpha),"
            f" 3 (RGB) or 4 (RGB, alpha) channels, not {given}"
        )
    stored = native(stored)
    array, alpha = stored, None
    if channels in (2, 4):
        array = np.ascontiguousarray(stored[..., 0] if channels == 2 else stored[..., :3])
        alpha = np.ascontiguousarray(stored[..., -1])
    return ImageFile(
        array, alpha, valid_orientation(orientation), icc_profile, notes=notes, ones=ones
    )


def native(stored: np.ndarray) -> np.ndarray:
    """Return pixels in the machine's byte order and in C's order of axes."""
    return stored.astype(stored.dtype.newbyteorder("="), order="C", copy=False)


def _axes_of_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of length 1 that an image has too many, such as both in (1, 9, 8, 1).

    An array (1, 8, 3) is an RGB image of one row, not a grey one.
    """
    kept = list(range(len(shape)))
    while len(kept) > 2:
        if shape[kept[-1]] == 1:
            kept.pop()
        elif shape[kept[0]] == 1 and (len(kept) > 3 or shape[kept[-1]] > 4):
            kept.pop(0)
        else:
            break
    return tuple(axis for axis in range(len(shape)) if axis not in kept)


def valid_orientation(orientation: int) -> int:
    """Return an EXIF orientation, or 1 for a number that EXIF does not define."""
    return orientation if orientation in range(1, 9) else 1
