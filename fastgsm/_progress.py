"""A progress line on standard error: tqdm's if it is installed, or else a plain counter."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

REFRESH_SECONDS = 0.25


class _Counter:
    """The part of tqdm that `Progress` uses, written as ``label: done/total, note``."""

    def __init__(self, total: int | None, label: str) -> None:
        self.total, self.label, self.done, self._note, self._width = total, label, 0, "", 0
        self._shown_at = float("-inf")
        self._show()

    def update(self, n: int) -> None:
        self.done += n
        if time.monotonic() - self._shown_at >= REFRESH_SECONDS:
            self._show()

    def set_postfix_str(self, note: str, refresh: bool) -> None:
        self._note = note

    def close(self) -> None:
        self._show()
        sys.stderr.write("\n")
        sys.stderr.flush()

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        line = f"{self.label}: {self.done}" + ("" if self.total is None else f"/{self.total}")
        line += f", {self._note}" if self._note else ""
        # Spaces cover the rest of a longer earlier line.
        sys.stderr.write(f"\r{line.ljust(self._width)}")
        self._width = len(line)
        sys.stderr.flush()


def _new_bar(total: int | None, label: str) -> Any:
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return _Counter(total, label)
    return tqdm(total=total, desc=label, mininterval=REFRESH_SECONDS)


class Progress:
    """Context manager that counts finished steps on standard error.

    ``total`` is None if unknown. If not enabled, it does nothing and does not even import tqdm.

    Examples
    --------
    >>> from fastgsm._progress import Progress
    >>> with Progress(2, "denoising", enabled=False) as progress:
    ...     for _ in range(2):
    ...         progress.update()
    """

    def __init__(self, total: int | None, label: str, enabled: bool = True) -> None:
        self.total, self.label, self.enabled = total, label, enabled
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self.enabled:
            self._bar = _new_bar(self.total, self.label)
        return self

    def update(self, n: int = 1, note: str = "") -> None:
        """Count `n` more finished steps, and show `note` after the count."""
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
