"""How kernels are compiled, and on how many threads they run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
from numba import prange

from fastgsm.kernels import _jit
from fastgsm.kernels._jit import Kernel, limit_workers, threads_for_any_work, usable_threads
from fastgsm.restore.presets import PRESETS
from tests.kernels.helpers import JIT


@Kernel
def double(x: np.ndarray, y: np.ndarray) -> None:
    """Twice x."""
    for i in prange(x.shape[0]):
        y[i] = 2 * x[i]


class FakeThreads:
    """Numba's thread count on a machine of eight cores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads = 8
        self.history: list[int] = []
        monkeypatch.setattr(numba, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(numba, "set_num_threads", self.set)

    def set(self, threads: int) -> None:
        self.threads = threads
        self.history.append(threads)


@pytest.fixture
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> FakeThreads:
    return FakeThreads(monkeypatch)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Record which build of ``double`` ran, and on how many threads."""
    calls: list[tuple[str, int]] = []

    def record(name: str) -> Callable[..., None]:
        return lambda *args: calls.append((name, numba.get_num_threads()))

    monkeypatch.setattr(double, "serial", record("serial"))
    monkeypatch.setattr(double, "parallel", record("parallel"))
    return calls


def test_kernel_computes_and_shows_its_source() -> None:
    x, y = np.arange(5.0), np.empty(5)
    double(x, y)
    np.testing.assert_array_equal(y, 2 * x)
    assert double.__doc__ == "Twice x."
    assert repr(double) == "<kernel double>"
    double.__wrapped__(y, x)
    np.testing.assert_array_equal(x, 2 * y)


@pytest.mark.parametrize(("workers", "expected"), [(None, 8), (1, 1), (3, 3), (8, 8), (99, 8)])
def test_usable_threads(workers: int | None, expected: int, eight_threads: FakeThreads) -> None:
    with limit_workers(workers):
        assert usable_threads() == expected
    assert usable_threads() == 8


def test_limit_is_lifted_after_an_error(eight_threads: FakeThreads) -> None:
    with pytest.raises(ZeroDivisionError), limit_workers(2):
        raise ZeroDivisionError
    assert usable_threads() == 8


def test_limits_nest(eight_threads: FakeThreads) -> None:
    with limit_workers(2):
        with limit_workers(4):
            assert usable_threads() == 4
        with limit_workers(None):
            assert usable_threads() == 2
        assert usable_threads() == 2


def test_one_worker_runs_the_serial_build(
    eight_threads: FakeThreads, builds: list[tuple[str, int]]
) -> None:
    with limit_workers(1):
        double()
    assert builds == [("serial", 8)]
    assert eight_threads.history == []


def test_threads_are_limited_and_restored(
    eight_threads: FakeThreads, builds: list[tuple[str, int]]
) -> None:
    double()
    with limit_workers(3):
        double()
    assert builds == [("parallel", 8), ("parallel", 3)]
    assert eight_threads.history == [3, 8]


def test_threads_are_restored_after_an_error(
    eight_threads: FakeThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(double, "parallel", fail)
    with pytest.raises(ZeroDivisionError), limit_workers(3):
        double()
    assert eight_threads.history == [3, 8]


def test_worker_threads_run_the_serial_build(
    eight_threads: FakeThreads, builds: list[tuple[str, int]]
) -> None:
    thread = threading.Thread(target=double)
    thread.start()
    thread.join()
    assert builds == [("serial", 8)]


def test_small_calls_run_the_serial_build(
    eight_threads: FakeThreads, builds: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double, "_flops", lambda x, **_: x)
    for flops in (_jit.LEAST_FLOPS - 1, _jit.LEAST_FLOPS):
        double(flops, None)
    with threads_for_any_work():
        double(1, None)
    assert builds == [("serial", 8), ("parallel", 8), ("parallel", 8)]


def test_every_kernel_counts_its_operations() -> None:
    import fastgsm.restore.presets

    assert fastgsm.restore.presets.PRESETS
    assert len(_jit.KERNELS) >= 16
    assert all(kernel._flops is not None for kernel in _jit.KERNELS.values())


def test_without_the_threading_layer_one_thread_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ValueError("No threading layer could be loaded.\nHINT: Intel TBB is required.")

    monkeypatch.setattr(numba, "get_num_threads", fail)
    monkeypatch.setattr(numba.config, "THREADING_LAYER", "tbb")
    _jit._threads_start.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"=tbb, .* one thread\. .*loaded. HINT") as warned:
            assert usable_threads() == usable_threads() == 1
        assert len(warned) == 1
    finally:
        _jit._threads_start.cache_clear()


def test_concurrent_calls_from_a_pool() -> None:
    def call(seed: int) -> bool:
        x, y = np.full(100, float(seed)), np.empty(100)
        double(x, y)
        return bool((y == 2 * seed).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(40)))


def test_forked_child_runs_the_serial_build(
    eight_threads: FakeThreads, builds: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_jit, "_forked", False)  # restored after the test
    _jit._mark_forked()
    double()
    assert builds == [("serial", 8)]


def test_two_kernels_cannot_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels: dict[str, Kernel] = {}
    monkeypatch.setattr(_jit, "KERNELS", kernels)
    for module, error in (("one", None), ("one", None), ("two", ValueError)):

        def triple() -> None:
            """Do nothing."""

        triple.__module__ = f"{_jit.__package__}.{module}"
        if error is None:
            kernel = Kernel(triple)  # again: its module was loaded again
        else:
            with pytest.raises(error, match=r"two and fastgsm\.kernels\.one both define.*'triple'"):
                Kernel(triple)
    assert kernels == {"triple": kernel}


# A fork after the parent's threads have started; GNU OpenMP would end or hang the child. The
# program has no file, so that Numba can cache nothing.
FORK = """
import os, sys
import numpy as np
from numba import prange
from fastgsm.kernels._jit import Kernel, usable_threads

def double(x, y):
    for i in prange(x.shape[0]):
        y[i] = 2 * x[i]

double = Kernel(double)
x, y = np.arange(1000.0), np.zeros(1000)
double.parallel(x, y)
pid = os.fork()
if pid == 0:
    y[:] = 0
    double(x, y)
    os._exit(0 if usable_threads() == 1 and (y == 2 * x).all() else 9)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_kernel_runs_in_a_forked_child() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_without_a_writable_cache_kernels_still_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def refuse(function: Callable[..., Any]) -> None:
        requests.append(function.__name__)
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("fastgsm.kernels._cache._Cache", refuse)

    @_jit.jit
    def triple(x: float) -> float:
        return 3 * x

    assert triple(2.0) == 6.0
    assert requests == ["triple"]


def test_builds_have_their_own_cache_entries() -> None:
    names = {build.__qualname__ for build in (double.serial, double.parallel)}
    assert len(names) == 2
    assert all(_jit.DIGEST in name for name in names)
    assert double.serial.__module__ == __name__


def test_code_without_bounds_checks_is_not_taken_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_jit, "CHECKS_BOUNDS", not _jit.CHECKS_BOUNDS)
    assert _jit.source_digest() != _jit.DIGEST


