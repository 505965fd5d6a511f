"""Image files: PNG, JPEG, TIFF and NPY, read exactly and written completely or not at all.

Pixels are handed over as they are stored: no rescaling, no rotation by the EXIF orientation, no
conversion between colour spaces. What makes the picture look right (orientation, colour
profile, alpha) travels beside them, so that it can be written back.
"""

from __future__ import annotations

import importlib
import math
import os
import secrets
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".npy": "NPY",
}
JPEG_QUALITY = 95
_ORIENTATION, _ICC_PROFILE = 274, 34675  # tag numbers, the same in EXIF and TIFF


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
    """

    array: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = 1
    icc_profile: bytes | None = None

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


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read a PNG, JPEG, TIFF or NPY file.

    Sixteen-bit values are read exactly, 1-bit images become 0 and 255, palettes become RGB. An
    NPY array is grey (height, width), or has 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels
    as its last axis.

    Parameters
    ----------
    path : str or path-like
        The file; its extension says the format.

    Returns
    -------
    ImageFile
        Pixels, and what belongs to them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a folder, of an unknown kind, damaged, too large, has several pages, or has
        colours other than grey and RGB.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_image, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/grey.npy", np.eye(3, dtype=np.uint8))
    ...     image = read_image(f"{folder}/grey.npy")
    >>> image.array.shape, image.channel_axis, image.alpha is None
    ((3, 3), None, True)
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give an image file")
    decode = _DECODERS[_format_of(path)]
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    with open(path, "rb") as file:
        try:
            return decode(file)
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise ValueError(f"cannot read {path}: {str(error) or type(error).__name__}") from error


def read_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[ImageFile]:
    """Read image files, and the images of folders.

    Parameters
    ----------
    paths : path, or iterable of paths
        Files and folders. Of a folder, the files with a known extension are read in the order of
        their names; its sub-folders and hidden files are not.

    Returns
    -------
    list of ImageFile
        In the order given.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `read_image`; also if a folder holds no image, or nothing is given.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_images, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b", "a"):
    ...         write_image(f"{folder}/{name}.npy", np.full((2, 2), ord(name)))
    ...     [chr(image.array[0, 0]) for image in read_images(folder)]
    ['a', 'b']
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files = [file for path in paths for file in image_files(Path(path))]
    if not files:
        raise ValueError("no image given; give at least one file or folder")
    return [read_image(file) for file in files]


