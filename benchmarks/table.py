"""Measure the README's tables: ``python -m benchmarks.table`` (or ``make bench-table``).

Without ``--data`` the image is scikit-image's camera; with it, all images of a folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastgsm
from fastgsm.io import read_grey_images
from fastgsm.metrics import psnr
from fastgsm.restore.presets import PRESETS
from fastgsm.study.measure import sample_images

from . import markdown, rivals
from .common import SIGMA, Array, add_noise, fit, limit_blas, seconds, shrunk

QUALITIES = tuple(PRESETS)
ROUNDS = 3
# A method that takes longer than this, in seconds, is run once.
SLOW = 10.0
N_TRAINING, N_HELD_OUT = 10_000, 10_000
COMMAND = "python -m benchmarks.table"
PACKAGES = (
    "fastgsm",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "opencv-python-headless",
    "bm3d",
)


def denoisers() -> dict[str, Callable[[Array], Array]]:
    """Return all methods; each is told the level of the noise."""
    textbook = rivals.TextbookGSM.of(fastgsm.load_prior("gsm"))
    presets = {
        f'**fastgsm** `quality="{preset}"`': partial(fastgsm.denoise, quality=preset)
        for preset in QUALITIES
    }
    methods = {**presets, "the same GSM in textbook NumPy/SciPy": textbook.denoise}
    methods |= rivals.DENOISERS
    return {name: partial(method, sigma=SIGMA) for name, method in methods.items()}


def denoising(images: dict[str, Array]) -> str:
    """Measure the time per megapixel and the PSNR of every method, in turn on every image."""
    methods = denoisers()
    for method in methods.values():
        method(add_noise(next(iter(images.values()))[:64, :64]))
    times = {name: [np.inf] * len(images) for name in methods}
    quality: dict[str, list[float]] = {name: [] for name in methods}
    for i, clean in enumerate(images.values()):
        noisy = add_noise(clean, seed=i).astype(np.float32)
        for round_ in range(ROUNDS):
            for name, method in methods.items():
                if round_ and times[name][i] > SLOW:
                    continue
                start = time.perf_counter()
                denoised = method(noisy)
                times[name][i] = min(times[name][i], time.perf_counter() - start)
                if round_ == 0:
                    quality[name].append(psnr(clean, denoised))
    megapixels = sum(clean.size for clean in images.values()) / 1e6
    rows = [
        [name, markdown.number(sum(times[name]) / megapixels), f"{np.mean(quality[name]):.2f}"]
        for name in methods
    ]
    return markdown.table(["denoising", "seconds per megapixel", "PSNR, dB"], rows)


def learners() -> dict[str, Callable[[Array], Any]]:
    """Return functions that learn models of patches, as they are used without options."""

    def textbook(X: Array) -> Any:
        return rivals.fit_textbook_gsm(X, np.geomspace(0.02, 20, 6))

    def sklearn(X: Array) -> Any:
        from sklearn.mixture import GaussianMixture

        return rivals.fit_sklearn(GaussianMixture(shrunk(64, 4), random_state=0), X)

    return {
        "**fastgsm** `GSM(6)`": partial(fit, fastgsm.GSM(6)),
        "textbook NumPy/SciPy GSM, 6 scales": textbook,
        "**fastgsm** `MoGSM(32, 8)`": partial(fit, fastgsm.MoGSM(shrunk(32, 2), 8, random_state=0)),
        "**fastgsm** `GMM(64)`": partial(fit, fastgsm.GMM(shrunk(64, 4), random_state=0)),
        "scikit-learn `GaussianMixture(64)`": sklearn,
    }


def learning(images: dict[str, Array]) -> str:
    """Measure the time to learn from patches, and how likely other patches then are."""
    # The images were rounded to 256 levels: without this noise, flat patches have no density.
    noisy = [add_noise(clean, seed=i, sigma=2 / 255) for i, clean in enumerate(images.values())]
    n = shrunk(N_TRAINING + N_HELD_OUT, 800)
    X = fastgsm.sample_patches(noisy, 8, n, center="global", random_state=0)
    training, held_out = X[: n // 2], X[n // 2 :]
    rows = []
    for name, learn in learners().items():
        if "fastgsm" in name:
            learn(training)  # compiles
        start = time.perf_counter()
        model = learn(training)
        times = [time.perf_counter() - start]
        if times[0] < SLOW:
            times += [seconds(partial(learn, training)) for _ in range(ROUNDS - 1)]
        rows.append([name, markdown.number(min(times)), f"{model.score(held_out):.2f}"])
    header = ["learning from 10,000 patches", "seconds", "log-likelihood, nats per unseen patch"]
    return markdown.table(header, rows)


def main() -> None:
    """Measure, and rewrite the README's tables."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=main.__doc__)
    parser.add_argument("--data", type=Path, help="folder of images to use instead of the camera")
    parser.add_argument("--print", action="store_true", help="print instead of writing the README")
    options = parser.parse_args()
    limit_blas()
    if options.data:
        images = {file.name: image for file, image in read_grey_images(options.data).items()}
        name = f"the images of `{options.data.name}`"
    else:
        images, name = {"camera": sample_images()["camera"]}, "scikit-image's camera, 512x512"
    command = COMMAND if options.data is None else f"{COMMAND} --data {options.data.name}"
    about = f"On {name}, noise {255 * SIGMA:.0f}/255. {markdown.origin(command, *PACKAGES)}"
    text = "\n\n".join([denoising(images), learning(images), about])
    if options.print:
        print(text)
    else:
        markdown.write_part(markdown.README, "bench-table", text)


if __name__ == "__main__":
    main()
