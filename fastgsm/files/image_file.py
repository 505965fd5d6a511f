"""What an image file holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Fraction = tuple[int, int]


@dataclass(frozen=True)
class Tags:
    """What a TIFF page says besides its pixels (description, date, place, ...), as stored bytes."""

    byteorder: str  # "<" or ">"
    resolution: tuple[Fraction, Fraction] | None  # pixels per unit, across and down
    unit: int  # of the resolution: 1 none, 2 inch, 3 centimetre
    others: tuple[tuple[int, int, bytes], ...]  # number, type, value


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What an image file holds.

    Attributes
    ----------
    array : ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB pixels in the file's own type.
    alpha : ndarray of shape (height, width), optional
        Opacity, in the type of `array`; None if the file has none.
    orientation : int
        EXIF orientation, 1 (as stored) to 8; viewers turn the pixels by it, fastgsm does not.
    icc_profile : bytes, optional
        The colour profile that the pixel values are meant in.
    tags : optional
        What else a TIFF says about a page (resolution, description, ImageJ's and other tags), to
        be written to another TIFF; None for other files.
    """

    array: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = 1
    icc_profile: bytes | None = None
    tags: Tags | None = None

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colours as `fastgsm.denoise` wants it: -1, or None for a grey image."""
        return -1 if self.array.ndim == 3 else None

    @property
    def stored(self) -> np.ndarray:
        """Pixels with alpha as the last channel: (height, width[, 2, 3 or 4])."""
        if self.alpha is None:
            return np.ascontiguousarray(self.array)
        return np.ascontiguousarray(np.dstack([self.array, self.alpha]))


def image_file(
    stored: np.ndarray,
    orientation: int = 1,
    icc_profile: bytes | None = None,
    tags: Tags | None = None,
) -> ImageFile:
    """Return what a file holds, from its pixels with alpha as the last channel."""
    if 0 in stored.shape:
        raise ValueError(f"the image is empty: its shape is {stored.shape}")
    channels = stored.shape[2] if stored.ndim == 3 else None
    if stored.ndim not in (2, 3) or channels not in (None, 2, 3, 4):
        raise ValueError(
            "an image has shape (height, width), or (height, width, channels) with 2 (grey, alpha),"
            f" 3 (RGB) or 4 (RGB, alpha) channels, not {stored.shape}"
        )
    stored = stored.astype(stored.dtype.newbyteorder("="), order="C", copy=False)
    array, alpha = stored, None
    if channels in (2, 4):
        array = np.ascontiguousarray(stored[..., 0] if channels == 2 else stored[..., :3])
        alpha = np.ascontiguousarray(stored[..., -1])
    return ImageFile(array, alpha, valid_orientation(orientation), icc_profile, tags)


def valid_orientation(orientation: int) -> int:
    """Return an EXIF orientation, or 1 for a number that EXIF does not define."""
    return orientation if orientation in range(1, 9) else 1
