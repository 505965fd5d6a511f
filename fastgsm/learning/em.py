"""The one EM loop: what it asks of the steps, and what it reports to whom."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastgsm._checks import caller_level
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.learning.checkpoint import FitCheckpoint

# A fall of the log-likelihood by more than this share of it is not due to float32's rounding.
ROUNDING = 1e-6


class ConvergenceWarning(UserWarning):
    """EM did not end as it should: it never settled, lost digits, or lost components."""


@dataclass(frozen=True)
class EMIteration:
    """What a callback of `fit` receives after each E-step.

    Attributes
    ----------
    iteration : int
        Counted from 1.
    log_likelihood : float
        Mean per sample, in nats, of the parameters that this iteration started from.
    gain : float
        Increase since the iteration before; infinity in the first.
    seconds : float
        Time since EM started, without what came before (checks, moments, starting values).
    """

    iteration: int
    log_likelihood: float
    gain: float
    seconds: float


class Monitor:
    """Passes on how EM goes, iteration by iteration."""

    def __init__(
        self, name: str, verbose: int, callback: Callable[[EMIteration], Any] | None, bar: Progress
    ) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(
                f"callback is {callback!r}; wanted a function of one argument, an EMIteration."
            )
        self._name, self._verbose, self._callback, self._bar = name, verbose, callback, bar

    def __call__(self, em: EMIteration) -> bool:
        """Report an iteration; return True if the callback asks to end the fit."""
        if self._verbose:
            print(
                f"{self._name}: iteration {em.iteration}, log-likelihood {em.log_likelihood:.6f} "
                f"({em.gain:+.2e}), {em.seconds:.2f} s",
                file=sys.stderr,
            )
        self._bar.update(note=f"log-likelihood {em.log_likelihood:.4f}")
        return self._callback is not None and bool(self._callback(em))


@dataclass(frozen=True)
class FitRun:
    """How a model is fitted, apart from its own options."""

    rng: np.random.Generator
    monitor: Callable[[EMIteration], bool]
    """Called in every iteration; returns True to end the fit."""
    checkpoint: FitCheckpoint | None


@dataclass(frozen=True)
class History:
    """How EM went: mean log-likelihood per sample at each E-step, and whether it settled."""

    lower_bounds: list[float]
    converged: bool
    stopped: bool = False
    """Whether the monitor ended it."""
    trouble: str = ""
    """Why EM did not end as it should; empty if it did."""

    def warn(self) -> None:
        """Warn of the trouble, if there was any."""
        if self.trouble:
            warnings.warn(self.trouble, ConvergenceWarning, stacklevel=caller_level())


class EMSteps(Protocol):
    """An E- and an M-step, and what passes between them."""

    state: dict[str, FloatArray]
    """What EM resumes from after an M-step."""

    def e_step(self) -> float:
        """Return the mean log-likelihood per sample, in nats."""

    def m_step(self) -> None:
        """Update the parameters from what the E-step found."""


def run_em(
    steps: EMSteps,
    *,
    tol: float,
    max_iter: int,
    monitor: Callable[[EMIteration], bool],
    name: str,
    checkpoint: FitCheckpoint | None = None,
) -> History:
    """Alternate E- and M-steps until the log-likelihood gains less than ``tol`` in an iteration.

    No M-step follows on convergence, or if the monitor asks to stop, so that the last value belongs
    to the parameters that stay. With a checkpoint, EM resumes where that was left.
    """
    lower_bounds: list[float] = []
    if checkpoint is not None and checkpoint.saved is not None:
        steps.state, lower_bounds = checkpoint.saved
    gain = float(np.diff(lower_bounds)[-1]) if len(lower_bounds) > 1 else np.inf
    start = time.perf_counter()
    for iteration in range(len(lower_bounds) + 1, max_iter + 1):
        lower_bounds.append(steps.e_step())
        gain = lower_bounds[-1] - lower_bounds[-2] if iteration > 1 else np.inf
        check_likelihood(lower_bounds[-1], name, iteration)
        seconds = time.perf_counter() - start
        stop = monitor(EMIteration(iteration, lower_bounds[-1], gain, seconds))
        if gain < -max(tol, ROUNDING * max(1.0, abs(lower_bounds[-1]))):
            trouble = (
                f"{name}: the log-likelihood fell by {-gain:.2g} nats per sample in iteration "
                f"{iteration}, so EM stopped. It can only fall by rounding, here of components "
                f"too thin for the type of X: use float64, or raise reg_covar."
            )
            return History(lower_bounds, False, stop, trouble)
        if gain < tol:
            if checkpoint is not None:
                checkpoint.remove()
            return History(lower_bounds, True, stop)
        if stop:
            return History(lower_bounds, False, stop)
        steps.m_step()
        if checkpoint is not None:
            checkpoint.save(steps.state, lower_bounds)
    progress = (
        f"the log-likelihood still gained {gain:.2g} nats per sample"
        if np.isfinite(gain)
        else "one iteration does not show what the log-likelihood gains"
    )
    trouble = (
        f"{name} did not converge in {len(lower_bounds)} iterations: {progress} (tol={tol:g}). "
        f"Raise max_iter or tol, or try another random_state or init_params."
    )
    return History(lower_bounds, False, trouble=trouble)


def check_likelihood(value: float, name: str, iteration: int) -> None:
    """Raise ValueError unless a mean log-likelihood is a number."""
    if not np.isfinite(value):
        raise ValueError(
            f"{name}: the log-likelihood became {value} in iteration {iteration}. A component may "
            f"have shrunk to a point, or X or sample_weight hold values too large or too small: "
            f"raise reg_covar, rescale X, or use float64."
        )
