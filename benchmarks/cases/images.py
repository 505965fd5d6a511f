"""Cases of the kernels that restore images."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import logsumexp, softmax

import fastgsm
from fastgsm.kernels.epll import restore_patches as restore_kernel
from fastgsm.kernels.local_weights import local_weights as local_kernel
from fastgsm.kernels.patches import add_patches as add_kernel
from fastgsm.kernels.separable import shrink_coordinates as shrink_kernel
from fastgsm.kernels.shapes import best_shapes as best_kernel
from fastgsm.kernels.shapes import shape_evidence as evidence_kernel
from fastgsm.kernels.wiener import WienerBank
from fastgsm.patches import grid_positions
from fastgsm.restore import local_weights as local
from fastgsm.restore.epll import batches_of_one_shape

from ..common import PATCH_SIZE, SIGMA, Array, add_noise, image, patches, shrunk
from ..rivals import average, two_products
from .case import EXP_FLOPS, N_SCALES, Case, D, normal

STRIDE = 4
Arrays = tuple[Array, ...]


def _pixels(dtype: str, side: int = 512) -> Array:
    return normal(dtype, shrunk(side, 32), shrunk(side, 32))


def extract(dtype: str) -> Case:
    x = _pixels(dtype)

    def numpy() -> Array:
        return np.ascontiguousarray(sliding_window_view(x, (PATCH_SIZE, PATCH_SIZE))).reshape(-1, D)

    return Case(lambda: fastgsm.extract_patches(x, PATCH_SIZE), numpy, 0, x.nbytes + numpy().nbytes)


def aggregate(dtype: str) -> Case:
    x = _pixels(dtype)
    Y = fastgsm.extract_patches(x, PATCH_SIZE)
    windows = Y.reshape(*(n - PATCH_SIZE + 1 for n in x.shape), PATCH_SIZE, PATCH_SIZE)
    return Case(
        lambda: fastgsm.aggregate_patches(Y, x.shape, PATCH_SIZE),
        lambda: average(windows, x.shape),
        float(Y.size),
        x.nbytes + Y.nbytes,
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


def denoise_bands(dtype: str) -> Case:
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


class _Scene:
    """A noisy image, a grid of patches, and the bundled MoGSM at the noise of the image."""

    def __init__(self, dtype: str) -> None:
        self.noisy = add_noise(image(seed=10)).astype(dtype)
        self.rows, self.cols = (grid_positions(n, PATCH_SIZE, STRIDE) for n in self.noisy.shape)
        self.grid = self.noisy, self.rows, self.cols, PATCH_SIZE, True
        self.prior = fastgsm.load_prior("mogsm")
        self.bank: WienerBank = self.prior.wiener_bank(SIGMA, dtype)
        self.n_shapes = len(self.bank.forward)
        self.n_patches = self.rows.size * self.cols.size

    def patches(self) -> Arrays:
        """Return the patches (n, d) without their means, and the means (n, 1)."""
        windows = sliding_window_view(self.noisy, (PATCH_SIZE, PATCH_SIZE))
        Y = windows[np.ix_(self.rows, self.cols)].reshape(-1, D)
        mean = Y.mean(axis=1, keepdims=True)
        return Y - mean, mean

    def log_prob(self, Y: Array, k: int) -> Arrays:
        """Return coefficients (n, R) and the scales' log-probabilities (n, J) under shape k."""
        Z = Y @ self.bank.forward[k].T
        return Z, self.bank.log_weights[k] - np.square(Z) @ self.bank.precisions[k].T / 2

    def log_densities(self) -> Array:
        """Return the logarithms (K, n) of the patches' densities with each shape."""
        Y, _ = self.patches()
        return np.stack([logsumexp(self.log_prob(Y, k)[1], axis=1) for k in range(self.n_shapes)])

    def choice_flops(self, dtype: str) -> float:
        """Count a rotation, and the distances under all scales, for every patch and shape."""
        each = 2.0 * D * D + D + 2 * D * N_SCALES + (EXP_FLOPS[dtype] + 4) * N_SCALES
        return self.n_patches * self.n_shapes * each


def best_shapes(dtype: str) -> Case:
    scene = _Scene(dtype)
    none = np.zeros((1, 1, scene.n_shapes), dtype)
    blocks = np.zeros_like(scene.rows), np.zeros_like(scene.cols)
    shapes = np.empty(scene.n_patches, np.int32)

    def ours() -> Array:
        best_kernel(*scene.grid, scene.bank, none, *blocks, shapes)
        return shapes

    return Case(
        ours,
        lambda: scene.log_densities().argmax(axis=0),
        scene.choice_flops(dtype),
        scene.noisy.nbytes + shapes.nbytes,
    )


def shape_evidence(dtype: str) -> Case:
    scene = _Scene(dtype)
    evidence = np.empty((scene.n_shapes, scene.n_patches), dtype)

    def ours() -> Array:
        evidence_kernel(*scene.grid, scene.bank, evidence)
        return evidence

    def numpy() -> Array:
        log_densities = scene.log_densities()
        return np.exp(log_densities - log_densities.max(axis=0))

    return Case(ours, numpy, scene.choice_flops(dtype), scene.noisy.nbytes + evidence.nbytes)


