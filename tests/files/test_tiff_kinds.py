"""Every kind of TIFF is read with the right values, or refused with a remedy."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.io import read_image, read_pages, write_image
from tests.cli.helpers import in_folder
from tests.files.helpers import pixels, smooth

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")


def set_tag(path: Path, number: int, value: int, new_number: int | None = None) -> None:
    """Change the short value, or the number, of a tag on the first page of a little-endian file."""
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for i in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * i
        if struct.unpack_from("<H", content, place)[0] == number:
            struct.pack_into("<H", content, place, new_number or number)
            struct.pack_into("<H", content, place + 8, value)
    path.write_bytes(content)


# ---- compressions


@pytest.mark.parametrize("compression", ["lzw", "zstd", "lzma", "zlib", "packbits"])
@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"], ids=str
)
def test_every_type_of_every_compression(tmp_path: Path, compression: str, dtype: str) -> None:
    for shape in ((33, 20), (33, 20, 3)):
        stored = pixels(shape, dtype)
        if np.dtype(dtype).kind == "i":
            stored = stored - np.iinfo(dtype).max // 2
        colour = "rgb" if len(shape) == 3 else "minisblack"
        predictor = compression == "lzw" and dtype != "u8"
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric=colour, compression=compression,
            predictor=predictor, rowsperstrip=7, byteorder="<" if predictor else ">",
        )  # fmt: skip
        image = read_image(tmp_path / "a.tif").array
        assert image.dtype == stored.dtype and image.dtype.isnative
        np.testing.assert_array_equal(image, stored)


@pytest.mark.parametrize(
    ("dtype", "shape"), [("u1", (40, 30, 3)), ("u2", (40, 30)), ("u2", (40, 30, 3))]
)
@pytest.mark.parametrize("options", [{"rowsperstrip": 16}, {"tile": (16, 16)}], ids=str)
def test_jpeg_2000(tmp_path: Path, dtype: str, shape: Any, options: Any) -> None:
    stored = pixels(shape, dtype)
    colour = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric=colour, compression="jpeg2000",
        compressionargs={"level": 0}, **options,
    )  # fmt: skip
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, stored)


@pytest.mark.parametrize("shape", [(50, 30), (50, 30, 3)])
@pytest.mark.parametrize("options", [{"rowsperstrip": 16}, {"tile": (16, 16)}], ids=str)
def test_jpeg(tmp_path: Path, shape: Any, options: Any) -> None:
    stored = smooth(shape)
    colour = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=colour, compression="jpeg", **options)
    image = read_image(tmp_path / "a.tif").array
    assert image.shape == shape and np.abs(image.astype(int) - stored).max() <= 12


@pytest.mark.parametrize(
    ("compression", "mode"),
    [("tiff_lzw", "L"), ("jpeg", "L"), ("jpeg", "RGB"), ("group4", "1"), ("group3", "1"),
     ("tiff_lzw", "P"), (None, "P"), ("packbits", "1"), (None, "L")],
)  # fmt: skip
def test_orientation_is_said_once(tmp_path: Path, compression: str | None, mode: str) -> None:
    """The pixels are as stored, and the tag is kept: a viewer turns them once."""
    grey = np.zeros((40, 60), np.uint8)
    grey[:, 30:] = 200
    picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression, tiffinfo={274: 6})
    image = read_image(tmp_path / "a.tif")
    assert image.array.shape[:2] == (40, 60) and image.orientation == 6
    expected = np.asarray(picture.convert("RGB" if mode in ("P", "RGB") else "L")).astype(int)
    assert np.abs(image.array - expected).max() <= 3
    write_image(tmp_path / "b.tif", image)
    with Image.open(tmp_path / "b.tif") as result, Image.open(tmp_path / "a.tif") as given:
        assert result.getexif()[274] == given.getexif()[274] == 6


def test_bytes_after_the_pixels_of_a_part_are_left_out(tmp_path: Path) -> None:
    import zlib

    from tests.files.test_hostile_files import compressed_tiff

    stored = pixels((8, 8), "u1")
    content = compressed_tiff(8, 8, zlib.compress(stored.tobytes() + bytes(20)))
    (tmp_path / "a.tif").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, stored)


def test_a_stream_of_another_size_or_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for tag, value, announced in ((257, 32, "32"), (256, 31, "31"), (277, 1, "1 samples")):
        tifffile.imwrite(
            path, smooth((48, 32, 3)), photometric="rgb", compression="jpeg", rowsperstrip=48
        )
        set_tag(path, tag, value)
        with pytest.raises(ValueError, match=r"it announces|samples a pixel") as caught:
            read_image(path)
        assert announced in str(caught.value)
    tifffile.imwrite(path, pixels((40, 30), "u2"), compression="jpeg2000", rowsperstrip=40)
    set_tag(path, 258, 8)
    with pytest.raises(ValueError, match=r"type uint8, but its .* holds uint16"):
        read_image(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"compression": "lzw"},
            "LZW with predictor 1, which needs the package imagecodecs",
        ),
        (
            {"compression": "zstd"},
            "ZSTD with predictor 1, which needs the package imagecodecs",
        ),
        (
            {"compression": "jpeg"},
            "JPEG with predictor 1, which needs the package imagecodecs",
        ),
        ({"compression": "jpeg2000"}, "which needs the package imagecodecs"),
        ({"compression": "zlib"}, None),
        ({"compression": "zlib", "predictor": True}, None),
        ({}, None),
    ],
    ids=str,
)
def test_without_imagecodecs(tmp_path: Path, options: Any, message: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smooth((16, 20)), **options)
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *_: None if name == 'imagecodecs' else real(name, *_)\n"
        "from fastgsm.io import read_image\n"
        "try: print(read_image('a.tif').array.shape)\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], **in_folder(tmp_path))
    assert (message or "(16, 20)") in done.stdout, done.stdout + done.stderr


# ---- kinds of pixels


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_white_is_zero(tmp_path: Path, mode: str) -> None:
    stored = pixels((9, 10), "u1" if mode == "L" else "u2")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    top = np.iinfo(stored.dtype).max
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, top - stored)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits_fill_eight(tmp_path: Path, bits: int, photometric: str) -> None:
    levels = pixels((9, 10), "u1") >> (8 - bits)
    stored = levels.astype(bool) if bits == 1 else levels
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, bitspersample=bits)
    expected = levels * (255 // (2**bits - 1))
    expected = 255 - expected if photometric == "miniswhite" else expected
    image = read_image(tmp_path / "a.tif").array
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("scale", [257, 1])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_palette(tmp_path: Path, scale: int, compression: str | None) -> None:
    """Some old programs wrote palettes of 8 bits."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 256))
    index = pixels((9, 10), "u1")
    tifffile.imwrite(
        tmp_path / "a.tif", index, photometric="palette",
        colormap=(colours * scale).astype("u2"), compression=compression,
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, colours.T[index])
    write_image(tmp_path / "b.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), colours.T[index])


def ycbcr_file(path: Path, across: int, down: int, compression: int = 1) -> np.ndarray:
    """Write a TIFF whose chroma is subsampled; return the RGB pixels it stands for."""
    height, width = 18, 21
    rng = np.random.default_rng(0)
    n_down, n_across = -(-height // down), -(-width // across)
    y = rng.integers(60, 200, (n_down * down, n_across * across), np.uint8)
    chroma = rng.integers(100, 156, (n_down, n_across, 2), np.uint8)
    units = y.reshape(n_down, down, n_across, across).swapaxes(1, 2).reshape(n_down, n_across, -1)
    data = np.concatenate([units, chroma], axis=-1).tobytes()
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 6, 277: 3, 278: height}
    if compression == 5:
        import imagecodecs

        data = imagecodecs.lzw_encode(data)
    tags |= {273: 0, 279: len(data), 530: across | down << 16}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for number, value in sorted(tags.items()):
        kind, count = (3, 2) if number == 530 else (4, 1)
        head += struct.pack("<HHII", number, kind, count, value)
    path.write_bytes(head + bytes(4) + data)
    cb, cr = (chroma[..., i].repeat(down, 0).repeat(across, 1) - 128.0 for i in (0, 1))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.rint(rgb.clip(0, 255))[:height, :width]


@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize("compression", [1, 5])
def test_luminance_and_chroma(tmp_path: Path, across: int, down: int, compression: int) -> None:
    expected = ycbcr_file(tmp_path / "a.tif", across, down, compression)
    image = read_image(tmp_path / "a.tif")
    assert image.array.dtype == np.uint8
    assert np.abs(image.array - expected).max() <= 1
    write_image(tmp_path / "b.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), image.array)


def test_without_photometric_the_samples_tell(tmp_path: Path) -> None:
    for shape, colour in (((9, 8), "minisblack"), ((9, 8, 3), "rgb")):
        stored = pixels(shape, "f4")
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=colour)
        set_tag(tmp_path / "a.tif", 262, 0, new_number=261)
        image = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.array, stored)
        assert image.n_colours == (3 if len(shape) == 3 else 1)
    set_tag(tmp_path / "a.tif", 261, 99, new_number=262)
    with pytest.raises(ValueError, match=r"it is 32-bit 99 .*; save it as grey or RGB"):
        read_image(tmp_path / "a.tif")


