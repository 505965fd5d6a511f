"""``fastgsm train``, and denoising with what it has written."""

from __future__ import annotations

import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.io import read_image, write_image
from tests.cli.helpers import error_line, in_folder, only, photo, run

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")


class FakeModel:
    """A model that records its options and data, and writes a few bytes."""

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
    for name in MODELS:
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
