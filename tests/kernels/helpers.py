"""What the kernel tests share: sizes, tolerances, random mixtures, and the runs to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastgsm.kernels._jit import Kernel, limit_workers
from fastgsm.learning.density import ScaleMixtureDensity

# Interpreted (NUMBA_DISABLE_JIT=1), a kernel is a thousand times slower: the cases are smaller.
JIT = not numba.config.DISABLE_JIT

DTYPES = (np.float32, np.float64)
RTOL = {np.float32: 2e-4, np.float64: 1e-10}
Arrays = tuple[NDArray[Any], ...]


def pick(compiled: Any, interpreted: Any) -> Any:
    """Choose a test's cases by whether Numba compiles."""
    return compiled if JIT else interpreted


def assert_close(actual: NDArray, wanted: NDArray, dtype: Any) -> None:
    """Check equality up to the type's rounding, relative to the largest of the values."""
    assert actual.dtype in (dtype, np.float64)
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = float(finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(actual, wanted, rtol=RTOL[dtype], atol=RTOL[dtype] * scale)


def assert_same_bits(actual: NDArray, wanted: NDArray) -> None:
    assert actual.dtype == wanted.dtype
    assert actual.shape == wanted.shape
    assert actual.tobytes() == wanted.tobytes()


def run(kernel: Kernel, fill: Callable[[Callable[..., Any]], Arrays]) -> Arrays:
    """Return the results of ``kernel``; check that both builds and all thread counts agree.

    ``fill`` allocates the outputs, calls the kernel or build that it gets with all arguments, and
    returns the outputs.
    """
    results = fill(kernel)
    others = [fill(kernel.serial)]
    if JIT:  # interpreted, the builds are one
        others.append(fill(kernel.parallel))
        for workers in (1, 2, None):
            with limit_workers(workers):
                others.append(fill(kernel))
    for other in others:
        for a, b in zip(results, other, strict=True):
            assert_same_bits(b, a)
    return results


def filled(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an output array full of NaN, so that elements a kernel forgets show."""
    return np.full(shape, np.nan, dtype)


def mixture(
    d: int,
    n_shapes: int,
    n_scales: int,
    *,
    rank: int | None = None,
    means: bool = True,
    seed: int = 0,
) -> ScaleMixtureDensity:
    """Draw a mixture whose covariances share a support of the given rank."""
    rng = np.random.default_rng(seed)
    rank = d if rank is None else rank
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    inside = basis[:, :rank]
    turns = np.linalg.qr(rng.standard_normal((n_shapes, rank, rank)))[0]
    eigenvalues = np.sort(np.exp(rng.uniform(-2.5, 1.0, (n_shapes, rank))))[:, ::-1]
    weights = rng.uniform(0.5, 1.5, (n_shapes, n_scales))
    return ScaleMixtureDensity(
        weights=weights / weights.sum(),
        scales=np.exp(rng.uniform(-1.5, 1.5, (n_shapes, n_scales))),
        means=(rng.standard_normal((n_shapes, rank)) @ inside.T) * means,
        eigenvalues=eigenvalues,
        eigenvectors=inside @ turns,
    )


def samples(density: ScaleMixtureDensity, n: int, dtype: Any, seed: int = 1) -> NDArray[Any]:
    """Draw ``n`` points around the mixture, in its support, wider than the mixture itself."""
    rng = np.random.default_rng(seed)
    coefficients = rng.standard_normal((n, density.rank)) * rng.uniform(0.2, 2.0, (n, 1))
    return (coefficients @ density.eigenvectors[0].T).astype(dtype)
