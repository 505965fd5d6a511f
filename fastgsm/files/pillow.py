"""PNG and JPEG files with Pillow, and with `files.png16` the 16-bit colour that it lacks."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import kept, png16
from fastgsm.files.image_file import ImageFile, PictureNotes, image_file
from fastgsm.files.kept import ORIENTATION

# No chroma subsampling: it would blur the colour that denoising restored.
JPEG_OPTIONS = {"quality": 95, "subsampling": 0}
JPEG_DPI = 2**16 - 1  # the largest resolution
JPEG_NOTE_BYTES = 65_450  # of EXIF or XMP, with their names and a new orientation in 64 KiB
PNG_HEADER = 33  # bytes of the signature and the first chunk

_READERS = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
}


def read(file: BinaryIO, max_pixels: int) -> ImageFile:
    """Return what a PNG or JPEG file holds."""
    file.seek(0)
    content = file.read()
    picture = open_picture(content, max_pixels)
    is_png = picture.format == "PNG"
    if is_png and picture.is_animated:
        raise ValueError("it is an animation; save one frame as an image of its own")
    samples = png16.samples_of(picture) if is_png else None
    if samples is not None and "transparency" in picture.info:
        raise ValueError("16-bit PNG with a transparent colour; save it with an alpha channel")
    if samples in png16.UNPACKINGS:
        stored = png16.pixels(lambda: open_picture(content, max_pixels), samples)
    else:
        stored = pixels(picture)
    if stored.shape[:2] != (picture.height, picture.width):
        raise ValueError(f"it announces {picture.width}x{picture.height} pixels, but holds "
                         f"{stored.shape[1]}x{stored.shape[0]}; save it again")  # fmt: skip
    picture.load()  # also what a PNG says after its pixels
    notes = _notes(picture, content)
    orientation = picture.getexif().get(ORIENTATION, 1)
    return image_file(stored, orientation, picture.info.get("icc_profile"), notes)


def open_picture(content: bytes, max_pixels: int) -> Any:
    """Open the content of a PNG or JPEG file with Pillow, without decoding it yet."""
    for module, reader in _READERS.values():
        # Not with Image.open, whose limit of pixels is one number for the whole process. From
        # memory, because Pillow asks for as many bytes as a chunk claims to have, and a file would
        # allocate them all.
        try:
            picture = getattr(import_extra(module), reader)(BytesIO(content))
        except SyntaxError:  # Pillow's error for a damaged file or one of another format
            continue
        check_size(picture.width, picture.height, max_pixels)
        return picture
    raise ValueError(f"not a {' or '.join(_READERS)} file, or a damaged one")


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
    if picture.mode not in ("L", "LA", "RGB", "RGBA", "I;16", "I;16B"):
        raise ValueError(f"its colours are {mode}; convert the image to grey or RGB first")
    return np.array(picture)  # a copy: Pillow lends its own pixels read-only


def _notes(picture: Any, content: bytes) -> PictureNotes:
    """Return what a picture says besides its pixels."""
    info = picture.info
    exif = info.get("exif") or kept.raw_profile(str(info.get("Raw profile type exif", "")))
    xmp = info.get("xmp", b"")
    xmp = xmp if isinstance(xmp, bytes) else xmp.encode()
    is_png = picture.format == "PNG"
    # Pillow invents a density where a JPEG has none.
    known = is_png or info.get("jfif_unit") in (1, 2)
    return PictureNotes(
        dpi=info.get("dpi") if known else None,
        exif=kept.kept_exif(exif),
        xmp=kept.kept_xmp(xmp) or None,
        comment=info.get("comment") or None if not is_png else None,
        chunks=kept.kept_chunks(content) if is_png else (),
    )


def _notes_of(image: ImageFile) -> PictureNotes:
    """Return what an image says besides its pixels, for a PNG or JPEG."""
    return replace(image.notes or PictureNotes(), dpi=image.dpi)


def write_png(file: BinaryIO, image: ImageFile) -> None:
    """Write 8-bit or 16-bit pixels as PNG."""
    chunks = kept.chunk_bytes(kept.chunks_of(_notes_of(image), image.orientation))
    if image.array.dtype == np.uint16:
        png16.write(file, image.stored, image.icc_profile, chunks)
        return
    png = BytesIO()
    picture = import_extra("PIL.Image").fromarray(image.stored)
    picture.save(png, "PNG", icc_profile=image.icc_profile)
    content = png.getbuffer()
    for part in (content[:PNG_HEADER], chunks, content[PNG_HEADER:]):
        file.write(part)


def check_notes(notes: PictureNotes) -> None:
    """Raise if a JPEG cannot hold the EXIF or XMP, each of which is one segment with its name."""
    for name, text in (("EXIF", notes.exif), ("XMP", notes.xmp)):
        n_bytes = len(text or b"")
        if n_bytes > JPEG_NOTE_BYTES:
            raise ValueError(
                f"JPEG holds at most {JPEG_NOTE_BYTES} bytes of {name}, not {n_bytes}; write PNG "
                f"(.png), or remove some of it first"
            )


def write_jpeg(file: BinaryIO, image: ImageFile) -> None:
    """Write 8-bit pixels as JPEG."""
    notes = _notes_of(image)
    dpi = notes.dpi if max(notes.dpi or (0,)) <= JPEG_DPI else None
    options = {"dpi": dpi, "xmp": notes.xmp, "comment": notes.comment}
    options = {name: value for name, value in options.items() if value}
    exif = kept.with_orientation(notes.exif, image.orientation)
    picture = import_extra("PIL.Image").fromarray(image.stored)
    picture.save(
        file,
        "JPEG",
        exif=b"Exif\0\0" + exif if exif else b"",
        icc_profile=image.icc_profile,
        **options,
        **JPEG_OPTIONS,
    )
