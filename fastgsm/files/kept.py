"""What is kept of what a file says besides its pixels.

The rule, for all formats: what says something about the picture is copied. What is not copied

- describes how the pixels are stored, which the writer decides,
- is written from a field of `ImageFile`, such as the orientation, which is not said twice,
- points to another place in the file,
- holds pixels, a preview, or a digest of them: these are of the noisy image, and programs would
  show them instead of the result.

Of what holds a preview among other things (EXIF, XMP, Photoshop's resources), the rest is copied.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable

from fastgsm.files.image_file import PictureNotes

ORIENTATION = 274  # number of the tag, in EXIF as in TIFF

# Tags of TIFF and EXIF that point to other places: SubIFDs, global parameters, JPEG, Kodak, JPL,
# EXIF, GPS, Leaf, Interoperability, Samsung, DNG's profiles.
POINTERS = {330, 400, 513, 514, 33424, 34263, 34665, 34853, 34954, 40965, 40976, 40977, 50933}
# Tags that hold pixels, a preview or a digest.
PIXELS = {
    *(*range(20498, 20506), 20507, *range(20512, 20540)),  # Windows' thumbnail
    37500,  # MakerNote: cameras' previews
    37680,  # Microsoft's property set: a thumbnail
    37724,  # ImageSourceData: Photoshop's layers
    50495,  # PCO's raw pixels
    50740,  # DNGPrivateData: MakerNote again
    50784,  # Alias's layers
    50828,  # OriginalRawFileData
    50972,  # RawImageDigest
    51111,  # NewRawImageDigest
    51113,  # CacheBlob
    *(52525, 52544),  # ProfileGainTableMap: brightness of each region
}
PHOTOSHOP_THUMBNAILS = (1033, 1036)  # numbers of image resources

# EXIF: tables that are kept, and the bytes of a value of each type.
TABLES = (34665, 34853, 40965)
VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
Table = list[tuple[int, int, int, "bytes | Table"]]  # number, type, count, value

# PNG: colour, density, date and text; not what depends on the layout of the pixels.
CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tIME")
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
XMP_KEYWORD = b"XML:com.adobe.xmp"
# ImageMagick's form of EXIF, IPTC and Photoshop's resources, with previews and orientation in it.
RAW_PROFILE = b"Raw profile type "
INCHES_PER_METRE = 0.0254


def kept_xmp(xmp: bytes) -> bytes:
    """Return XMP without its thumbnails and its orientation.

    Each byte is looked at a few times, whatever the text is: no pattern goes beyond the next tag.
    """
    parts, place = [], 0
    for opening in re.finditer(rb"<(\w+:Thumbnails)\b[^<>]*>", xmp):
        if opening.start() < place:  # within another
            continue
        end = opening.end()
        if not opening[0].endswith(b"/>"):
            closing = xmp.find(b"</" + opening[1], end)
            end = xmp.find(b">", closing) + 1
            if closing < 0 or end == 0:  # it is never closed
                break
        parts.append(xmp[place : opening.start()])
        place = end
    xmp = b"".join([*parts, xmp[place:]])
    for pattern in (
        rb"<(tiff:Orientation)\b[^<>]*>[^<]*</\1\s*>",
        rb"""\btiff:Orientation\s*=\s*("[^"]*"|'[^']*')""",
    ):
        xmp = re.sub(pattern, b"", xmp)
    return xmp


def kept_resources(resources: bytes) -> bytes:
    """Return Photoshop's image resources without its thumbnails; nothing if they are damaged.

    A resource is a signature, its number, a name and a content, both with their length before them
    and padded to an even length.
    """
    kept, place = bytearray(), 0
    while place + 12 <= len(resources):
        start, (signature, number, name) = place, struct.unpack_from(">4sHB", resources, place)
        place += 6 + (name + 2) // 2 * 2
        if not signature.isalnum() or place + 4 > len(resources):
            return b""
        (size,) = struct.unpack_from(">I", resources, place)
        place += 4 + (size + 1) // 2 * 2
        if place > len(resources) + 1:
            return b""
        kept += b"" if number in PHOTOSHOP_THUMBNAILS else resources[start:place]
    return bytes(kept)


# ---- EXIF


