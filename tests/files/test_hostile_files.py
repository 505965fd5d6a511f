"""Files made to do harm are refused in one line, in little time and memory.

Here are the known tricks, each with its reason; `tests/files/fuzz_files.py` tries random ones.
"""

from __future__ import annotations

import contextlib
import io as bytes_io
import lzma
import os
import re
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm import cli
from fastgsm.files import kept
from fastgsm.files import tiff as _tiff
from fastgsm.io import read_image, read_pages, write_image

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("PIL.Image")

PROJECT = Path(__file__).resolve().parents[2]
X = np.random.default_rng(0).standard_t(4, (200, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])
MIB = 2**20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    fastgsm.GSM(3, tol=0.1).fit(X).save(path)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(path: Path, entries: Any, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def as_npy(array: Any) -> bytes:
    file = bytes_io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def refusal(read: Callable[[Path], Any], path: Path, limit: int = 32 * MIB) -> str:
    """Return the error message from reading a file, and check that it needs little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"read|regular") as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message and len(message) < 600
    return message


# --- at random ----------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.files.fuzz_files",
        "--count",
        "400",
        "--folder",
        tmp_path,
    ]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("400 files") and ".npz read" in result.stdout
    assert list(tmp_path.iterdir()) == []


# --- models -------------------------------------------------------------------------------


def test_model_that_is_a_zip_bomb(model: Path) -> None:
    entries = entries_of(model) | {"eigenvectors.npy": as_npy(np.zeros((1, 4000, 4000)))}
    write_entries(model, entries.items(), zipfile.ZIP_DEFLATED)
    assert model.stat().st_size < MIB
    assert "claim" in refusal(fastgsm.load, model)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_model_compressed_by_what_python_expands_without_bound(model: Path, method: int) -> None:
    entries = entries_of(model)
    write_entries(model, entries.items(), method)
    assert "other method than deflate" in refusal(fastgsm.load, model)


def test_model_recompressed_by_deflate_is_read(model: Path) -> None:
    before = fastgsm.load(model)
    write_entries(model, entries_of(model).items(), zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(fastgsm.load(model).score_samples(X), before.score_samples(X))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_model_with_an_entry_twice(model: Path) -> None:
    entries = entries_of(model)
    write_entries(model, [*entries.items(), ("scales.npy", entries["scales.npy"])])
    assert "arrays that no model has" in refusal(fastgsm.load, model)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("weights", np.ones((1, 3), np.uint8), "type uint8"),
        ("weights", np.full((1, 3), 1 / 3, np.float16), "type float16"),
        ("weights", np.full((1, 3), 1 / 3, complex), "type complex128"),
        ("weights", np.array([[b"a"]]), "type |S1"),
        ("scales", np.full((1, 3), np.inf), "NaN or infinity"),
        ("scales", np.array([[1e-200, 1.0, 1e308]]), "range of floats"),
        ("eigenvalues", np.array([[1.0, 2.0, 3.0, 4.0]]), "descending"),
        ("eigenvalues", np.array([[4.0, 3.0, 2.0, -1.0]]), "not above 0"),
        ("eigenvalues", np.ones((0, 4)), "shape"),
        ("means", np.full((1, 4), np.nan), "NaN"),
        ("header", np.frombuffer(b"[" * 100_000, np.uint8), "recursion"),
        ("header", np.frombuffer(b"[]", np.uint8), "not a JSON object"),
        ("header", np.frombuffer(b'{"format": "\\u001b[2J' + b"x" * 9999 + b'"}', "u1"), "format"),
        ("header", np.zeros(2**21, np.uint8), "header is too large"),
    ],
)
def test_model_with_contents_of_another_kind(
    model: Path, name: str, array: np.ndarray, message: str
) -> None:
    write_entries(model, (entries_of(model) | {f"{name}.npy": as_npy(array)}).items())
    assert message in refusal(fastgsm.load, model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version": 1', b'"version": 0', "version 0 .* use the release that wrote it"),
        (b'"version": 1', b'"version": "1"', "version '1' .* use the release"),
        (b'"converged": ', b'"convergent": ', "converged = None; wanted a bool"),
        (b'"lower_bounds": [', b'"lower_bounds": [NaN, ', "log-likelihoods are NaN or inf"),
        (b'"tol": 0.1', b'"tol": NaN', "tol is nan"),
        (b'"tol": 0.1', b'"tol": {}', "option tol is {}; wanted a number or a word"),
    ],
)
def test_model_with_a_header_of_another_kind(
    model: Path, old: bytes, new: bytes, message: str
) -> None:
    entries = entries_of(model)
    header = bytes(np.load(bytes_io.BytesIO(entries["header.npy"])))
    assert old in header
    changed = np.frombuffer(header.replace(old, new), np.uint8)
    write_entries(model, (entries | {"header.npy": as_npy(changed)}).items())
    with pytest.raises(ValueError, match=message):
        fastgsm.load(model)


def test_model_without_an_array(model: Path) -> None:
    entries = entries_of(model)
    del entries["means.npy"]
    write_entries(model, entries.items())
    assert "holds eigenvalues, eigenvectors, scales, weights; a model has" in refusal(
        fastgsm.load, model
    )


def test_weights_rounded_to_float32_can_be_drawn_from(model: Path) -> None:
    weights = np.array([[0.5, 0.3, 0.2 + 5e-6]])
    write_entries(model, (entries_of(model) | {"weights.npy": as_npy(weights)}).items())
    assert fastgsm.load(model).sample(10, 0)[0].shape == (10, 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize(("read", "name"), [(fastgsm.load, "a.npz"), (read_image, "a.png")])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, read: Any, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "not a regular file" in refusal(read, tmp_path / name)


# --- saving -------------------------------------------------------------------------------

SAVE_FOR_EVER = """
import sys, fastgsm, numpy as np
model = fastgsm.GMM(2, tol=0.1, random_state=0).fit(np.random.default_rng(0).normal(size=(99, 60)))
model.save(sys.argv[1])
print("saved", flush=True)
while True:
    model.save(sys.argv[1])
"""


def test_killed_while_saving_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    command = [sys.executable, "-W", "ignore", "-c", SAVE_FOR_EVER, path]
    for delay in (0.0, 0.013, 0.037):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "saved\n"
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        assert fastgsm.load(path).n_features_in_ == 60


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_save_keeps_the_older_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = model.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        fastgsm.MVN().fit(X).save(model)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["model.npz"]


def test_saving_keeps_links_and_permissions_and_minds_protection(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.chmod(0o640)
    link = model.with_name("link.npz")
    link.symlink_to(model.name)
    fastgsm.MVN().fit(X).save(link)
    assert link.is_symlink() and type(fastgsm.load(model)) is fastgsm.MVN
    assert model.stat().st_mode & 0o777 == 0o640
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anything
    with pytest.raises(PermissionError, match="write-protected"):
        fastgsm.MVN().fit(X).save(model)


def test_names_with_spaces_and_other_alphabets(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "Fotos – 写真 и ещё"
    folder.mkdir()
    path = folder / "mein Modell ø.npz"
    fastgsm.MVN().fit(X).save(path)
    assert fastgsm.load(str(path)).n_features_in_ == 4
    for extension in (".png", ".jpg", ".tif", ".npy"):
        image = folder / f"a b é{extension}"
        write_image(image, np.full((16, 16), 99, np.uint8))
        assert cli.main(["denoise", str(image), str(folder / f"out ü{extension}"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


# --- images -------------------------------------------------------------------------------


def test_png_whose_chunk_claims_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, np.full((64, 64), 99, np.uint8))
    content = path.read_bytes()
    assert content.count(b"IDAT") == 1
    place = content.index(b"IDAT") - 4
    path.write_bytes(content[:place] + b"\x7f\0\0\0" + content[place + 4 :])
    tracemalloc.start()
    with contextlib.suppress(ValueError):  # the pixels themselves are all there
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    tracemalloc.stop()


def test_exif_whose_tables_and_values_overlap() -> None:
    """Tables that point to themselves take cubic work, and values on one another much memory."""
    n = 3000
    head = b"II*\0" + struct.pack("<IH", 8, n)
    entry = struct.pack("<HHII", 34665, 4, 1, 8)
    own = head + struct.pack("<HHII", 271, 2, 4, 0x00414141) + entry * (n - 1)
    part = kept.kept_exif(own)
    assert part is not None and len(part) == 8 + 2 + 12 + 4
    values = [struct.pack("<HHII", 1000 + i, 7, 12 * n, 8) for i in range(n)]
    tracemalloc.start()
    assert kept.kept_exif(head + b"".join(values)) is None
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()
    twice = struct.pack("<HHII", 271, 2, 4, 0x00424242)
    same = kept.kept_exif(own[:8] + struct.pack("<H", 2) + own[10:22] + twice)
    assert same == part


def test_xmp_whose_thumbnails_are_never_closed() -> None:
    """A search for each one's end took hours for a few megabytes."""
    for text in (b"<xmp:Thumbnails>", b"<xmp:Thumbnails ", b"<tiff:Orientation "):
        assert kept.kept_xmp(text * 200_000) == text * 200_000


def tiff(tags: dict[int, tuple[int, int]], data: bytes = b"", next_page: int = 0) -> bytes:
    """Return a little-endian TIFF: tags with a type (3 short, 4 long) and a value, then data."""
    body = b"".join(struct.pack("<HHII", n, kind, 1, v) for n, (kind, v) in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body
    return head + struct.pack("<I", next_page) + data


def compressed_tiff(height: int, width: int, data: bytes) -> bytes:
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 8), 262: (3, 1)}
    tags |= {273: (4, 0), 277: (3, 1), 278: (4, height), 279: (4, len(data))}
    tags[273] = (4, len(tiff(tags)))
    return tiff(tags, data)


