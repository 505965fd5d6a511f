"""PNG files with 16 bits per sample, of which Pillow reads and writes only the grey ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from fastgsm.files.kept import chunk_bytes

# Pillow has no 16-bit colour images: it keeps the high byte of every sample. But we can tell it to
# unpack the decoded bytes as little-endian instead of big-endian, which returns the low byte.
# This relies on undocumented facts: a picture that is not loaded yet has `tile`, a list of named
# tuples whose `args` is the layout of the samples (plain tuples before Pillow 11), and these
# layouts exist. The tests read every kind of 16-bit PNG, so they fail with a Pillow that behaves
# differently; 11.0 and 13.0 pass.
UNPACKINGS = {
    "RGB;16B": ("RGB;16B", "RGB;16L"),
    "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
    "LA;16B": ("RGBA",),  # four bytes a pixel, in order
}
GREY = "I;16B"


def samples_of(picture: Any) -> str | None:
    """Return Pillow's name for the layout of a PNG's 16-bit samples, or None for fewer bits."""
    layout: str = picture.tile[0].args
    return layout if layout in (*UNPACKINGS, GREY) else None


def pixels(open_again: Callable[[], Any], samples: str) -> np.ndarray:
    """Return 16-bit pixels with colour or alpha, (height, width, 2, 3 or 4).

    Decoding uses up a picture, so ``open_again`` returns a new one each time.
    """

    def unpack(layout: str) -> np.ndarray:
        picture = open_again()
        picture.tile = [tile._replace(args=layout) for tile in picture.tile]
        return np.array(picture)

    parts = [unpack(layout) for layout in UNPACKINGS[samples]]
    if len(parts) == 1:
        return parts[0].view(">u2")
    high, low = (part.astype(np.uint16) for part in parts)
    return high * np.uint16(256) + low


def write(file: BinaryIO, stored: np.ndarray, icc: bytes | None, chunks: bytes) -> None:
    """Write 16-bit pixels, grey or colour, as https://www.w3.org/TR/png-3/ defines.

    ``chunks`` are others to be written before the pixels.
    """
    height, width = stored.shape[:2]
    channels = stored.shape[2] if stored.ndim == 3 else 1
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = stored.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # filter "up": each byte minus the one above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    profile = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))] if icc else []
    file.write(b"\x89PNG\r\n\x1a\n" + chunk_bytes([(b"IHDR", header), *profile]) + chunks)
    file.write(chunk_bytes([(b"IDAT", zlib.compress(filtered.data)), (b"IEND", b"")]))