def test_chroma_that_the_decoder_does_not_convert_is_refused(tmp_path: Path) -> None:
    codecs = pytest.importorskip("imagecodecs")
    image = smooth((64, 64, 3))
    planes = [codecs.jpeg8_encode(np.ascontiguousarray(image[..., i])) for i in range(3)]
    whole = [codecs.jpeg2k_encode(image, level=0, codecformat="j2k", mct=False)]
    for data, shape, options in (
        (planes, (3, 64, 64), {"compression": "jpeg", "planarconfig": "separate"}),
        (whole, (64, 64, 3), {"compression": 34712}),
    ):
        tifffile.imwrite(
            tmp_path / "a.tif", iter(data), shape=shape, dtype="u1", photometric="ycbcr",
            subsampling=(1, 1), **options,
        )  # fmt: skip
        with pytest.raises(ValueError, match=r"YCbCr with axes .*, compressed by .*save it as RGB"):
            read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (pixels((9, 8, 4), "u1"), {"photometric": "separated"}, "8-bit SEPARATED .*; save it as"),
        (pixels((9, 8, 3), "u1"), {"photometric": "cielab"}, "8-bit CIELAB .*; save it as"),
        (pixels((9, 8), "u2"), {"bitspersample": 12}, "12-bit MINISBLACK .*; save it as"),
        (pixels((9, 8), "u2"), {"photometric": "cfa"}, "16-bit CFA .*; save it as"),
        (pixels((9, 8)).astype("c8"), {}, "integers or floats, not complex64"),
        (pixels((9, 8), "i2"), {"photometric": "miniswhite"}, "int16 16-bit MINISWHITE.*save it"),
        (smooth((16, 16)), {"compression": "lerc"}, "compressed by LERC, which is not read; save"),
        (smooth((16, 16)), {"compression": "jpegxl"}, "compressed by JPEGXL, which is not read"),
        (
            pixels((5, 9, 8), "u1"),
            {"volumetric": True, "photometric": "minisblack"},
            "axes are ZYX",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_not_read_is_named_with_a_remedy(
    tmp_path: Path, data: np.ndarray, options: Any, message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / "a.tif")


def test_old_jpeg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth((16, 16, 3)), photometric="rgb", compression="jpeg")
    set_tag(path, 259, 6)
    with pytest.raises(ValueError, match="compressed by OJPEG, which is not read; save it"):
        read_image(path)


