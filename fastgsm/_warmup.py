"""Compilation of everything ahead of the first use."""

from __future__ import annotations

import numpy as np

from fastgsm._denoise import denoise
from fastgsm._registry import MODELS
from fastgsm._types import FloatArray
from fastgsm.datasets import dead_leaves
from fastgsm.kernels._jit import limit_workers, threads_for_any_work
from fastgsm.patches import aggregate_patches, extract_patches, sample_patches
from fastgsm.restore.presets import PRESETS

SIGMA = 0.1
SAMPLES = 2000


def warmup() -> None:
    """Compile all kernels now, rather than at the first call that needs them.

    Runs every method and model on a tiny image in float32 and float64, on one thread and on all.
    Numba keeps the machine code on disk, so that later processes of the same user on the same kind
    of processor only load it. Call this once after installing, for example when a container is
    built, with NUMBA_CACHE_DIR set to the folder that will be read later. Where no folder is
    writable, call it once in each process.

    The first call takes a few minutes on two cores, a later one a few seconds.

    Call it in the main thread: in any other thread, and in a forked child, kernels run on one
    thread, and only their serial builds are compiled. For arrays that are read-only or not
    contiguous, some kernels may still be compiled later.

    Examples
    --------
    >>> import fastgsm
    >>> fastgsm.warmup()
    """
    image = dead_leaves((40, 40), random_state=0)
    for workers in (1, None):
        for dtype in (np.float32, np.float64):
            with limit_workers(workers), threads_for_any_work():
                _use_everything(image.astype(dtype))


def _use_everything(image: FloatArray) -> None:
    """Run every kernel once."""
    colour = np.stack([image] * 3, axis=-1)
    mask = np.ones(image.shape, bool)
    mask[8:12, 8:12] = False
    aggregate_patches(extract_patches(image), image.shape)
    for quality, preset in PRESETS.items():
        denoise(image, SIGMA, quality=quality)
        denoise(colour, SIGMA, quality=quality, channel_axis=-1)
        denoise(image, SIGMA, quality=quality, mask=mask)
        if preset.keeps_centres:
            denoise(image, SIGMA, quality=quality, aggregation="center")
        if preset.has_variance:
            denoise(image, SIGMA, quality=quality, return_std=True)
    X = sample_patches(image, n_patches=SAMPLES, random_state=0)
    # So large a tol ends EM in the second iteration, after one of each step.
    for entry in MODELS.values():
        model = entry.new(entry.tiny, tol=1e9, random_state=0)
        model.fit(X).score(X)
        model.predict_proba(X)
        model.denoise_patches(X, SIGMA, return_std=True)
        for quality in PRESETS:
            denoise(image, SIGMA, prior=model, quality=quality)
