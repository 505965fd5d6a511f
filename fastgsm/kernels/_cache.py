"""Numba's cache of machine code on disk, which may slow fastgsm down but never stop it."""

from __future__ import annotations

import contextlib
from types import FunctionType
from typing import Any

import numba
from numba.core.caching import FunctionCache


class _Cache(FunctionCache):
    """Numba's cache of one function on disk; whatever is wrong with it, the function compiles."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Give the machine code for the argument types ``sig``, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # damaged files fail anywhere in pickle; unreadable ones with OSError
            with contextlib.suppress(OSError):
                self.flush()
            return None
        # Two processes that store the code for different types at once may give both the same file
        # name, and what the index says of it is true of one.
        return found if found is None or found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the machine code ``data`` for the argument types ``sig``, if that is possible."""
        with contextlib.suppress(OSError):  # the disk is full, or the folder has gone
            super().save_overload(sig, data)


def keep_on_disk(compiled: Any, function: FunctionType) -> None:
    """Let ``compiled``, Numba's dispatcher of ``function``, keep its machine code on disk.

    As ``njit(cache=True)`` does with Numba's own class. Where no folder can be written, every
    process compiles for itself.
    """
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):
            compiled._cache = _Cache(function)