def test_uneven_bits_are_refused(tmp_path: Path) -> None:
    """Red and blue of 5 bits and green of 6, as in files of scanners."""
    tags = {256: 8, 257: 8, 258: None, 259: 1, 262: 2, 273: 0, 277: 3, 278: 8, 279: 128}
    bits = 8 + 2 + 12 * len(tags) + 4  # where their numbers are
    tags[273] = bits + 6
    content = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for number, value in tags.items():
        count_and_value = (3, bits) if value is None else (1, value)
        content += struct.pack("<HHII", number, 3, *count_and_value)
    content += bytes(4) + struct.pack("<3H", 5, 6, 5) + bytes(128)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"\(5, 6, 5\)-bit RGB .*; save it as grey or RGB"):
        read_image(tmp_path / "a.tif")


# ---- channels and alpha


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("n", "photometric"),
    [(4, "rgb"), (6, "rgb"), (2, "minisblack"), (3, "minisblack"), (5, "minisblack")],
)
def test_unspecified_samples_are_channels(
    tmp_path: Path, compression: str | None, planar: str, n: int, photometric: str
) -> None:
    stored = pixels((20, 24, n), "u1")
    data = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
    n_extra = n - (3 if photometric == "rgb" else 1)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric=photometric, planarconfig=planar,
        extrasamples=["unspecified"] * n_extra, compression=compression,
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, stored)
    assert image.alpha is None and image.channel_axis == -1
    assert (image.n_channels, image.n_colours) == (n, 3 if photometric == "rgb" else 1)
    write_image(tmp_path / "b.tif", image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert [int(kind) for kind in tiff.pages[0].extrasamples] == [0] * n_extra
        assert tiff.pages[0].photometric.name.lower() == photometric
        np.testing.assert_array_equal(tiff.asarray(), stored)
    for name in ("b.png", "b.npy", "b.jpg"):
        with pytest.raises(ValueError, match=r"grey or RGB pixels, not . channels; write TIFF"):
            write_image(tmp_path / name, image)


def test_alpha_among_other_samples(tmp_path: Path) -> None:
    stored = pixels((20, 24, 5), "u1")
    kinds = ["unassalpha", "unspecified"]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=kinds)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, stored[..., [0, 1, 2, 4]])
    np.testing.assert_array_equal(image.alpha, stored[..., 3])
    write_image(tmp_path / "b.tif", image)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert [int(kind) for kind in tiff.pages[0].extrasamples] == [0, 2]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"] * 2)
    with pytest.raises(ValueError, match="2 alpha channels; save it with one"):
        read_image(tmp_path / "a.tif")


