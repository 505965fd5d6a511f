"""A cascade: single passes whose filters were learnt by restoring images, not by likelihood."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.files.paths import atomic_path
from fastgsm.kernels.rotation import padded
from fastgsm.kernels.wiener import WienerBank
from fastgsm.learning.whitened import pad

# Noise levels that the bundled cascades were trained on, in units of the data range.
LEAST_SIGMA, MOST_SIGMA = 0.5 / 255, 75 / 255
# The noise level at which the mixing has its constant term.
MIDDLE_SIGMA = 25 / 255


class Mixture(NamedTuple):
    """J diagonal Gaussians of M filtered pixels at one noise level; see `Cascade`."""

    variances: FloatArray
    """t (J, M)."""
    gains: FloatArray
    """g (J, M)."""
    precisions: FloatArray
    """T / t (J, M)."""
    log_weights: FloatArray
    """(J,), with the determinants."""
    traces: FloatArray
    """(J,), with tau."""


@dataclass(frozen=True, eq=False)
class Cascade:
    """Parameters of S stages, each a mixture of J diagonal Gaussians of M filtered pixels.

    Stage s sees an image with noise of variance s2 and restores its patches y, which have d pixels
    and are centred on their means, as a mixture does:

        y - B sum_j c_j diag(1 - g_j) F y,
        c_j proportional to exp T (w_j - sum_i log t_ji / 2 - sum_i (F y)_i^2 / 2 t_ji),
        t_ji = v_ji + n_ji s2,   g_ji = v'_ji / (v'_ji + n'_ji s2).

    The patches are averaged with the weights 1 / sum_j c_j tau_j (1 + sum_i g_ji). If B = F' is
    orthonormal, v = v', n = n' = 1, T = 1 and tau = 1, this is the posterior mean under the
    mixture, weighted by its expected precision. One set of parameters serves every noise level, and
    the weaker the noise, the less is changed.

    The first stage sees the noisy image y with noise of variance s2. A later one sees
    x + a (y - x), x the result so far, as if its noise had the variance k s2. A halved stage
    restores that image at half of its size, and corrects the low frequencies of the result.

    All arrays have the stages as their first axis.
    """

    forward: FloatArray
    """Filters F (S, M, d)."""
    backward: FloatArray
    """Filters B (S, M, d), each stage's transposed."""
    log_weights: FloatArray
    """w (S, J)."""
    log_variances: FloatArray
    """log v (S, J, M), by which components are chosen."""
    log_noise: FloatArray
    """log n (S, J, M)."""
    log_kept: FloatArray
    """log v' (S, J, M), by which patches are restored."""
    log_kept_noise: FloatArray
    """log n' (S, J, M)."""
    log_traces: FloatArray
    """log tau (S, J)."""
    log_temperature: FloatArray
    """log T (S,)."""
    share: FloatArray
    """(S, 2): a is the logistic function of share[0] + share[1] log(s2 / MIDDLE_SIGMA^2)."""
    log_level: FloatArray
    """(S, 2): log k is log_level[0] + log_level[1] log(s2 / MIDDLE_SIGMA^2)."""
    halved: NDArray[np.bool_]
    """(S,): the stage works at half of the size."""

    @property
    def n_stages(self) -> int:
        """Number S of stages."""
        return len(self.forward)

    @property
    def patch_size(self) -> int:
        """Side of the patches."""
        return round(self.forward.shape[2] ** 0.5)

    def mixing(self, stage: int, sigma: float) -> tuple[float, float]:
        """Return the share a of the noisy image in what a stage sees, and its noise level.

        ``sigma`` is the noise of the image.
        """
        if stage == 0:
            return 1.0, sigma
        tone = log_variance(sigma)
        share = 1 / (1 + np.exp(-(self.share[stage] @ (1, tone))))
        level = sigma * np.exp(self.log_level[stage] @ (1, tone) / 2)
        return float(share), float(level / 2 if self.halved[stage] else level)

    def bank(self, stage: int, sigma: float, dtype: Any) -> WienerBank:
        """Return the filters of a stage for the noise level that it sees.

        The last ones are kept: images often come at one noise level.
        """
        return _kept_bank(self, stage, sigma, np.dtype(dtype))

    def mixture(self, stage: int, variance: float) -> Mixture:
        """Return the mixture of a stage as seen through noise of a variance."""
        t = np.exp(self.log_variances[stage]) + variance * np.exp(self.log_noise[stage])
        kept = np.exp(self.log_kept[stage])
        gains = kept / (kept + variance * np.exp(self.log_kept_noise[stage]))
        temperature = np.exp(self.log_temperature[stage])
        return Mixture(
            t,
            gains,
            temperature / t,
            temperature * (self.log_weights[stage] - 0.5 * np.log(t).sum(axis=1)),
            (1 + gains.sum(axis=1)) * np.exp(self.log_traces[stage]),
        )

    def new_bank(self, stage: int, sigma: float, dtype: Any) -> WienerBank:
        """Do the work of `bank`, and keep nothing."""
        _, M, d = self.forward.shape
        J, M, d = padded(self.log_weights.shape[1]), padded(M), padded(d)
        _, gains, precisions, log_weights, traces = self.mixture(stage, sigma**2)
        return WienerBank(
            ranks=np.array([M]),
            forward=pad(self.forward[stage], (M, d), dtype)[None],
            backward=pad(self.backward[stage].T, (d, M), dtype)[None],
            means=np.empty((0, d), dtype),
            log_weights=pad(log_weights, (J,), dtype, -np.inf)[None],
            precisions=pad(precisions, (J, M), dtype)[None],
            shrinkages=pad(gains.T - 1, (M, J), dtype)[None],
            tail_precisions=np.zeros((1, J), dtype),
            tail_shrinkages=np.ones((1, J), dtype),
            support=np.ones(d, dtype),
            traces=pad(traces, (J,), dtype)[None],
        )

    def save(self, path: Path) -> None:
        """Write the parameters to a NumPy archive, as float32."""
        arrays: dict[str, Any] = {}
        for each in fields(self):
            values = getattr(self, each.name)
            arrays[each.name] = values if values.dtype == bool else values.astype(np.float32)
        with atomic_path(path) as temporary:
            np.savez(temporary, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        arrays = {}
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                values = archive[name]
                arrays[name] = values if values.dtype == bool else values.astype(np.float64)
                arrays[name].flags.writeable = False  # all calls share it, and its banks
        return cls(**arrays)


def log_variance(sigma: float) -> float:
    """Return the logarithm of the noise's variance, relative to that of `MIDDLE_SIGMA`."""
    return float(2 * np.log(sigma / MIDDLE_SIGMA))


@lru_cache(maxsize=64)
def _kept_bank(cascade: Cascade, stage: int, sigma: float, dtype: np.dtype[Any]) -> WienerBank:
    return cascade.new_bank(stage, sigma, dtype)