def write_image(
    path: str | os.PathLike[str],
    image: ImageFile | np.ndarray,
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write a PNG, JPEG (quality 95), TIFF or NPY file, completely or not at all.

    The file is written under another name in the same folder and then renamed, so that a failure
    leaves neither half a file nor a damaged older one.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace; its extension says the format.
    image : ImageFile or ndarray
        Pixels; an array is laid out as `read_image` says of NPY.
    source : str or path-like, optional
        The file that the image was made from, which is never overwritten.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If `path` is `source`, a folder or of an unknown kind, or its format cannot hold the image.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/out.png", np.zeros((8, 8)))
    Traceback (most recent call last):
        ...
    ValueError: PNG holds uint8 or uint16 pixels, not float64; write TIFF (.tif) or NPY (.npy)
    """
    image = image if isinstance(image, ImageFile) else _from_array(image)
    check_output(path, image, source=source)
    encode = _ENCODERS[_format_of(Path(path))]
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        encode(file, image)


def check_output(
    path: str | os.PathLike[str],
    image: ImageFile,
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Raise, before any work is done, what `write_image` would raise about its arguments."""
    path = Path(path)
    format_ = _format_of(path)
    if source is not None and path.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input file {source}; give another output file")
    check_output_path(path)
    dtype = image.array.dtype
    allowed = {"PNG": ("uint8", "uint16"), "JPEG": ("uint8",)}.get(format_)
    if allowed and dtype.name not in allowed:
        remedy = "PNG (.png) or TIFF (.tif)" if dtype == np.uint16 else "TIFF (.tif) or NPY (.npy)"
        held = " or ".join(allowed)
        raise ValueError(f"{format_} holds {held} pixels, not {dtype}; write {remedy}")
    if dtype.kind not in "uif":
        raise ValueError(f"pixels must be integers or floats, not {dtype}")
    if format_ == "JPEG" and image.alpha is not None:
        raise ValueError("JPEG holds no alpha channel; write PNG (.png) or TIFF (.tif)")


def check_output_path(path: str | os.PathLike[str]) -> None:
    """Raise if no regular file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file name in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}; create it first")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; give another output file")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is write-protected; give another output file")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` only if the block succeeds.

    The temporary file has the extension of `path`. Links are followed. Whatever goes wrong, an
    interrupt from the keyboard too, the temporary file is removed.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".fastgsm-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # the content is on disk before the name points to it
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _format_of(path: Path) -> str:
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {known}") from None


def image_files(path: Path) -> list[Path]:
    """Give the image files of a folder, sorted and without its sub-folders, or the file itself."""
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in FORMATS]
    files = [p for p in files if not p.name.startswith(".") and not p.is_dir()]
    if not files:
        raise ValueError(f"no image ({', '.join(FORMATS)}) in the folder {path}")
    return files


def _extra(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f'image files need more packages: pip install "fastgsm[cli]" ({error})'
        raise ImportError(message) from error


def _from_array(stored: np.ndarray, orientation: int = 1, icc: bytes | None = None) -> ImageFile:
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
    return ImageFile(array, alpha, orientation, icc)


# ---- NPY


def _read_npy(file: BinaryIO) -> ImageFile:
    # Mapping compares the header with the file's size before anything is allocated.
    return _from_array(np.array(np.lib.format.open_memmap(file.name, mode="r")))


def _write_npy(file: BinaryIO, image: ImageFile) -> None:
    np.save(file, image.stored, allow_pickle=False)


# ---- PNG and JPEG


def _read_pillow(file: BinaryIO) -> ImageFile:
    picture = _open_pillow(file, ["PNG", "JPEG"])
    is_png = picture.format == "PNG"
    if is_png and picture.is_animated:
        raise ValueError("it is an animation; save one frame as an image of its own")
    rawmode = picture.tile[0].args if is_png else None
    stored = _png16_pixels(file, rawmode) if rawmode in _PNG16 else _pillow_pixels(picture)
    if rawmode in (*_PNG16, "I;16B") and "transparency" in picture.info:
        raise ValueError("16-bit PNG with a transparent colour; save it with an alpha channel")
    orientation = picture.getexif().get(_ORIENTATION, 1)
    return _from_array(stored, orientation, picture.info.get("icc_profile"))


def _open_pillow(file: BinaryIO, formats: list[str]) -> Any:
    image_module = _extra("PIL.Image")
    file.seek(0)
    with warnings.catch_warnings():
        # Pillow warns above 89 megapixels, which cameras reach, and refuses above twice that.
        warnings.simplefilter("ignore", image_module.DecompressionBombWarning)
        try:
            return image_module.open(file, formats=formats)
        except image_module.UnidentifiedImageError:
            raise ValueError(f"not a {' or '.join(formats)} file, or a damaged one") from None


def _pillow_pixels(picture: Any) -> np.ndarray:
    """Pixels in their own values; 1-bit becomes 0 and 255, a palette RGB."""
    mode = picture.mode
    if "transparency" in picture.info and mode in ("1", "L", "RGB", "P"):
        picture = picture.convert("LA" if mode in ("1", "L") else "RGBA")
    elif mode in ("1", "P"):
        picture = picture.convert("L" if mode == "1" else "RGB")
    if picture.mode not in ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "F"):
        raise ValueError(f"its colours are {mode}; convert the image to grey or RGB first")
    return np.array(picture)  # a copy: Pillow lends its own pixels read-only


# Pillow has no 16-bit colour images: it keeps the high byte of every sample. But it can be told how
# to unpack the decoded bytes, as big- or little-endian, and so gives the low byte as well.
_PNG16 = {
    "RGB;16B": ("RGB;16B", "RGB;16L"),
    "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
    "LA;16B": ("RGBA",),  # four bytes a pixel, in order
}


def _png16_pixels(file: BinaryIO, rawmode: str) -> np.ndarray:
    def unpack(as_rawmode: str) -> np.ndarray:
        picture = _open_pillow(file, ["PNG"])
        picture.tile = [tile._replace(args=as_rawmode) for tile in picture.tile]
        return np.array(picture)

    parts = [unpack(as_rawmode) for as_rawmode in _PNG16[rawmode]]
    if len(parts) == 1:
        return parts[0].view(">u2")
    high, low = (part.astype(np.uint16) for part in parts)
    return high * np.uint16(256) + low


def _write_png(file: BinaryIO, image: ImageFile) -> None:
    if image.array.dtype == np.uint16:
        _write_png16(file, image)
    else:
        _write_pillow(file, image, "PNG")


def _write_jpeg(file: BinaryIO, image: ImageFile) -> None:
    # No chroma subsampling: it would blur the colour that denoising restored.
    _write_pillow(file, image, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _write_pillow(file: BinaryIO, image: ImageFile, format_: str, **options: int) -> None:
    picture = _extra("PIL.Image").fromarray(image.stored)
    picture.save(file, format_, exif=_exif(image), icc_profile=image.icc_profile, **options)


def _exif(image: ImageFile) -> bytes:
    """EXIF data that hold the orientation alone; empty when there is nothing to say."""
    if image.orientation == 1:
        return b""
    exif = _extra("PIL.Image").Exif()
    exif[_ORIENTATION] = image.orientation
    data: bytes = exif.tobytes()
    return data


def _write_png16(file: BinaryIO, image: ImageFile) -> None:
    """Write 16-bit samples, which Pillow cannot; the format: https://www.w3.org/TR/png-3/."""
    stored = image.stored
    height, width = stored.shape[:2]
    channels = stored.shape[2] if stored.ndim == 3 else 1
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = stored.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # filter "up": each byte less the one above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data)
        file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))

    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if image.icc_profile:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(image.icc_profile))
    if exif := _exif(image):
        chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    chunk(b"IDAT", zlib.compress(filtered.data))
    chunk(b"IEND", b"")