def test_a_fourth_sample_that_nothing_is_said_of_is_data(tmp_path: Path) -> None:
    stored = pixels((20, 24, 4), "u1")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
    set_tag(tmp_path / "a.tif", 338, 0, new_number=337)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, stored)
    assert image.alpha is None


@pytest.mark.parametrize("kind", ["palette", "planar"])
def test_tifffiles_description_of_another_layout_is_left_out(tmp_path: Path, kind: str) -> None:
    if kind == "palette":
        options = {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}
        tifffile.imwrite(tmp_path / "a.tif", pixels((9, 8), "u1"), **options)
    else:
        options = {"photometric": "rgb", "planarconfig": "separate"}
        tifffile.imwrite(tmp_path / "a.tif", pixels((3, 9, 8), "u1"), **options)
    write_image(tmp_path / "b.tif", read_image(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert 270 not in tiff.pages[0].tags and tiff.series[0].shape == (9, 8, 3)


# ---- pages


def test_pages_and_subifds_that_are_not_marked(tmp_path: Path) -> None:
    stored = pixels((64, 96, 3), "u1")
    with tifffile.TiffWriter(tmp_path / "sub.tif") as tiff:
        tiff.write(stored, photometric="rgb", subifds=2, metadata=None)
        tiff.write(stored[:30, :41], photometric="rgb", metadata=None)
        tiff.write(stored[:10, :17, 0], photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "sub.tif").array, stored)
    with tifffile.TiffWriter(tmp_path / "thumb.tif") as tiff:
        for part in (stored, stored[::4, ::4]):
            tiff.write(part, photometric="ycbcr", metadata=None)
    assert read_image(tmp_path / "thumb.tif").array.shape == (64, 96, 3)
    # Nothing is lost if it is no thumbnail.
    assert [p.array.shape[:2] for p in read_pages(tmp_path / "thumb.tif")] == [(64, 96), (16, 24)]
    with tifffile.TiffWriter(tmp_path / "two.tif") as tiff:
        for part in (stored, stored[::4, ::3]):
            tiff.write(part, photometric="rgb", metadata=None)
    with pytest.raises(ValueError, match="several pages"):
        read_image(tmp_path / "two.tif")


def test_only_thumbnails(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((9, 8)), subfiletype=1)
    with pytest.raises(ValueError, match="no page that is an image and not a thumbnail"):
        read_pages(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_mask_pages_are_masks_and_are_kept(tmp_path: Path, compression: str | None) -> None:
    stored = [pixels((20, 24), "u1"), pixels((11, 16, 3), "u1")]
    valid = [image.reshape(*image.shape[:2], -1)[..., 0] > 40 for image in stored]
    options = {"compression": compression, "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image, mask in zip(stored, valid, strict=True):
            tiff.write(image, photometric="rgb" if image.ndim == 3 else "minisblack", **options)
            tiff.write(mask, photometric="mask", subfiletype=4, **options)
            tiff.write(mask[::2, ::2], photometric="mask", subfiletype=5, **options)
    pages = read_pages(tmp_path / "a.tif")
    write_pages_and_compare(tmp_path / "b.tif", pages, stored, valid)
    with pytest.raises(ValueError, match="PNG holds no mask of missing pixels; write TIFF"):
        write_image(tmp_path / "b.png", pages[0])


def write_pages_and_compare(path: Path, pages: Any, stored: Any, valid: Any) -> None:
    from fastgsm.io import write_pages

    write_pages(path, pages)
    for page in (*pages, *read_pages(path)):
        i = page.array.ndim - 2
        np.testing.assert_array_equal(page.array, stored[i])
        np.testing.assert_array_equal(page.mask, valid[i])
        np.testing.assert_array_equal(page.missing, ~valid[i])
    with tifffile.TiffFile(path) as tiff:
        assert [int(page.subfiletype) for page in tiff.pages] == [0, 4, 0, 4]
        assert tiff.pages[1].bitspersample == 1


def test_masks_that_fit_no_image(tmp_path: Path) -> None:
    image = pixels((20, 24), "u1")
    for name, parts, message in (
        ("alone", [(image > 9, 4)], "a mask without an image before it"),
        ("twice", [(image, 0), (image > 9, 4), (image > 9, 4)], "a mask without an image"),
        ("small", [(image, 0), (image[:9] > 9, 4)], "mask of 24x9 pixels, .* its image of 24x20"),
    ):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as tiff:
            for data, kind in parts:
                colour = "mask" if kind else "minisblack"
                tiff.write(data, photometric=colour, subfiletype=kind, metadata=None)
        with pytest.raises(ValueError, match=message):
            read_pages(tmp_path / f"{name}.tif")
