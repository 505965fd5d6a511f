"""The pixels of a TIFF page: checked against what the page announces, and decoded by tifffile."""

from __future__ import annotations

import itertools
import lzma
import math
import struct
import zlib
from importlib.util import find_spec
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import ycbcr

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, YCBCR = 0, 1, 2, 3, 4, 6
KNOWN = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR}
PHOTOMETRIC = 262  # number of the tag

# Compressions that are read. Each decoder is told the size, or the stream is asked for it first: a
# small file must not expand to more than its page announces.
JPEG, JPEG_2000 = 7, (33004, 33005, 34712)
STREAMS = (JPEG, *JPEG_2000)  # images of their own, which say their size and samples
# Without imagecodecs, tifffile expands these step by step to any size without asking.
EXPANDERS: dict[int, Any] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: lzma.LZMADecompressor,
}
# tifffile alone reads these, and no others in bounded memory.
WITHOUT_IMAGECODECS = {1, 32773, *EXPANDERS}
COMPRESS: dict[int, Any] = {8: zlib.compress, 32946: zlib.compress, 34925: lzma.compress}
READ = {1, 2, 3, 4, 5, 32773, 34926, 50000, *STREAMS, *EXPANDERS}
SLACK_BYTES = 2**16  # bytes that some writers leave after the pixels of a part

SAVE = "save it as grey or RGB of 8 or 16 bit, or float"


class Kind(NamedTuple):
    """What the samples of a page are."""

    photometric: int
    n_colours: int
    """Number of samples that are colours: 1, or 3 for RGB and YCbCr."""
    alpha: int | None
    """Which sample is opacity."""

    @property
    def rgb(self) -> bool:
        """The pixels are returned as red, green and blue."""
        return self.photometric in (RGB, PALETTE, YCBCR)

    @property
    def as_stored(self) -> bool:
        """The values are returned as they are in the file, if they have 8 bits or more."""
        return self.photometric in (BLACK_IS_ZERO, RGB)


def kind_of(page: Any) -> Kind:
    """Return what the samples of a page are; raise ValueError if it is nothing that we read."""
    photometric = _photometric(page)
    name = f"{page.bitspersample}-bit {getattr(page.photometric, 'name', photometric)}"
    if page.compression not in READ:
        raise ValueError(
            f"it is compressed by {_compression(page)}, which is not read; save it with LZW or "
            f"deflate"
        )
    if page.compression not in WITHOUT_IMAGECODECS and find_spec("imagecodecs") is None:
        raise ValueError(_needs_imagecodecs(page))
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"its axes are {page.axes}; fastgsm reads images of two dimensions")
    few = page.bitspersample in (1, 2, 4)
    if page.dtype is None or page.dtype.kind not in ("ub" if few else "uif"):
        raise ValueError(f"pixels must be integers or floats, not {page.dtype or 'of this kind'}")
    if photometric not in KNOWN or not (few or page.bitspersample in (8, 16, 32, 64)):
        raise ValueError(f"it is {name} with axes {page.axes}; {SAVE}")
    if photometric == WHITE_IS_ZERO and page.dtype.kind not in "ub":
        raise ValueError(f"it is {page.dtype} {name}; {SAVE}")
    n_colours = 3 if photometric in (RGB, YCBCR) else 1
    n_extra = page.samplesperpixel - n_colours
    if n_extra < 0 or len(page.extrasamples) > n_extra:
        raise ValueError(
            f"it is {name} with {page.samplesperpixel} samples a pixel, {len(page.extrasamples)} "
            f"of them no colours; the file is damaged"
        )
    if photometric in (PALETTE, YCBCR) and (n_extra or page.bitspersample > 8):
        raise ValueError(f"it is {name} with {page.samplesperpixel} samples a pixel; {SAVE}")
    if photometric == YCBCR and (
        page.compression in JPEG_2000 or (page.compression == JPEG and page.axes == "SYX")
    ):  # whose decoder does not convert them
        raise ValueError(f"it is YCbCr with axes {page.axes}, compressed by {_compression(page)}; "
                         f"save it as RGB")  # fmt: skip
    return Kind(photometric, n_colours, _alpha(page, n_colours))