def restore_patches(dtype: str) -> Case:
    """Patches under one shape each, drawn at random."""
    scene = _Scene(dtype)
    bank = scene.bank
    shapes = np.random.default_rng(0).integers(0, scene.n_shapes, scene.n_patches)
    batches = batches_of_one_shape(shapes.astype(np.int32))
    restored = np.empty((scene.n_patches, D), dtype)

    def ours() -> Array:
        restore_kernel(*scene.grid, bank, *batches, restored)
        return restored

    def numpy() -> Array:
        Y, mean = scene.patches()
        for k in range(scene.n_shapes):
            mine = shapes == k
            Z, log_prob = scene.log_prob(Y[mine], k)
            gains = softmax(log_prob, axis=1) @ bank.shrinkages[k].T
            Y[mine] = (Z * gains) @ bank.backward[k].T
        return Y + mean

    return Case(ours, numpy, _wiener_flops(scene.n_patches), scene.noisy.nbytes + restored.nbytes)


def add_patches(dtype: str) -> Case:
    x = _pixels(dtype, 1024)
    rows, cols = (grid_positions(n, PATCH_SIZE, STRIDE) for n in x.shape)
    Y = normal(dtype, rows.size * cols.size, D)
    windows = Y.reshape(rows.size, cols.size, PATCH_SIZE, PATCH_SIZE)
    sums = np.empty_like(x)

    def ours() -> Array:
        sums[:] = 0
        add_kernel(Y, rows, cols, PATCH_SIZE, sums)
        return sums

    def numpy() -> Array:
        total = np.zeros_like(x)
        for dy in range(PATCH_SIZE):
            for dx in range(PATCH_SIZE):
                total[np.ix_(rows + dy, cols + dx)] += windows[:, :, dy, dx]
        return total

    return Case(ours, numpy, float(Y.size), Y.nbytes + x.nbytes)


def local_weights(dtype: str) -> Case:
    """The weights of 64 shapes in every block of an image, from random evidence."""
    side = shrunk(256, 32)
    starts = local.BLOCK_PIXELS * np.arange(-(-side // local.BLOCK_PIXELS))
    corners = np.arange(0, side, STRIDE)
    edges = np.array(
        [-local.MARGIN_PIXELS, 0, local.BLOCK_PIXELS, local.BLOCK_PIXELS + local.MARGIN_PIXELS]
    )
    blocks = np.searchsorted(corners, starts[:, None] + edges)
    n, n_shapes = corners.size, 64
    evidence = normal(dtype, n_shapes, n * n) ** 4
    evidence /= evidence.max(axis=0)
    inverse_weights = np.full(n_shapes, n_shapes, dtype)
    concentration = np.dtype(dtype).type(local.CONCENTRATION)
    ratios = np.empty((len(blocks), len(blocks), n_shapes), dtype)
    shapes = np.empty(n * n, np.int32)

    def ours() -> Arrays:
        local_kernel(
            evidence, n, blocks, blocks, inverse_weights, concentration, local.STEPS, ratios,
            shapes,
        )  # fmt: skip
        return ratios, shapes

    def numpy() -> Arrays:
        grid = evidence.reshape(n_shapes, n, n)
        learned, best = np.empty_like(ratios), np.empty((n, n), np.int32)
        for r, (top, first_row, last_row, bottom) in enumerate(blocks):
            for c, (left, first_col, last_col, right) in enumerate(blocks):
                window = grid[:, top:bottom, left:right].reshape(n_shapes, -1)
                mine, imagined = np.ones(n_shapes, dtype), concentration * window.shape[1]
                for _ in range(local.STEPS):
                    found = mine * (window @ (1 / (mine @ window))) * inverse_weights
                    mine = (imagined + found) / (imagined + window.shape[1])
                learned[r, c] = mine
                part = slice(first_row, last_row), slice(first_col, last_col)
                best[part] = (grid[:, *part] * mine[:, None, None]).argmax(axis=0)
        return learned, best.ravel()

    n_pairs = ((blocks[:, 3] - blocks[:, 0]).sum()) ** 2 * n_shapes
    flops = n_pairs * (4.0 * local.STEPS) + 2.0 * evidence.size
    return Case(ours, numpy, flops, evidence.nbytes + ratios.nbytes + shapes.nbytes)


def shrink_coordinates(dtype: str) -> Case:
    """An ICA of 8x8 patches."""
    z, log_weights = normal(dtype, shrunk(50_000, 400), D), normal(dtype, N_SCALES, D)
    variances = np.square(1 + np.arange(log_weights.size, dtype=dtype)).reshape(N_SCALES, D)
    half_precisions, shrinkages = 1 / (2 * (variances + 1)), variances / (variances + 1)
    restored = np.empty_like(z)

    def ours() -> Array:
        shrink_kernel(z, log_weights, half_precisions, shrinkages, restored)
        return restored

    def numpy() -> Array:
        posterior = softmax(log_weights - half_precisions * np.square(z)[:, None], axis=1)
        return z * (posterior * shrinkages).sum(axis=1)

    return Case(ours, numpy, (EXP_FLOPS[dtype] + 6.0) * N_SCALES * z.size, 2 * z.nbytes)
