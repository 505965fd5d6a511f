"""``fastgsm denoise``: one image, and errors in one line."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.files import formats
from fastgsm.files.image_file import ImageFile
from fastgsm.io import read_image, write_image
from tests.cli.helpers import error_line, in_folder, only, photo, run

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")


NOISE = fastgsm.NoiseModel.white(12.5)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the library by a fake that halves images, and return its recorded calls."""
    noted: list[dict[str, Any]] = []

    def denoise(image: np.ndarray, sigma: Any = None, **options: Any) -> np.ndarray:
        noted.append({"image": image, "sigma": sigma, **options})
        return (image / 2).astype(image.dtype)

    monkeypatch.setattr(fastgsm, "denoise", denoise)
    monkeypatch.setattr(fastgsm, "estimate_noise", lambda image, **_: NOISE)
    monkeypatch.setattr(fastgsm, "list_priors", lambda: ["bundled"])
    monkeypatch.setattr(fastgsm, "load", lambda path: f"model of {path}")
    return noted


@pytest.mark.parametrize(
    ("name", "out", "shape", "dtype", "line"),
    [
        (
            "a.png",
            "b.png",
            (20, 16),
            np.uint8,
            "16x20 grey uint8: white noise, sigma 12.5 grey levels",
        ),
        (
            "a.png",
            "b.tif",
            (20, 16, 3),
            np.uint16,
            "16x20 colour uint16: white noise, sigma 12.5 grey levels",
        ),
        ("a.tif", "b.npy", (20, 16), np.float32, "16x20 grey float32: white noise, sigma 12.5 ("),
        (
            "a.npy",
            "b.tiff",
            (20, 16, 3),
            np.float64,
            "16x20 colour float64: white noise, sigma 12.5 (",
        ),
    ],
)
def test_denoise_estimates_sigma_and_writes_the_result(
    tmp_path: Path, calls: Any, capsys: Any, name: str, out: str, shape: Any, dtype: Any, line: str
) -> None:
    source = photo(tmp_path, name, shape, dtype)
    assert run("denoise", source, tmp_path / out) == 0
    image, result = read_image(source).array, read_image(tmp_path / out).array
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, (image / 2).astype(dtype))
    [call] = calls
    np.testing.assert_array_equal(call.pop("image"), image)
    assert call == {
        "sigma": None,
        "noise": NOISE,
        "channel_axis": -1 if len(shape) == 3 else None,
        "progress": True,
    }
    printed, err = capsys.readouterr()
    assert err == "" and printed.count("\n") == 1
    assert printed.startswith(f"denoised {line}")
    assert re.search(r"\(estimated\), \d+\.\d\d s\n$", printed)


def test_denoise_passes_its_options_on(tmp_path: Path, calls: Any, capsys: Any) -> None:
    source, out = photo(tmp_path), tmp_path / "out.png"
    assert (
        run("denoise", source, out, "--sigma", 25, "--prior", "bundled", "--quality", "best") == 0
    )
    assert (calls[0]["sigma"], calls[0]["prior"], calls[0]["quality"]) == (25.0, "bundled", "best")
    assert "sigma 25 grey levels (given)" in capsys.readouterr().out
    assert "data_range" not in calls[0]
    assert run("denoise", source, out, "--data-range", 1023) == 0
    assert calls[1]["data_range"] == 1023.0


def test_denoise_takes_a_prior_from_a_file(tmp_path: Path, calls: Any) -> None:
    source, model = photo(tmp_path), tmp_path / "mine.npz"
    model.touch()
    assert run("denoise", source, tmp_path / "out.png", "--prior", model) == 0
    assert calls[0]["prior"] == f"model of {model}"


def test_denoise_quiet_prints_nothing(tmp_path: Path, calls: Any, capsys: Any) -> None:
    assert run("denoise", photo(tmp_path), tmp_path / "out.png", "--quiet") == 0
    assert calls[0]["progress"] is False
    assert capsys.readouterr() == ("", "")