def test_compressed_tiff_of_the_helper_is_read(tmp_path: Path) -> None:
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (tmp_path / "a.tif").write_bytes(compressed_tiff(8, 8, zlib.compress(stored.tobytes())))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, stored)


def test_tiff_whose_part_expands_beyond_its_pixels(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(100 * MIB))
    (tmp_path / "a.tif").write_bytes(compressed_tiff(8, 8, bomb))
    assert "expands to more than its 64 bytes" in refusal(read_image, tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("number", "encode"),
    [
        (50000, lambda codecs: codecs.zstd_encode(bytes(100 * MIB))),
        (34925, lambda _: lzma.compress(bytes(100 * MIB))),
        (7, lambda codecs: codecs.jpeg_encode(np.zeros((5000, 5000), np.uint8))),
        (34712, lambda codecs: codecs.jpeg2k_encode(np.zeros((3000, 3000), np.uint8), level=0)),
    ],
)
def test_tiff_of_other_compressions_that_expands(tmp_path: Path, number: int, encode: Any) -> None:
    data = encode(pytest.importorskip("imagecodecs"))
    content = bytearray(compressed_tiff(8, 8, data))
    place = content.index(struct.pack("<HHI", 259, 3, 1)) + 8
    struct.pack_into("<H", content, place, number)
    (tmp_path / "a.tif").write_bytes(content)
    if number == 34925:  # the first bytes are taken
        assert read_image(tmp_path / "a.tif").array.shape == (8, 8)
    else:
        refusal(read_image, tmp_path / "a.tif", limit=8 * MIB)


