"""The study's page in a browser: sorting, the slider, and no errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.io import read_image
from fastgsm.report import compare

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

# Inserted before and after the page's own script. The page's policy would stop it, so the test
# removes the policy.
LISTEN = """
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective));
"""
USE = """
const names = (table) => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const [learning, psnr] = document.querySelectorAll("table");
const click = (table, title) => {
  [...table.querySelectorAll("button")].find((b) => b.textContent === title).click();
  return names(table);
};
const figure = document.querySelector(".slider");
const [level, model] = figure.querySelectorAll("select");
const after = figure.querySelector(".after");
const shown = () => ({
  clip: getComputedStyle(after).clipPath, before: figure.querySelector(".before").src.length,
  after: after.src.length, says: figure.querySelector("output").value });
const found = {
  unsorted: names(psnr),
  upwards: click(psnr, "noise 0.2"), downwards: click(psnr, "noise 0.2"),
  time: click(psnr, "time"), by_name: click(learning, "model"),
  sorted_by: [...psnr.querySelectorAll("[aria-sort]")].map((title) => title.textContent),
  start: shown() };
const range = figure.querySelector("input");
range.value = 25;
range.dispatchEvent(new Event("input"));
level.value = "0.05";
level.dispatchEvent(new Event("change"));
model.value = "MVN";
model.dispatchEvent(new Event("change"));
found.end = shown();
found.overflow = document.documentElement.scrollWidth - innerWidth;
found.errors = errors;
const result = document.createElement("pre");
result.id = "found";
result.textContent = JSON.stringify(found);
document.body.append(result);
"""


def chromium(folder: Path, page: Path, *options: str) -> str:
    """Open a page without a network and return what the browser prints."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
               "--virtual-time-budget=2000", *options, page.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("study")
    for i in range(4):
        image = fastgsm.datasets.dead_leaves((48, 48), random_state=i)
        np.save(folder / f"{i}.npy", image)
    # If the page did not escape this name, the browser would run it.
    models = {"MVN": fastgsm.MVN(), "GSM": fastgsm.GSM(n_scales=3, tol=1e-2),
              "<script>throw 1</script>": fastgsm.ICA(n_scales=2, tol=1e-2)}  # fmt: skip
    results = compare(folder, folder / "out", n_patches=400, noise_levels=(0.05, 0.2), seed=1,
                      progress=False, models=models)  # fmt: skip
    return results, folder / "out" / "report.html"


def test_click_and_slide(study: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    results, page = study
    text = page.read_text(encoding="utf-8")
    text, n_cut = re.subn(r"<meta http-equiv=[^>]*>", f"<script>{LISTEN}</script>", text)
    assert n_cut == 1
    used = tmp_path / "used.html"
    used.write_text(text.replace("</body>", f"<script>{USE}</script></body>"), encoding="utf-8")
    dom = chromium(tmp_path, used, "--window-size=1100,900", "--dump-dom")
    match = re.search(r'<pre id="found">(.*?)</pre>', dom)
    assert match, "the script that uses the page has failed"
    found = json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert found["errors"] == []
    assert found["overflow"] <= 0

    models = results["models"]
    quality = {name: fit["denoising"]["mean"]["psnr"][1] for name, fit in models.items()}
    quality["noisy image"] = results["noisy"]["psnr"][1]
    assert found["unsorted"] == ["noisy image", *models]
    assert found["upwards"] == sorted(quality, key=quality.__getitem__)
    assert found["downwards"] == found["upwards"][::-1]
    assert found["time"][-1] == "noisy image" and found["sorted_by"] == ["time"]
    assert found["by_name"] == ["<script>throw 1</script>", "GSM", "MVN"]

    start, end = found["start"], found["end"]
    assert "50%" in start["clip"] and "25%" in end["clip"]
    assert (start["before"], start["after"]) != (end["before"], end["after"])
    decibels = models["MVN"]["denoising"]["mean"]["psnr_per_image"][0]
    shown = results["settings"]["test"].index(results["settings"]["pictured"])
    assert end["says"] == f"MVN: {decibels[shown]:.2f} dB"


def test_own_policy_lets_the_script_run(study: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    _, page = study
    assert 'class="slider" style="--cut: 50%;"' in chromium(tmp_path, page, "--dump-dom")


@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_screenshot_in_light_and_dark(
    study: tuple[dict[str, Any], Path], tmp_path: Path, scheme: int, dark: bool
) -> None:
    _, page = study
    options = [f"--blink-settings=preferredColorScheme={scheme}", "--window-size=900,1200"]
    chromium(tmp_path, page, *options, f"--screenshot={tmp_path / 'shot.png'}")
    shot = read_image(tmp_path / "shot.png").array.astype(float)
    assert shot.shape[:2] == (1200, 900)
    corner, text = shot[:8, :8].mean(), shot[20:70, 16:500]
    assert corner < 60 if dark else corner > 230
    assert np.ptp(text) > 150  # the title stands out
