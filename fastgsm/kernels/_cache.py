"""Numba's cache of machine code on disk; its failures may slow fastgsm down, but never stop it."""

from __future__ import annotations

import contextlib
from types import FunctionType
from typing import Any

import numba
from numba.core.caching import FunctionCache


class _Cache(FunctionCache):
    """Numba's cache of one function on disk; if anything is wrong with it, Numba compiles."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for the argument types ``sig``, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # damaged files fail anywhere in pickle; unreadable ones with OSError
            with contextlib.suppress(OSError):
                self.flush()
            return None
        # Two processes that store the code for different types at the same time may use one file
        # name for both, and the index may then describe the other process's code.
        return found if found is None or found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the machine code ``data`` for the argument types ``sig``, if that is possible."""
        with contextlib.suppress(OSError):  # the disk is full, or the folder has gone
            super().save_overload(sig, data)


def keep_on_disk(compiled: Any, function: FunctionType) -> None:
    """Let ``compiled``, Numba's dispatcher of ``function``, keep its machine code on disk.

    ``njit(cache=True)`` does the same with Numba's own class. If no folder can be written to, every
    process compiles for itself.
    """
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):
            compiled._cache = _Cache(function)