def test_jpeg_2000_with_another_size_in_an_earlier_box(tmp_path: Path) -> None:
    codecs = pytest.importorskip("imagecodecs")
    big = codecs.jpeg2k_encode(np.zeros((3000, 3000), np.uint8), level=0, codecformat="jp2")
    size = codecs.jpeg2k_encode(np.zeros((8, 8), np.uint8), level=0, codecformat="j2k")[:60]
    place = 12 + struct.unpack_from(">I", big, 12)[0]  # after the signature and the type
    boxes = struct.pack(">I4s", 8 + len(size), b"free") + size
    for data, message in (
        (big[:place] + boxes + big[place:], "holds 3000x3000"),
        (size + big, "opj_"),
        (b"\0" + size, "has no size"),
    ):
        tifffile.imwrite(
            tmp_path / "a.tif", iter([data]), shape=(8, 8), dtype="u1", compression=34712
        )
        assert re.search(message, refusal(read_image, tmp_path / "a.tif", limit=8 * MIB))
    good = codecs.jpeg2k_encode(np.full((8, 8), 9, np.uint8), level=0, codecformat="jp2")
    good = good[:place] + boxes + good[place:]
    tifffile.imwrite(tmp_path / "a.tif", iter([good]), shape=(8, 8), dtype="u1", compression=34712)
    assert (read_image(tmp_path / "a.tif").array == 9).all()


