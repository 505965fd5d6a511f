"""The same bits from any number of threads, either build, any chunk, and run after run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.kernels._jit import limit_workers
from fastgsm.learning import density as _density
from fastgsm.learning import sums as _sums
from fastgsm.learning import whitened as _whitened
from fastgsm.restore import epll, nonlocal_mvn, single_pass
from tests.helpers import QUALITIES, new_models, noisy_leaves


def digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def denoised(dtype: Any = np.float32) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each kind of restoration."""
    image = noisy_leaves((33, 38), dtype=dtype)
    colour = np.stack([image, image[::-1], image[:, ::-1]], axis=-1)
    mask = np.random.default_rng(0).random(image.shape) < 0.7
    for quality in QUALITIES:
        yield quality, digest(fastgsm.denoise(image, 0.1, quality=quality))
        restored = fastgsm.denoise(colour, quality=quality, channel_axis=-1)
        yield f"{quality}, colour", digest(restored)
    yield "mask", digest(fastgsm.denoise(image, 0.1, mask=mask))
    yield "std", digest(*fastgsm.denoise(image, 0.1, quality="fast", return_std=True))
    center = fastgsm.denoise(image, 0.1, quality="fast", aggregation="center")
    yield "center", digest(center)


def fitted(dtype: Any = np.float32) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each model, its scores of samples, and how it denoises."""
    image = noisy_leaves((33, 38), dtype=dtype)
    X = fastgsm.sample_patches(image, n_patches=2000, random_state=0)
    em: dict[str, Any] = {"max_iter": 20, "tol": 0.5, "random_state": 0}
    for model in (*new_models(**em).values(), fastgsm.GMM(3, init_params="random", **em)):
        model.fit(X)
        arrays = (values for _, values in sorted(model._arrays().items()))
        likelihoods = model.lower_bounds_, model.score_samples(X)
        restored = fastgsm.denoise(image, 0.1, prior=model)
        yield repr(model), digest(*arrays, *likelihoods, restored)


def all_digests() -> dict[str, str]:
    results: dict[str, str] = {}
    for dtype in (np.float32, np.float64):
        for name, value in (*denoised(dtype), *fitted(dtype)):
            results[f"{name}, {np.dtype(dtype)}"] = value
    return results


@cache
def wanted() -> dict[str, str]:
    """Return the digests that the serial builds make in this process."""
    with limit_workers(1):
        return all_digests()


PROGRAM = """
import json, sys, warnings
import numba
from tests.test_determinism import all_digests
warnings.simplefilter("ignore")
results = []
for threads in map(int, sys.argv[1:]):
    numba.set_num_threads(threads)
    results.append(all_digests())
print(json.dumps(results))
"""


@pytest.mark.parametrize(
    ("threads", "settings"),
    [
        (("2", "4"), {"NUMBA_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2"}),
        (("1",), {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
    ],
    ids=["parallel", "serial"],
)
def test_any_number_of_threads(threads: tuple[str, ...], settings: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *threads],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            # With more threads than cores, OpenMP's threads keep each other from working.
            "NUMBA_THREADING_LAYER": "workqueue",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr
    for found in json.loads(result.stdout):
        assert found == wanted()


@pytest.mark.parametrize("small", [False, True])
def test_any_chunk(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = wanted()
    monkeypatch.setattr(epll, "PATCHES_PER_CALL", 40 if small else 10**9)
    monkeypatch.setattr(single_pass, "BANDS_PER_CALL", 1 if small else 10**9)
    monkeypatch.setattr(single_pass, "usable_threads", lambda: 0 if small else 99)
    monkeypatch.setattr(nonlocal_mvn, "BANDS_PER_THREAD", 1 if small else 10**9)
    monkeypatch.setattr(_whitened, "WORK_PER_CALL", 1 if small else 10**18)
    monkeypatch.setattr(_whitened, "SHAPES_PER_CALL", 2)
    monkeypatch.setattr(_sums, "EXPONENTIALS_PER_CALL", 10_000 if small else 10**18)
    monkeypatch.setattr(_density, "SAMPLES_AT_ONCE", 1000 if small else 10**9)
    for name, found in (*denoised(), *fitted()):
        assert found == expected[f"{name}, float32"], name
