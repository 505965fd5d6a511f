"""TIFF files: their kinds, stacks of pages, and what they say besides the pixels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.files.image_file import ImageFile
from fastgsm.io import read_image, read_pages, write_image, write_pages
from tests.files.helpers import pixels, smooth

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"planarconfig": "separate"},
        {"compression": "zlib"},
        {"tile": (16, 16)},
    ],
    ids=str,
)
def test_tiff_variants_are_read_exactly(tmp_path: Path, dtype: Any, options: Any) -> None:
    stored = pixels((33, 20, 3), dtype)
    planar = "planarconfig" in options
    data = np.moveaxis(stored, -1, 0) if planar else stored
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    image = read_image(tmp_path / "a.tif")
    assert image.array.dtype == dtype and image.array.dtype.isnative
    np.testing.assert_array_equal(image.array, stored)


@pytest.mark.parametrize(("shape", "dtype"), [((9, 8), "u1"), ((9, 8, 3), "u1"), ((9, 8), "u2")])
def test_lzw_tiff_is_read_exactly(tmp_path: Path, shape: Any, dtype: str) -> None:
    stored = pixels(shape, np.dtype(dtype))
    Image.fromarray(stored).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, stored)


def test_one_bit_and_white_is_zero_tiff(tmp_path: Path) -> None:
    bits = pixels((90, 100), np.uint8) > 127  # more of them than bytes in the file
    Image.fromarray(bits).save(tmp_path / "bits.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.tif").array, np.where(bits, 255, 0))
    stored = pixels((9, 10), np.uint8)
    tifffile.imwrite(tmp_path / "white.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "white.tif").array, 255 - stored)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 9, 8), {"photometric": "minisblack"}, "several pages"),
        ((4, 9, 8), {"imagej": True}, "several pages"),
        ((9, 8, 4), {"photometric": "rgb", "extrasamples": ["assocalpha"]}, "premultiplied"),
    ],
)
def test_unsupported_tiff_is_an_error(
    tmp_path: Path, shape: Any, options: Any, message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(shape, np.uint8), **options)
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [2, 4])
def test_tiff_alpha_is_marked_as_straight(tmp_path: Path, channels: int) -> None:
    write_image(tmp_path / "a.tif", pixels((9, 8, channels), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_thumbnail_in_a_tiff_is_left_out(tmp_path: Path, order: tuple[int, int]) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for kind in order:  # 0 for an image, 1 for a reduced one
            tiff.write(smooth([(40, 30), (10, 8)][kind]), subfiletype=kind, metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, smooth((40, 30)))


def test_tiff_with_missing_pixels_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles = [smooth((16, 16)), None, smooth((16, 16)), None]
    options = {"shape": (32, 32), "dtype": np.uint8, "tile": (16, 16), "compression": "zlib"}
    tifffile.imwrite(path, iter(tiles), **options)
    with pytest.raises(ValueError, match="missing"):
        read_image(path)
    tifffile.imwrite(path, smooth((40, 40)))
    content = path.read_bytes()
    width = struct.pack("<HHI", 256, 4, 1)  # the tag's number, its type, one value
    assert content.count(width) == 1
    path.write_bytes(content.replace(width + struct.pack("<I", 40), width + b"\0\0\0\x10"))
    with pytest.raises(ValueError, match="bytes of pixels cannot be in"):
        read_image(path)


# ---- pages


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_pages_of_any_size_and_kind_come_back(tmp_path: Path, dtype: Any) -> None:
    pages = [
        ImageFile(pixels((5, 6), dtype)),
        ImageFile(pixels((7, 4, 3), dtype), pixels((7, 4), dtype), 6, b"profile!"),
        ImageFile(pixels((3, 9), dtype)),
    ]
    write_pages(tmp_path / "a.tif", pages)
    for page, back in zip(pages, read_pages(tmp_path / "a.tif"), strict=True):
        assert back.array.dtype == dtype
        np.testing.assert_array_equal(back.stored, page.stored)
        assert (back.orientation, back.icc_profile) == (page.orientation, page.icc_profile)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("imagej", (2, 3, 9, 8), {"imagej": True, "metadata": {"axes": "TZYX", "unit": "um"}}),
        ("zlib", (4, 9, 8), {"photometric": "minisblack", "compression": "zlib"}),
        ("shaped", (4, 9, 8), {"photometric": "minisblack"}),
        ("planes", (2, 3, 9, 8), {"photometric": "rgb", "planarconfig": "separate"}),
        ("ome", (4, 9, 8), {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}}),
        ("big", (2, 9, 8), {"photometric": "minisblack", "bigtiff": True, "byteorder": ">"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_stacks_are_read_and_written_as_the_same_stack(
    tmp_path: Path, name: str, shape: tuple[int, ...], options: Any
) -> None:
    """A stack that is read and written back keeps its axes, shape, pixels and metadata."""
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    data = pixels(shape)
    tifffile.imwrite(first, data, resolution=(300.0, 150.0), **options)
    pages = read_pages(first)
    assert len(pages) == (2 if name == "planes" else np.prod(shape[:-2]))
    write_pages(second, pages)
    with tifffile.TiffFile(first) as before, tifffile.TiffFile(second) as after:
        [a], [b] = before.series, after.series
        assert before.imagej_metadata == after.imagej_metadata
        assert before.ome_metadata == after.ome_metadata
        # The planes are written as RGB pixels, of which the old shape is not true.
        assert after.shaped_metadata == (None if name == "planes" else before.shaped_metadata)
        for tag in (282, 283, 296):
            assert before.pages[0].tags.valueof(tag) == after.pages[0].tags.valueof(tag)
        if name == "imagej":  # ImageJ reads all planes from where the first is
            assert b.dataoffset is not None
        if name != "planes":  # written with the colours of a pixel side by side
            assert (a.axes, a.shape) == (b.axes, b.shape)
            np.testing.assert_array_equal(b.asarray(), data)


def test_the_tags_of_each_page_are_kept(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    with tifffile.TiffWriter(first, byteorder=">") as tiff:
        for i in range(2):
            tiff.write(
                pixels((9, 8)),
                description=f"page {i}",
                datetime="2020:01:02 03:04:05",
                software=f"microscope {i}",
                resolution=((300, 7), (150, 7)),
                resolutionunit=3,
                iccprofile=b"profile",
                metadata=None,
                extratags=[(65000, 12, 2, (1.5, -2.0), True), (33550, 5, 1, (1, 3), True)],
            )
    write_pages(second, read_pages(first))
    with tifffile.TiffFile(first) as before, tifffile.TiffFile(second) as after:
        assert before.byteorder == after.byteorder
        for old, new in zip(before.pages, after.pages, strict=True):
            layout = {273, 279, 278}
            kept = {tag.code: tag.value for tag in old.tags if tag.code not in layout}
            found = {tag.code: tag.value for tag in new.tags if tag.code not in layout}
            assert found == kept
            assert found[65000] == (1.5, -2.0) and found[305].startswith("microscope")


def test_one_image_keeps_its_tags_too_and_nothing_is_added(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(first, pixels((9, 8)), description="ours", metadata=None, software=False)
    write_image(second, read_image(first))
    assert second.read_bytes() == first.read_bytes()
    write_image(tmp_path / "c.tif", pixels((9, 8)))
    with tifffile.TiffFile(tmp_path / "c.tif") as tiff:
        assert not {270, 305, 306} & {tag.code for tag in tiff.pages[0].tags}


def test_a_resolution_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((9, 8)), resolution=(11, 13), metadata=None)
    content = path.read_bytes()
    ratio = (11).to_bytes(4, "little") + (1).to_bytes(4, "little")
    assert content.count(ratio) == 1
    path.write_bytes(content.replace(ratio, bytes(8)))
    write_pages(tmp_path / "b.tif", read_pages(path))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].tags.valueof(282) == (1, 1)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits"])
def test_pages_that_pillow_decodes_are_the_right_ones(tmp_path: Path, compression: str) -> None:
    arrays = [np.full((16, 16), 40 + 60 * i, np.uint8) for i in range(3)]
    first, *others = (Image.fromarray(array) for array in arrays)
    path = tmp_path / "a.tif"
    first.save(path, compression=compression, save_all=True, append_images=others)
    for page, array in zip(read_pages(path), arrays, strict=True):
        assert np.abs(page.array.astype(int) - array).max() <= 2


def test_read_image_reads_one_page_and_the_limit_is_of_all(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((3, 9, 8)), photometric="minisblack", compression="zlib")
    with pytest.raises(ValueError, match=r"several pages; fastgsm\.io\.read_pages reads them"):
        read_image(path)
    assert len(read_pages(path, max_pixels=3 * 72)) == 3
    with pytest.raises(ValueError, match="above the limit of"):
        read_pages(path, max_pixels=3 * 72 - 1)


def test_planes_without_an_entry_of_their_own_are_not_lost(tmp_path: Path) -> None:
    """ImageJ writes stacks of more than 4 GB with a single entry for all pages."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        note = "ImageJ=1.54f\nimages=3\nslices=3\n"
        tiff.write(pixels((9, 8)), description=note, metadata=None)
    path.write_bytes(path.read_bytes() + bytes(2 * 144))
    with pytest.raises(ValueError, match=r"its 1 pages are not all of its planes .*\(3, 9, 8\)"):
        read_pages(path)


def test_pages_of_files_of_different_byte_order(tmp_path: Path) -> None:
    for order in "<>":
        tifffile.imwrite(tmp_path / f"{ord(order)}.tif", pixels((9, 8)), byteorder=order)
    pages = [read_image(tmp_path / f"{ord(order)}.tif") for order in "<>"]
    with pytest.raises(ValueError, match="different byte order"):
        write_pages(tmp_path / "out.tif", pages)
    assert not (tmp_path / "out.tif").exists()
    with pytest.raises(ValueError, match="no page to write"):
        write_pages(tmp_path / "out.tif", [])


def test_a_tag_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    long = b"x" * 500
    tifffile.imwrite(path, pixels((9, 8)), metadata=None, extratags=[(65000, 7, None, long, True)])
    content = path.read_bytes()
    path.write_bytes(content[: content.index(long)] + content[content.index(long) + 500 :])
    with pytest.raises(ValueError, match="cannot read"):
        read_pages(path)
