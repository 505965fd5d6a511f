"""The quality on real noise: the command runs, its noise is as described, its figures add up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastgsm
from benchmarks import markdown, quality, real, real_sets, real_tables, rivals
from fastgsm.io import read_image, write_image
from fastgsm.metrics import psnr


def draw(shape: tuple[int, ...], seed: int, sigma: float = 0.0) -> NDArray[np.uint8]:
    leaves = fastgsm.datasets.dead_leaves(shape[:2], random_state=seed)
    image = np.broadcast_to(leaves.reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape)
    noisy = image + sigma * np.random.default_rng(seed).standard_normal(shape)
    return np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two images each, of every set."""
    folder = tmp_path_factory.mktemp("data")
    sets = {"cc15": (64, 48, 3), "polyu": (64, 48, 3), "w2s": (64, 48)}
    parts = {f"{name}/{part}": shape for name, shape in sets.items() for part in ("noisy", "clean")}
    for name, shape in (parts | {"kodak24": (64, 48, 3), "bsd68": (64, 48)}).items():
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            image = draw(shape, seed, sigma=0.1 if name.endswith("noisy") else 0)
            write_image(folder / name / f"{seed}.png", image)
    return folder


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document with a part for every table."""
    path = tmp_path / "quality.md"
    parts = [f"<!-- real-{name}:begin -->\nold\n<!-- real-{name}:end -->\n" for name in real.SETS]
    path.write_text("".join(parts))
    monkeypatch.setattr(markdown, "QUALITY", path)
    return path


def test_the_command_measures_every_set(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, crops = tmp_path / "real.json", tmp_path / "crops"
    options = (
        f"--data {data} --real --preset fast --every 1 --times 1 --json {file} --crops {crops}"
    )
    quality.main(options.split())
    tables = dict(zip(real.SETS, markdown.read_tables(capsys.readouterr().out), strict=True))
    results = json.loads(file.read_text())
    assert {row["set"] for row in results["rows"]} == set(real.SETS)
    assert all(len(row["restored"]) == 2 for row in results["rows"])
    for name in ("cc15", "polyu", "w2s"):
        assert float(tables[name][2][2]) > 2
        assert float(tables[name][2][4]) > 0
    assert [row[0] for row in tables["cc15"][-2:]] == ["TWSC, published", "NLH, published"]
    assert tables["white"][0] == ["PSNR, dB", "5", "15", "25", "50"]
    assert [row[0] for row in tables["blurred"][2:]] == [
        "fast, spectrum",
        "fast, no argument",
    ]
    assert len(list(crops.iterdir())) == 2 * 5
    shown = read_image(crops / "cc15-fast-camera-1.png").array[::2, ::2]
    np.testing.assert_array_equal(shown[:, 96:], draw((64, 48, 3), 1))
    assert shown.shape == (64, 3 * 48, 3)


def test_differences_are_of_the_same_images() -> None:
    rows = [
        real_tables.Row("white", f"fast, {told}", [20, 20], restored, noise="5")
        for told, restored in (("sigma", [30, 31]), ("no argument", [29.5, 31.25]))
    ]
    (table,) = markdown.read_tables(real_tables.white_table(rows))
    assert [row[1] for row in table[1:]] == ["20.00", "30.50", "30.38", "-0.125", "-0.500"]


def test_the_spectrum_is_that_of_the_noise() -> None:
    clean = np.zeros((32, 48))
    noise = np.array([real_sets.add_blurred(clean, 1.0, seed) for seed in range(500)])
    assert noise.std() == pytest.approx(25 / 255, rel=0.02)
    power = np.mean(np.abs(np.fft.fft2(noise)) ** 2, axis=0)
    psd = real_sets.spectrum(clean.shape, 1.0)
    large = psd > 0.01 * psd.max()
    np.testing.assert_allclose(power[large], psd[large], rtol=0.3)


def test_a_stretched_image_is_as_good_as_the_fit() -> None:
    clean = draw((64, 48), 0) / 255
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    assert real_sets.fitted_psnr(clean, 0.3 * noisy + 0.2) == pytest.approx(
        real_sets.fitted_psnr(clean, noisy)
    )
    assert real_sets.fitted_psnr(clean, noisy) >= psnr(clean, noisy)


def test_the_best_level_is_found() -> None:
    pairs = [(np.full((8, 8), 0.5), np.full((8, 8), 0.3))]
    tried: list[float] = []

    def restore(noisy: NDArray[Any], level: float) -> NDArray[Any]:
        tried.append(level)
        return noisy - level

    assert real_sets.best_level(pairs, restore, (0.0, 0.1, 0.2, 0.3, 0.4)) == 0.2
    assert tried == [0.0, 0.1, 0.2, 0.3]


def test_rivals_are_given_what_they_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    bm3d, cv2 = ModuleType("bm3d"), ModuleType("cv2")
    bm3d.bm3d = lambda noisy, psd: noisy + psd  # type: ignore[attr-defined]
    bm3d.bm3d_rgb = lambda noisy, sigma: noisy + sigma  # type: ignore[attr-defined]
    cv2.fastNlMeansDenoisingColored = lambda image, out, h, h_colour: (
        image + np.array([0, h, h_colour])
    )  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bm3d", bm3d)
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    noisy = np.zeros((2, 2, 3), np.uint8)
    assert rivals.bm3d_colour(noisy, 5).dtype == np.uint8
    assert (rivals.bm3d_colour(noisy, 5) == 5).all()
    assert rivals.opencv_nlm_colour(noisy, 5)[0, 0].tolist() == [5, 5, 0]
    assert rivals.bm3d_psd(1.0, 2.0) == 3.0


def test_a_missing_rival_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(SystemExit, match=r"fastgsm\[bench\]"):
        rivals.bm3d_psd(np.zeros((8, 8)), np.ones((8, 8)))


def test_rivals_stand_below_the_presets(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(real_sets, "measure_side_by_side", real_sets.measure)
    for name in ("bm3d_colour", "opencv_nlm_colour", "bm3d_psd"):
        monkeypatch.setattr(rivals, name, lambda noisy, told: noisy)
    options = f"--data {data} --preset fast --every 2 --only cc15 blurred --rivals opencv bm3d"
    real.main(options.split())
    cc15, blurred = markdown.read_tables(capsys.readouterr().out)
    assert [row[0] for row in cc15[4:6]] == ["OpenCV non-local means, h=10", "bm3d, sigma=20"]
    assert blurred[-1] == ["bm3d, spectrum", *blurred[1][1:]]


def test_whole_tables_are_written(
    data: Path, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_sets, "denoise", lambda noisy, quality, noise="auto": noisy)
    real.main(f"--data {data} --only polyu clean --write".split())
    text = markdown.read_part(document, "real-polyu")
    assert "quality --data DIR --real --only polyu --write`" in text
    assert markdown.read_tables(text)
    assert markdown.read_part(document, "real-w2s") == "old\n"


@pytest.mark.parametrize("options", ["--preset fast", "--every 2"])
def test_parts_of_tables_are_not_written(data: Path, document: Path, options: str) -> None:
    before = document.read_text()
    with pytest.raises(SystemExit, match="whole tables"):
        real.main(f"--data {data} {options} --write".split())
    assert document.read_text() == before


def test_balanced_takes_blurred_noise_for_white_too(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_sets, "BLURS", (1.0,))
    monkeypatch.setattr(real_sets, "ASSUMED_SIGMAS", (25.0, 1.0))
    rows = list(real_sets.blurred(real_sets.Settings(data, ("balanced",), every=2)))
    known, _, white = rows
    assert white.method == "balanced, best sigma"
    assert white.noisy[0] < white.psnr < known.psnr


def test_pairs_are_complete(data: Path, tmp_path: Path) -> None:
    for number, part in enumerate(("noisy", "clean")):
        (tmp_path / "cc15" / part).mkdir(parents=True)
        write_image(tmp_path / "cc15" / part / f"{number}.png", draw((64, 48, 3), 0))
    with pytest.raises(SystemExit, match="same names"):
        real.main(["--data", str(tmp_path), "--only", "cc15"])


def test_the_tables_of_real_noise_parse() -> None:
    for name in real.SETS:
        assert len(markdown.read_tables(markdown.read_part(markdown.QUALITY, f"real-{name}"))) == 1