def _photometric(page: Any) -> int:
    """Return the photometric interpretation, guessed from the samples where it is missing."""
    if PHOTOMETRIC in page.tags:
        return int(page.photometric)
    if page.compression in STREAMS and page.samplesperpixel > 1:
        raise ValueError("its tag PhotometricInterpretation is missing, so that its colours are "
                         "not known; save it as RGB")  # fmt: skip
    return RGB if page.samplesperpixel - len(page.extrasamples) >= 3 else BLACK_IS_ZERO


def _alpha(page: Any, n_colours: int) -> int | None:
    """Return which sample is alpha. Unspecified samples (0) are data like any other."""
    kinds = [int(kind) for kind in page.extrasamples]
    if 1 in kinds:
        raise ValueError("its alpha is premultiplied; save it with straight alpha")
    if kinds.count(2) > 1:
        raise ValueError(f"it has {kinds.count(2)} alpha channels; save it with one")
    # The tag is about the last samples.
    return page.samplesperpixel - len(kinds) + kinds.index(2) if 2 in kinds else None


def check_parts_present(file: BinaryIO, page: Any, file_size: int) -> None:
    """Raise if the pixels of a page cannot all be in the file, or expand to more than it says."""
    if page.compression == 1:
        # Eight pixels of 1 bit share a byte, which tifffile does not count; nor does it that
        # several pixels share their chroma.
        shared = 3 if page.is_subsampled else 1
        n_bytes = page.size * int(np.min(page.bitspersample)) // 8 // shared
        if n_bytes > file_size:
            raise ValueError(f"{n_bytes} bytes of pixels cannot be in {file_size} bytes of file")
    else:
        # Not strict: the last check below compares the numbers of both.
        parts = zip(page.dataoffsets, page.databytecounts, strict=False)
        if any(offset + size > file_size for offset, size in parts):
            raise ValueError("parts of its pixels lie beyond its end; the file is damaged")
    # tifffile would fill missing parts with zeros
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of its pixels are missing; the file is damaged")
    if page.compression in EXPANDERS and find_spec("imagecodecs") is None:
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            _bounded(file.read(size), page, page.chunks)


def _bounded(data: bytes, page: Any, shape: tuple[int, ...]) -> bytes:
    """Return a compressed part expanded; raise if it is far larger than its pixels."""
    largest = math.prod(shape) * page.dtype.itemsize
    expanded: bytes = EXPANDERS[page.compression]().decompress(data, largest + SLACK_BYTES)
    if len(expanded) == largest + SLACK_BYTES:
        raise ValueError(f"a part of it expands to more than its {largest} bytes of pixels")
    return expanded


