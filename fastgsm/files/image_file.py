"""What an image file holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastgsm.files import tiff as _tiff


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What an image file holds.

    Attributes
    ----------
    array : ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB pixels in the file's own type.
    alpha : ndarray of shape (height, width), optional
        Opacity, in the type of `array`; None when the file has none.
    orientation : int
        EXIF orientation, 1 (as stored) to 8; viewers turn the pixels by it, fastgsm does not.
    icc_profile : bytes, optional
        The colour profile that the pixel values are meant in.
    tags : optional
        What else a TIFF says of a page (resolution, description, ImageJ's and other tags), to be
        written to another TIFF; None of other files.
    """

    array: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = 1
    icc_profile: bytes | None = None
    tags: _tiff.Tags | None = None

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colours, -1, or None for a grey image: as `fastgsm.denoise` wants it."""
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
    icc: bytes | None = None,
    tags: _tiff.Tags | None = None,
) -> ImageFile:
    """Split alpha from `stored`, which has it as its last channel; native byte order."""
    if 0 in stored.shape:
        raise ValueError(f"the image is empty: its shape is {stored.shape}")
    channels = stored.shape[2] if stored.ndim == 3 else None
    if stored.ndim not in (2, 3) or channels not in (None, 2, 3, 4):
        raise ValueError(
            "an image has shape (height, width), or (height, width, channels) with 2 (grey, alpha),"
            f" 3 (RGB) or 4 (RGB, alpha) channels, not {stored.shape}"
        )
    stored = stored.astype(stored.dtype.newbyteorder("="), order="C", copy=False)
    orientation = orientation if orientation in range(1, 9) else 1
    array, alpha = stored, None
    if channels in (2, 4):
        array = np.ascontiguousarray(stored[..., 0] if channels == 2 else stored[..., :3])
        alpha = np.ascontiguousarray(stored[..., -1])
    return ImageFile(array, alpha, orientation, icc, tags)