def test_tiff_whose_part_claims_gigabytes(tmp_path: Path) -> None:
    content = compressed_tiff(8, 8, zlib.compress(bytes(64)))
    size = struct.pack("<HHI", 279, 4, 1)  # the number of the tag, its type, one value
    place = content.index(size) + len(size)
    (tmp_path / "a.tif").write_bytes(content[:place] + b"\0\0\0\x7f" + content[place + 4 :])
    assert "beyond its end" in refusal(read_image, tmp_path / "a.tif")


@pytest.mark.parametrize("apart", [0, 1])
def test_tiff_whose_pages_point_to_the_same_large_tag(tmp_path: Path, apart: int) -> None:
    n, size = 50, MIB
    content = bytearray(b"II*\0" + struct.pack("<I", 8 + size) + bytes(size))
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 278: 8, 279: 64}
    for i in range(n):
        content += struct.pack("<H", len(tags) + 1)
        content += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        content += struct.pack("<HHII", 65000, 7, size - n, 8 + i * apart)
        content += struct.pack("<I", len(content) + 4 if i < n - 1 else 0)
    (tmp_path / "a.tif").write_bytes(content)
    if apart:
        assert "tags overlap" in refusal(read_pages, tmp_path / "a.tif", limit=8 * MIB)
        return
    tracemalloc.start()
    assert len(read_pages(tmp_path / "a.tif")) == n
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_tiff_whose_pages_lead_round_in_a_circle(tmp_path: Path) -> None:
    page = {256: (4, 8), 257: (4, 8), 258: (3, 8), 262: (3, 1), 273: (4, 8), 279: (4, 64)}
    second = len(tiff(page))
    again = tiff(page, next_page=second)[8:]
    (tmp_path / "a.tif").write_bytes(tiff(page, next_page=second) + again)
    assert "circle" in refusal(read_pages, tmp_path / "a.tif")


def test_tiff_with_very_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tiff, "MAX_PAGES", 100)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(200):
            file.write(np.zeros((2, 2), np.uint8), contiguous=False, metadata=None)
    assert "more than 100 pages" in refusal(read_pages, tmp_path / "a.tif")


def test_tiff_that_names_another_file(tmp_path: Path) -> None:
    """An OME-TIFF can name another file for its pixels, which must not be read."""
    secret = np.full((16, 16), 77, np.uint8)
    tifffile.imwrite(tmp_path / "secret.ome.tif", secret, ome=True)
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((16, 16), np.uint8), ome=True)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        text = file.ome_metadata
    pointer = '<UUID FileName="secret.ome.tif">urn:uuid:1</UUID></TiffData>'
    plane = '<TiffData IFD="0" PlaneCount="1"/>'
    assert plane in text
    changed = text.replace(plane, plane.replace("/>", ">") + pointer)
    own = np.zeros((16, 16), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", own, description=changed.encode(), metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").array, own)


@pytest.mark.parametrize("dtype", ["V0", "U0", "S3", "?", "c8", "M8[s]"])
def test_npy_of_other_types(tmp_path: Path, dtype: str) -> None:
    """Types without size are the worst, because 10^12 such pixels fit into a file of 128 bytes."""
    np.save(tmp_path / "a.npy", np.zeros((4, 4), dtype))
    assert "pixels must be integers or floats" in refusal(read_image, tmp_path / "a.npy")


def test_limit_of_pixels_on_the_command_line(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", np.full((16, 16), 99, np.uint8))
    monkeypatch.chdir(tmp_path)
    for argv in (["denoise", "a.png", "out.png"], ["train", "a.png", "-o", "m.npz"]):
        assert cli.main([*argv, "--max-pixels", "255"]) == 2
        assert "256 pixels, above the limit of 255" in capsys.readouterr().err
    assert cli.main(["denoise", "a.png", "out.png", "--max-pixels", "256", "--quiet"]) == 0