def test_denoise_keeps_alpha_orientation_and_profile(tmp_path: Path, calls: Any) -> None:
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 255, (9, 8, 4), np.uint8)
    image = ImageFile(stored[..., :3], stored[..., 3], orientation=8)
    write_image(tmp_path / "in.png", image)
    assert run("denoise", tmp_path / "in.png", tmp_path / "out.png") == 0
    assert calls[0]["image"].shape == (9, 8, 3)
    result = read_image(tmp_path / "out.png")
    np.testing.assert_array_equal(result.array, stored[..., :3] // 2)
    np.testing.assert_array_equal(result.alpha, stored[..., 3])
    assert result.orientation == 8


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["missing.png", "out.png"], "no such file or folder: missing.png"),
        (["in.png", "in.png"], "in.png is the input file in.png; give another output file"),
        (["in.png", "sub/../in.png"], "is the input file"),
        (["in.png", "out.gif"], "unknown extension '.gif'"),
        (["in.png", "missing/out.png"], "no such folder: missing; create it first"),
        (["in.png", "new"], "unknown extension ''"),
        (["sub", "out.png"], "no image (.png, .jpg"),
        (["float.tif", "out.png"], "write TIFF (.tif) or NPY (.npy)"),
        (["foreign.png", "out.png"], "cannot read foreign.png"),
        (
            ["in.png", "out.png", "--prior", "nobody"],
            "neither a file nor a bundled prior (bundled)",
        ),
        (["in.png", "out.png", "--quality", "superb"], "--quality: invalid choice: 'superb'"),
        (["in.png", "out.png", "--sigma", "much"], "--sigma: invalid float value: 'much'"),
        (["in.png"], "the following arguments are required: OUT (see fastgsm denoise --help)"),
    ],
)
def test_denoise_names_bad_input_before_any_work(
    tmp_path: Path,
    calls: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path)
    photo(tmp_path, "float.tif", dtype=np.float32)
    (tmp_path / "foreign.png").write_text("not a picture")
    (tmp_path / "sub").mkdir()
    before = only(tmp_path)
    content = (tmp_path / "in.png").read_bytes()
    assert run("denoise", *argv) == 2
    assert message in error_line(capsys)
    assert calls == []
    assert only(tmp_path) == before and (tmp_path / "in.png").read_bytes() == content


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("sigma is -1;\nwanted  more"), "sigma is -1; wanted more"),
        (TypeError("wrong type"), "wrong type"),
        (OSError(28, "No space left on device", "out.png"), "out.png: No space left on device"),
        (ImportError('pip install "fastgsm[cli]"'), 'pip install "fastgsm[cli]"'),
        (MemoryError(), "not enough memory\n"),
        (MemoryError("Unable to allocate 7 TiB"), "not enough memory: Unable to allocate 7 TiB"),
        (NotImplementedError("not yet"), "not yet"),
        (ValueError(), "ValueError"),
    ],
)
def test_errors_of_the_library_are_one_line(
    tmp_path: Path, calls: Any, capsys: Any, monkeypatch: Any, error: Exception, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fastgsm, "denoise", fail)
    assert run("denoise", photo(tmp_path), tmp_path / "out.png") == 2
    assert f"fastgsm: error: {message}" in error_line(capsys)
    assert only(tmp_path) == ["in.png"]


def test_a_bug_keeps_its_traceback(tmp_path: Path, calls: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(fastgsm, "denoise", lambda *_, **__: {}["bug"])
    with pytest.raises(KeyError, match="bug"):
        run("denoise", photo(tmp_path), tmp_path / "out.png")
    assert only(tmp_path) == ["in.png"]


def test_ctrl_c_while_denoising(tmp_path: Path, calls: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(fastgsm, "denoise", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert run("denoise", photo(tmp_path), tmp_path / "out.png") == 130
    assert capsys.readouterr() == ("", "fastgsm: interrupted\n")
    assert only(tmp_path) == ["in.png"]


def test_ctrl_c_while_writing_keeps_the_older_file(
    tmp_path: Path, calls: Any, capsys: Any, monkeypatch: Any
) -> None:
    source = photo(tmp_path)
    (tmp_path / "out.png").write_bytes(b"older")

    def interrupted(file: Any, image: ImageFile) -> None:
        file.write(b"half")
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(formats.ENCODERS, "PNG", interrupted)
    assert run("denoise", source, tmp_path / "out.png") == 130
    assert only(tmp_path) == ["in.png", "out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"older"


def test_warnings_are_one_line(tmp_path: Path, calls: Any, capsys: Any, monkeypatch: Any) -> None:
    def denoise(image: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
        warnings.warn("mind\nthis", UserWarning, stacklevel=2)
        return image

    monkeypatch.setattr(fastgsm, "denoise", denoise)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("denoise", photo(tmp_path), tmp_path / "out.png") == 0
    assert capsys.readouterr().err == "fastgsm: warning: mind this\n"


def test_a_damaged_tiff_is_one_line_without_the_log_of_tifffile(tmp_path: Path) -> None:
    photo(tmp_path, "in.tif")
    content = (tmp_path / "in.tif").read_bytes()
    width = struct.pack("<HH", 256, 4)  # the tag's number and type
    assert content.count(width) == 1
    (tmp_path / "in.tif").write_bytes(content.replace(width, struct.pack("<HH", 256, 77)))
    done = subprocess.run(
        [sys.executable, "-m", "fastgsm", "denoise", "in.tif", "out.tif"],
        **in_folder(tmp_path),
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("fastgsm: error: cannot read in.tif")
    assert done.stderr.count("\n") == 1
