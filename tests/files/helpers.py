"""Images to write, and what is in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHAPES = {"grey": (13, 11), "grey+alpha": (13, 11, 2), "rgb": (13, 11, 3), "rgba": (13, 11, 4)}


def pixels(shape: tuple[int, ...], dtype: Any = np.uint16) -> np.ndarray:
    """Return random pixels over the whole range of a type."""
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    """Return an 8-bit ramp along every axis."""
    ramps = np.meshgrid(*(np.linspace(60, 180, n) for n in shape), indexing="ij")
    return np.mean(ramps, axis=0).astype(np.uint8)


def only(folder: Path) -> list[str]:
    """Return the names of all that is in a folder."""
    return sorted(p.name for p in folder.iterdir())
