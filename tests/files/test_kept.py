"""What a file says besides its pixels is kept, but what holds pixels or a preview is not."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.files import kept
from fastgsm.io import read_image, write_image
from tests.files.helpers import pixels, smooth

Image = pytest.importorskip("PIL.Image")
PngInfo = pytest.importorskip("PIL.PngImagePlugin").PngInfo
tifffile = pytest.importorskip("tifffile")

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="kept">'
    b"<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt>"
    b"</xmp:Thumbnails><xmp:Rating>5</xmp:Rating></rdf:Description></x:xmpmeta>"
)


def exif(with_thumbnail: bool = True) -> bytes:
    """Return EXIF as a camera writes it, with orientation 6, MakerNote and thumbnail."""
    data = Image.Exif()
    data[274], data[271], data[306] = 6, "Maker", "2020:01:02 03:04:05"
    data[282] = data[283] = 300.0
    data.get_ifd(0x8769).update({36867: "2020:01:02 03:04:05", 33434: 0.25, 37500: b"preview" * 9})
    data.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.0)})
    content: bytes = data.tobytes().removeprefix(b"Exif\0\0")
    if with_thumbnail:  # a second table, to which the first one points
        order = "<" if content[:2] == b"II" else ">"
        (first,) = struct.unpack_from(f"{order}I", content, 4)
        (n,) = struct.unpack_from(f"{order}H", content, first)
        table = struct.pack(f"{order}HHHIIHHIII", 2, 513, 4, 1, 999, 514, 4, 1, 7, 0)
        place = first + 2 + 12 * n
        content = (
            content[:place] + struct.pack(f"{order}I", len(content)) + content[place + 4 :] + table
        )
    return content


def check_exif(picture: Any, orientation: int) -> None:
    data = picture.getexif()
    assert data.get(274, 1) == orientation and data[271] == "Maker"
    assert data[306] == "2020:01:02 03:04:05" and data[282] == 300
    inner = data.get_ifd(0x8769)
    assert inner[36867] == "2020:01:02 03:04:05" and inner[33434] == 0.25 and 37500 not in inner
    assert data.get_ifd(0x8825)[2] == (48.0, 8.0, 30.0)
    assert data.get_ifd(1) == {} and b"preview" not in data.tobytes()


@pytest.mark.parametrize(("given", "written"), [("jpg", "jpg"), ("jpg", "png"), ("png", "jpg")])
def test_exif_density_xmp_and_comment(tmp_path: Path, given: str, written: str) -> None:
    notes = PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options = {"xmp": XMP, "comment": b"a comment"} if given == "jpg" else {"pnginfo": notes}
    picture = Image.fromarray(smooth((40, 30, 3)))
    picture.save(tmp_path / f"a.{given}", dpi=(300, 300), exif=b"Exif\0\0" + exif(), **options)
    image = read_image(tmp_path / f"a.{given}")
    assert image.orientation == 6
    write_image(tmp_path / f"b.{written}", image)
    with Image.open(tmp_path / f"b.{written}") as result:
        assert np.round(result.info["dpi"]).tolist() == [300, 300]
        check_exif(result, 6)
        text = result.info["xmp"]
        assert b'dc:title="kept"' in text and b"<xmp:Rating>5" in text
        assert b"Thumbnails" not in text and b"Orientation" not in text
        if given == "jpg":
            comment = result.info["comment" if written == "jpg" else "Comment"]
            assert comment in (b"a comment", "a comment")
    write_image(tmp_path / "c.tif", image)
    with tifffile.TiffFile(tmp_path / "c.tif") as tiff:
        across = tiff.pages[0].tags.valueof(282)
        assert across[0] / across[1] == pytest.approx(300, abs=0.1)
        assert tiff.pages[0].tags.valueof(296) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 4)])
def test_chunks_of_a_png(tmp_path: Path, dtype: Any, shape: Any) -> None:
    """Colour, density, date and text are as they were; what depends on the layout is not kept."""
    write_image(tmp_path / "plain.png", pixels(shape, dtype))
    content = (tmp_path / "plain.png").read_bytes()
    wanted = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", *range(31270, 31278))),
        (b"pHYs", struct.pack(">IIB", 5000, 4000, 0)),
        (b"tIME", struct.pack(">H5B", 2020, 1, 2, 3, 4, 5)),
        (b"tEXt", b"Title\0a title"),
        (b"iTXt", b"Author\0\0\0\0\0" + "Ünal".encode()),
    ]
    raw = exif().hex()
    others = [
        (b"tEXt", f"Raw profile type exif\0\nexif\n{len(raw) // 2}\n{raw}\n".encode()),
        (b"bKGD", bytes(6 if len(shape) == 3 else 2)),
    ]
    added = kept.chunk_bytes([*wanted, *others])
    (tmp_path / "a.png").write_bytes(content[:33] + added + content[33:])
    image = read_image(tmp_path / "a.png")
    assert image.orientation == 6
    write_image(tmp_path / "b.png", image)
    result = (tmp_path / "b.png").read_bytes()
    assert kept.kept_chunks(result) == tuple(wanted)
    assert b"bKGD" not in result and b"Raw profile" not in result
    with Image.open(tmp_path / "b.png") as picture:
        check_exif(picture, 6)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").stored, image.stored)


def test_a_density_that_a_jpeg_does_not_have_is_not_invented(tmp_path: Path) -> None:
    Image.fromarray(smooth((9, 9))).save(tmp_path / "a.jpg")
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.jpg"))
    assert b"pHYs" not in (tmp_path / "b.png").read_bytes()


def test_damaged_exif_is_left_out_or_kept_in_part() -> None:
    whole = exif()
    rng = np.random.default_rng(0)
    for n in range(len(whole)):
        kept.kept_exif(whole[:n])
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        part = kept.kept_exif(bytes(damaged))
        assert part is None or len(part) < len(whole)
        kept.with_orientation(part, 3)
    assert kept.kept_exif(b"") is kept.kept_exif(b"II*\0") is kept.kept_exif(b"anything") is None
    assert kept.with_orientation(None, 1) == b""


def resource(number: int, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return b"8BIM" + struct.pack(">HBxI", number, 0, len(content)) + content + padding


def test_photoshops_resources_without_thumbnails() -> None:
    wanted = resource(1005, bytes(16)) + resource(1028, b"caption")
    given = resource(1036, b"thumbnail") + wanted + resource(1033, b"old")
    assert kept.kept_resources(given) == wanted
    assert kept.kept_resources(wanted) == wanted and kept.kept_resources(b"") == b""
    assert kept.kept_resources(given[:-3]) == b""  # damaged


@pytest.mark.parametrize("pages", [1, 2])
def test_tags_with_pixels_previews_or_digests_are_not_copied(tmp_path: Path, pages: int) -> None:
    data = b"Adobe Photoshop Document Data Block\0MIB8ryaL" + bytes(64)
    numbers = sorted(kept.PIXELS)
    extra = [(number, 7, None, data, False) for number in numbers]
    extra += [(34377, 7, None, resource(1036, b"thumb") + resource(1028, b"caption"), False)]
    extra += [(700, 1, None, XMP, False), (65000, 7, None, b"kept", False)]
    extra += [(34954, 4, 1, 8, False), (33432, 2, None, "copyright", False)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for _ in range(pages):
            tiff.write(pixels((20, 24, 3), "u1"), photometric="rgb", extratags=extra, metadata=None)
    from fastgsm.io import read_pages, write_pages

    write_pages(tmp_path / "b.tif", read_pages(tmp_path / "a.tif"))
    assert 37724 in numbers and 37500 in numbers
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        for page in tiff.pages:
            found = {tag.code for tag in page.tags}
            assert not found & kept.PIXELS and 34954 not in found
            assert page.tags[34377].value == resource(1028, b"caption")
            assert bytes(page.tags[700].value) == kept.kept_xmp(XMP)
            assert page.tags[65000].value == b"kept" and page.tags[33432].value == "copyright"
    content = (tmp_path / "b.tif").read_bytes()
    assert b"Photoshop Document" not in content and b"xmpGImg" not in content


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("late", [False, True])
def test_exif_and_xmp_after_the_pixels_of_a_png(tmp_path: Path, dtype: Any, late: bool) -> None:
    write_image(tmp_path / "a.png", pixels((20, 30, 3), dtype))
    content = (tmp_path / "a.png").read_bytes()
    notes = [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), (b"eXIf", exif())]
    place = len(content) - 12 if late else 33
    added = content[:place] + kept.chunk_bytes(notes) + content[place:]
    (tmp_path / "b.png").write_bytes(added)
    image = read_image(tmp_path / "b.png")
    assert image.orientation == 6 and image.notes is not None
    assert image.notes.exif == kept.kept_exif(exif()) and image.notes.xmp == kept.kept_xmp(XMP)


@pytest.mark.parametrize(("kind", "name"), [(b"eXIf", "EXIF"), (b"iTXt", "XMP")])
def test_notes_that_a_jpeg_cannot_hold(tmp_path: Path, kind: bytes, name: str) -> None:
    """It is said before the work. What is allowed can be written, whatever the orientation is."""
    from fastgsm.files.formats import check_output
    from fastgsm.files.pillow import JPEG_NOTE_BYTES

    def with_notes(size: int) -> Any:
        entry = struct.pack("<HHHIII", 1, 0x9286, 7, size - 26, 26, 0)
        text = b"II*\0" + struct.pack("<I", 8) + entry
        text = b"XML:com.adobe.xmp\0\0\0\0\0" if kind == b"iTXt" else text
        n_bytes = size - (0 if kind == b"iTXt" else len(text))
        write_image(tmp_path / "a.png", smooth((20, 30, 3)))
        content = (tmp_path / "a.png").read_bytes()
        chunk = kept.chunk_bytes([(kind, text + b"x" * n_bytes)])
        (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
        return read_image(tmp_path / "a.png")

    image = with_notes(JPEG_NOTE_BYTES)
    for orientation in (1, 6):
        write_image(tmp_path / "b.jpg", replace(image, orientation=orientation))
    with pytest.raises(ValueError, match=f"at most 65450 bytes of {name}, not 65452; write PNG"):
        check_output(tmp_path / "b.jpg", [with_notes(JPEG_NOTE_BYTES + 2)])


@pytest.mark.parametrize(("unit", "factor"), [("inch", 1), ("centimeter", 2.54)])
def test_the_resolution_of_a_tiff_in_png_and_jpeg(tmp_path: Path, unit: str, factor: float) -> None:
    data = smooth((20, 30, 3))
    options = {"photometric": "rgb", "resolutionunit": unit}
    tifffile.imwrite(tmp_path / "a.tif", data, resolution=(100, 200), **options)
    for name in ("b.png", "b.jpg"):
        write_image(tmp_path / name, read_image(tmp_path / "a.tif"))
        with Image.open(tmp_path / name) as picture:
            np.testing.assert_allclose(picture.info["dpi"], (100 * factor, 200 * factor), atol=0.6)
    # What they cannot hold is left out.
    tifffile.imwrite(tmp_path / "a.tif", data, resolution=(4e9, 4e9), **options)
    for name in ("b.png", "b.jpg"):
        write_image(tmp_path / name, read_image(tmp_path / "a.tif"))
        with Image.open(tmp_path / name) as picture:
            assert "dpi" not in picture.info
