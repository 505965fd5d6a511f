"""The study that compares the models (``compare``), and a one-minute demonstration (``demo``).

Both print only what they have measured on this machine. In `fastgsm.study`, ``measure`` takes the
figures, ``verdict`` says what they mean, and ``tables`` and ``page`` show them, with pictures by
`fastgsm.plot`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import fastgsm
from fastgsm import plot
from fastgsm._images import check_image_2d
from fastgsm.files import pillow
from fastgsm.files.image_file import ImageFile
from fastgsm.files.paths import atomic_path
from fastgsm.io import read_grey_images
from fastgsm.metrics import mse, psnr
from fastgsm.study import measure, page, tables, verdict
from fastgsm.study.measure import Denoised, Image, sample_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare", "demo", "mse", "psnr", "sample_images"]

NOISE_LEVELS = (0.01, 0.05, 0.1, 0.2)
CROP = 96  # side of the part of an image that is pictured, in pixels
SLIDE = 256  # side of the part that is shown before and after, in pixels


def compare(
    images: str | Path | None,
    out: str | Path,
    *,
    n_patches: int = 10_000,
    seed: int = 0,
    progress: bool = True,
    noise_levels: Sequence[float] = NOISE_LEVELS,
    models: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train all models on half of the images, and compare them on the other half.

    Every second image, in the order of the names, is for training, the others for testing. Colour
    images are converted to grey. The function prints tables and the verdict, and writes
    ``results.json``, ``report.html``, ``denoised.png`` and ``likelihood.png``. Everything runs once
    before it is timed, so that no time includes compiling.

    Parameters
    ----------
    images : path or None
        A folder of images; None stands for :func:`sample_images`. Integer images are divided by
        the maximum of their type, float images must lie in [0, 1].
    out : path
        The folder to write to; created if missing. Existing files with these names are replaced.
    n_patches : int
        Number of 8x8 patches to learn from, and of others to measure the likelihood on.
    seed : int
        Seeds the patches, the models and the noise; image number i gets the noise of
        ``numpy.random.default_rng(seed + i)``.
    progress : bool
        Whether to show progress on stderr.
    noise_levels : sequence of float
        The noise standard deviations, on images in [0, 1].
    models : mapping of str to model, optional
        The models to compare, by name, instead of the five. They are fitted here.

    Returns
    -------
    dict
        The content of ``results.json``.

    Raises
    ------
    ValueError
        If there are fewer than two images, one is unsuitable, a noise level is not positive, or
        ``out`` is not a folder.
    ImportError
        If matplotlib or a package that reads images is missing.

    Examples
    --------
    >>> import tempfile
    >>> from contextlib import redirect_stdout
    >>> import fastgsm
    >>> from fastgsm.report import compare
    >>> with tempfile.TemporaryDirectory() as out, redirect_stdout(None):
    ...     results = compare(
    ...         None,
    ...         out,
    ...         n_patches=1000,
    ...         noise_levels=(0.1,),
    ...         models={"MVN": fastgsm.MVN()},
    ...         progress=False,
    ...     )
    >>> results["verdict"][0]
    'MVN denoises best at noise 0.1: no other model took part.'
    """
    started = perf_counter()
    levels = _check_levels(noise_levels)
    folder = _output_folder(out)
    named = sample_images() if images is None else _folder_images(Path(images))
    if len(named) < 2:
        raise ValueError(
            f"{images} holds one image: the study needs at least two, to train and to test"
        )
    names = list(named)
    train, test = names[::2], names[1::2]
    models = measure.default_models(seed) if models is None else dict(models)

    patches, held_out = (
        fastgsm.sample_patches(
            [named[name] for name in half],
            measure.PATCH_SIZE,
            n_patches,
            center="patch",
            random_state=seed,
        )
        for half in (train, test)
    )
    learning = measure.learn(models, patches, held_out, progress)
    pictured = test[len(test) // 2]
    numbered = {names.index(name): named[name] for name in test}
    denoised = measure.denoise_all(models, numbered, levels, seed, names.index(pictured), progress)

    settings = {
        "images": "scikit-image's samples" if images is None else str(images),
        "train": train,
        "test": test,
        "n_patches": n_patches,
        "patch_size": measure.PATCH_SIZE,
        "center": "patch",
        "seed": seed,
        "noise_levels": levels,
        "dtype": str(named[names[0]].dtype),
        "pictured": pictured,
    }
    results = _results(settings, learning, denoised) | {"seconds": perf_counter() - started}
    written = _contents(results, models, named[pictured], denoised)
    for name, content in written.items():
        _write(folder / name, content)
    print(tables.text(results))
    print(f"\n{results['seconds']:.0f} s in all. Written to {folder}: {', '.join(written)}")
    return results


def demo(out: str | Path) -> dict[str, Any]:
    """Add noise to a photograph, denoise it with the defaults, and show the difference.

    The function prints the PSNR before and after and the time, and writes ``demo.png``.

    Parameters
    ----------
    out : path
        The folder to write to; created if missing.

    Returns
    -------
    dict
        ``image``, ``sigma``, ``psnr_noisy`` and ``psnr_denoised`` (dB), ``seconds_first`` (which
        includes compiling, if nothing was compiled before), ``seconds`` and ``files``.

    Raises
    ------
    ValueError, ImportError
        If ``out`` is not a folder, or matplotlib or scikit-image is missing.

    Examples
    --------
    >>> import tempfile
    >>> from fastgsm.report import demo
    >>> with tempfile.TemporaryDirectory() as out:
    ...     figures = demo(out)  # doctest: +ELLIPSIS
    astronaut...
    >>> figures["psnr_denoised"] > figures["psnr_noisy"] + 8
    True
    """
    folder = _output_folder(out)
    name, sigma = "astronaut", 25 / 255
    clean = (measure.sample(name) / 255).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    noisy = (clean + sigma * noise).astype(np.float32)
    print(f"{name}, a colour photograph of {clean.shape[1]}x{clean.shape[0]} pixels")
    print(f"noisy     {psnr(clean, noisy):.2f} dB (noise of standard deviation 25 grey levels)")
    seconds = []
    for _ in range(2):  # the first call may have to compile
        start = perf_counter()
        denoised = fastgsm.denoise(noisy, sigma, channel_axis=-1)
        seconds.append(perf_counter() - start)
    print(
        f"denoised  {psnr(clean, denoised):.2f} dB in {seconds[1]:.2f} s "
        f"({seconds[0]:.2f} s the first time, with any compiling)"
    )
    file = folder / "demo.png"
    face = np.s_[64:184, 160:280]
    _write(file, _png(plot.plot_before_after(clean, noisy, denoised, zoom=face)))
    print(
        f"pictured  {file}\n\n"
        "Next, try\n"
        "  fastgsm denoise photo.png clean.png           to denoise an image of yours\n"
        "  fastgsm train photos/ -o mine.npz             to learn a prior from your images\n"
        "  fastgsm compare --images photos/ --out study  to compare the models on them"
    )
    return {
        "image": name,
        "sigma": sigma,
        "psnr_noisy": psnr(clean, noisy),
        "psnr_denoised": psnr(clean, denoised),
        "seconds_first": seconds[0],
        "seconds": seconds[1],
        "files": [str(file)],
    }


def _check_levels(noise_levels: Sequence[float]) -> list[float]:
    """Return the noise levels as a list of distinct positive numbers, in their order."""
    levels = [float(level) for level in noise_levels]
    if not levels or not all(0 < level < float("inf") for level in levels):
        raise ValueError(f"noise_levels is {levels}: give at least one, each above 0 and finite")
    if len(set(levels)) < len(levels):
        raise ValueError(f"noise_levels is {levels}: give each level once")
    return levels


def _folder_images(folder: Path) -> dict[str, Image]:
    """Read the images of a folder as grey, by file name, sorted."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give a folder of images")
    images = {path.name: image for path, image in read_grey_images(folder).items()}
    for name, image in images.items():
        check_image_2d(image, measure.PATCH_SIZE, name)
    return images


def _output_folder(out: str | Path) -> Path:
    """Create the folder, and check before the work that figures can be written to it."""
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: give a folder to write to")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        plot.new_figure(1, 1)  # fails if matplotlib is missing
    return folder


def _results(
    settings: dict[str, Any], learning: Mapping[str, dict[str, Any]], denoised: Denoised
) -> dict[str, Any]:
    """Return the results in the layout of ``results.json``, without the time."""
    results: dict[str, Any] = {
        "schema": 1,
        "versions": measure.versions(),
        "machine": measure.machine(),
        "settings": settings,
        "noisy": denoised.noisy,
        "models": {
            name: learning[name] | {"denoising": denoised.models[name]} for name in learning
        },
    }
    results["contrasts"] = verdict.contrasts(results)
    results["verdict"] = verdict.verdict(results)
    return results


def _contents(
    results: dict[str, Any], models: Mapping[str, Any], clean: Image, denoised: Denoised
) -> dict[str, bytes]:
    """Return the contents of the files to write, by name."""
    window = measure.most_detailed_window(clean, CROP)
    curves = plot.new_figure(8, 4.5, layout="constrained")
    plot.plot_likelihood(models, curves.add_subplot())
    panels = plot.plot_denoised(clean, denoised.noisy_pictures, denoised.pictures, crop=window)
    pictures = {"denoised.png": _png(panels), "likelihood.png": _png(curves)}
    return {
        "results.json": json.dumps(results, indent=1, allow_nan=False).encode(),
        **pictures,
        "report.html": page.page(results, pictures, _slides(clean, denoised)).encode(),
    }


def _slides(clean: Image, denoised: Denoised) -> page.Slides:
    """Return a part of the pictured image as PNG files, noisy ("") and denoised by each model."""
    window = measure.most_detailed_window(clean, SLIDE)
    return {
        level: {
            name: _png(image[window])
            for name, image in {"": denoised.noisy_pictures[level], **pictures}.items()
        }
        for level, pictures in denoised.pictures.items()
    }


def _png(picture: Figure | Image) -> bytes:
    """Return a figure or an image in [0, 1] as the content of a PNG file."""
    buffer = BytesIO()
    if isinstance(picture, np.ndarray):
        pillow.write_png(buffer, ImageFile(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)))
    else:
        picture.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
