"""A cascade and the derivatives of a loss by its parameters, for training.

The derivatives are written out: those of a pass are compiled (`kernels.gradients`), and those of
its parameters are a few lines each. So training needs no package for automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.kernels.gradients import Totals, pass_gradients
from fastgsm.kernels.wiener import WienerBank
from fastgsm.models.cascade import Cascade, log_variance
from fastgsm.restore.bands import restore_bands
from fastgsm.restore.cascade import stage_grid
from fastgsm.restore.grid import Grid
from fastgsm.restore.pyramid import correct_lows, enlarged, shrunk

Gradients = dict[str, FloatArray]


class Stage(NamedTuple):
    """What the forward pass of one stage keeps for the way back."""

    seen: FloatArray
    """Images (n, H, W) that the stage saw."""
    grid: Grid
    bank: WienerBank
    sums: FloatArray
    """(n, 2, H, W), see `denoise_bands`."""
    before: FloatArray
    """Result (n, H, W) of the stage before."""
    share: float
    sigma: float
    """Noise that the stage saw."""


def run(cascade: Cascade, noisy: FloatArray, sigma: float) -> tuple[FloatArray, list[Stage]]:
    """Restore ``noisy`` (n, H, W), H and W even; return the result and what the stages kept."""
    result: FloatArray = noisy
    stages: list[Stage] = []
    for s in range(cascade.n_stages):
        share, level = cascade.mixing(s, sigma)
        seen: FloatArray = result + noisy.dtype.type(share) * (noisy - result)
        if cascade.halved[s]:
            seen = shrunk(seen)
        grid = stage_grid(cascade, s, seen.shape[1:])
        bank = cascade.new_bank(s, level, noisy.dtype)
        sums: FloatArray = np.stack([_summed(each, grid, bank) for each in seen])
        stages.append(Stage(seen, grid, bank, sums, result, share, level))
        restored: FloatArray = sums[:, 0] / sums[:, 1]
        if cascade.halved[s]:
            half, restored = restored, result.copy()
            correct_lows(restored, half)
        result = restored
    return result, stages


def _summed(image: FloatArray, grid: Grid, bank: WienerBank) -> FloatArray:
    """Return the two sums (2, H, W) of one image in one band."""
    sums = np.zeros((2, *image.shape), image.dtype)
    spill = np.empty((1, 2, grid.patch_size - 1, image.shape[1]), image.dtype)
    bands = np.array([0, grid.rows.size])
    restore_bands(np.ascontiguousarray(image), grid, bank, False, bands, tuple(sums), spill)
    return sums


def gradients(
    cascade: Cascade,
    noisy: FloatArray,
    sigma: float,
    stages: Sequence[Stage],
    by_result: FloatArray,
) -> Gradients:
    """Return the derivatives of a loss by the parameters, from those by the result (n, H, W)."""
    by = {each.name: np.zeros(getattr(cascade, each.name).shape) for each in fields(cascade)}
    turned = [_enlarging(n // 2, noisy.dtype) for n in noisy.shape[1:]]
    for s in range(cascade.n_stages - 1, -1, -1):
        stage = stages[s]
        by_restored = by_result
        if cascade.halved[s]:
            by_restored = turned[0] @ by_result @ turned[1].T
        numerator, weights = stage.sums[:, 0], stage.sums[:, 1]
        by_sums = np.stack([by_restored / weights, -by_restored * numerator / weights**2], axis=1)
        by_seen, by_bank = _through_pass(stage, by_sums)
        by_level = _through_bank(cascade, s, stage.sigma, by_bank, by)
        if s == 0:
            break
        before = by_result - _unshrunk(by_restored) if cascade.halved[s] else 0
        if cascade.halved[s]:
            by_seen = _unshrunk(by_seen)
            by_level /= 4
        tone = np.array([1, log_variance(sigma)])
        by_share = float((by_seen * (noisy - stage.before)).sum(dtype=np.float64))
        by["share"][s] = by_share * stage.share * (1 - stage.share) * tone
        variance = stage.sigma**2 * (4 if cascade.halved[s] else 1)
        by["log_level"][s] = by_level * variance * tone
        by_result = (before + noisy.dtype.type(1 - stage.share) * by_seen).astype(noisy.dtype)
    return by


def _through_pass(stage: Stage, by_sums: FloatArray) -> tuple[FloatArray, Totals]:
    """Return the derivatives by what a stage saw and by its bank."""
    bank, grid, n = stage.bank, stage.grid, len(stage.seen)
    by_seen = np.empty_like(stage.seen)
    shapes = {name: getattr(bank, name).shape[1:] for name in Totals._fields}
    shapes["shrinkages"] = shapes["precisions"]
    by_bank = Totals(**{
        name: np.empty((n, *shape), by_seen.dtype) for name, shape in shapes.items()
    })  # fmt: skip
    pass_gradients(
        np.ascontiguousarray(stage.seen), grid.rows, grid.cols, grid.patch_size, bank,
        np.ascontiguousarray(by_sums), by_seen, by_bank,
    )  # fmt: skip
    return by_seen, Totals(*(each.sum(axis=0, dtype=np.float64) for each in by_bank))


def _through_bank(cascade: Cascade, s: int, sigma: float, by_bank: Totals, by: Gradients) -> float:
    """Fill ``by`` for the parameters of stage s; return the derivative by its noise variance."""
    variance, (M, d), J = sigma**2, cascade.forward.shape[1:], cascade.log_weights.shape[1]
    by["forward"][s], by["backward"][s] = by_bank.forward[:M, :d], by_bank.backward[:d, :M].T
    by_weights, by_traces = by_bank.log_weights[:J], by_bank.traces[:J]
    by_precisions, by_gains = by_bank.precisions[:J, :M], by_bank.shrinkages[:J, :M]
    t, gains, precisions, log_weights, traces = cascade.mixture(s, variance)
    v, n = np.exp(cascade.log_variances[s]), np.exp(cascade.log_noise[s])
    temperature, tau = np.exp(cascade.log_temperature[s]), np.exp(cascade.log_traces[s])
    by["log_temperature"][s] = (by_precisions * precisions).sum() + by_weights @ log_weights
    by["log_weights"][s] = temperature * by_weights
    by_t = -(by_precisions / t + 0.5 * by_weights[:, None]) * precisions
    by["log_variances"][s], by["log_noise"][s] = by_t * v, by_t * n * variance
    by["log_traces"][s] = by_traces * traces
    by_log_ratio = (by_gains + (by_traces * tau)[:, None]) * gains * (1 - gains)
    by["log_kept"][s], by["log_kept_noise"][s] = by_log_ratio, -by_log_ratio
    return float((by_t * n).sum() - by_log_ratio.sum() / variance)


def _enlarging(n: int, dtype: Any) -> FloatArray:
    """Return the matrix (n, 2 n) whose transpose enlarges a line of n pixels."""
    lines = np.eye(n, dtype=dtype)[:, :, None]
    return enlarged(lines, (n, 2 * n, 1))[:, :, 0]


def _unshrunk(by_half: FloatArray) -> FloatArray:
    """Return the derivatives by an image from those by its means over 2x2 pixels."""
    return by_half.repeat(2, axis=1).repeat(2, axis=2) * by_half.dtype.type(0.25)