# ---- TIFF


def _read_tiff(file: BinaryIO) -> ImageFile:
    with _extra("tifffile").TiffFile(file) as tiff:
        series = [s for s in tiff.series if not s.keyframe.is_reduced]  # less any thumbnails
        if len(series) != 1 or not set(series[0].axes) <= set("YXS"):
            shapes = ", ".join(f"{s.axes} {s.shape}" for s in series)
            raise ValueError(f"it has several pages or channels ({shapes}); save each as an image")
        page = series[0].keyframe
        _check_tiff_page(page, os.fstat(file.fileno()).st_size)
        stored = _tiff_pixels(file, series[0])
        tags = page.tags
        return _from_array(stored, tags.valueof(_ORIENTATION, 1), tags.valueof(_ICC_PROFILE))


def _check_tiff_page(page: Any, file_size: int) -> None:
    pixels, limit = page.imagewidth * page.imagelength, _extra("PIL.Image").MAX_IMAGE_PIXELS
    if page.compression != 1 and limit and pixels > 2 * limit:
        raise ValueError(f"{pixels} compressed pixels are above the limit of {2 * limit}")
    if page.compression == 1 and page.nbytes > file_size:
        raise ValueError(f"{page.nbytes} bytes of pixels cannot be in {file_size} bytes of file")
    colours = 3 if page.photometric == 2 else 1
    if page.samplesperpixel > colours + 1 and page.photometric in (0, 1, 2):
        raise ValueError(f"it has {page.samplesperpixel} channels; fastgsm reads grey and RGB")
    if 1 in page.extrasamples:
        raise ValueError("its alpha is premultiplied; save it with straight alpha")
    # tifffile takes missing parts for zeros
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of its pixels are missing; the file is damaged")


def _tiff_pixels(file: BinaryIO, series: Any) -> np.ndarray:
    page = series.keyframe
    bits, min_is_black, rgb = page.bitspersample, page.photometric == 1, page.photometric == 2
    if (min_is_black or rgb) and bits in (8, 16, 32, 64):
        try:
            stored: np.ndarray = series.asarray()
            return np.moveaxis(stored, 0, -1) if series.axes == "SYX" else stored
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # tifffile alone lacks LZW and JPEG; Pillow has them, but not 16-bit colour
            if bits != 8 and not (min_is_black and page.samplesperpixel == 1):
                raise
    elif bits not in (1, 2, 4, 8):
        kind = f"{bits}-bit {page.photometric.name}"
        raise ValueError(f"it is {kind}; save it as grey or RGB of 8 or 16 bit")
    return _pillow_pixels(_open_pillow(file, ["TIFF"]))


def _write_tiff(file: BinaryIO, image: ImageFile) -> None:
    orientation = [(_ORIENTATION, 3, 1, image.orientation, True)]
    _extra("tifffile").imwrite(
        file,
        image.stored,
        photometric="minisblack" if image.channel_axis is None else "rgb",
        planarconfig="contig" if image.stored.ndim == 3 else None,
        extrasamples=None if image.alpha is None else ["unassalpha"],
        iccprofile=image.icc_profile,
        extratags=orientation if image.orientation != 1 else (),
        metadata=None,
    )


_DECODERS = {"PNG": _read_pillow, "JPEG": _read_pillow, "TIFF": _read_tiff, "NPY": _read_npy}
_ENCODERS = {"PNG": _write_png, "JPEG": _write_jpeg, "TIFF": _write_tiff, "NPY": _write_npy}
