"""Image files are read exactly as they were stored."""

from __future__ import annotations

import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.files.image_file import ImageFile
from fastgsm.io import read_grey_images, read_image, write_image
from tests.files.helpers import SHAPES, only, pixels, smooth

Image = pytest.importorskip("PIL.Image")
get_sampling = pytest.importorskip("PIL.JpegImagePlugin").get_sampling
tifffile = pytest.importorskip("tifffile")


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
        dtype = np.uint8  # JPEG has no other type
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


# ---- NPY


@pytest.mark.parametrize(
    "stored",
    [
        np.zeros(5),
        np.zeros((2, 2, 5)),
        np.zeros((2, 2, 3, 2)),
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


@pytest.mark.parametrize(
    ("shape", "squeezed"),
    [
        ((1, 1, 1, 9, 8), (9, 8)),
        ((9, 8, 1), (9, 8)),
        ((1, 9, 8), (9, 8)),
        ((1, 9, 8, 1), (9, 8)),
        ((1, 9, 8, 3), (9, 8, 3)),
        ((1, 9, 3), (1, 9, 3)),
        ((1, 1, 9, 8, 4), (9, 8, 3)),
        ((9, 1), (9, 1)),
    ],
)
def test_axes_of_length_one_are_left_out_and_come_back(
    tmp_path: Path, shape: tuple[int, ...], squeezed: tuple[int, ...]
) -> None:
    stored = pixels(shape)
    np.save(tmp_path / "a.npy", stored)
    image = read_image(tmp_path / "a.npy")
    assert image.array.shape == squeezed
    write_image(tmp_path / "b.npy", image)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), stored)
    write_image(tmp_path / "b.tif", image)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").array, image.array)
    if squeezed == (9, 8):  # tifffile keeps the shape in the description, which is copied
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack")
        write_image(tmp_path / "c.tif", read_image(tmp_path / "a.tif"))
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "c.tif", squeeze=False), stored)


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
    # Pillow's own limit, for the whole process, does not apply.
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


def test_grey_images_have_all_values_and_no_other_channels(tmp_path: Path) -> None:
    stored = pixels((20, 24, 4), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(ValueError, match=r"a\.tif has 4 channels; wanted grey or RGB"):
        read_grey_images(path)
    stored[:, :, 0].flat[:7] = 250
    tifffile.imwrite(path, stored[..., 0], extratags=[(42113, 2, None, "250", True)])
    n = np.count_nonzero(stored[..., 0] == 250)
    with pytest.raises(ValueError, match=rf"a\.tif has {n} pixels without a value"):
        read_grey_images(path)


def test_grey_images_of_nothing_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ValueError, match=r"no image .* in the folder"):
        read_grey_images(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        read_grey_images([])
    with pytest.raises(FileNotFoundError):
        read_grey_images([tmp_path / "missing.png"])
