"""The quality of restoration: the command that measures it, and what is promised of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastgsm
from benchmarks import quality
from fastgsm.io import read_grey_images, read_image, write_image
from fastgsm.metrics import psnr

ALL = f"--preset {' '.join(quality.QUALITIES)}"


@pytest.fixture
def data(tmp_path):
    """A folder with three grey images in one set and three colour ones in another."""
    for name, shape in (("bsd68", (40, 30)), ("cbsd68", (40, 30, 3))):
        (tmp_path / name).mkdir()
        for i in range(3):
            leaves = fastgsm.datasets.dead_leaves((40, 30), random_state=i)
            image = np.broadcast_to(leaves.reshape(40, 30, *(1,) * (len(shape) - 2)), shape)
            write_image(tmp_path / name / f"{i}.png", np.rint(255 * image).astype(np.uint8))
    return tmp_path


def test_images_keep_their_numbers(data):
    assert list(quality.read(data / "bsd68", every=2)) == [0, 2]
    with pytest.raises(SystemExit, match="nowhere is not a folder"):
        quality.read(data / "nowhere", every=1)


def test_a_score_is_the_average_over_the_images(data):
    images = quality.read(data / "bsd68", every=2)
    noisy = {
        i: x + 25 / 255 * np.random.default_rng(i).standard_normal(x.shape)
        for i, x in images.items()
    }
    score = quality.measure(lambda y, sigma, axis: y / 2, images, 25)
    assert score.images == 2
    expected = np.mean([psnr(images[i], noisy[i]) for i in images])
    assert score.noisy_psnr == pytest.approx(expected, abs=1e-4)
    expected = np.mean([psnr(images[i], noisy[i] / 2) for i in images])
    assert score.psnr == pytest.approx(expected, abs=1e-4)
    one = {0: images[0]}
    assert quality.measure(lambda y, sigma, axis: images[0], one, 25).ssim == 1
    assert quality.measure(lambda y, sigma, axis: images[2], one, 25).ssim < 0.5


def test_the_command_prints_a_table_and_writes_the_figures(data, tmp_path, capsys):
    file = tmp_path / "quality.json"
    quality.main(["--data", str(data), "--sigma", "15", "50", "--json", str(file)])
    lines = capsys.readouterr().out.splitlines()
    results = json.loads(file.read_text())
    assert len(lines) == 2 + 4 == 2 + len(results["rows"])
    assert lines[2].startswith("| bsd68 (3) | 15 | fast | 24.")
    for row in results["rows"]:
        assert row["psnr"] > row["noisy_psnr"] + 2
    assert results["versions"]["fastgsm"] == fastgsm.__version__


def test_crops_show_each_preset_beside_clean_and_noisy(data, tmp_path):
    arguments = ["--data", str(data), "--set", "cbsd68", "--sigma", "25", "--every", "2"]
    quality.main([*arguments, "--preset", "fast", "balanced", "--crops", str(tmp_path / "c.png")])
    shown = read_image(tmp_path / "c-cbsd68.png").array
    clean = quality.read(data / "cbsd68", every=2)
    assert shown.shape == (2 * 2 * 40, 2 * 4 * 30, 3)
    np.testing.assert_array_equal(shown[:80:2, :60:2], np.rint(255 * clean[0]))
    errors = [psnr(clean[2], shown[80::2, 60 * i : 60 * (i + 1) : 2] / 255) for i in range(1, 4)]
    assert errors[0] < errors[1] - 2 and errors[0] < errors[2] - 2


def test_the_rival_is_bm3d(monkeypatch):
    bm3d = ModuleType("bm3d")
    bm3d.bm3d, bm3d.bm3d_rgb = lambda y, sigma: y - sigma, lambda y, sigma: y + sigma
    monkeypatch.setitem(sys.modules, "bm3d", bm3d)
    assert quality.preset("bm3d")(1.0, 0.1, None) == 0.9
    assert quality.preset("bm3d")(1.0, 0.1, -1) == 1.1


@pytest.fixture
def document(tmp_path, monkeypatch):
    """A document with both tables, and presets and packages that take no time."""
    path = tmp_path / "quality.md"
    tables = [
        f"<!-- {name}:begin -->\nold {name}\n<!-- {name}:end -->\n" for name in quality.TABLES
    ]
    path.write_text("".join(tables))
    monkeypatch.setattr(quality.markdown, "QUALITY", path)
    monkeypatch.setattr(
        quality.markdown, "origin", lambda command, *packages: f"{command} {packages}"
    )
    monkeypatch.setattr(quality, "preset", lambda quality, prior: lambda y, sigma, axis: y)
    return path


@pytest.mark.parametrize(
    ("name", "options", "package"),
    [
        ("quality", ALL, "numba"),
        ("quality-bm3d", f"{ALL} bm3d --every 6", "bm3d"),
    ],
)
def test_each_table_is_written_by_its_options(data, document, name, options, package):
    quality.main(["--data", str(data), *options.split(), "--write"])
    text = quality.markdown.read_part(document, name)
    assert f"quality --data DIR {options} --write (" in text
    assert f"'{package}')" in text
    (rows,) = quality.markdown.read_tables(text)
    assert {row[2] for row in rows[1:]} == set(options.split(" --every")[0].split()[1:])
    (other,) = set(quality.TABLES) - {name}
    assert quality.markdown.read_part(document, other) == f"old {other}\n"


@pytest.mark.parametrize(
    "options",
    [
        "--preset fast",
        f"{ALL} --every 6",
        f"{ALL} bm3d",
        f"{ALL} --set bsd68",
        f"{ALL} --sigma 25",
        f"{ALL} --prior gsm",
    ],
)
def test_a_part_of_a_table_is_not_written(data, document, options):
    before = document.read_text()
    with pytest.raises(SystemExit) as error:
        quality.main(["--data", str(data), *options.split(), "--write"])
    assert options.split(" --")[-1] in str(error.value)
    assert f"give --write with {ALL} or" in str(error.value)
    assert document.read_text() == before


@pytest.mark.skipif("FASTGSM_DATA" not in os.environ, reason="FASTGSM_DATA names no test images")
def test_six_scales_reach_27_2_decibels_on_real_images():
    folder = Path(os.environ["FASTGSM_DATA"])
    photographs = list(read_grey_images(folder / "kodak24").values())
    X = fastgsm.sample_patches(photographs, 8, 100_000, center="patch", random_state=0)
    denoise = quality.preset("fast", fastgsm.GSM(n_scales=6).fit(X))
    score = quality.measure(denoise, quality.read(folder / "bsd68", every=6), 25)
    assert score.psnr >= 27.2
