"""Packages that only the extra `cli` brings."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(module: str) -> Any:
    """Import a module, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f'image files need more packages: pip install "fastgsm[cli]" ({error})'
        raise ImportError(message) from error
