"""16-bit PNG files, compared with the format's specification."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.io import read_image, write_image
from tests.files.helpers import SHAPES, pixels

Image = pytest.importorskip("PIL.Image")
get_sampling = pytest.importorskip("PIL.JpegImagePlugin").get_sampling
tifffile = pytest.importorskip("tifffile")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(stored: np.ndarray, filters: tuple[int, ...] = (0,), interlaced: bool = False) -> bytes:
    """Encode 16-bit pixels as the PNG specification says, with filter i for row i."""
    height, width, channels = stored.shape
    step = 2 * channels
    passes = [(0, 0, 1, 1)]
    if interlaced:  # first row, first column, row step, column step of Adam7's passes
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    data = bytearray()
    for row0, column0, row_step, column_step in passes:
        part = stored[row0::row_step, column0::column_step]
        if part.size == 0:
            continue
        above = bytes(part.shape[1] * step)
        for i, row in enumerate(part):
            line = row.astype(">u2").tobytes()
            kind = filters[i % len(filters)]
            data.append(kind)
            for j, value in enumerate(line):
                left = line[j - step] if j >= step else 0
                corner = above[j - step] if j >= step else 0
                data.append((value - predict(kind, left, above[j], corner)) % 256)
            above = line

    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    ends = chunk(b"IDAT", zlib.compress(bytes(data))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ends


def predict(kind: int, left: int, up: int, corner: int) -> int:
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_png_of_every_kind_is_read_exactly(
    tmp_path: Path, channels: int, interlaced: bool
) -> None:
    stored = pixels((19, 17, channels), np.uint16)
    path = tmp_path / "image.png"
    path.write_bytes(png(stored, filters=(0, 1, 2, 3, 4), interlaced=interlaced))
    np.testing.assert_array_equal(
        read_image(path).stored, stored[..., 0] if channels == 1 else stored
    )


@pytest.mark.parametrize(("channels", "colour"), [(1, (7,)), (3, (7, 8, 9))])
def test_16_bit_png_with_a_transparent_colour_is_an_error(
    tmp_path: Path, channels: int, colour: tuple[int, ...]
) -> None:
    content = png(pixels((5, 4, channels), np.uint16))
    transparent = chunk(b"tRNS", struct.pack(f">{len(colour)}H", *colour))
    (tmp_path / "a.png").write_bytes(content[:33] + transparent + content[33:])
    with pytest.raises(ValueError, match="transparent colour"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_other_readers_see_the_high_bytes_of_a_16_bit_png(tmp_path: Path, shape: Any) -> None:
    stored = pixels(shape, np.uint16)
    write_image(tmp_path / "image.png", stored)
    with Image.open(tmp_path / "image.png") as picture:
        seen = np.asarray(picture)
    if len(shape) == 3 and shape[2] == 2:  # Pillow shows grey and alpha as RGBA
        seen = seen[..., [0, 3]]
    # Pillow keeps 16 bits of grey, and the high byte of everything else.
    np.testing.assert_array_equal(seen, stored if len(shape) == 2 else stored >> 8)