def pixels(file: BinaryIO, page: Any, kind: Kind) -> np.ndarray:
    """Return all pixels of a page, (height, width[, samples]): palettes and YCbCr as RGB."""
    if kind.photometric == YCBCR and page.compression not in STREAMS:
        return _from_ycbcr(file, page)
    if page.is_contiguous:
        stored: np.ndarray = page.asarray()
        stored = np.moveaxis(stored, 0, -1) if page.axes == "SYX" else stored
    else:
        stored = Parts(file, page)[: page.imagelength, : page.imagewidth]
    if kind.photometric == PALETTE:
        return _colours(page)[stored.astype(np.uint8)]
    if page.bitspersample in (1, 2, 4):
        stored = stored.astype(np.uint8) * np.uint8(255 // (2**page.bitspersample - 1))
    if kind.photometric == WHITE_IS_ZERO:
        stored = np.iinfo(stored.dtype).max - stored
    return stored


class Parts:
    """The pixels (height, width[, channels]) of a page that is stored in strips or tiles.

    A strip or tile is read and expanded whenever some of its pixels are asked for. tifffile's own
    array of this kind works only with some releases of Zarr.
    """

    def __init__(self, file: BinaryIO, page: Any) -> None:
        self.shape = (*page.shape[1:], page.shape[0]) if page.axes == "SYX" else page.shape
        self.dtype = page.dtype
        self._file, self._page = file, page

    def __getitem__(self, part: tuple[slice, ...]) -> np.ndarray:
        rows, columns = (
            slice(*s.indices(n)[:2]) for s, n in zip(part[:2], self.shape, strict=False)
        )
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
            pixels = _expanded(self._file, self._page, (channel * down + i) * across + j)
            to_rows, from_rows = _overlap(rows, i * length, length)
            to_columns, from_columns = _overlap(columns, j * width, width)
            channels = slice(channel, channel + 1) if n_separate > 1 else slice(None)
            out[to_rows, to_columns, channels] = pixels[from_rows, from_columns]
        return out if len(self.shape) == 3 else out[..., 0]


def _overlap(wanted: slice, first: int, length: int) -> tuple[slice, slice]:
    """Return where a part that starts at ``first`` overlaps ``wanted``: in ``wanted``, in the part.

    Both slices count from the start of their own range.
    """
    start, stop = max(wanted.start, first), min(wanted.stop, first + length)
    return slice(start - wanted.start, stop - wanted.start), slice(start - first, stop - first)


def _expanded(file: BinaryIO, page: Any, number: int) -> np.ndarray:
    """Return the pixels (rows, columns, samples) of a strip or tile."""
    file.seek(page.dataoffsets[number])
    data = file.read(page.databytecounts[number])
    tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
    try:
        *_, announced = page.decode(None, number, **tables)
        if page.compression in STREAMS:
            _check_stream(data, page, announced)
        try:
            decoded, *_ = page.decode(data, number, **tables)
        except Exception:
            if page.compression not in EXPANDERS:
                raise
            # imagecodecs refuses what some writers leave after the pixels.
            n_bytes = math.prod(announced) * page.dtype.itemsize
            expanded = _bounded(data, page, announced)
            if len(expanded) <= n_bytes:
                raise
            data = COMPRESS[page.compression](expanded[:n_bytes])
            decoded, *_ = page.decode(data, number)
    except Exception as error:  # which kind depends on the codec
        raise _explained(error, page) from error
    if decoded.shape[1:] != announced[1:] and not page.is_tiled:
        raise ValueError(f"a strip of shape {announced[1:]} was decoded to {decoded.shape[1:]}")
    if page.bitspersample >= 8 and decoded.dtype != page.dtype:
        raise ValueError(f"it announces pixels of type {page.dtype}, but its {_compression(page)} "
                         f"holds {decoded.dtype}; save it again")  # fmt: skip
    part: np.ndarray = decoded[0]
    return part


def _explained(error: Exception, page: Any) -> Exception:
    """Return the error, or one that says what to install where the decoder is missing."""
    missing = find_spec("imagecodecs") is None and "imagecodecs" in str(error)
    return ValueError(_needs_imagecodecs(page)) if missing else error


def _needs_imagecodecs(page: Any) -> str:
    """Return an error message."""
    return (
        f"it is {page.bitspersample}-bit, compressed by {_compression(page)} with predictor "
        f'{int(page.predictor)}, which needs the package imagecodecs: pip install "fastgsm[cli]" '
        f"or imagecodecs; or save it with deflate"
    )


def _compression(page: Any) -> str:
    """Return the name of the compression."""
    return str(getattr(page.compression, "name", page.compression))


def _check_stream(data: bytes, page: Any, announced: tuple[int, ...]) -> None:
    """Raise if an image in a strip or tile is not of the size and samples that the page announces.

    The last strip may be as high as the others. At the image's end a tile may be cut.
    """
    height, width, samples = (_jpeg_size if page.compression == JPEG else _jpeg_2000_size)(data)
    _, rows, columns, n_samples = announced
    length = min(page.rowsperstrip, page.imagelength) if not page.is_tiled else page.tilelength
    rest = 0 if page.is_tiled else rows
    fits = rest <= height <= length and (width == columns or (page.is_tiled and width < columns))
    if not fits or samples != n_samples:
        raise ValueError(
            f"it announces parts of {columns}x{rows} pixels with {n_samples} samples, but its "
            f"{_compression(page)} holds {width}x{height} with {samples}; save it again"
        )


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Return height, width and number of samples of a JPEG stream, from its frame header."""
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _, height, width, samples = struct.unpack_from(">BHHB", data, place + 4)
            return height, width, samples
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        fill = 1 if marker == 0xFF else 2
        place += fill if alone else 2 + struct.unpack_from(">H", data, place + 2)[0]
    raise ValueError("its JPEG has no frame; the file is damaged")


def _jpeg_2000_size(data: bytes) -> tuple[int, int, int]:
    """Return height, width and number of samples of a JPEG 2000 stream, from its marker SIZ.

    It is by itself, or in the first box "jp2c" of a file. Other boxes may hold anything.
    """
    place = 0
    if data[4:8] == b"jP  ":
        while data[place + 4 : place + 8] not in (b"jp2c", b""):
            (size,) = struct.unpack_from(">I", data, place)
            if size == 1 and place + 16 <= len(data):
                (size,) = struct.unpack_from(">Q", data, place + 8)
            place += size if size >= 8 else len(data)
        place += 16 if data[place : place + 4] == b"\0\0\0\1" else 8
    if data[place : place + 4] != b"\xff\x4f\xff\x51" or place + 42 > len(data):
        raise ValueError("its JPEG 2000 has no size; the file is damaged")
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, place + 8)
    return y1 - y0, x1 - x0, struct.unpack_from(">H", data, place + 40)[0]


def _colours(page: Any) -> np.ndarray:
    """Return the palette of a page as 8-bit RGB, (colours, 3).

    Its values have 16 bits. Some old programs wrote 8 bits, so that none is above 255.
    """
    colours = page.colormap
    if colours is None or colours.shape != (3, 2**page.bitspersample):
        raise ValueError("its palette is missing or damaged; save it as RGB")
    eight_bits = colours >> 8 if colours.max() > 255 else colours
    return np.ascontiguousarray(eight_bits.T.astype(np.uint8))


def _from_ycbcr(file: BinaryIO, page: Any) -> np.ndarray:
    """Return the RGB pixels of a page that is stored as luminance and chroma, but not as JPEG."""
    if page.bitspersample != 8 or page.axes != "YXS" or page.predictor != 1 or page.is_tiled:
        raise ValueError(f"it is {page.bitspersample}-bit YCbCr with axes {page.axes}; save it as "
                         f"RGB")  # fmt: skip
    full = page.compression == 1 and sum(page.databytecounts) >= page.size
    across, down = page.subsampling or ((1, 1) if full else (2, 2))
    if {across, down} - {1, 2, 4}:
        raise ValueError(f"its chroma is subsampled by {across}x{down}; save it as RGB")
    decoders = import_extra("tifffile").TIFF.DECOMPRESSORS
    rows, parts = min(page.rowsperstrip, page.imagelength), []
    for number, (offset, size) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        n_rows = min(rows, page.imagelength - number * rows)
        n_units = -(-n_rows // down) * -(-page.imagewidth // across)
        n_bytes = n_units * (across * down + 2)
        file.seek(offset)
        data = file.read(size)
        if page.compression != 1:
            try:
                data = decoders[page.compression](data, out=n_bytes)
            except Exception as error:
                raise _explained(error, page) from error
        samples = np.frombuffer(data, np.uint8)
        parts.append(ycbcr.unpacked(samples, n_rows, page.imagewidth, across, down))
    numbers = [_numbers(page, 529, ycbcr.COEFFICIENTS), _numbers(page, 532, ycbcr.REFERENCE)]
    return ycbcr.to_rgb(np.concatenate(parts), *numbers)


def _numbers(page: Any, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the fractions of a tag, as floats."""
    value = page.tags.valueof(tag)
    if value is None:
        return default
    if np.size(value) == len(default):  # not as fractions
        return tuple(float(number) for number in value)
    if np.size(value) != 2 * len(default) or 0 in value[1::2]:
        raise ValueError(f"its tag {tag} is damaged; save it as RGB")
    return tuple(a / b for a, b in zip(value[::2], value[1::2], strict=True))
