"""Numba's cache on disk: nothing that it holds, or lacks, keeps a kernel from running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile
from numba.core.codegen import JITCPUCodegen

import fastgsm
from fastgsm.kernels import _jit
from tests.kernels.helpers import JIT

needs_jit = pytest.mark.skipif(not JIT, reason="nothing is compiled")

PACKAGE = Path(fastgsm.__file__).parent


def first(x: np.ndarray) -> Any:
    """Return the first value of x, in its type."""
    return x[0]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Any]:
    """Return a function that makes `first` again, as another process with the same cache would.

    It is compiled also where Numba is off, so that the run without JIT covers the cache.
    """
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return lambda: _jit._compile(first, "serial")


def loaded(kernel: Any, dtype: Any = np.float64) -> bool:
    """Return whether the kernel was found in the cache; it must work either way."""
    result = kernel(np.array([0.1, 2.0], dtype))
    assert result == dtype(0.1)
    return bool(kernel.stats.cache_hits)


def test_a_kernel_is_compiled_once(build: Callable[[], Any]) -> None:
    assert [loaded(build()) for _ in range(3)] == [False, True, True]
    assert [loaded(build(), np.float32) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("damaged", [b"", b"\x80", b"no pickle", None], ids=repr)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_replaced(
    build: Callable[[], Any], tmp_path: Path, kind: str, damaged: bytes | None
) -> None:
    loaded(build())
    (path,) = tmp_path.rglob(f"*.{kind}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damaged is None else damaged)
    assert [loaded(build()) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_unreadable_files_are_passed_over(
    build: Callable[[], Any], tmp_path: Path, kind: str
) -> None:
    loaded(build())
    (path,) = tmp_path.rglob(f"*.{kind}")
    path.unlink()
    path.mkdir()  # unreadable and not to be replaced, even for root
    assert not loaded(build())


def test_a_full_disk_costs_only_time(
    build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", fail)
    assert not loaded(build())


def test_code_of_other_types_is_not_taken(build: Callable[[], Any]) -> None:
    # This is left when two processes store code for different types at the same moment.
    kernel = build()
    loaded(kernel, np.float32)
    loaded(kernel, np.float64)
    file = kernel._cache._cache_file
    entries = file._load_index()
    file._save_index(dict(zip(entries, reversed(entries.values()), strict=True)))
    for dtype in (np.float32, np.float64):
        assert not loaded(build(), dtype)


def test_code_of_another_processor_or_version_is_not_taken(
    build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(build())
    for target, name, other in (
        (JITCPUCodegen, "magic_tuple", lambda self: ("x86_64", "another", "")),
        (_jit, "DIGEST", "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, other)
            assert [loaded(build()) for _ in range(2)] == [False, True]
    assert loaded(build())


PROGRAM = """
import numpy as np, fastgsm
from fastgsm.kernels.patches import extract
assert fastgsm.extract_patches(np.eye(9)).shape == (4, 64)
print(type(extract.serial._cache).__name__, len(extract.serial.stats.cache_hits))
"""


def start(package: Path, **environment: str) -> subprocess.Popen[str]:
    settings = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],
        env={**settings, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out.strip()


@needs_jit
def test_processes_that_compile_at_once(tmp_path: Path) -> None:
    both = [start(PACKAGE, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    for process in both:
        assert output(process).startswith("_Cache")
    assert output(start(PACKAGE, NUMBA_CACHE_DIR=str(tmp_path))) == "_Cache 1"


@needs_jit
def test_read_only_installation_without_a_home(tmp_path: Path) -> None:
    # Folders that even root cannot make, who may write to read-only ones.
    package = tmp_path / "fastgsm"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "__pycache__").touch()
    nowhere = str(package / "kernels" / "__pycache__" / "home")
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "NUMBA_CACHE_DIR"), nowhere)
    assert output(start(package, **homes)) == "NullCache 0"
