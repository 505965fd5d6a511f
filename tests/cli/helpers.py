"""The command line as a function, its errors, and files for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm import cli
from fastgsm.io import write_image


def run(*argv: Any) -> int:
    """Run the command line and return its exit status."""
    return cli.main([str(arg) for arg in argv])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr; check that it is an error, and that stdout is empty."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("fastgsm: error: ")
    return err


def only(folder: Path) -> list[str]:
    """Return the names of all that is in a folder."""
    return sorted(p.name for p in folder.iterdir())


def photo(folder: Path, name: str = "in.png", shape: Any = (20, 16), dtype: Any = np.uint8) -> Path:
    """Write an image of random pixels and return its path."""
    rng = np.random.default_rng(0)
    unit = rng.random(shape)
    scale = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    write_image(folder / name, (unit * scale).astype(dtype))
    return folder / name


def in_folder(folder: Path) -> dict[str, Any]:
    """Return options for a process that runs in `folder` and finds the package."""
    root = str(Path(fastgsm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "PYTHONUNBUFFERED": ""}
    return {"cwd": folder, "env": environment, "capture_output": True, "text": True}
