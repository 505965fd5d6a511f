"""Thousands of mixed calls in one process, whose memory must stay where it was.

Run it from the top of the repository::

    python -m tests.soak --calls 2000

Denoising of every kind, fits of every model, files and bad input take turns. The most memory held
during the last fifth of the calls may be at most 5 % above that of the second fifth.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastgsm
from fastgsm.io import read_image, write_image
from tests.helpers import QUALITIES, new_models

MAX_GROWTH = 0.05
SIGMA = 0.1


def jobs(folder: Path) -> list[Callable[[np.random.Generator], Any]]:
    """Return the calls that take turns; each gets a generator for its random numbers."""
    return [
        *(partial(denoise, quality=quality) for quality in QUALITIES),
        partial(denoise, quality="fast", return_std=True),
        partial(denoise, shape=(24, 20, 3), channel_axis=-1),
        partial(denoise, dtype=np.float64, quality="fast"),
        denoise_with_a_mask,
        denoise_counts,
        *(
            partial(fit_save_load, model, folder / "model.npz")
            for model in new_models(max_iter=5, random_state=0).values()
        ),
        partial(image_file, folder / "image.png"),
        partial(image_file, folder / "image.tif"),
        *(partial(refused, call) for call in bad_calls(folder)),
    ]


def noisy(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Draw a noisy image whose height varies, so that sizes seldom repeat in a row."""
    height = shape[0] + int(rng.integers(8))
    return (0.5 + SIGMA * rng.standard_normal((height, *shape[1:]))).astype(dtype)


def denoise(
    rng: np.random.Generator,
    shape: tuple[int, ...] = (40, 36),
    dtype: Any = np.float32,
    **options: Any,
) -> None:
    image = noisy(rng, shape, dtype)
    fastgsm.estimate_sigma(image, channel_axis=options.get("channel_axis"))
    # With a range of its own, every image would have filters of its own, which are cached.
    fastgsm.denoise(image, SIGMA, data_range=1, **options)


def denoise_with_a_mask(rng: np.random.Generator) -> None:
    image = noisy(rng, (32, 32))
    image[5:7, 3:9] = np.nan
    fastgsm.denoise(image, SIGMA, mask=rng.random(image.shape) < 0.9)


def denoise_counts(rng: np.random.Generator) -> None:
    fastgsm.denoise(rng.poisson(20, (32, 32)).astype(np.uint16), noise="poisson", quality="fast")


def fit_save_load(model: Any, path: Path, rng: np.random.Generator) -> None:
    X = fastgsm.sample_patches([noisy(rng, (40, 36))], 4, 400, random_state=rng)
    model.fit(X).save(path)
    fastgsm.load(path).denoise_patches(X, SIGMA)


def image_file(path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 2**16, (24, 20, 3), np.uint16)
    write_image(path, image)
    read_image(path)


def refused(call: Callable[[], Any], rng: np.random.Generator) -> None:
    """Make a call that must fail; the error must not keep memory after it is gone."""
    try:
        call()
    except (TypeError, ValueError):
        return
    raise AssertionError("bad input was accepted")


def bad_calls(folder: Path) -> list[Callable[[], Any]]:
    foreign = [folder / "foreign.npz", folder / "foreign.png", folder / "foreign.tif"]
    for path in foreign:
        path.write_bytes(b"II*\0 neither a model nor an image" * 9)
    image = np.ones((40, 40), np.float32)
    return [
        lambda: fastgsm.denoise(np.full((40, 40), np.inf), SIGMA),
        lambda: fastgsm.denoise(image, -1),
        lambda: fastgsm.denoise(image, SIGMA, prior="absent"),
        lambda: fastgsm.GMM(500).fit(np.eye(20)),
        lambda: fastgsm.load(foreign[0]),
        lambda: read_image(foreign[1]),
        lambda: read_image(foreign[2]),
    ]


def soak(calls: int, folder: Path) -> tuple[float, str]:
    """Make the calls; return the relative growth of the memory and a report of one line."""
    turns = jobs(folder)
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for job in turns:  # compile, load the priors, fill the caches
        job(rng)
    held = []
    for i in range(calls):
        turns[i % len(turns)](rng)
        held.append(memory())
    early, late = max(held[calls // 5 : 2 * calls // 5]), max(held[4 * calls // 5 :])
    growth = late / early - 1
    report = (
        f"{calls} calls in {time.perf_counter() - start:.0f} s: memory {early / 2**20:.1f} MiB "
        f"after warming up, {late / 2**20:.1f} MiB at the end, {growth:+.1%}"
    )
    return growth, report


def memory() -> int:
    """Return the memory that this process holds now, in bytes, as Linux counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000, metavar="N")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # as the command line does
    with tempfile.TemporaryDirectory() as folder:
        growth, report = soak(args.calls, Path(folder))
    print(report)
    return int(growth > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
