"""``fastgsm denoise`` with folders, stacks, masks and photon noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.files.image_file import ImageFile
from fastgsm.io import read_image, read_pages, write_image, write_pages
from tests.cli.helpers import error_line, run

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")

FAST = ("--quality", "fast")


def noisy(seed: int, shape: tuple[int, ...] = (24, 20), dtype: Any = np.uint8) -> np.ndarray:
    leaves = fastgsm.datasets.dead_leaves(shape[:2], random_state=seed)
    image = leaves + 0.1 * np.random.default_rng(seed).standard_normal(shape[:2])
    if np.dtype(dtype).kind == "f":
        return image.astype(dtype)
    top = np.iinfo(dtype).max
    return np.clip(np.rint(image * top), 0, top).astype(dtype)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with three images and a text in photos/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.tif", "c.npy"]):
        write_image(tmp_path / "photos" / name, noisy(seed))
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_folder_is_denoised_image_by_image(folder: Path, capsys: Any) -> None:
    before = contents(folder)
    assert run("denoise", "photos", "out", "--sigma", 25, *FAST) == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.png", "b.tif", "c.npy"]
    for name in ("a.png", "b.tif", "c.npy"):
        image = read_image(folder / "photos" / name).array
        expected = fastgsm.denoise(image, 25, quality="fast")
        np.testing.assert_array_equal(read_image(folder / "out" / name).array, expected)
    assert {k: v for k, v in contents(folder).items() if not k.startswith("out")} == before
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "[1/3] photos/a.png", "[2/3] photos/b.tif", "[3/3] photos/c.npy"
    ]  # fmt: skip
    assert summary.startswith("denoised 3 of 3 images in ") and summary.endswith("written to out")


def test_failures_are_named_and_the_others_done(folder: Path, capsys: Any) -> None:
    (folder / "photos" / "b.tif").write_bytes(b"damaged")
    write_image(folder / "photos" / "c.npy", np.zeros((3, 3)))
    assert run("denoise", "photos", "out", *FAST) == 1
    assert [p.name for p in (folder / "out").iterdir()] == ["a.png"]
    out, err = capsys.readouterr()
    damaged, small = err.splitlines()
    assert damaged.startswith("fastgsm: error: cannot read photos/b.tif: ")
    assert small.startswith("fastgsm: error: photos/c.npy: ") and "patch" in small
    assert "denoised 1 of 3 images in " in out and "; 2 failed" in out


def test_several_files_go_to_a_folder(folder: Path) -> None:
    (folder / "out").mkdir()
    assert run("denoise", "photos/a.png", "photos/b.tif", "out", "--quiet", *FAST) == 0
    assert run("denoise", "photos/c.npy", "out", "--quiet", *FAST) == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.png", "b.tif", "c.npy"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["photos", "photos"], "photos/a.png is the input file photos/a.png"),
        (["photos/a.png", "photos"], "photos/a.png is the input file photos/a.png"),
        (["other/a.png", "photos/a.png", "photos"], "photos/a.png is the input file photos/a.png"),
        (["photos/a.png", "other/a.png", "out"], "photos/a.png and other/a.png would both be"),
        (["photos/a.png", "link"], "link/a.png is the input file photos/a.png"),
        (["photos/a.png", "mask.png", "--mask", "mask.png"], "mask.png is the mask mask.png"),
        (["photos/a.png", "out.png", "--mask", "lost.png"], "no such file or folder: lost.png"),
        (["photos", "new/out"], "no such folder: new; create it first"),
        (["photos", "photos/a.png"], "photos/a.png is a file; several images need a folder"),
        (["photos", "new.png"], "new.png is the name of an image; several images need a folder"),
        (["photos", "missing.png", "out"], "no such file or folder: missing.png"),
        (["photos", "out", "--prior", "nobody"], "neither a file nor a bundled prior"),
        (["photos", "out", "--mask", "photos/a.png"], "--mask photos/a.png has"),
        (
            ["photos", "out", "--noise", "1,2"],
            "'1,2' is neither auto, white, camera, poisson, three numbers",
        ),
        (["photos", "out", "--noise", "poisson", "--sigma", "2"], "not allowed with argument"),
        (["photos", "out", "--workers", "0"], "--workers: 0 is not 1 or more"),
    ],
)
def test_bad_input_is_named_before_any_work(
    folder: Path, capsys: Any, argv: list[str], message: str
) -> None:
    (folder / "other").mkdir()
    write_image(folder / "other" / "a.png", noisy(9))
    write_image(folder / "mask.png", np.eye(24, dtype=np.uint8)[:, :20])
    (folder / "link").symlink_to("photos")
    before = contents(folder)
    assert run("denoise", *argv) == 2
    assert message in error_line(capsys)
    assert contents(folder) == before
    assert not (folder / "out").exists()


def test_ctrl_c_keeps_what_is_done(folder: Path, capsys: Any, monkeypatch: Any) -> None:
    real = fastgsm.denoise
    seen: list[Any] = []

    def denoise(*args: Any, **options: Any) -> Any:
        seen.append(args)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(fastgsm, "denoise", denoise)
    assert run("denoise", "photos", "out", *FAST) == 130
    assert [p.name for p in (folder / "out").iterdir()] == ["a.png"]
    assert capsys.readouterr().err.endswith("fastgsm: interrupted\n")


def test_json_of_a_folder_and_of_one_image(folder: Path, capsys: Any) -> None:
    (folder / "photos" / "b.tif").write_bytes(b"damaged")
    assert run("denoise", "photos", "out", "--json", "--sigma", 9, *FAST) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] == 1 and result["seconds"] > 0
    first, second, third = result["images"]
    seconds = first.pop("seconds")
    assert seconds > 0 and first == {
        "input": "photos/a.png", "output": "out/a.png", "pages": 1, "width": 20, "height": 24,
        "channels": 1, "dtype": "uint8", "failed_pages": [], "noise": ["white"], "sigma": [9.0],
        "photons": [None], "noise_origin": "given",
    }  # fmt: skip
    assert second["output"] is None and "cannot read" in second["error"]
    assert third["input"] == "photos/c.npy"
    assert run("denoise", "photos/a.png", "one.png", "--json", "--quiet", *FAST) == 0
    out, err = capsys.readouterr()
    [image] = json.loads(out)["images"]
    assert image["noise_origin"] == "estimated" and image["sigma"][0] > 0 and err == ""


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_each_page_of_a_stack_is_denoised(folder: Path, capsys: Any, dtype: Any) -> None:
    pages = [noisy(seed, (24, 20 + seed), dtype) for seed in range(3)]
    write_pages("stack.tif", [ImageFile(page) for page in pages])
    assert run("denoise", "stack.tif", "clean.tif", *FAST) == 0
    result = read_pages("clean.tif")
    for page, clean in zip(pages, result, strict=True):
        assert clean.array.dtype == dtype
        sigma = fastgsm.estimate_sigma(page)
        np.testing.assert_array_equal(clean.array, fastgsm.denoise(page, sigma, quality="fast"))
    out, err = capsys.readouterr()
    assert "denoised 3 pages, the first 20x24 grey" in out
    assert "denoising pages" in err and "3/3" in err
    assert run("denoise", "stack.tif", "clean.npy", *FAST) == 2
    assert "NPY holds one page, not 3; write TIFF (.tif)" in error_line(capsys)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_page_that_fails_is_named_and_kept(folder: Path, capsys: Any, value: float) -> None:
    pages = [noisy(seed, (24, 20), np.float32) for seed in range(4)]
    pages[2][:] = value
    write_pages("stack.tif", [ImageFile(page) for page in pages])
    for argv in ([], ["--sigma", 0.1]):
        assert run("denoise", "stack.tif", "clean.tif", "--json", "--quiet", *argv, *FAST) == 1
        out, err = capsys.readouterr()
        assert err.startswith("fastgsm: error: stack.tif, page 3 of 4: ") and err.count("\n") == 1
        assert err.endswith("(it is written as it was)\n")
        [image] = json.loads(out)["images"]
        assert image["failed_pages"] == [3] and image["sigma"][2] is None
        result = [page.array for page in read_pages("clean.tif")]
        np.testing.assert_array_equal(result[2], pages[2])
        for i in (0, 1, 3):
            sigma = 0.1 if argv else None
            expected = fastgsm.denoise(pages[i], sigma, quality="fast")
            np.testing.assert_array_equal(result[i], expected)
    assert run("denoise", "stack.tif", "photos/a.png", "out", *FAST) == 1
    out, err = capsys.readouterr()
    assert "4 pages, 1 of which failed, the first 20x24 grey" in out
    write_pages("bad.tif", [ImageFile(pages[2])] * 2)
    assert run("denoise", "bad.tif", "out.tif", "--quiet", *FAST) == 2
    message = error_line(capsys)
    assert "none of its 2 pages can be denoised; page 1: " in message
    assert "written" not in message
    assert not (folder / "out.tif").exists()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("text", ["0", "-9999", "nan", "-3.4028234663852886e+38"])
@pytest.mark.parametrize("argv", [[], ["--sigma", 9, "--mask", "mask.npy"]], ids=str)
def test_pixels_without_a_value_are_kept_and_touch_no_others(
    folder: Path, dtype: Any, text: str, argv: list[Any]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = np.clip(noisy(0, (48, 40)), 2, None).astype(dtype)
    number = float(text)
    held = np.dtype(dtype).kind == "f" or (
        number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
    )
    missing = np.zeros(image.shape, bool)
    missing[:20, :8] = held
    image[missing] = number if held else 0
    mask = np.ones(image.shape, bool)
    mask[-9:, -9:] = False
    np.save("mask.npy", mask)
    tags = [(42113, 2, None, text, True)]
    tifffile.imwrite("in.tif", image, extratags=tags, metadata=None)
    range_ = ["--data-range", 255]
    assert run("denoise", "in.tif", "out.tif", *argv, *range_, *FAST) == 0
    with tifffile.TiffFile("out.tif") as tiff:
        result = tiff.asarray()
        assert tiff.pages[0].tags[42113].value == text
    np.testing.assert_array_equal(result[missing], image[missing])
    # Whatever stands there, the others come out the same, and none of them is missing.
    filled = np.where(missing, dtype(77), image)
    trusted = ~missing & mask if argv else ~missing
    given = {} if trusted.all() else {"mask": trusted}
    options = {"quality": "fast", "data_range": 255, **given}
    expected = fastgsm.denoise(filled, 9 if argv else None, **options)
    np.testing.assert_array_equal(result[~missing], expected[~missing])
    found = read_image("out.tif").missing
    np.testing.assert_array_equal(missing, np.zeros_like(missing) if found is None else found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1.7976931348623157e+308", np.finfo("f4").min),
        ("-3.40282e+38", np.finfo("f4").min),
        ("-3.4028235e+38", np.finfo("f4").min),
        ("-3.40282306074e+38", np.float32(-3.40282306074e38)),
        ("-3.40282306074e+38", np.finfo("f4").min),
        ("1e39", np.finfo("f4").max),
        ("-1.#IND", np.nan),
        ("1.#QNAN", np.nan),
    ],
)
def test_other_ways_to_write_no_data(folder: Path, text: str, value: float) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = noisy(0, (48, 40), np.float32)
    image[:20, :8] = value
    tifffile.imwrite("in.tif", image, extratags=[(42113, 2, None, text, True)])
    missing = np.zeros(image.shape, bool)
    missing[:20, :8] = True
    np.testing.assert_array_equal(read_image("in.tif").missing, missing)


def test_a_mask_that_leaves_nothing_out(folder: Path, capsys: Any) -> None:
    write_image("in.png", noisy(0))
    write_image("mask.png", np.full_like(noisy(0), 255))
    assert run("denoise", "in.png", "out.png", "--mask", "mask.png", *FAST) == 0
    capsys.readouterr()
    write_image("mask.png", np.zeros_like(noisy(0)))
    assert run("denoise", "in.png", "out.png", "--mask", "mask.png", *FAST) == 2
    assert "--mask mask.png has 1 values" in error_line(capsys)


def test_no_pixel_becomes_missing(folder: Path) -> None:
    """A restored value that is by chance the no-data value becomes the next one to it."""
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    for dtype, nodata, beside in ((np.uint8, 0, 1), (np.uint8, 255, 254), (np.int16, 5, 6)):
        image = np.clip(np.rint(rng.normal(nodata, 2, (40, 40))), 0, 255).astype(dtype)
        image[image == nodata] = beside
        image[:4, :4] = nodata
        tags = [(42113, 2, None, str(nodata), True)]
        tifffile.imwrite("in.tif", image, extratags=tags)
        assert run("denoise", "in.tif", "out.tif", "--sigma", 3, "--data-range", 255, *FAST) == 0
        result = tifffile.imread("out.tif")
        np.testing.assert_array_equal(result == nodata, image == nodata)
        assert (result == beside).sum() > 100


def test_pixels_under_a_mask_page_are_kept(folder: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = np.dstack([noisy(i, (48, 40)) for i in range(3)])
    valid = np.ones(image.shape[:2], bool)
    valid[:20, :8] = False
    with tifffile.TiffWriter("in.tif") as tiff:
        tiff.write(image, photometric="rgb", metadata=None)
        tiff.write(valid, photometric="mask", subfiletype=4, metadata=None)
    assert run("denoise", "in.tif", "out.tif", "--sigma", 9, *FAST) == 0
    result = read_image("out.tif")
    expected = fastgsm.denoise(image, 9, channel_axis=-1, mask=valid, quality="fast")
    np.testing.assert_array_equal(result.array, np.where(valid[..., None], expected, image))
    np.testing.assert_array_equal(result.mask, valid)


def test_an_image_without_any_value_is_an_error(folder: Path, capsys: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    tags = [(42113, 2, None, "7", True)]
    tifffile.imwrite("in.tif", np.full((20, 20), 7, np.uint8), extratags=tags)
    assert run("denoise", "in.tif", "out.tif", *FAST) == 2
    assert "none of its pixels has a value" in error_line(capsys)
    tifffile.imwrite("in.tif", noisy(0), extratags=[(42113, 2, None, "none", True)])
    assert run("denoise", "in.tif", "out.tif", *FAST) == 2
    assert "no-data value is 'none', which is not a number; remove it" in error_line(capsys)
    tags = [(42113, 2, None, "0", True)]
    tifffile.imwrite("in.tif", noisy(0), photometric="miniswhite", extratags=tags)
    assert run("denoise", "in.tif", "out.tif", *FAST) == 2
    assert "its values are converted (white as 0" in error_line(capsys)


@pytest.mark.parametrize(
    ("n", "photometric", "parts"),
    [(4, "rgb", [slice(3), 3]), (2, "minisblack", [0, 1]), (3, "minisblack", [0, 1, 2])],
)
def test_channels_that_are_no_colours_are_denoised_one_by_one(
    folder: Path, capsys: Any, n: int, photometric: str, parts: list[Any]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = np.dstack([noisy(i, (32, 28)) for i in range(n)])
    n_extra = n - (3 if photometric == "rgb" else 1)
    tifffile.imwrite(
        "in.tif", image, photometric=photometric, planarconfig="contig",
        extrasamples=["unspecified"] * n_extra,
    )  # fmt: skip
    assert run("denoise", "in.tif", "out.tif", *FAST) == 0
    result = tifffile.imread("out.tif")
    for part in parts:
        axis = -1 if isinstance(part, slice) else None
        expected = fastgsm.denoise(image[..., part], channel_axis=axis, quality="fast")
        np.testing.assert_array_equal(result[..., part], expected)
    assert f"28x32 {'colour' if n == 3 else f'{n}-channel'} uint8" in capsys.readouterr().out


def test_a_noise_model_of_all_channels_is_for_all(folder: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = np.dstack([noisy(i, (32, 28)) for i in range(4)])
    tifffile.imwrite("in.tif", image, photometric="rgb", extrasamples=["unspecified"])
    noise = fastgsm.NoiseModel.white([20.0, 25.0, 30.0, 9.0])
    noise.save("noise.json")
    assert run("denoise", "in.tif", "out.tif", "--noise", "noise.json", *FAST) == 0
    expected = fastgsm.denoise(image, noise=noise, channel_axis=-1, quality="fast")
    np.testing.assert_array_equal(tifffile.imread("out.tif"), expected)


@pytest.mark.parametrize("name", ["mask.png", "mask.npy", "colour.png", "bool.npy"])
def test_masked_and_nan_pixels_are_filled_in(folder: Path, name: str) -> None:
    image = noisy(0, (32, 32), np.float32)
    trusted = np.random.default_rng(0).random(image.shape) > 0.05
    mask = np.where(trusted, 255, 0).astype(np.uint8)
    if name == "bool.npy":
        np.save(name, trusted)
    else:
        write_image(name, np.dstack([mask] * 3) if name == "colour.png" else mask)
    image[0, :3] = np.nan
    write_image("in.tif", image)
    assert run("denoise", "in.tif", "out.tif", "--mask", name, "--sigma", 0.1) == 0
    expected = fastgsm.denoise(image, 0.1, mask=trusted)
    np.testing.assert_array_equal(read_image("out.tif").array, expected)
    # Without a level it is estimated, from the pixels that are there.
    trusted[:24] = True
    write_image("some.npy", trusted.astype(np.uint8))
    assert run("denoise", "in.tif", "estimated.tif", "--mask", "some.npy") == 0
    assert np.isfinite(read_image("estimated.tif").array).all()


def test_a_mask_of_another_size_fails_image_by_image(folder: Path, capsys: Any) -> None:
    write_image("mask.png", np.eye(9, dtype=np.uint8))
    for argv in (["--sigma", 9], []):
        assert run("denoise", "photos", "out", "--mask", "mask.png", *argv) == 1
        message = "--mask mask.png has 9x9 pixels; wanted those of the image as it is stored, 20x24"
        assert capsys.readouterr().err.count(message) == 3
    assert list((folder / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "noise"), [("poisson", "poisson"), ("2,100,1.5", (2.0, 100.0, 1.5))]
)
def test_photon_noise(folder: Path, capsys: Any, argument: str, noise: Any) -> None:
    counts = np.random.default_rng(0).poisson(noisy(0) / 4).astype(np.uint16) + np.uint16(100)
    write_image("in.tif", counts)
    argv = ["--noise", argument, "--workers", 1, *FAST]
    assert run("denoise", "in.tif", "out.tif", *argv) == 0
    expected = fastgsm.denoise(counts, noise=noise, quality="fast")
    np.testing.assert_array_equal(read_image("out.tif").array, expected)
    assert "20x24 grey uint16: photon noise, " in capsys.readouterr().out


def test_workers_are_passed_on(folder: Path, monkeypatch: Any) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(
        fastgsm, "denoise", lambda image, *_, workers, **__: noted.append(workers) or image
    )
    assert run("denoise", "photos/a.png", "out.png", "--workers", 3, "--quiet") == 0
    assert noted == [3]
