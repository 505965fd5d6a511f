"""``fastgsm denoise --tile`` gives the same bits as the whole image, also after interrupts."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm import tiles
from fastgsm.files import stored as _stored
from fastgsm.files import tiff_write
from fastgsm.io import read_image
from fastgsm.restore.options import Options
from tests.cli.helpers import only, run

tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")

SHAPE, TILE = (100, 130), 48
OPTIONS = ["--quality", "fast", "--tile", TILE, "--quiet"]


def noisy(dtype: Any = np.uint16, channels: int = 0) -> Any:
    leaves = fastgsm.datasets.dead_leaves(SHAPE, random_state=0)
    if channels:
        leaves = np.stack([leaves, leaves[::-1], leaves[:, ::-1]], axis=-1)
    values = leaves + 0.1 * np.random.default_rng(0).standard_normal(leaves.shape)
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    top = np.iinfo(dtype).max
    return np.rint(values.clip(0, 1) * top).astype(dtype)


@functools.cache
def whole(dtype: Any = np.uint16, channels: int = 0) -> Any:
    image = noisy(dtype, channels)
    return fastgsm.denoise(image, quality="fast", channel_axis=-1 if channels else None)


def write_tiff(path: Path, image: Any, planes: bool = False, **options: Any) -> None:
    colour = image.ndim == 3
    tifffile.imwrite(
        path,
        np.moveaxis(image, -1, 0) if planes and colour else image,
        photometric="rgb" if colour else "minisblack",
        planarconfig=("separate" if planes else "contig") if colour else None,
        **options,
    )


def write_zarr(path: Path, image: Any) -> None:
    zarr.create_array(path, data=image, chunks=(33, 41, 3)[: image.ndim])


WRITERS: dict[str, Any] = {
    "strips.tif": lambda path, image: write_tiff(path, image, rowsperstrip=7),
    "planes.tiff": lambda path, image: write_tiff(path, image, planes=True, byteorder=">"),
    "tiled.tif": lambda path, image: write_tiff(path, image, tile=(32, 48)),
    "deflate.tif": lambda path, image: write_tiff(
        path, image, planes=True, compression="zlib", tile=(48, 32), byteorder=">"
    ),
    "rows.tif": lambda path, image: write_tiff(path, image, compression="zlib", rowsperstrip=9),
    "in.npy": lambda path, image: np.save(path, image),
    "big-endian.npy": lambda path, image: np.save(path, image.astype(image.dtype.newbyteorder())),
    "in.zarr": write_zarr,
    "no-suffix": write_zarr,
}


def read(path: Path) -> Any:
    return zarr.open_array(path, mode="r")[:] if path.suffix == ".zarr" else read_image(path).array


@pytest.mark.parametrize(
    ("name", "output"),
    [*((name, "out.npy") for name in WRITERS), ("in.npy", "out.tif"), ("strips.tif", "out.zarr")],
)
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_bits_are_those_of_the_whole(
    tmp_path: Path, name: str, output: str, channels: int, dtype: Any
) -> None:
    image = noisy(dtype, channels)
    WRITERS[name](tmp_path / name, image)
    assert run("denoise", tmp_path / name, tmp_path / output, *OPTIONS) == 0
    result = read(tmp_path / output)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, whole(dtype, channels))
    assert only(tmp_path) == sorted([name, output])


def test_a_chunk_is_a_tile(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", noisy(channels=3))
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.zarr", *OPTIONS) == 0
    reach = Options(3, np.random.default_rng(), quality="fast").reach("auto")
    first = tiles.tiles_of(SHAPE, TILE, *reach)[0]
    sides = tuple(side.stop for side in first.inner)
    assert max(sides) < max(SHAPE)
    assert zarr.open_array(tmp_path / "out.zarr", mode="r").chunks == (*sides, 3)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_what_a_tiff_says_of_its_pixels_is_kept(tmp_path: Path, byteorder: str) -> None:
    write_tiff(
        tmp_path / "in.tif",
        noisy(),
        byteorder=byteorder,
        description="a scan",
        resolution=(300, 300),
        iccprofile=b"profile" * 20,
        metadata=None,
        extratags=[(274, 3, 1, 8, True), (65000, 5, 1, (300, 7), True)],
    )
    for name, options in (("whole.tif", OPTIONS[:2]), ("tiles.tif", OPTIONS)):
        assert run("denoise", tmp_path / "in.tif", tmp_path / name, *options, "--quiet") == 0
    one, other = read_image(tmp_path / "whole.tif"), read_image(tmp_path / "tiles.tif")
    assert (other.orientation, other.icc_profile) == (8, b"profile" * 20)
    assert {270: b"a scan\0"}.items() <= {n: value for n, _, value in other.tags.others}.items()
    assert len(other.tags.others) == 3 and other.tags.byteorder == byteorder
    assert (one.orientation, one.icc_profile, one.tags) == (8, b"profile" * 20, other.tags)
    np.testing.assert_array_equal(one.array, other.array)


@pytest.mark.parametrize("big", [False, True])
def test_a_large_result_is_a_bigtiff(tmp_path: Path, monkeypatch: Any, big: bool) -> None:
    if big:
        monkeypatch.setattr(tiff_write, "CLASSIC_BYTES", 1000)
    np.save(tmp_path / "in.npy", noisy())
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.tif", *OPTIONS) == 0
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff == big


def test_it_says_what_it_did(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    part = Interrupted(monkeypatch, None)
    np.save(tmp_path / "in.npy", noisy())
    argv = ["denoise", tmp_path / "in.npy", tmp_path / "out.tif", "--tile", 60, "--quality", "fast"]
    assert run(*argv, "--json", "--sigma", 6000, "--data-range", 65535, "--workers", 1) == 0
    out, err = capsys.readouterr()
    [image] = json.loads(out)["images"]
    assert (image["width"], image["height"], image["sigma"]) == (130, 100, [6000])
    assert part.workers == 1 and image["noise_origin"] == "given" and "denoising tiles" in err
    sigma = fastgsm.estimate_sigma(noisy())
    assert run(*argv) == 0
    out, err = capsys.readouterr()
    assert (
        f"denoised 130x100 grey uint16: white noise, sigma {sigma:.4g} grey levels (estimated)"
        in out
    )
    assert "measuring the image" in err


@pytest.mark.parametrize("name", ["strips.tif", "deflate.tif", "in.npy", "in.zarr"])
def test_no_more_is_read_than_a_tile_with_its_margins(
    tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    WRITERS[name](tmp_path / name, noisy())
    read = _stored.Stored.__getitem__
    sizes = []

    def counted(self: Any, part: Any) -> Any:
        pixels = read(self, part)
        sizes.append(pixels.size)
        return pixels

    monkeypatch.setattr(_stored.Stored, "__getitem__", counted)
    argv = [*OPTIONS, "--tile", 16, "--noise", "white", "--prior", "gsm"]
    assert run("denoise", tmp_path / name, tmp_path / "out.npy", *argv) == 0
    halo, step = fastgsm.restore.presets.PRESETS["fast"].reach(8, 1)
    margin = -(-halo // step) * step
    assert max(sizes) <= (step + 2 * margin) ** 2 < noisy().size


# ---- interrupts and failures


class Interrupted:
    """A `denoise_tile` that raises an error once so many tiles are done."""

    def __init__(self, monkeypatch: Any, error: BaseException | None, after: int = 3) -> None:
        self.error, self.after, self.calls = error, after, 0
        self.denoise_tile = tiles.denoise_tile
        monkeypatch.setattr(tiles, "denoise_tile", self)

    def __call__(self, *args: Any) -> Any:
        if self.error is not None and self.calls == self.after:
            raise self.error
        self.calls, self.workers = self.calls + 1, args[-1].workers
        return self.denoise_tile(*args)


@pytest.mark.parametrize("output", ["out.zarr", "out.npy", "out.tif"])
@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 2)]
)
def test_a_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: Any, capsys: Any, output: str, error: Any, status: int
) -> None:
    write_tiff(tmp_path / "in.tif", noisy(channels=3), byteorder=">", description="kept")
    (tmp_path / "out.npy").write_bytes(b"older")
    argv = ["denoise", tmp_path / "in.tif", tmp_path / output, *OPTIONS]
    with monkeypatch.context() as patch:
        Interrupted(patch, error)
        assert run(*argv) == status
    assert f"is kept in {tmp_path / output}.partial; the same command" in capsys.readouterr().err
    assert only(tmp_path) == sorted({"in.tif", f"{output}.partial", "out.npy"})
    assert (tmp_path / "out.npy").read_bytes() == b"older"

    # A run with other options or another image is refused, and changes nothing.
    assert run(*argv, "--sigma", 9) == 2
    assert "checkpoint of another run" in capsys.readouterr().err
    np.save(tmp_path / "grey.npy", noisy())
    assert run("denoise", tmp_path / "grey.npy", *argv[2:]) == 2
    assert "was not left by a run like this one (it has shape" in capsys.readouterr().err

    rest = Interrupted(monkeypatch, None)
    assert run(*argv) == 0
    assert rest.calls == 6 - 3
    np.testing.assert_array_equal(read(tmp_path / output), whole(channels=3))
    assert only(tmp_path) == sorted({"in.tif", "grey.npy", output, "out.npy"})


@pytest.mark.parametrize("output", ["out.zarr", "out.npy", "out.tif"])
@pytest.mark.parametrize("failing", ["close", "put", "put over an older one"])
def test_a_finished_result_is_kept_until_it_is_in_its_place(
    tmp_path: Path, monkeypatch: Any, capsys: Any, output: str, failing: str
) -> None:
    np.save(tmp_path / "in.npy", noisy())
    older = np.ones((30, 30), np.uint8)
    if "older" in failing:
        by_suffix = {".zarr": write_zarr, ".npy": np.save, ".tif": write_tiff}
        by_suffix[Path(output).suffix](tmp_path / output, older)
    argv = ["denoise", tmp_path / "in.npy", tmp_path / output, *OPTIONS]
    replace = _stored.os.replace

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    def fail_to_put(source: Any, target: Any) -> None:
        if Path(source).stem == "image":
            raise OSError("moved by nobody")
        replace(source, target)

    with monkeypatch.context() as patch:
        if failing == "close":
            patch.setattr(_stored.Stored, "close", fail)
        else:
            patch.setattr(_stored.os, "replace", fail_to_put)
        assert run(*argv) == (130 if failing == "close" else 2)
    assert f"is kept in {tmp_path / output}.partial; the same command" in capsys.readouterr().err
    assert (tmp_path / output).exists() == ("older" in failing)
    if "older" in failing:
        np.testing.assert_array_equal(read(tmp_path / output), older)

    rest = Interrupted(monkeypatch, None)
    assert run(*argv) == 0
    assert rest.calls == 0
    np.testing.assert_array_equal(read(tmp_path / output), whole())
    assert only(tmp_path) == sorted(["in.npy", output])


def test_an_older_result_that_a_kill_left_aside_comes_back(
    tmp_path: Path, monkeypatch: Any
) -> None:
    np.save(tmp_path / "in.npy", noisy())
    (tmp_path / "out.zarr.partial").mkdir()
    write_zarr(tmp_path / "out.zarr.partial" / "replaced.zarr", np.ones((30, 30)))
    argv = ["denoise", tmp_path / "in.npy", tmp_path / "out.zarr", *OPTIONS]
    with monkeypatch.context() as patch:
        Interrupted(patch, KeyboardInterrupt(), after=0)
        assert run(*argv) == 130
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), np.ones((30, 30)))
    assert only(tmp_path) == ["in.npy", "out.zarr"]


def test_an_interrupt_before_the_first_tile_leaves_nothing(
    tmp_path: Path, monkeypatch: Any
) -> None:
    np.save(tmp_path / "in.npy", noisy())

    def interrupted(*args: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastgsm.tiles.scan", interrupted)
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.zarr", *OPTIONS) == 130
    assert only(tmp_path) == ["in.npy"]


def test_what_a_kill_left_before_the_first_tile_is_started_again(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", noisy())
    for output in ("out.zarr", "out.npy", "out.tif"):
        folder = tmp_path / f"{output}.partial"
        folder.mkdir()
        if output == "out.zarr":
            write_zarr(folder / "image.zarr", np.ones((5, 5)))
        else:
            (folder / f"image{Path(output).suffix}").write_bytes(b"half")
        assert run("denoise", tmp_path / "in.npy", tmp_path / output, *OPTIONS) == 0
        np.testing.assert_array_equal(read(tmp_path / output), whole())
        assert not folder.exists()


def test_a_folder_of_somebody_else_keeps_its_files(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", noisy())
    (tmp_path / "out.tif.partial").mkdir()
    (tmp_path / "out.tif.partial" / "mine.txt").touch()
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.tif", *OPTIONS) == 0
    assert only(tmp_path / "out.tif.partial") == ["mine.txt"]


def test_an_older_result_is_replaced_through_links(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", noisy())
    write_zarr(tmp_path / "older.zarr", np.ones((300, 300)))
    (tmp_path / "older.tif").write_bytes(b"older")
    (tmp_path / "older.tif").chmod(0o640)
    for suffix in (".zarr", ".tif"):
        (tmp_path / f"link{suffix}").symlink_to(tmp_path / f"older{suffix}")
        assert run("denoise", tmp_path / "in.npy", tmp_path / f"link{suffix}", *OPTIONS) == 0
        assert (tmp_path / f"link{suffix}").is_symlink()
        np.testing.assert_array_equal(read(tmp_path / f"older{suffix}"), whole())
    assert (tmp_path / "older.tif").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("argv", [[], ["--sigma", 6000, "--data-range", 65535, "--prior", "gsm"]])
def test_a_damaged_chunk_is_named(tmp_path: Path, capsys: Any, argv: list[Any]) -> None:
    write_zarr(tmp_path / "in.zarr", noisy())
    chunk = tmp_path / "in.zarr" / "c" / "2" / "2"
    content = chunk.read_bytes()
    chunk.write_bytes(b"damaged")
    argv = ["denoise", tmp_path / "in.zarr", tmp_path / "out.tif", *OPTIONS, *argv]
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert f"cannot read {tmp_path / 'in.zarr'}: " in err
    if "--sigma" not in argv:  # which is estimated from all of the image, like the data range
        assert only(tmp_path) == ["in.zarr"] and "is kept" not in err
        return
    assert f"is kept in {tmp_path / 'out.tif'}.partial; the same command" in err
    chunk.write_bytes(content)
    assert run(*argv) == 0
    expected = fastgsm.denoise(noisy(), 6000, quality="fast", prior="gsm")
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)
    assert only(tmp_path) == ["in.zarr", "out.tif"]


def test_what_fails_in_the_first_tile_leaves_nothing(tmp_path: Path, capsys: Any) -> None:
    image = noisy(np.float32)
    image[50, 50] = np.nan  # in its margin
    np.save(tmp_path / "in.npy", image)
    argv = ["denoise", tmp_path / "in.npy", tmp_path / "out.tif", *OPTIONS, "--sigma", 0.1]
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert "image holds NaN in rows 0 to" in err and "is kept" not in err
    assert only(tmp_path) == ["in.npy"]


def test_nan_is_named(tmp_path: Path, capsys: Any) -> None:
    image = noisy(np.float32)
    image[99, 99] = np.nan
    np.save(tmp_path / "in.npy", image)
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.tif", *OPTIONS) == 2
    assert "image holds NaN in rows 48 to 100" in capsys.readouterr().err
    assert only(tmp_path) == ["in.npy"]


def test_a_disk_without_space(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    np.save(tmp_path / "in.npy", noisy())
    usage = type("Usage", (), {"free": 25_999})
    monkeypatch.setattr(_stored.shutil, "disk_usage", lambda _: usage)
    for output in ("out.npy", "out.tif"):
        assert run("denoise", tmp_path / "in.npy", tmp_path / output, *OPTIONS) == 2
        assert "needs 26000 bytes, but 25999 are free" in capsys.readouterr().err
        assert only(tmp_path) == ["in.npy"]
    usage.free = 26_000
    assert run("denoise", tmp_path / "in.npy", tmp_path / "out.npy", *OPTIONS) == 0


# ---- bad input


@pytest.fixture
def files(tmp_path: Path, monkeypatch: Any) -> Path:
    """Return a folder with files that --tile reads, and others."""
    monkeypatch.chdir(tmp_path)
    image = noisy(np.uint8)
    np.save("in.npy", image)
    write_tiff(Path("in.tif"), image)
    write_zarr(Path("in.zarr"), image)
    Path("folder").mkdir()
    Path("in.png").touch()
    Path("foreign.tif").write_text("no picture")
    np.save("alpha.npy", np.zeros((20, 20, 4)))
    np.save("stack.npy", np.zeros((5, 20, 20)))
    np.save("complex.npy", np.zeros((20, 20), complex))
    np.save("objects.npy", np.full((20, 20), None))
    np.save("empty.npy", np.zeros((0, 20)))
    np.save("small.npy", np.zeros((5, 20)))
    group = zarr.open_group("group.zarr", mode="w")
    for name in ("0", "labels"):
        group.create_array(name, data=image)
    rgba = np.dstack([image] * 4)
    tifffile.imwrite("alpha.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite("stack.tif", np.stack([image] * 2), photometric="minisblack")
    tifffile.imwrite("white.tif", image, photometric="miniswhite")
    tifffile.imwrite("bits.tif", image > 100, photometric="minisblack")
    tifffile.imwrite("palette.tif", image, photometric="palette", colormap=np.zeros((3, 256), "u2"))
    write_tiff(Path("nodata.tif"), image, extratags=[(42113, 2, None, "99", True)])
    tifffile.imwrite("nir.tif", rgba, photometric="rgb", extrasamples=["unspecified"])
    with tifffile.TiffWriter("mask.tif") as tiff:
        tiff.write(image, metadata=None)
        tiff.write(image > 100, photometric="mask", subfiletype=4, metadata=None)
    write_tiff(Path("lzw.tif"), image, compression="lzw", rowsperstrip=200)
    content = bytearray(Path("lzw.tif").read_bytes())
    content[-200:] = bytes(200)
    Path("lzw.tif").write_bytes(content)
    tifffile.imwrite("complex.tif", image.astype(np.complex64), photometric="minisblack")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["missing.tif", "out.tif"], "no such file or folder: missing.tif"),
        (["missing.zarr", "out.tif"], "no such file or folder: missing.zarr"),
        (["in.png", "out.tif"], "in.png is another kind of file; --tile reads one image from a"),
        (["folder", "out.tif"], "folder is another kind of folder; --tile reads one image"),
        (["in.npy", "in.tif", "folder"], "--tile denoises one image, not 2; run it for each"),
        (["in.npy", "out.png"], "out.png: --tile writes .zarr, .npy or .tif"),
        (["in.npy", "folder"], "folder: --tile writes .zarr, .npy or .tif"),
        (["in.npy", "missing/out.tif"], "no such folder: missing; create it first"),
        (["in.npy", "missing/out.zarr"], "no such folder: missing; create it first"),
        (["in.npy", "folder/../in.npy"], "in.npy is the input file in.npy"),
        (["in.zarr", "in.zarr"], "in.zarr is the input file in.zarr"),
        (["in.zarr", "in.zarr/out.npy"], "lies within the other"),
        (["group.zarr/0", "group.zarr"], "lies within the other"),
        (["in.npy", "group.zarr"], "group.zarr exists and is not a Zarr array (it is a group"),
        (["group.zarr", "out.npy"], "it is a group of arrays (0, labels), not an array; give one"),
        (["foreign.tif", "out.npy"], "cannot read foreign.tif: "),
        (["stack.tif", "out.npy"], "cannot read stack.tif: it has 2 pages; save the page wanted"),
        (["alpha.tif", "out.npy"], "4 channels, the last of them alpha"),
        (["alpha.npy", "out.npy"], "4 channels, the last of them alpha"),
        (["white.tif", "out.npy"], "it is 8-bit MINISWHITE with axes YX; save it as grey or RGB"),
        (["palette.tif", "out.npy"], "it is 8-bit PALETTE with axes YX; save it as grey or RGB"),
        (["bits.tif", "out.npy"], "it is 1-bit MINISBLACK with axes YX; save it as grey or RGB"),
        (["nodata.tif", "out.npy"], "of 99 have no value (tag GDAL_NODATA), and --tile cannot"),
        (["mask.tif", "out.npy"], "it has a mask of missing pixels, and --tile cannot leave"),
        (["nir.tif", "out.npy"], "it has 4 channels, which --tile does not support; leave out"),
        (["lzw.tif", "out.npy"], "error: cannot read lzw.tif: "),
        (["complex.tif", "out.npy"], "pixels must be integers or floats, not complex64"),
        (["complex.npy", "out.npy"], "pixels must be integers or floats, not complex128"),
        (["objects.npy", "out.npy"], "cannot read objects.npy: "),
        (["empty.npy", "out.npy"], "the image is empty"),
        (["small.npy", "out.npy"], "height is 5"),
        (["stack.npy", "out.npy"], "its shape is (5, 20, 20); wanted (height, width), or"),
        (["in.npy", "out.npy", "--mask", "in.npy"], "--mask does not apply to --tile"),
        (["in.npy", "out.npy", "--max-pixels", "9"], "leave out --max-pixels, or --tile if the"),
        (["in.npy", "out.npy", "--tile", "0"], "--tile: 0 is not 1 or more"),
        (["in.npy", "out.npy", "--prior", "nobody"], "neither a file nor a bundled prior"),
        (["in.npy", "out.npy", "--sigma", "-1"], "sigma is -1"),
        (["in.npy", "out.npy", "--data-range", "-1"], "data_range is -1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(
    files: Path, capsys: Any, argv: list[str], message: str
) -> None:
    before = only(files)
    content = (files / "in.npy").read_bytes()
    assert run("denoise", "--tile", 64, *argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err
    assert err.startswith("fastgsm: error: ") and err.count("\n") == 1
    assert err.count("cannot read") <= 1
    assert only(files) == before and (files / "in.npy").read_bytes() == content
    assert only(files / "group.zarr") == ["0", "labels", "zarr.json"]


def test_no_data_that_the_type_cannot_hold_is_nowhere(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(90, 110, (40, 40), np.uint8)
    for name, tags in (("a", [(42113, 2, None, "-9999", True)]), ("b", [])):
        write_tiff(tmp_path / f"{name}.tif", image, extratags=tags)
        argv = ["--sigma", 5, "--tile", 32, "--quality", "fast"]
        assert run("denoise", tmp_path / f"{name}.tif", tmp_path / f"{name}.npy", *argv) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_parts_that_are_read_as_a_whole_are_limited(
    files: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(_stored, "MAX_PIXELS", 1000)
    write_tiff(files / "one.tif", noisy(np.uint8), compression="zlib", rowsperstrip=100)
    for name, size in (("one.tif", 13_000), ("in.zarr", 1353)):
        assert run("denoise", name, "out.npy", "--tile", 64) == 2
        assert f"{name}: its strips, tiles or chunks have up to {size} values" in (
            capsys.readouterr().err
        )
    assert run("denoise", "in.tif", "out.npy", *OPTIONS) == 0  # not compressed


@pytest.mark.parametrize(
    "argv",
    [["in.zarr", "out.tif"], ["in.npy", "out.zarr"], ["group.zarr/0", "out.tif"],
     ["in.npy", "in.zarr", "folder"], ["in.npy", "group.zarr/0"]],
)  # fmt: skip
def test_without_tile_an_array_of_zarr_is_pointed_to_it(
    files: Path, capsys: Any, argv: list[str]
) -> None:
    before = only(files)
    assert run("denoise", *argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "Zarr arrays are read and written only by tiles; add --tile 2048" in err
    assert only(files) == before
