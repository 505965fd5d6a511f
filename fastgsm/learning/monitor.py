"""What is told of a fit while it runs: to the terminal, and to a callback that may end it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgsm._progress import Progress

if TYPE_CHECKING:
    from fastgsm.learning.checkpoint import FitCheckpoint


@dataclass(frozen=True)
class EMIteration:
    """What a callback of `fit` is given after each E-step.

    Attributes
    ----------
    iteration : int
        Counted from 1.
    log_likelihood : float
        Mean per sample, in nats, of the parameters that this iteration started from.
    gain : float
        How much higher it is than in the iteration before; infinity in the first.
    seconds : float
        Time since EM started, without what came before (checks, moments, starting values).
    """

    iteration: int
    log_likelihood: float
    gain: float
    seconds: float


@dataclass(frozen=True)
class FitRun:
    """How a model is fitted, beside its own options.

    Attributes
    ----------
    rng : numpy.random.Generator
    monitor : callable
        Told of every iteration.
    checkpoint : FitCheckpoint, optional
        Where the state of EM is kept.
    """

    rng: np.random.Generator
    monitor: Callable[[EMIteration], bool]
    checkpoint: FitCheckpoint | None


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
        """Tell of an iteration; True if the callback asks to end the fit."""
        if self._verbose:
            print(
                f"{self._name}: iteration {em.iteration}, log-likelihood {em.log_likelihood:.6f} "
                f"({em.gain:+.2e}), {em.seconds:.2f} s",
                file=sys.stderr,
            )
        self._bar.update(note=f"log-likelihood {em.log_likelihood:.4f}")
        return self._callback is not None and bool(self._callback(em))
