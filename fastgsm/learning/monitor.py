"""Reports on a running fit: to the terminal, and to a callback that may end it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fastgsm._progress import Progress
from fastgsm.learning.em import EMIteration


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
