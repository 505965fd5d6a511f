"""The command line: results on stdout, one line for an error, files whole or not there."""

from __future__ import annotations

import inspect
import os
import re
import signal
import struct
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm import cli
from fastgsm.cli._options import QUALITIES
from fastgsm.cli._train import MODELS
from fastgsm.files import formats
from fastgsm.files.image_file import ImageFile
from fastgsm.io import read_image, write_image
from fastgsm.restore.presets import PRESETS

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the library by a fake that halves images and notes how it was called."""
    noted: list[dict[str, Any]] = []

    def denoise(image: np.ndarray, sigma: Any = None, **options: Any) -> np.ndarray:
        noted.append({"image": image, "sigma": sigma, **options})
        return (image / 2).astype(image.dtype)

    monkeypatch.setattr(fastgsm, "denoise", denoise)
    monkeypatch.setattr(fastgsm, "estimate_sigma", lambda image, channel_axis: 12.5)
    monkeypatch.setattr(fastgsm, "list_priors", lambda: ["bundled"])
    monkeypatch.setattr(fastgsm, "load", lambda path: f"model of {path}")
    return noted


def photo(folder: Path, name: str = "in.png", shape: Any = (20, 16), dtype: Any = np.uint8) -> Path:
    rng = np.random.default_rng(0)
    unit = rng.random(shape)
    scale = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    write_image(folder / name, (unit * scale).astype(dtype))
    return folder / name


def run(*argv: Any) -> int:
    return cli.main([str(arg) for arg in argv])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr that an error is; nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("fastgsm: error: ")
    return err


def only(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ---- denoise


@pytest.mark.parametrize(
    ("name", "out", "shape", "dtype", "line"),
    [
        ("a.png", "b.png", (20, 16), np.uint8, "16x20 grey uint8: sigma 12.5 grey levels"),
        ("a.png", "b.tif", (20, 16, 3), np.uint16, "16x20 colour uint16: sigma 12.5 grey levels"),
        ("a.tif", "b.npy", (20, 16), np.float32, "16x20 grey float32: sigma 12.5 ("),
        ("a.npy", "b.tiff", (20, 16, 3), np.float64, "16x20 colour float64: sigma 12.5 ("),
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
        "sigma": 12.5,
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


# ---- train


class FakeModel:
    """Keeps what it was made with and fitted to; saves that it was called."""

    made: types.SimpleNamespace

    def __init__(self, **params: Any) -> None:
        FakeModel.made = types.SimpleNamespace(params=params)

    def fit(self, X: np.ndarray) -> None:
        FakeModel.made.X = X

    def score(self, X: np.ndarray) -> float:
        return 123.4567

    def save(self, path: Path) -> None:
        Path(path).write_bytes(b"model")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> type[FakeModel]:
    for name in ("MVN", "GSM", "GMM", "MoGSM", "ICA"):
        monkeypatch.setattr(fastgsm, name, FakeModel)
    return FakeModel


def test_train_writes_a_model_and_says_what_it_did(tmp_path: Path, model: Any, capsys: Any) -> None:
    photo(tmp_path, "a.png")
    photo(tmp_path, "b.png", (30, 16, 3))
    out = tmp_path / "model.npz"
    assert run("train", tmp_path, "-o", out, "--patches", 50, "--patch-size", 6) == 0
    assert out.read_bytes() == b"model"
    assert model.made.params == {"random_state": 0, "verbose": 1}
    assert model.made.X.shape == (50, 36)
    np.testing.assert_allclose(model.made.X.mean(axis=1), 0, atol=1e-6)
    printed = capsys.readouterr().out
    assert re.search(r"FakeModel on 50 patches of 6x6 in \d+\.\d\d s\n", printed)
    assert "images: 2 (colour images as luminance)\n" in printed
    assert "123.457 nats" in printed and f"wrote {out}\n" in printed


@pytest.mark.parametrize(
    ("argv", "params"),
    [
        (["--model", "gsm", "--scales", "4"], {"n_scales": 4}),
        (["--model", "gmm", "--components", "3", "--max-iter", "9"],
         {"n_components": 3, "max_iter": 9}),
        (["--model", "mogsm", "--components", "3", "--scales", "2"],
         {"n_components": 3, "n_scales": 2}),
        (["--model", "ica", "--scales", "2", "--seed", "7"], {"n_scales": 2, "random_state": 7}),
        (["--model", "mvn", "--quiet"], {"verbose": 0}),
    ],
)  # fmt: skip
def test_train_passes_the_options_of_the_model(
    tmp_path: Path, model: Any, argv: list[str], params: dict[str, int]
) -> None:
    source = photo(tmp_path)
    assert run("train", source, "-o", tmp_path / "m.npz", "--patches", 20, *argv) == 0
    assert model.made.params == {"random_state": 0, "verbose": 1} | params


@pytest.mark.parametrize("center", ["patch", "global", "none"])
def test_train_subtracts_what_center_says(tmp_path: Path, model: Any, center: str) -> None:
    source = photo(tmp_path)
    assert run("train", source, "-o", tmp_path / "m.npz", "--patches", 20, "--center", center) == 0
    X = model.made.X
    patch_means = np.abs(X.mean(axis=1, dtype=float)).max()
    pixel_means = np.abs(X.mean(axis=0, dtype=float)).max()
    assert (patch_means < 1e-6) == (center == "patch")
    assert (pixel_means < 1e-6) == (center == "global")


def test_train_turns_colour_into_luminance(tmp_path: Path, model: Any) -> None:
    colour = np.zeros((8, 8, 3), np.uint16)
    colour[...] = (65535, 0, 32768)
    write_image(tmp_path / "a.png", colour)
    out = tmp_path / "m.npz"
    assert run("train", tmp_path / "a.png", "-o", out, "--center", "none", "--patches", 1) == 0
    np.testing.assert_allclose(model.made.X, 0.299 + 0.114 * 32768 / 65535, rtol=1e-6)


def test_train_scales_by_the_data_range_or_refuses(tmp_path: Path, model: Any, capsys: Any) -> None:
    write_image(tmp_path / "a.png", np.full((8, 8), 51, np.uint8))
    write_image(tmp_path / "b.npy", np.full((8, 8), 51.0))
    argv = ["train", tmp_path, "-o", tmp_path / "m.npz", "--center", "none", "--patches", 9]
    assert run(*argv) == 2
    assert "b.npy has values from 51 to 51; wanted 0 to 1" in error_line(capsys)
    assert run(*argv, "--data-range", 255) == 0
    np.testing.assert_allclose(model.made.X, 0.2, rtol=1e-6)


def test_train_names_the_file_that_is_too_small(tmp_path: Path, model: Any, capsys: Any) -> None:
    photo(tmp_path, "a.png")
    photo(tmp_path, "b.png", (7, 7))
    assert run("train", tmp_path, "-o", tmp_path / "m.npz") == 2
    assert "b.png of 7x7 pixels is smaller than one patch of 8x8" in error_line(capsys)


def test_train_is_repeatable_and_the_seed_matters(tmp_path: Path, model: Any) -> None:
    source = photo(tmp_path)
    drawn = []
    for i, seed in enumerate((3, 3, 4)):
        run("train", source, "-o", tmp_path / f"{i}.npz", "--patches", 20, "--seed", seed)
        drawn.append(model.made.X)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_train_replaces_a_model_only_by_force(tmp_path: Path, model: Any, capsys: Any) -> None:
    source, out = photo(tmp_path), tmp_path / "m.npz"
    out.write_bytes(b"older")
    assert run("train", source, "-o", out, "--patches", 20) == 2
    assert "m.npz exists; give another name, or --force to replace it" in error_line(capsys)
    assert out.read_bytes() == b"older"
    assert run("train", source, "-o", out, "--patches", 20, "--force") == 0
    assert out.read_bytes() == b"model"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["in.png", "-o", "m.bin"], "a model is written as .npz; give m.npz"),
        (["in.png", "-o", "missing/m.npz"], "no such folder: missing"),
        (["in.png"], "the following arguments are required: -o/--output"),
        (["-o", "m.npz"], "the following arguments are required: IMAGES"),
        (["empty", "-o", "m.npz"], "no image (.png, .jpg"),
        (["missing.png", "-o", "m.npz"], "no such file or folder: missing.png"),
        (["missing", "-o", "m.npz"], "no such file or folder: missing"),
        (["in.png", "-o", "m.npz", "--data-range", "0"], "data_range is 0; wanted a number above"),
        (["in.png", "-o", "m.npz", "--model", "mvn", "--scales", "3"],
         "--scales does not apply to --model mvn; leave it out"),
        (["in.png", "-o", "m.npz", "--components", "3"],
         "--components does not apply to --model gsm"),
        (["in.png", "-o", "m.npz", "--model", "mvn", "--max-iter", "3"],
         "--max-iter does not apply to --model mvn"),
        (["in.png", "-o", "m.npz", "--patches", "0"], "--patches: 0 is not 1 or more"),
        (["in.png", "-o", "m.npz", "--scales", "x"], "--scales: invalid integer value: 'x'"),
        (["in.png", "-o", "m.npz", "--seed", "-1"], "--seed: -1 is not 0 or more"),
        (["in.png", "-o", "m.npz", "--patch-size", "17"], "17"),
    ],
)  # fmt: skip
def test_train_names_bad_input(
    tmp_path: Path,
    model: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run("train", *argv) == 2
    assert message in error_line(capsys)
    assert only(tmp_path) == ["empty", "in.png"]


# ---- train and denoise with the real library


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior")
    for seed in range(2):
        image = fastgsm.datasets.dead_leaves((96, 96), random_state=seed)
        write_image(folder / f"{seed}.npy", image)
    argv = ["train", folder, "-o", folder / "m.npz", "--scales", 3, "--patches", 3000, "--quiet"]
    assert run(*argv) == 0
    return folder / "m.npz"


def test_trained_file_is_a_model(prior: Path) -> None:
    model = fastgsm.load(prior)
    assert isinstance(model, fastgsm.GSM)
    assert (model.n_scales, model.random_state, model.n_features_in_) == (3, 0, 64)


@pytest.mark.parametrize("shape", [(60, 70), (60, 70, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("given", [False, True])
def test_noisy_file_becomes_cleaner(
    tmp_path: Path, prior: Path, capsys: Any, shape: Any, dtype: Any, given: bool
) -> None:
    top = np.iinfo(dtype).max
    leaves = fastgsm.datasets.dead_leaves(shape[:2], random_state=5)
    clean = np.broadcast_to(leaves.reshape(60, 70, *(1,) * (len(shape) - 2)), shape) * top
    noise = 0.1 * top * np.random.default_rng(0).standard_normal(shape)
    noisy = np.clip(np.rint(clean + noise), 0, top).astype(dtype)
    source, out = tmp_path / "noisy.png", tmp_path / "out.png"
    write_image(source, noisy)
    options = ["--sigma", 0.1 * top] if given else []
    assert run("denoise", source, out, "--prior", prior, *options) == 0
    result = read_image(out).array
    assert result.dtype == dtype and result.shape == shape
    assert np.mean((result - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)
    printed, err = capsys.readouterr()
    assert "denoising" in err
    sigma = float(re.search(r"sigma (\S+) grey levels", printed)[1]) / top
    assert sigma == pytest.approx(0.1, rel=1e-3 if given else 0.3)


def test_training_shows_iterations_and_warns_in_one_line(tmp_path: Path, capsys: Any) -> None:
    source, out = photo(tmp_path), tmp_path / "m.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("train", source, "-o", out, "--patches", 200, "--max-iter", 2) == 0
    printed, err = capsys.readouterr()
    *iterations, warning = (line for line in err.splitlines() if line and "compiling" not in line)
    assert len(iterations) == 2 and all("iteration" in line for line in iterations)
    assert warning.startswith("fastgsm: warning: ") and "max_iter" in warning
    assert f"wrote {out}\n" in printed


def test_compiling_is_announced_once_and_only_when_it_happens(tmp_path: Path) -> None:
    photo(tmp_path, shape=(8, 8))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_NUM_THREADS": "1"}
    options = in_folder(tmp_path)
    options["env"] |= environment
    command = [sys.executable, "-m", "fastgsm", "denoise", "in.png", "out.png", "--sigma", "9"]
    cold = subprocess.run(command, **options)
    warm = subprocess.run(command, **options)
    assert (cold.returncode, warm.returncode) == (0, 0)
    assert cold.stderr.count("compiling for the first use") == 1
    assert "compiling" not in warm.stderr and "compiling" not in cold.stdout


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "foreign", "folder"])
def test_a_file_that_is_no_model(tmp_path: Path, capsys: Any, content: bytes | None) -> None:
    source, model = photo(tmp_path), tmp_path / "m.npz"
    model.mkdir() if content is None else model.write_bytes(content)
    assert run("denoise", source, tmp_path / "out.png", "--prior", model) == 2
    assert "m.npz" in error_line(capsys)
    assert only(tmp_path) == ["in.png", "m.npz"]


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("a.png", (20, 16), ["--sigma", "-1"], "sigma is -1"),
        ("a.png", (20, 16), ["--sigma", "nan"], "sigma is nan"),
        ("a.png", (5, 16), ["--sigma", "9"], "smaller than one patch"),
        ("nan.tif", (20, 16), ["--sigma", "0.1"], "NaN"),
    ],
)
def test_what_the_library_refuses(
    tmp_path: Path, prior: Path, capsys: Any, name: str, shape: Any, options: Any, message: str
) -> None:
    if name == "nan.tif":
        write_image(tmp_path / name, np.full(shape, np.nan, np.float32))
    else:
        photo(tmp_path, name, shape)
    out = tmp_path / "out.tif"
    assert run("denoise", tmp_path / name, out, "--prior", prior, *options) == 2
    assert message in error_line(capsys)
    assert only(tmp_path) == [name]


# ---- compare and demo


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    noted: list[Any] = []
    fake = types.ModuleType("fastgsm.report")
    fake.compare = lambda *args, **options: noted.append(("compare", args, options))  # type: ignore[attr-defined]
    fake.demo = lambda *args, **options: noted.append(("demo", args, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastgsm.report", fake)
    monkeypatch.setattr(fastgsm, "report", fake, raising=False)
    return noted


def test_compare_and_demo_call_the_report(report: list[Any]) -> None:
    assert run("compare") == 0
    assert run("compare", "--images", "photos", "--out", "there", "--quiet", "--seed", 3,
               "--patches", 99) == 0  # fmt: skip
    assert run("demo") == 0
    assert run("demo", "--out", "here") == 0
    defaults = {"n_patches": 10_000, "seed": 0, "progress": True}
    assert report == [
        ("compare", (None, "fastgsm-compare"), defaults),
        ("compare", ("photos", "there"), {"n_patches": 99, "seed": 3, "progress": False}),
        ("demo", ("fastgsm-demo",), {}),
        ("demo", ("here",), {}),
    ]


# ---- the command itself


def in_folder(folder: Path) -> dict[str, Any]:
    """Return options for a process that runs in `folder` and finds the package."""
    root = str(Path(fastgsm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "PYTHONUNBUFFERED": ""}
    return {"cwd": folder, "env": environment, "capture_output": True, "text": True}


COMMANDS = ("denoise", "train", "info", "plot", "priors", "compare", "demo", "completion")


def test_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--version")
    assert stopped.value.code == 0
    assert capsys.readouterr() == (f"fastgsm {fastgsm.__version__}\n", "")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_examples(command: str | None, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*filter(None, [command]), "--help")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    start = {None: "fastgsm demo", "completion": 'eval "$(fastgsm completion'}
    assert f"examples:\n  {start.get(command, f'fastgsm {command}')}" in printed
    assert command is not None or "exit status:\n  0 " in printed


@pytest.mark.parametrize(("argv", "message"), [
    ([], "the following arguments are required: COMMAND (see fastgsm --help)"),
    (["paint"], "invalid choice: 'paint'"),
    (["demo", "--loud"], "unrecognized arguments: --loud"),
])  # fmt: skip
def test_wrong_commands(argv: list[str], message: str, capsys: Any) -> None:
    assert run(*argv) == 2
    assert message in error_line(capsys)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_but_the_standard_library(
    tmp_path: Path, option: str
) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom fastgsm.cli import main\n"
        f"try:\n    main([{option!r}])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new - {'fastgsm', *sys.stdlib_module_names}, new\n"
        "assert 'fastgsm._interface' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], **in_folder(tmp_path))
    assert done.returncode == 0, done.stderr


def test_what_the_parser_repeats_is_what_the_library_has() -> None:
    """The parser does not import the library, so that the help appears at once."""
    assert tuple(PRESETS) == QUALITIES
    assert [name for name, _ in MODELS.values()] == ["MVN", "GSM", "GMM", "MoGSM", "ICA"]
    for class_name, accepted in MODELS.values():
        params = inspect.signature(getattr(fastgsm, class_name)).parameters
        options = {"components": "n_components", "scales": "n_scales", "max_iter": "max_iter"}
        has = tuple(option for option, param in options.items() if param in params)
        assert accepted == (() if class_name == "MVN" else has)  # MVN is fitted in closed form


def test_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fastgsm", "paint"], **in_folder(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("fastgsm: error: ") and done.stderr.count("\n") == 1


# argparse itself swallows the error of its help, whence 0.
@pytest.mark.parametrize(("option", "status"), [("--help", (0, 141)), ("--version", (141,))])
def test_broken_pipe_is_quiet(tmp_path: Path, option: str, status: tuple[int, ...]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    options = in_folder(tmp_path) | {"capture_output": False}
    done = subprocess.run(
        [sys.executable, "-m", "fastgsm", option],
        stdout=write_end,
        stderr=subprocess.PIPE,
        **options,
    )
    os.close(write_end)
    assert done.returncode in status and done.stderr == ""
