"""What the benchmarks share: models, images, patches, thread counts and the clock."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

import fastgsm
from fastgsm import _registry as registry

Array = NDArray[Any]

PATCH_SIZE = 8
N_PATCHES = 10_000
SIGMA = 25 / 255

# Thread counts: one, and all that Numba has.
THREADS = sorted({1, numba.config.NUMBA_NUM_THREADS})
DTYPES = ["float32", "float64"]

# Every length is divided by this: the tests run all benchmarks once, tiny.
SHRINK = 1

MODELS: dict[str, Callable[..., Any]] = {
    name: partial(entry.new, entry.modest, random_state=0)
    for name, entry in registry.MODELS.items()
}


def shrunk(length: int, least: int = 1) -> int:
    """Return a length of the full benchmark, divided by SHRINK."""
    return max(length // SHRINK, min(least, length))


def image(seed: int, height: int = 256, width: int | None = None) -> Array:
    """Draw a dead-leaves image in [0, 1]; beyond 512 pixels it repeats."""
    shape = shrunk(height, 32), shrunk(height if width is None else width, 32)
    tile = fastgsm.datasets.dead_leaves(tuple(min(n, 512) for n in shape), seed)
    repeats = [-(-n // m) for n, m in zip(shape, tile.shape, strict=True)]
    return np.tile(tile, repeats)[: shape[0], : shape[1]]


def add_noise(clean: Array, seed: int = 0, sigma: float = SIGMA) -> Array:
    """Add white noise, neither clipped nor rounded."""
    return clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)


def patches(seed: int, n_patches: int = N_PATCHES, center: str | None = "patch") -> Array:
    """Draw patches from two dead-leaves images, a little noisy: no two pixels are ever equal."""
    images = [add_noise(image(s, 512), s, sigma=2 / 255) for s in (seed, seed + 1)]
    n_patches = shrunk(n_patches, 400)
    return fastgsm.sample_patches(images, PATCH_SIZE, n_patches, center=center, random_state=seed)


def fit(model: Any, X: Array) -> Any:
    """Fit a model that may be stopped before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
        return model.fit(X)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let Numba use ``count`` threads inside the ``with`` block."""
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


# OpenBLAS's threads go on spinning after a product, for 2^28 clock cycles in NumPy's build (0.1 s
# at 2.6 GHz), and whatever is timed meanwhile has one core less. So timing waits for as long.
SETTLE = 0.15


def seconds(function: Callable[[], Any]) -> float:
    """Time one call, after the threads of the call before have stopped spinning.

    By then its own threads are asleep too, and waking them takes up to 6 ms. So a short call is
    made twice.
    """
    time.sleep(SETTLE)
    first = _seconds(function)
    return first if first > SETTLE else min(first, _seconds(function))


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(*functions: Callable[[], Any], rounds: int = 5) -> list[float]:
    """Time functions in turn; return the shortest time of each.

    What disturbs a machine for a while disturbs all of them, and the shortest of several rounds
    is hardly disturbed: ratios of these times hold where the times themselves do not.
    """
    for function in functions:
        function()  # compiles, loads, warms the caches
    times = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def limit_blas() -> None:
    """Let BLAS use all threads if small products are faster so, otherwise one, from now on.

    Its threads wait for each other at the end of each call. If another process has one of the
    cores, rivals that make many small products then take twenty times as long, which is not their
    fault.
    """
    from threadpoolctl import threadpool_limits

    A, B = np.ones((2000, 64)), np.ones((64, 64))

    def probe(count: int) -> float:
        threadpool_limits(count, user_api="blas")
        return alternate(lambda: [A @ B for _ in range(20)])[0]

    threadpool_limits(min(THREADS, key=probe), user_api="blas")


def rms(difference: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
