"""Memory stays flat over many calls (`tests/soak.py` with fewer calls)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the memory")
def test_memory_is_flat_over_mixed_calls() -> None:
    command = [sys.executable, "-m", "tests.soak", "--calls", "110"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
