"""PNG and JPEG files with Pillow, and with `files.png16` the 16-bit colour that it lacks."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import png16

# No chroma subsampling: it would blur the colour that denoising restored.
JPEG_OPTIONS = {"quality": 95, "subsampling": 0}
ORIENTATION = 274  # number of the tag, in EXIF as in TIFF

_READERS = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
}


def read(file: BinaryIO, max_pixels: int) -> tuple[np.ndarray, int, bytes | None]:
    """Return the pixels with alpha as the last channel, the orientation and the colour profile."""
    picture = open_picture(file, ["PNG", "JPEG"], max_pixels)
    is_png = picture.format == "PNG"
    if is_png and picture.is_animated:
        raise ValueError("it is an animation; save one frame as an image of its own")
    samples = png16.samples_of(picture) if is_png else None
    if samples is not None and "transparency" in picture.info:
        raise ValueError("16-bit PNG with a transparent colour; save it with an alpha channel")
    if samples in png16.UNPACKINGS:
        stored = png16.pixels(lambda: open_picture(file, ["PNG"], max_pixels), samples)
    else:
        stored = pixels(picture)
    return stored, picture.getexif().get(ORIENTATION, 1), picture.info.get("icc_profile")


def open_picture(file: BinaryIO, formats: list[str], max_pixels: int) -> Any:
    """Open a file of one of the given formats with Pillow, without decoding it yet."""
    file.seek(0)
    # Pillow asks for as many bytes as a chunk claims to have, and a file would allocate them all.
    content = BytesIO(file.read())
    for format_ in formats:
        # Not with Image.open, whose limit of pixels is one number for the whole process.
        module, reader = _READERS[format_]
        content.seek(0)
        try:
            picture = getattr(import_extra(module), reader)(content)
        except SyntaxError:  # Pillow's error for a damaged file or one of another format
            continue
        check_size(picture.width, picture.height, max_pixels)
        return picture
    raise ValueError(f"not a {' or '.join(formats)} file, or a damaged one")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise if an image has more pixels than are accepted."""
    if width * height > max_pixels:
        raise ValueError(
            f"it claims {width}x{height} = {width * height} pixels, above the limit of "
            f"{max_pixels}; if you trust it, raise max_pixels "
            f"(--max-pixels of fastgsm denoise and train)"
        )


def pixels(picture: Any) -> np.ndarray:
    """Return the pixels as they are stored, but 1-bit as 0 and 255, and a palette as RGB."""
    mode = picture.mode
    if "transparency" in picture.info and mode in ("1", "L", "RGB", "P"):
        picture = picture.convert("LA" if mode in ("1", "L") else "RGBA")
    elif mode in ("1", "P"):
        picture = picture.convert("L" if mode == "1" else "RGB")
    if picture.mode not in ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "F"):
        raise ValueError(f"its colours are {mode}; convert the image to grey or RGB first")
    return np.array(picture)  # a copy: Pillow lends its own pixels read-only


def write(
    file: BinaryIO, format_: str, stored: np.ndarray, orientation: int = 1, icc: bytes | None = None
) -> None:
    """Write 8-bit pixels as PNG or JPEG."""
    image_module = import_extra("PIL.Image")
    exif = image_module.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    options = JPEG_OPTIONS if format_ == "JPEG" else {}
    picture = image_module.fromarray(stored)
    picture.save(file, format_, exif=exif if len(exif) else b"", icc_profile=icc, **options)