def kept_exif(exif: bytes) -> bytes | None:
    """Return EXIF without orientation and previews; None if nothing is left.

    Entries that are damaged or of an unknown type are left out, and so is all of it if its values
    overlap, so that together they are longer than it.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] not in (b"II*\0", b"MM\0*") or len(exif) < 8:
        return None
    order = "<" if exif[:2] == b"II" else ">"
    reader = _Reader(exif, order)
    table = reader.table(struct.unpack_from(f"{order}I", exif, 4)[0])
    if not table or reader.n_kept > len(exif):
        return None
    return exif[:4] + struct.pack(f"{order}I", 8) + _written(table, order, 8)


def with_orientation(exif: bytes | None, orientation: int) -> bytes:
    """Return kept EXIF with an orientation; nothing if there is neither."""
    exif = b"MM\0*\0\0\0\x08" if exif is None else exif
    order = "<" if exif[:2] == b"II" else ">"
    table = _Reader(exif, order).table(8)
    if orientation != 1:
        table.append((ORIENTATION, 3, 1, struct.pack(f"{order}H", orientation)))
    return exif[:8] + _written(table, order, 8) if table else b""


class _Reader:
    """Reads tables of EXIF. Each is read once, because they may point to one another."""

    def __init__(self, exif: bytes, order: str) -> None:
        self._exif, self._order = exif, order
        self._places: set[int] = set()
        self.n_kept = 0  # bytes of values; more than `exif` has are not read

    def table(self, place: int, depth: int = 0) -> Table:
        """Return the entries of the table at ``place`` that are kept, with inner tables.

        Of entries with one number, the first is kept.
        """
        exif, order = self._exif, self._order
        table: dict[int, tuple[int, int, int, bytes | Table]] = {}
        known = place not in self._places and place + 2 <= len(exif)
        n_entries = struct.unpack_from(f"{order}H", exif, place)[0] if known else 0
        self._places.add(place)
        for start in range(place + 2, min(place + 2 + 12 * n_entries, len(exif) - 11), 12):
            number, kind, count, value_place = struct.unpack_from(f"{order}HHII", exif, start)
            if number in table or self.n_kept > len(exif):
                continue
            if number in TABLES and depth < 2:
                inner = self.table(value_place, depth + 1)
                if inner:
                    table[number] = number, 4, 1, inner
                continue
            size = count * VALUE_BYTES.get(kind, 0)
            value_place = value_place if size > 4 else start + 8
            whole = size > 0 and value_place + size <= len(exif)
            if whole and number not in PIXELS | POINTERS | {ORIENTATION}:
                table[number] = number, kind, count, exif[value_place : value_place + size]
                self.n_kept += size
        return list(table.values())


def _written(table: Table, order: str, start: int) -> bytes:
    """Return the bytes of a table that begins at ``start``."""
    entries, values = bytearray(), bytearray()
    for number, kind, count, value in sorted(table, key=lambda entry: entry[0]):
        place = start + 2 + 12 * len(table) + 4 + len(values)
        if isinstance(value, bytes) and len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack(f"{order}I", place)
            values += value if isinstance(value, bytes) else _written(value, order, place)
            values += b"\0" * (len(values) % 2)
        entries += struct.pack(f"{order}HHI", number, kind, count) + field
    return b"".join([struct.pack(f"{order}H", len(table)), entries, bytes(4), values])


# ---- PNG


def kept_chunks(png: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the chunks of a PNG file that are kept: kind and content."""
    chunks, place = [], 8
    while place + 12 <= len(png):
        size, kind = struct.unpack_from(">I4s", png, place)
        content = png[place + 8 : place + 8 + size]
        text = kind in TEXTS and not content.startswith((XMP_KEYWORD + b"\0", RAW_PROFILE))
        if len(content) == size and (kind in CHUNKS or text):
            chunks.append((kind, content))
        place += 12 + size
    return tuple(chunks)


def raw_profile(text: str) -> bytes:
    """Return what a text chunk holds in ImageMagick's form: name, length, and hexadecimal digits.

    Nothing is returned if it is damaged.
    """
    try:
        return bytes.fromhex("".join(text.split()[2:]))
    except ValueError:
        return b""


def chunks_of(notes: PictureNotes, orientation: int) -> list[tuple[bytes, bytes]]:
    """Return the chunks that a PNG has to get: kind and content."""
    chunks = list(notes.chunks)
    kinds = {kind for kind, _ in chunks}
    per_metre = [round(dpi / INCHES_PER_METRE) for dpi in notes.dpi or ()]
    if per_metre and max(per_metre) < 2**31 and b"pHYs" not in kinds:
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if notes.comment:
        chunks.append((b"zTXt", b"Comment\0\0" + zlib.compress(notes.comment)))
    if notes.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + notes.xmp))
    exif = with_orientation(notes.exif, orientation)
    return chunks + ([(b"eXIf", exif)] if exif else [])


def chunk_bytes(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return chunks with their lengths and checksums."""
    return b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in chunks
    )