def test_denoise_as_plain_python() -> None:
    program = """
import numpy as np, fastgsm
from fastgsm.restore.presets import PRESETS
x = np.random.default_rng(0).random((9, 9))
X = fastgsm.extract_patches(x, 2, center="patch")
prior = fastgsm.GSM(2, tol=1e9).fit(X)
for quality in PRESETS:
    print(*fastgsm.denoise(x, 0.1, prior=prior, quality=quality).ravel())
"""
    results = []
    for disabled in "01":
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        results.append([float(word) for word in done.stdout.split()])
    assert len(results[0]) == len(PRESETS) * 81
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_import_compiles_nothing() -> None:
    program = """
import fastgsm
from fastgsm.kernels import (mahalanobis, moments, patches, responsibilities, rotation,
                             single_pass, vmath, wiener)
from numba.core.dispatcher import Dispatcher
modules = mahalanobis, moments, patches, responsibilities, rotation, single_pass, vmath, wiener
objects = [o for m in modules for o in vars(m).values()]
builds = [b for o in objects for b in (o, getattr(o, "serial", None), getattr(o, "parallel", None))]
builds = [b for b in builds if isinstance(b, Dispatcher)]
print(len(builds), sum(len(b.signatures) for b in builds))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    found, compiled = map(int, result.stdout.split())
    assert (found > 20) == JIT
    assert compiled == 0
