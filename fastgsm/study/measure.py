"""What the study measures: learning and denoising, on which images and which machine.

:mod:`fastgsm.study.verdict` says what the figures mean.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastgsm
from fastgsm._progress import Progress
from fastgsm._registry import MODELS
from fastgsm.colour import grey
from fastgsm.kernels._jit import usable_threads
from fastgsm.metrics import mse

Image = NDArray[np.float32]
Window = tuple[slice, slice]

AGGREGATIONS = ("mean", "center")
PATCH_SIZE = 8
SAMPLES = (  # the photographs among the images in scikit-image's wheel
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "gravel",
    "moon",
    "rocket",
    "stereo_motorcycle",
)


def sample(name: str) -> NDArray[np.uint8]:
    """Return one of scikit-image's sample images as it is stored, grey or RGB."""
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError('sample images need scikit-image: pip install "fastgsm[cli]"') from error
    image = getattr(data, name)()
    return np.asarray(image[0] if isinstance(image, tuple) else image)  # left image of a pair


def sample_images() -> dict[str, Image]:
    """Return the photographs inside scikit-image as grey images by name; nothing is downloaded.

    Returns
    -------
    dict of str to (height, width) float32 array
        Ten images in [0, 1].

    Raises
    ------
    ImportError
        If scikit-image is missing.

    Examples
    --------
    >>> from fastgsm.report import sample_images
    >>> sample_images()["camera"].shape
    (512, 512)
    """
    return {name: grey(sample(name), name) for name in SAMPLES}


def default_models(seed: int) -> dict[str, Any]:
    """Return the models of the study, not yet fitted, by name."""
    return {name: entry.new(entry.modest, random_state=seed) for name, entry in MODELS.items()}


def learn(
    models: Mapping[str, Any],
    patches: NDArray[Any],
    held_out: NDArray[Any],
    progress: bool,
) -> dict[str, dict[str, Any]]:
    """Fit each model to the same patches; return its time, iterations and likelihoods."""
    figures = {}
    with Progress(len(models), "learning", progress) as bar:
        for name, model in models.items():
            with warnings.catch_warnings():
                # Stopping at max_iter is a result of the study, and listed in its table.
                warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
                _fit_briefly(model, patches)
                start = perf_counter()
                model.fit(patches)
                seconds = perf_counter() - start
            figures[name] = {
                "parameters": {key: _plain(value) for key, value in model.get_params().items()},
                "fit_seconds": seconds,
                "n_iter": int(model.n_iter_),
                "converged": bool(model.converged_),
                "log_likelihood_train": float(model.score(patches)),
                "log_likelihood_test": float(model.score(held_out)),
                "lower_bounds": [float(value) for value in model.lower_bounds_],
                "weights": _plain(getattr(model, "weights_", None)),
                "scales": _plain(getattr(model, "scales_", None)),
            }
            bar.update(1)
    return figures


def _fit_briefly(model: Any, X: NDArray[Any]) -> None:
    """Fit a copy for one iteration, so that compiling is not timed later."""
    parameters = model.get_params()
    if "max_iter" in parameters:
        parameters["max_iter"] = 1
    type(model)(**parameters).fit(X)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, or else its repr."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


@dataclass(frozen=True)
class Denoised:
    """The figures for all denoised images, and the pictures of one."""

    noisy: dict[str, Any]  # mse and psnr, one value per noise level
    models: dict[str, dict[str, Any]]  # by model and aggregation: mse, psnr and seconds
    noisy_pictures: dict[float, Image]  # by noise level
    pictures: dict[float, dict[str, Image]]  # by noise level and model


def denoise_all(
    models: Mapping[str, Any],
    images: Mapping[int, Image],
    levels: Sequence[float],
    seed: int,
    shown: int,
    progress: bool,
) -> Denoised:
    """Denoise every image at every noise level with every model and both aggregations.

    Image number i gets the noise of ``default_rng(seed + i)``, the same pattern at each level.
    The models take turns on each image, so that a busy spell of the machine affects all of them.
    Their order is random, so that no model always pays for memory that another one released.
    """
    names = list(models)
    turns = list(np.ndindex(len(AGGREGATIONS), len(names)))
    order = np.random.default_rng(seed)
    shape = len(AGGREGATIONS), len(models), len(levels), len(images)
    errors, seconds = np.empty(shape), np.empty(shape)
    noisy_errors = np.empty(shape[2:])
    noisy_pictures: dict[float, Image] = {}
    pictures = {level: dict.fromkeys(names, images[shown]) for level in levels}
    with Progress(errors.size, "denoising", progress) as bar:
        for model, aggregation in product(models.values(), AGGREGATIONS):
            _denoise(images[shown], 0.1, model, aggregation)  # so that compiling is not timed
        for i, (number, clean) in enumerate(images.items()):
            noise = np.random.default_rng(seed + number).standard_normal(clean.shape)
            for s, sigma in enumerate(levels):
                noisy = (clean + sigma * noise).astype(np.float32)
                noisy_errors[s, i] = mse(clean, noisy)
                if number == shown:
                    noisy_pictures[sigma] = noisy
                for a, m in order.permutation(turns):
                    start = perf_counter()
                    denoised = _denoise(noisy, sigma, models[names[m]], AGGREGATIONS[a])
                    seconds[a, m, s, i] = perf_counter() - start
                    errors[a, m, s, i] = mse(clean, denoised)
                    if number == shown and AGGREGATIONS[a] == "mean":
                        pictures[sigma][names[m]] = denoised
                    bar.update(1)
    figures = {
        name: {
            aggregation: _quality(errors[a, m]) | {"seconds_per_image": float(seconds[a, m].mean())}
            for a, aggregation in enumerate(AGGREGATIONS)
        }
        for m, name in enumerate(names)
    }
    return Denoised(_quality(noisy_errors), figures, noisy_pictures, pictures)


def _denoise(image: Image, sigma: float, model: Any, aggregation: str) -> Image:
    """Denoise in a single pass, where the models differ in nothing but the prior."""
    return fastgsm.denoise(image, sigma, prior=model, quality="fast", aggregation=aggregation)


def _quality(errors: NDArray[np.float64]) -> dict[str, Any]:
    """Return MSE and PSNR, averaged over images, from errors of shape (levels, images)."""
    decibels = -10 * np.log10(errors)
    return {
        "mse": errors.mean(axis=1).tolist(),
        "psnr": decibels.mean(axis=1).tolist(),
        "psnr_per_image": decibels.tolist(),
    }


def most_detailed_window(image: Image, size: int) -> Window:
    """Return the window of most contrast, with sides of ``size`` pixels or those of the image."""
    height, width = image.shape
    size = min(size, height, width)
    step = max(size // 4, 1)
    corners = product(range(0, height - size + 1, step), range(0, width - size + 1, step))
    windows = [(slice(top, top + size), slice(left, left + size)) for top, left in corners]
    return max(windows, key=lambda window: float(image[window].std()))


def versions() -> dict[str, str]:
    """Return the versions of the packages that the figures depend on."""
    libraries = {name: version(name) for name in ("numpy", "numba", "scipy")}
    return {"fastgsm": fastgsm.__version__, "python": platform.python_version(), **libraries}


def machine() -> dict[str, Any]:
    """Return the processor, the system and the number of threads used."""
    return {
        "processor": _processor(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": usable_threads(),
    }


def _processor() -> str:
    """Return the processor's name from Linux, or else from Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
