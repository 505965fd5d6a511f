"""The study and the demonstration, end to end on small images."""

from __future__ import annotations

import json
import re
import socket
import sys
import warnings
from base64 import b64decode, b64encode
from io import BytesIO

import imageio.v3 as iio
import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.metrics import mse
from fastgsm.report import compare, demo, sample_images
from fastgsm.study import measure, page

FILES = {"results.json", "report.html", "denoised.png", "likelihood.png"}
LEVELS = (0.05, 0.2)
SEED = 3


def small_models():
    return {"MVN": fastgsm.MVN(), "GSM": fastgsm.GSM(n_scales=3, max_iter=5)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with five images of 64x64 pixels, one of them in colour."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(5):
        image = fastgsm.datasets.dead_leaves((64, 64), random_state=i)
        image = np.uint8(255 * (image - image.min()) / np.ptp(image))
        iio.imwrite(folder / f"{'edbca'[i]}.png", np.dstack([image] * 3) if i == 0 else image)
    return folder


def run(folder, out, **options):
    options = {"n_patches": 500, "noise_levels": LEVELS, "seed": SEED, "progress": False} | options
    return compare(folder, out, **({"models": small_models()} | options))


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    """Return the results of a small study, its folder, and its models."""
    out, models = tmp_path_factory.mktemp("study") / "new" / "out", small_models()
    return run(folder, out, models=models), out, models


def grey(folder, name):
    image = iio.imread(folder / name)
    return np.float32((image[..., 0] if image.ndim == 3 else image) / 255)


def test_sample_images_need_no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", None)
    images = sample_images()
    assert list(images) == sorted(images)
    assert len(images) == 10
    for image in images.values():
        assert image.dtype == np.float32
        assert image.ndim == 2
        assert 0 <= image.min() < 0.3 < 0.7 < image.max() <= 1


def test_every_model():
    models = measure.default_models(seed=7)
    assert list(models) == list(MODELS)
    for name, model in models.items():
        assert type(model) is getattr(fastgsm, name)
    assert models["GSM"].n_scales == 6
    assert models["GMM"].random_state == models["MoGSM"].random_state == 7


def test_writes_its_files(study):
    results, out, _ = study
    assert {file.name for file in out.iterdir()} == FILES
    assert json.loads((out / "results.json").read_text()) == results


def test_every_second_image_trains(study):
    results, _, _ = study
    assert results["settings"]["train"] == ["a.png", "c.png", "e.png"]
    assert results["settings"]["test"] == ["b.png", "d.png"]


def test_learning_is_on_the_training_images(study, folder):
    results, _, models = study
    patches, held_out = (
        fastgsm.sample_patches(
            [grey(folder, name) for name in results["settings"][half]],
            8,
            500,
            center="patch",
            random_state=SEED,
        )
        for half in ("train", "test")
    )
    expected = fastgsm.GSM(n_scales=3, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
        expected.fit(patches)
    found = results["models"]["GSM"]
    assert found["log_likelihood_train"] == pytest.approx(expected.score(patches))
    assert found["log_likelihood_test"] == pytest.approx(expected.score(held_out))
    np.testing.assert_allclose(found["lower_bounds"], expected.lower_bounds_)
    assert models["GSM"].n_iter_ == found["n_iter"] == 5  # the given models are the ones fitted


def test_reaching_max_iter_is_a_figure_not_a_warning(study):
    results, _, _ = study  # warnings are errors here
    assert results["models"]["GSM"]["converged"] is False
    assert results["models"]["MVN"]["converged"] is True


@pytest.mark.parametrize("aggregation", ["mean", "center"])
@pytest.mark.parametrize("name", ["MVN", "GSM"])
def test_denoising_figures(study, folder, name, aggregation):
    results, _, models = study
    numbers = {"b.png": 1, "d.png": 3}  # of all images, in the order of the names
    errors, noisy_errors = np.empty((2, 2)), np.empty((2, 2))
    for i, (file, number) in enumerate(numbers.items()):
        clean = grey(folder, file)
        noise = np.random.default_rng(SEED + number).standard_normal(clean.shape)
        for s, sigma in enumerate(LEVELS):
            noisy = np.float32(clean + sigma * noise)
            result = fastgsm.denoise(
                noisy, sigma, prior=models[name], quality="fast", aggregation=aggregation
            )
            errors[s, i], noisy_errors[s, i] = mse(clean, result), mse(clean, noisy)
    found = results["models"][name]["denoising"][aggregation]
    np.testing.assert_allclose(found["mse"], errors.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found["psnr"], (-10 * np.log10(errors)).mean(1), rtol=1e-5)
    np.testing.assert_allclose(found["psnr_per_image"], -10 * np.log10(errors), rtol=1e-5)
    np.testing.assert_allclose(results["noisy"]["mse"], noisy_errors.mean(1), rtol=1e-6)
    assert found["seconds_per_image"] > 0


def test_denoising_helps(study):
    results, _, _ = study
    for figures in results["models"].values():
        assert (np.array(figures["denoising"]["mean"]["psnr"]) > results["noisy"]["psnr"]).all()


def test_pictures_are_pictures(study):
    _, out, _ = study
    for name in ("denoised.png", "likelihood.png"):
        picture = iio.imread(out / name)
        assert picture.shape[1] > 500
        assert picture.std() > 10


def test_page_needs_nothing_else(study):
    _, out, _ = study
    page = (out / "report.html").read_text()
    assert "default-src 'none'" in page
    for forbidden in ("<link", "<iframe", "@import", "url(", "http:", "https:", "fetch("):
        assert forbidden not in page
    sources = re.findall(r'src="([^"]*)"', page)
    prefix = "data:image/png;base64,"
    assert all(source.startswith(prefix) for source in sources)
    for name in ("denoised.png", "likelihood.png"):
        assert prefix + b64encode((out / name).read_bytes()).decode() in sources


def test_page_shows_each_model_at_each_level_before_and_after(study, folder):
    _, out, models = study
    page = (out / "report.html").read_text()
    slides = re.findall(
        r'alt="([^"]*)" data-level="(.*?)" data-model="(.*?)" src="[^,]*,(.*?)"', page
    )
    assert [slide[1:3] for slide in slides] == [
        (f"{level:g}", name) for level in LEVELS for name in ("", *models)
    ]
    clean = grey(folder, "d.png")
    noise = np.random.default_rng(SEED + 3).standard_normal(clean.shape)
    noisy = np.float32(clean + LEVELS[0] * noise)
    for alt, level, name, png in slides[:3]:
        expected = (
            fastgsm.denoise(noisy, LEVELS[0], prior=models[name], quality="fast") if name else noisy
        )
        shown = iio.imread(BytesIO(b64decode(png)))
        assert np.abs(shown / 255 - np.clip(expected, 0, 1)).max() < 0.51 / 255
        decibels = -10 * np.log10(mse(clean, expected))
        assert alt == f"{name or 'noisy'}: {decibels:.2f} dB", level


def test_page_says_it_all(study):
    results, out, _ = study
    page = (out / "report.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    for finding in results["verdict"]:
        assert f">{finding}<" in page
    best = f"{results['models']['GSM']['log_likelihood_test']:.2f}"
    assert re.search(rf'<td class="best" data-value="[^"]+">{best}</td>', page)
    assert "a.png, c.png, e.png" in page


def test_page_escapes_names(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out, models={"<b>&": fastgsm.MVN()})
    page = (out / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page


def test_prints_the_study_on_stdout_and_progress_on_stderr(folder, tmp_path, capsys):
    results = run(folder, tmp_path, progress=True)
    printed = capsys.readouterr()
    assert "Test (2): b.png, d.png" in printed.out
    for title in ("Learning", 'aggregation "mean": PSNR', 'aggregation "center": MSE', "Verdict"):
        assert title in printed.out
    words = " ".join(printed.out.split())
    for finding in results["verdict"]:
        assert finding in words
    assert str(tmp_path) in printed.out
    assert "denoising" in printed.err
    assert "16/16" in printed.err  # 2 images, 2 levels, 2 models, 2 aggregations


def test_quiet_study_leaves_stderr_alone(folder, tmp_path, capsys):
    run(folder, tmp_path, progress=False)
    assert capsys.readouterr().err == ""


def test_same_seed_same_figures(study, folder, tmp_path):
    def figures(results):
        return [
            (m["lower_bounds"], [d["psnr_per_image"] for d in m["denoising"].values()])
            for m in results["models"].values()
        ]

    again = run(folder, tmp_path)
    assert figures(again) == figures(study[0])
    assert figures(run(folder, tmp_path, seed=SEED + 1)) != figures(again)


def test_replaces_older_files(folder, tmp_path):
    (tmp_path / "report.html").write_text("old")
    run(folder, tmp_path, models={"MVN": fastgsm.MVN()})
    assert (tmp_path / "report.html").read_text() != "old"
    assert {file.name for file in tmp_path.iterdir()} == FILES


def test_failure_leaves_no_file(folder, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no page")

    monkeypatch.setattr(page, "page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        run(folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [lambda out: compare(None, out), demo])
def test_out_that_is_a_file_is_refused(command, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(ValueError, match=r"out is a file: give a folder"):
        command(out)
    assert out.read_text() == "mine"


def test_images_must_be_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"missing is not a folder: give a folder of images"):
        compare(tmp_path / "missing", tmp_path / "out")


def test_a_small_image_is_named(tmp_path):
    iio.imwrite(tmp_path / "small.png", np.zeros((9, 7), np.uint8))
    with pytest.raises(ValueError, match=r"small\.png of 9x7 pixels is smaller than one patch"):
        compare(tmp_path, tmp_path / "out")


def test_one_image_is_too_few(tmp_path):
    iio.imwrite(tmp_path / "only.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(ValueError, match="holds one image: the study needs at least two"):
        compare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("levels", [(), (0.0,), (-0.1,), (float("nan"),), (float("inf"),)])
def test_noise_levels_must_be_positive(levels, tmp_path):
    with pytest.raises(ValueError, match="give at least one, each above 0 and finite"):
        compare(None, tmp_path, noise_levels=levels)


def test_noise_levels_must_differ(tmp_path):
    with pytest.raises(ValueError, match="give each level once"):
        compare(None, tmp_path, noise_levels=(0.1, 0.1))


@pytest.mark.parametrize("command", [lambda out: compare(None, out), demo])
def test_missing_matplotlib_is_said_before_the_work(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(fastgsm, "denoise", None)
    with pytest.raises(ImportError, match=r'matplotlib: pip install "fastgsm\[cli\]"'):
        command(tmp_path)


def test_missing_scikit_image_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r'scikit-image: pip install "fastgsm\[cli\]"'):
        demo(tmp_path)


def test_window_of_most_contrast():
    image = np.full((64, 96), 0.5, np.float32)
    image[32:48, 48:64] = np.random.default_rng(0).random((16, 16))
    assert measure.most_detailed_window(image, 16) == np.s_[32:48, 48:64]
    rows, columns = measure.most_detailed_window(image, 128)  # no larger than the image
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)


def test_demo(tmp_path, capsys):
    figures = demo(tmp_path / "new")
    printed = capsys.readouterr().out
    assert figures["psnr_noisy"] == pytest.approx(20.17, abs=0.01)
    assert figures["psnr_denoised"] > figures["psnr_noisy"] + 8
    assert f"noisy     {figures['psnr_noisy']:.2f} dB" in printed
    assert f"denoised  {figures['psnr_denoised']:.2f} dB" in printed
    for command in ("denoise", "train", "compare"):
        assert f"  fastgsm {command} " in printed
    (file,) = figures["files"]
    assert file in printed
    assert iio.imread(BytesIO((tmp_path / "new" / "demo.png").read_bytes())).shape[1] > 1000
