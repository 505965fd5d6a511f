"""Run by `test_threads.py` in a process of its own: fastgsm from threads and child processes.

Usage: python concurrent_program.py WAY, where WAY is a key of `WAYS`. Prints the names of Numba's
threading layer and fails if any result differs from the main thread's.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from threadpoolctl import threadpool_info

import fastgsm

N_JOBS = 8


def digest(seed: int = 0) -> str:
    """Return a digest of a denoised image, a fitted model and the image denoised with it."""
    clean = fastgsm.datasets.dead_leaves((40, 40), random_state=seed)
    noisy = fastgsm.datasets.add_noise(clean, 0.1, random_state=seed)
    X = fastgsm.sample_patches(noisy, patch_size=4, n_patches=500, random_state=seed)
    model = fastgsm.GMM(3, tol=1.0, random_state=seed).fit(X)
    images = [
        fastgsm.denoise(noisy, 0.1),
        fastgsm.denoise(noisy, 0.1, prior=model, quality="fast"),
    ]
    arrays = [*images, model.weights_, model.means_, model.covariances_]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def in_threads() -> Iterator[str]:
    """Run eight threads at once, and parallel kernels in the main thread next to them."""
    with ThreadPoolExecutor(N_JOBS) as pool:
        jobs = [pool.submit(digest) for _ in range(N_JOBS)]
        yield digest()
        yield from (job.result(timeout=300) for job in jobs)


def in_children(method: str) -> Iterator[str]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        yield from pool.map_async(digest, [0] * 4).get(timeout=300)
        pool.close()
        pool.join()


def in_loky() -> Iterator[str]:
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=2, backend="loky")(delayed(digest)(0) for _ in range(4))


def in_forked_threads() -> Iterator[str]:
    yield from in_threads()
    yield from in_children("fork")


WAYS: dict[str, Callable[[], Iterator[str]]] = {
    "threads": in_threads,
    "threads, then fork": in_forked_threads,
    "spawn": lambda: in_children("spawn"),
    "forkserver": lambda: in_children("forkserver"),
    "loky": in_loky,
}


def thread_counts() -> list[int]:
    return [numba.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]


def main() -> None:
    np.linalg.inv(np.eye(3))  # loads every BLAS, so that thread_counts sees them all
    wanted = digest()
    before = thread_counts()
    for result in WAYS[sys.argv[1]]():
        assert result == wanted, "other bits than in the main thread"
    assert thread_counts() == before
    print(numba.threading_layer())


if __name__ == "__main__":
    main()
