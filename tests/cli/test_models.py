"""``fastgsm info``, ``plot``, ``priors``, ``completion``, and the JSON of ``train``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.io import read_image, write_image
from fastgsm.priors import list_cascades
from tests.cli.helpers import run


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 16))


@pytest.mark.parametrize("name", MODELS)
def test_info_says_what_a_model_is(
    tmp_path: Path, capsys: Any, patches: np.ndarray, name: str
) -> None:
    sizes = {size: number for number, size in enumerate(sorted(MODELS[name].tiny), 2)}
    shapes, scales = (sizes.get(size, 1) for size in ("n_components", "n_scales"))
    model = MODELS[name].new(sizes, tol=1.0, random_state=0)
    model.fit(patches).save(tmp_path / "m.npz")
    assert run("info", tmp_path / "m.npz", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    given = {name: value for name, value in model.get_params().items() if value is not None}
    assert facts == {
        "model": name, "features": 16, "patch_size": 4, "shapes": shapes,
        "scales": scales, "log_likelihood": model.lower_bound_, "iterations": model.n_iter_,
        "converged": model.converged_, "options": given,
    }  # fmt: skip
    assert run("info", tmp_path / "m.npz") == 0
    printed = capsys.readouterr().out
    assert f"shapes:         {shapes}\nscales:         {scales}\n" in printed
    assert "patches:        4x4 pixels\n" in printed
    assert f"{model.lower_bound_:.3f} nats per training patch" in printed


def test_info_of_a_bundled_prior_and_of_what_is_no_model(tmp_path: Path, capsys: Any) -> None:
    assert run("info", "mogsm") == 0
    assert "shapes:         64\nscales:         8\n" in capsys.readouterr().out
    assert run("info", "nobody") == 2
    assert "nobody is neither a file nor a bundled prior (gsm, " in capsys.readouterr().err
    (tmp_path / "m.npz").write_bytes(b"damaged")
    assert run("info", tmp_path / "m.npz") == 2
    assert "is not a fastgsm model that can be read" in capsys.readouterr().err


def test_priors_lists_every_prior_with_its_card(capsys: Any) -> None:
    assert run("priors", "--json") == 0
    facts = {prior["name"]: prior for prior in json.loads(capsys.readouterr().out)}
    assert list(facts) == fastgsm.list_priors() + list_cascades()
    assert facts["mogsm"]["of"] == "luminance" and facts["mogsm"]["shapes"] == 64
    assert facts["cascade-fast"]["stages"] == 4 and facts["cascade-fast"]["held_out_psnr"] > 28
    assert facts["mogsm"]["held_out_log_likelihood"] == pytest.approx(165.87)
    assert run("priors") == 0
    printed = capsys.readouterr().out
    for name in facts:
        assert f"{name}:" in printed
    assert "64 shapes x 8 scales, 8x8 patches, held-out log-likelihood 165.87 nats" in printed


def test_plot_writes_a_picture_and_replaces_one_only_by_force(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.png"
    assert run("plot", "gsm", "mogsm", "-o", out) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    picture = read_image(out).array
    assert picture.shape[1] > 500 and picture.std() > 10
    out.write_bytes(b"older")
    assert run("plot", "gsm", "-o", out) == 2
    assert "out.png exists; give another name, or --force" in capsys.readouterr().err
    assert out.read_bytes() == b"older"
    assert run("plot", "gsm", "-o", out, "--force") == 0
    assert run("plot", "gsm", "-o", tmp_path / "out.gif") == 2
    assert "a picture is written as .png" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize("what", ["scales", "eigenvectors", "samples"])
def test_plot_draws_what_is_asked_of_one_model(tmp_path: Path, capsys: Any, what: str) -> None:
    pytest.importorskip("matplotlib")
    assert run("plot", "mogsm", "-o", tmp_path / "a.png") == 0
    assert run("plot", "mogsm", "-o", tmp_path / "b.png", "--what", what) == 0
    a, b = (read_image(tmp_path / name).array for name in ("a.png", "b.png"))
    assert b.std() > 10 and not np.array_equal(a, b)
    assert run("plot", "gsm", "mogsm", "-o", tmp_path / "c.png", "--what", what) == 2
    assert f"--what {what} draws one model, not 2; draw each by itself" in capsys.readouterr().err


def test_json_of_train(tmp_path: Path, capsys: Any) -> None:
    image, model = tmp_path / "a.npy", tmp_path / "m.npz"
    write_image(image, fastgsm.datasets.dead_leaves((32, 32), random_state=0))
    argv = ["--model", "mvn", "--patches", 200, "--json"]
    assert run("train", image, "-o", model, *argv) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("seconds") > 0
    expected = fastgsm.load(model).lower_bound_
    assert facts.pop("log_likelihood") == pytest.approx(expected, rel=1e-3)
    assert facts == {
        "output": str(model), "model": "MVN", "images": [str(image)], "patches": 200,
        "patch_size": 8,
    }  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell: str, capsys: Any) -> None:
    pytest.importorskip("shtab")
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("denoise", "train", "info", "plot", "priors", "compare", "demo", "workers"):
        assert word in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("shtab")
    run("completion", "bash")
    script = capsys.readouterr().out
    ask = (
        "\nCOMP_WORDS=(fastgsm denoise --qual); COMP_CWORD=2; _shtab_fastgsm; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash"], input=script + ask, text=True, capture_output=True)
    assert done.stdout.strip() == "--quality", done.stderr


def test_completion_without_shtab(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert run("completion", "bash") == 2
    assert 'pip install "fastgsm[cli]"' in capsys.readouterr().err
