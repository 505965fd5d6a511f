"""fastgsm next to other threads and in child processes: no crash, no hang, the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
from threadpoolctl import threadpool_info, threadpool_limits

import fastgsm

PROGRAM = Path(__file__).with_name("concurrent_program.py")


def run_program(way: str, **settings: str) -> str:
    """Run `concurrent_program.py`; skip where the threading layer is not installed."""
    # Where pip puts TBB.
    libraries = os.pathsep.join([f"{sys.prefix}/lib", os.environ.get("LD_LIBRARY_PATH", "")])
    paths = {"PYTHONPATH": str(PROGRAM.parents[1]), "LD_LIBRARY_PATH": libraries}
    result = subprocess.run(
        [sys.executable, PROGRAM, way],
        env={**os.environ, "NUMBA_NUM_THREADS": "2", **paths, **settings},
        capture_output=True,
        text=True,
        timeout=400,
    )
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"Numba has no layer {settings} here")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_threads_of_ones_own(layer: str) -> None:
    # The naive way ends the process: workqueue's at the second thread, GNU OpenMP's in the child.
    way = "threads" if sys.platform == "win32" else "threads, then fork"
    assert run_program(way, NUMBA_THREADING_LAYER=layer) == layer


@pytest.mark.parametrize("way", ["spawn", "forkserver", "loky"])
def test_child_processes(way: str) -> None:
    if way == "forkserver" and sys.platform == "win32":
        pytest.skip("no fork on Windows")
    run_program(way)


class Failing(fastgsm.MVN):
    """A prior that fails in the middle of denoising."""

    def wiener_bank(self, sigma: float, dtype: Any, tail_loss: float = 0.0) -> Any:
        raise ZeroDivisionError


def test_thread_counts_stay_as_they_were() -> None:
    import numba

    image = np.random.default_rng(0).random((32, 32))
    X = fastgsm.extract_patches(image, 4)
    failing = Failing().fit(X)
    most = numba.get_num_threads()
    with threadpool_limits(2, "blas"):
        numba.set_num_threads(min(2, most))
        before = numba.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
        try:
            fastgsm.denoise(image, 0.1, workers=1)
            fastgsm.GMM(2, tol=1.0, random_state=0).fit(X)
            with pytest.raises(ZeroDivisionError):
                fastgsm.denoise(image, 0.1, prior=failing, workers=1)
            with pytest.raises(ValueError, match="NaN"):
                fastgsm.GMM(2).fit(np.full((9, 4), np.nan))
            after = numba.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
            assert after == before
        finally:
            numba.set_num_threads(most)


def test_fit_hides_no_warning_of_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    kmeans2 = scipy.cluster.vq.kmeans2

    def warn_meanwhile(*args: Any, **options: Any) -> Any:
        warnings.warn("from another thread", stacklevel=1)
        warnings.warn("One of the clusters is empty. Re-run", stacklevel=1)
        return kmeans2(*args, **options)

    monkeypatch.setattr(scipy.cluster.vq, "kmeans2", warn_meanwhile)
    X = np.random.default_rng(0).random((50, 4))
    with pytest.warns(UserWarning, match="from another thread") as seen:
        fastgsm.GMM(2, tol=1.0, random_state=0).fit(X)
    assert len(seen) == 1
