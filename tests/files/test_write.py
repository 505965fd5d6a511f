"""Writing: what a format or a place refuses, and files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastgsm.files import formats
from fastgsm.files.image_file import ImageFile
from fastgsm.files.paths import atomic_path
from fastgsm.io import read_image, write_image
from tests.files.helpers import only, smooth

Image = pytest.importorskip("PIL.Image")
get_sampling = pytest.importorskip("PIL.JpegImagePlugin").get_sampling
tifffile = pytest.importorskip("tifffile")


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
