"""Image files: what is read is what was stored; what is written is whole or not there."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.files import formats
from fastgsm.files.image_file import ImageFile
from fastgsm.files.paths import atomic_path
from fastgsm.io import read_grey_images, read_image, write_image

Image = pytest.importorskip("PIL.Image")
get_sampling = pytest.importorskip("PIL.JpegImagePlugin").get_sampling
tifffile = pytest.importorskip("tifffile")

SHAPES = {"grey": (13, 11), "grey+alpha": (13, 11, 2), "rgb": (13, 11, 3), "rgba": (13, 11, 4)}


def pixels(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    ramps = np.meshgrid(*(np.linspace(60, 180, n) for n in shape), indexing="ij")
    return np.mean(ramps, axis=0).astype(np.uint8)


def only(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ---- what is written is read back


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("extension", "dtype"),
    [
        (".png", np.uint8),
        (".png", np.uint16),
        (".tif", np.uint8),
        (".TIFF", np.uint16),
        (".tif", np.float32),
        (".tif", np.float64),
        (".npy", np.uint8),
        (".npy", np.uint16),
        (".npy", np.float32),
        (".npy", np.float64),
    ],
)
def test_round_trip_is_exact(tmp_path: Path, shape: Any, extension: str, dtype: Any) -> None:
    stored = pixels(shape, dtype)
    path = tmp_path / f"image{extension}"
    write_image(path, stored)
    image = read_image(path)
    assert image.stored.dtype == dtype
    np.testing.assert_array_equal(image.stored, stored)
    colour = len(shape) == 3 and shape[2] >= 3
    assert image.channel_axis == (-1 if colour else None)
    assert image.array.shape == ((13, 11, 3) if colour else (13, 11))
    assert (image.alpha is not None) == (len(shape) == 3 and shape[2] in (2, 4))
    assert image.array.flags.c_contiguous and image.array.flags.writeable
    assert only(tmp_path) == [path.name]


@pytest.mark.parametrize("extension", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_any_memory_order_is_written(
    tmp_path: Path, extension: str, dtype: Any, with_alpha: bool
) -> None:
    planes = pixels((3, 13, 11), dtype)
    array = np.moveaxis(planes, 0, -1)  # as denoising gives it
    alpha = pixels((11, 13), dtype).T if with_alpha else None
    write_image(tmp_path / f"a{extension}", ImageFile(array, alpha))
    image = read_image(tmp_path / f"a{extension}")
    np.testing.assert_array_equal(image.array, array)
    np.testing.assert_array_equal(image.alpha, alpha)
    write_image(tmp_path / f"grey{extension}", ImageFile(planes[0].T))
    np.testing.assert_array_equal(read_image(tmp_path / f"grey{extension}").array, planes[0].T)


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)])
@pytest.mark.parametrize("extension", [".jpg", ".jpeg"])
def test_jpeg_is_close_and_of_quality_95(tmp_path: Path, shape: Any, extension: str) -> None:
    stored = smooth(shape)
    path = tmp_path / f"image{extension}"
    write_image(path, stored)
    image = read_image(path)
    assert image.array.shape == shape
    assert np.abs(image.array.astype(int) - stored).max() <= 4
    reference = io.BytesIO()
    Image.fromarray(stored).save(reference, "JPEG", quality=95)
    with Image.open(path) as written, Image.open(reference) as expected:
        assert written.quantization == expected.quantization
        assert len(shape) == 2 or get_sampling(written) == 0  # colour at full resolution


# ---- 16-bit PNG, against the format itself


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(stored: np.ndarray, filters: tuple[int, ...] = (0,), interlaced: bool = False) -> bytes:
    """Encode 16-bit pixels as the PNG specification says, plainly; filter i for row i."""
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


# ---- kinds of pixels


def test_one_bit_png_is_0_and_255(tmp_path: Path) -> None:
    bits = pixels((9, 10), np.uint8) > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    image = read_image(tmp_path / "bits.png")
    assert image.channel_axis is None and image.array.dtype == np.uint8
    np.testing.assert_array_equal(image.array, np.where(bits, 255, 0))


def palette_picture() -> tuple[Any, np.ndarray]:
    picture = Image.fromarray((np.arange(12, dtype=np.uint8).reshape(3, 4)) % 3).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    colours = np.array([[250, 0, 7], [10, 200, 30], [90, 80, 70]], np.uint8)
    picture.putpalette(colours.tobytes())
    return picture, colours[np.asarray(picture)]


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_palette_becomes_rgb(tmp_path: Path, extension: str) -> None:
    picture, colours = palette_picture()
    picture.save(tmp_path / f"palette{extension}")
    image = read_image(tmp_path / f"palette{extension}")
    assert image.channel_axis == -1 and image.alpha is None
    np.testing.assert_array_equal(image.array, colours)


def test_palette_with_transparency_becomes_rgb_and_alpha(tmp_path: Path) -> None:
    picture, colours = palette_picture()
    picture.save(tmp_path / "palette.png", transparency=1)
    image = read_image(tmp_path / "palette.png")
    np.testing.assert_array_equal(image.array, colours)
    np.testing.assert_array_equal(image.alpha, np.where(np.asarray(picture) == 1, 0, 255))


def test_transparent_grey_level_becomes_alpha(tmp_path: Path) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(stored).save(tmp_path / "grey.png", transparency=5)
    image = read_image(tmp_path / "grey.png")
    np.testing.assert_array_equal(image.array, stored)
    np.testing.assert_array_equal(image.alpha, np.where(stored == 5, 0, 255))


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.tif", "CMYK"), ("b.tif", "LAB")])
def test_other_colours_are_an_error(tmp_path: Path, name: str, mode: str) -> None:
    Image.new(mode, (9, 9)).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"cannot read .*{name}.*grey"):
        read_image(tmp_path / name)


def test_animated_png_is_an_error(tmp_path: Path) -> None:
    frames = [Image.new("L", (9, 9), grey) for grey in (10, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="animation"):
        read_image(tmp_path / "a.png")


# ---- what belongs to the pixels


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_and_profile_are_kept_and_pixels_not_turned(
    tmp_path: Path, extension: str, dtype: Any
) -> None:
    if extension == ".jpg" and dtype == np.uint16:
        dtype = np.uint8  # JPEG has no other
    from PIL.ImageCms import ImageCmsProfile, createProfile

    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    stored = (smooth((20, 30, 3)).astype(np.uint16) << (8 * (np.dtype(dtype).itemsize - 1))).astype(
        dtype
    )
    write_image(tmp_path / f"a{extension}", ImageFile(stored, None, 6, profile))
    image = read_image(tmp_path / f"a{extension}")
    assert image.array.shape == (20, 30, 3)
    assert (image.orientation, image.icc_profile) == (6, profile)
    with Image.open(tmp_path / f"a{extension}") as picture:  # others see it too
        assert picture.getexif()[274] == 6
        assert picture.info["icc_profile"] == profile


def test_without_orientation_and_profile_none_is_written(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.tif"):
        write_image(tmp_path / name, smooth((9, 9)))
        image = read_image(tmp_path / name)
        assert (image.orientation, image.icc_profile) == (1, None)


# ---- TIFF


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
    tifffile.imwrite(tmp_path / "w16.tif", stored.astype(np.uint16), photometric="miniswhite")
    with pytest.raises(ValueError, match="16-bit MINISWHITE"):
        read_image(tmp_path / "w16.tif")


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 9, 8), {"photometric": "minisblack"}, "several pages"),
        ((4, 9, 8), {"imagej": True}, "several pages"),
        ((9, 8, 5), {"photometric": "minisblack", "planarconfig": "contig"}, "5 channels"),
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


# ---- NPY


@pytest.mark.parametrize(
    "stored",
    [
        np.zeros(5),
        np.zeros((2, 2, 1)),
        np.zeros((2, 2, 5)),
        np.zeros((2, 2, 3, 1)),
        np.float64(3),
        np.zeros((0, 4)),
    ],
    ids=lambda a: str(a.shape),
)
def test_arrays_that_are_no_images(tmp_path: Path, stored: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", stored)
    with pytest.raises(ValueError, match="shape"):
        read_image(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="shape"):
        write_image(tmp_path / "out.npy", stored)


def test_npy_byte_and_memory_order(tmp_path: Path) -> None:
    stored = pixels((5, 4), np.float64)
    np.save(tmp_path / "a.npy", np.asfortranarray(stored).astype(">f8"))
    image = read_image(tmp_path / "a.npy")
    assert image.array.dtype.isnative and image.array.flags.c_contiguous
    np.testing.assert_array_equal(image.array, stored)


class Payload:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["FASTGSM_TEST_PAYLOAD"],)


def test_pickled_npy_is_refused_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTGSM_TEST_PAYLOAD", str(tmp_path / "executed"))
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Payload()))
    np.save(tmp_path / "b.npy", np.array([[Payload()]], dtype=object))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(ValueError, match=f"cannot read .*{name}"):
            read_image(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_npy_that_claims_to_be_huge(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="cannot read"):
        read_image(tmp_path / "a.npy")


# ---- bad input files


@pytest.mark.parametrize("name", ["a.png", "a16.png", "a.jpg", "a.tif", "az.tif", "a.npy"])
def test_truncated_and_foreign_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    stored = pixels((50, 40, 3), np.uint16 if "16" in name else np.uint8)
    if name == "az.tif":
        tifffile.imwrite(path, stored, photometric="rgb", compression="zlib")
    else:
        write_image(path, stored)
    whole = path.read_bytes()
    for content in (b"", b"\0" * 100, b"hello", *(whole[:n] for n in (5, 40, len(whole) // 2))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"cannot read .*{name}") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", "16.png", "lzw.tif"])
def test_too_many_pixels(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{extension}"
    stored = smooth((30, 40))
    if extension == ".tif":
        tifffile.imwrite(path, stored, compression="zlib")
    elif extension == "lzw.tif":
        Image.fromarray(stored).save(path, compression="tiff_lzw")
    else:
        write_image(path, np.dstack([stored] * 3).astype("u2") if "16" in extension else stored)
    with pytest.raises(ValueError, match=r"1200 pixels, above the limit of 1199; .*--max-pixels"):
        read_image(path, max_pixels=1199)
    if extension != "lzw.tif":  # Pillow's own limit, of the whole process, has no say
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    assert read_image(path, max_pixels=1200).array.shape[:2] == (30, 40)
    with pytest.raises(ValueError, match="max_pixels is 0"):
        read_image(path, max_pixels=0)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*a\.png"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"unknown extension '\.gif'; known are \.png, \.jpg"):
        read_image(tmp_path / "a.gif")
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*nope"):
        read_image(tmp_path / "nope")  # a folder perhaps: its name is all there is to say
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="unknown extension ''"):
        read_image(tmp_path / "a")


@pytest.mark.parametrize(("name", "module"), [("a.png", "PIL.Image"), ("a.tif", "tifffile")])
def test_missing_extra_says_how_to_install_it(
    tmp_path: Path, name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / name, smooth((9, 9)))
    for missing in (module, "PIL.PngImagePlugin"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "fastgsm\[cli\]"'):
        read_image(tmp_path / name)
    with pytest.raises(ImportError, match=r'pip install "fastgsm\[cli\]"'):
        write_image(tmp_path / f"out{name}", smooth((9, 9)))


# ---- folders


def test_grey_images_of_files_and_folders_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub.png").mkdir(parents=True)
    for i, name in enumerate(["single.png", "folder/b.PNG", "folder/a.npy", "folder/.hidden.png"]):
        write_image(tmp_path / name, np.full((4, 4), 51 * (i + 1), np.uint8))
    (folder / "notes.txt").write_text("not an image")
    images = read_grey_images([tmp_path / "single.png", str(folder)])
    assert list(images) == [tmp_path / "single.png", folder / "a.npy", folder / "b.PNG"]
    assert [image[0, 0] for image in images.values()] == pytest.approx([0.2, 0.6, 0.4])
    assert all(image.dtype == np.float32 for image in images.values())
    assert list(read_grey_images(folder)) == [folder / "a.npy", folder / "b.PNG"]


def test_grey_images_are_checked_each_by_its_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((4, 4), 51, np.uint8))
    write_image(tmp_path / "b.npy", np.full((4, 4), 51.0))
    with pytest.raises(ValueError, match=r"b\.npy has values from 51 to 51; wanted 0 to 1"):
        read_grey_images(tmp_path)
    images = read_grey_images(tmp_path / "b.npy", data_range=255)
    np.testing.assert_allclose(images[tmp_path / "b.npy"], 0.2)


def test_grey_images_of_nothing_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ValueError, match=r"no image .* in the folder"):
        read_grey_images(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        read_grey_images([])
    with pytest.raises(FileNotFoundError):
        read_grey_images([tmp_path / "missing.png"])


# ---- writing


@pytest.mark.parametrize(
    ("name", "stored", "message"),
    [
        ("a.png", np.zeros((4, 4), np.float32), "PNG holds uint8 or uint16.*TIFF.*NPY"),
        ("a.jpg", np.zeros((4, 4), np.float32), "JPEG holds uint8.*TIFF.*NPY"),
        ("a.jpg", np.zeros((4, 4), np.uint16), "JPEG holds uint8.*PNG"),
        ("a.jpg", np.zeros((4, 4, 4), np.uint8), "JPEG holds no alpha"),
        ("a.png", np.zeros((4, 4), np.int32), "PNG holds"),
        ("a.tif", np.zeros((4, 4), bool), "not bool"),
        ("a.npy", np.zeros((4, 4), complex), "not complex128"),
        ("a.bmp", np.zeros((4, 4), np.uint8), "unknown extension"),
        (".", np.zeros((4, 4), np.uint8), "unknown extension"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, name: str, stored: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / name, stored)
    assert only(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    stored = smooth((4, 4))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        write_image(tmp_path / "folder.png", stored)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_image(tmp_path / "missing" / "a.png", stored)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="not a regular file"):
        write_image(tmp_path / "pipe.png", stored)


def test_write_protected_output_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", smooth((4, 4)))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anything
    with pytest.raises(PermissionError, match="write-protected"):
        write_image(tmp_path / "a.png", smooth((5, 5)))


def test_source_is_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write_image(source, smooth((4, 4)))
    before = source.read_bytes()
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.png").symlink_to(source)
    os.link(source, tmp_path / "hard.png")
    (tmp_path / "linked").symlink_to(tmp_path)
    for other in ("a.png", "sub/../a.png", "soft.png", "hard.png", "linked/a.png"):
        with pytest.raises(ValueError, match="is the input file"):
            write_image(tmp_path / other, smooth((5, 5)), source=source)
    assert source.read_bytes() == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError, RuntimeError])
@pytest.mark.parametrize("existing", [False, True])
def test_failed_write_leaves_everything_as_it_was(
    tmp_path: Path, failure: type[BaseException], existing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    if existing:
        path.write_bytes(b"older")

    def fail(file: Any, image: ImageFile) -> None:
        file.write(b"half")
        raise failure

    monkeypatch.setitem(formats.ENCODERS, "PNG", fail)
    with pytest.raises(failure):
        write_image(path, smooth((4, 4)))
    assert only(tmp_path) == (["a.png"] if existing else [])
    assert not existing or path.read_bytes() == b"older"


def test_failed_rename_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_image(tmp_path / "a.png", smooth((4, 4)))
    assert only(tmp_path) == []


def test_output_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("fsync"))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("replace") or replace(*names))
    write_image(tmp_path / "a.png", smooth((4, 4)))
    assert done == ["fsync", "replace"]


def test_output_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".npz"
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and only(tmp_path) == ["model.npz"]


def test_permissions_follow_the_umask_or_the_older_file(tmp_path: Path) -> None:
    old_umask = os.umask(0o027)
    try:
        write_image(tmp_path / "new.png", smooth((4, 4)))
        (tmp_path / "old.png").write_bytes(b"older")
        (tmp_path / "old.png").chmod(0o604)
        write_image(tmp_path / "old.png", smooth((4, 4)))
    finally:
        os.umask(old_umask)
    assert (tmp_path / "new.png").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "old.png").stat().st_mode & 0o777 == 0o604


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.png").write_bytes(b"older")
    (tmp_path / "link.png").symlink_to(tmp_path / "folder" / "real.png")
    write_image(tmp_path / "link.png", smooth((4, 4)))
    assert (tmp_path / "link.png").is_symlink()
    assert read_image(tmp_path / "folder" / "real.png").array.shape == (4, 4)
    assert only(tmp_path / "folder") == ["real.png"]
