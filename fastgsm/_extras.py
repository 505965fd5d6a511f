"""Packages that only an extra installs."""

from __future__ import annotations

import importlib
from typing import Any

PURPOSES = {
    "cli": "image files need",
    "dask": "Dask arrays need",
    "zarr": "Zarr arrays need",
}


def import_extra(module: str, extra: str = "cli") -> Any:
    """Import a module, or raise an error that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f'{PURPOSES[extra]} more packages: pip install "fastgsm[{extra}]" ({error})'
        raise ImportError(message) from error
