"""The kernels one by one, each beside NumPy's way to the same result, with its flops and bytes.

``CASES`` is the one list of them: asv times them, `benchmarks.ratios` compares them with NumPy,
`benchmarks.roofline` with the machine's limits, and the tests compare the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import logsumexp

import fastgsm

from .common import DTYPES, PATCH_SIZE, SIGMA, add_noise, alternate, image, patches, shrunk
from .rivals import average, two_products

D = PATCH_SIZE**2
N_SHAPES, N_SCALES = 8, 8  # the bundled GSM has 8 scales, too
# Block functions, which no caller outside of the kernels has, repeat on data that stay in cache.
REPEATS = 128
# Operations on one number in a block exp, log or log-sum-exp: about the terms of the polynomials.
EXP_FLOPS = {"float32": 16, "float64": 26}


class Case(NamedTuple):
    """One kernel at work."""

    ours: Callable[[], Any]
    numpy: Callable[[], Any]
    flops: float  # that the result needs: no padding, half of a symmetric product
    bytes: float  # inputs read once and outputs written once, in main memory
    same: bool = True  # whether both return the same numbers


def _random(dtype: str, *shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def rotation(dtype: str) -> Case:
    """The micro-kernel on tiles in cache, against NumPy's own large product: equal flops."""
    from fastgsm.kernels.rotation import TILE

    from .drivers import rotate_tiles

    A, tiles, out = (
        _random(dtype, D, D),
        _random(dtype, 16, D, TILE),
        np.empty((16, D, TILE), dtype),
    )
    repeats = shrunk(REPEATS)
    flops = 2.0 * D * repeats * tiles.size
    B = _random(dtype, *2 * [round((flops / 2) ** (1 / 3))])

    def ours() -> Any:
        rotate_tiles(A, tiles, repeats, out)
        return out

    return Case(ours, lambda: B @ B, flops, 0, same=False)


def _blockwise(name: str, dtype: str) -> Case:
    from . import drivers

    x = np.abs(_random(dtype, 64, 512)) + 0.1
    x, function = (-x, np.exp) if name == "exp" else (x, np.log)
    driver, out, repeats = getattr(drivers, f"{name}_blocks"), np.empty_like(x), shrunk(REPEATS)

    def ours() -> Any:
        driver(x, repeats, out)
        return out

    def numpy() -> Any:
        for _ in range(repeats):
            result = function(x)
        return result

    return Case(ours, numpy, EXP_FLOPS[dtype] * repeats * x.size, 0)


def exp(dtype: str) -> Case:
    return _blockwise("exp", dtype)


def log(dtype: str) -> Case:
    return _blockwise("log", dtype)


def mahalanobis(dtype: str) -> Case:
    from fastgsm.learning.whitened import mahalanobis_distances

    X, means = _random(dtype, shrunk(50_000, 400), D), _random(dtype, N_SHAPES, D)
    whiteners = np.tril(_random(dtype, N_SHAPES, D, D))

    def numpy() -> Any:
        pairs = zip(means, whiteners, strict=True)
        return np.stack([np.square((X - mean) @ A.T).sum(axis=1) for mean, A in pairs])

    flops = N_SHAPES * len(X) * (D * (D + 1.0) + 3 * D)
    moved = X.nbytes + X.itemsize * N_SHAPES * len(X)
    return Case(lambda: mahalanobis_distances(X, means, whiteners), numpy, flops, moved)


def responsibilities(dtype: str) -> Case:
    from fastgsm.kernels.responsibilities import responsibilities as kernel

    distances = D * np.square(_random(dtype, N_SHAPES, shrunk(100_000, 400)))
    log_weights = _random(dtype, N_SHAPES, N_SCALES)
    precisions = 1 / np.square(1 + np.arange(log_weights.size, dtype=dtype)).reshape(
        log_weights.shape
    )
    posterior = np.empty((log_weights.size, distances.shape[1]), dtype)
    log_norm = np.empty(distances.shape[1], dtype)

    def ours() -> Any:
        kernel(distances, log_weights, precisions, posterior, log_norm)
        return posterior

    def numpy() -> Any:
        log_prob = log_weights[:, :, None] - precisions[:, :, None] * distances[:, None] / 2
        log_prob = log_prob.reshape(log_weights.size, -1)
        return np.exp(log_prob - logsumexp(log_prob, axis=0))

    flops = (EXP_FLOPS[dtype] + 6.0) * posterior.size
    return Case(ours, numpy, flops, distances.nbytes + posterior.nbytes + log_norm.nbytes)


def moments(dtype: str) -> Case:
    from fastgsm.learning.sums import weighted_moments

    X, means = _random(dtype, shrunk(50_000, 400), D), np.zeros((N_SHAPES, D), dtype)
    weights = np.square(_random(dtype, N_SHAPES, len(X)))

    def numpy() -> Any:
        return np.stack([(X * row[:, None]).T @ X for row in weights])

    flops = N_SHAPES * len(X) * D * (D + 3.0)
    return Case(
        lambda: weighted_moments(X, weights, means)[1], numpy, flops, X.nbytes + weights.nbytes
    )


def _wiener_flops(n: int) -> float:
    """Rotations there and back; distances and filters under all scales; the exponentials."""
    return n * (4.0 * D * D + 4 * D * N_SCALES + 4 * D + 22 * N_SCALES)


def posterior_patches(dtype: str) -> Case:
    """The Wiener filters on an array of patches, against the two rotations alone."""
    gsm, Y = fastgsm.load_prior("gsm"), patches(seed=3, n_patches=50_000).astype(dtype)
    U = gsm.eigenvectors_[0].astype(dtype)
    return Case(
        lambda: gsm.denoise_patches(Y, SIGMA),
        lambda: two_products(Y, U),
        _wiener_flops(len(Y)),
        2 * Y.nbytes,
        same=False,
    )


def single_pass(dtype: str) -> Case:
    """All of `denoise` on an image, against the two rotations of its patches and nothing else."""
    gsm, noisy = fastgsm.load_prior("gsm"), add_noise(image(seed=10, height=512)).astype(dtype)
    Y, U = fastgsm.extract_patches(noisy, PATCH_SIZE), gsm.eigenvectors_[0].astype(dtype)
    U = np.concatenate([U, np.full((D, 1), 1 / PATCH_SIZE, dtype)], axis=1)  # all 64 directions
    return Case(
        lambda: fastgsm.denoise(noisy, SIGMA, prior=gsm, quality="fast"),
        lambda: two_products(Y, U),
        _wiener_flops(len(Y)) + 4.0 * Y.size,
        2 * noisy.nbytes,
        same=False,
    )


def extract(dtype: str) -> Case:
    x = _random(dtype, shrunk(512, 32), shrunk(512, 32))

    def numpy() -> Any:
        return np.ascontiguousarray(sliding_window_view(x, (PATCH_SIZE, PATCH_SIZE))).reshape(-1, D)

    return Case(lambda: fastgsm.extract_patches(x, PATCH_SIZE), numpy, 0, x.nbytes + numpy().nbytes)


def aggregate(dtype: str) -> Case:
    x = _random(dtype, shrunk(512, 32), shrunk(512, 32))
    Y = fastgsm.extract_patches(x, PATCH_SIZE)
    windows = Y.reshape(*(n - PATCH_SIZE + 1 for n in x.shape), PATCH_SIZE, PATCH_SIZE)
    return Case(
        lambda: fastgsm.aggregate_patches(Y, x.shape, PATCH_SIZE),
        lambda: average(windows, x.shape),
        float(Y.size),
        x.nbytes + Y.nbytes,
    )


CASES: dict[str, Callable[[str], Case]] = {
    case.__name__: case
    for case in (
        rotation,
        exp,
        log,
        mahalanobis,
        responsibilities,
        moments,
        posterior_patches,
        single_pass,
        extract,
        aggregate,
    )
}


class Kernel:
    """One call on all threads."""

    params = (list(CASES), DTYPES)
    param_names = ("kernel", "dtype")

    def setup(self, name: str, dtype: str) -> None:
        self.case = CASES[name](dtype)
        self.case.ours()  # compiles, or loads what is compiled

    def time_kernel(self, name: str, dtype: str) -> None:
        self.case.ours()


class Ratio:
    """Time over NumPy's, alternately measured: holds where times do not."""

    params = (list(CASES),)
    param_names = ("kernel",)

    def track_time_over_numpy(self, name: str) -> float:
        case = CASES[name]("float32")
        ours, numpy = alternate(case.ours, case.numpy)
        return ours / numpy

    track_time_over_numpy.unit = "times"  # type: ignore[attr-defined]
