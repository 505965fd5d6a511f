"""The same bits from both builds of every kernel, whichever a process loads first.

Both builds of a kernel carry copies of the same helper functions, and the copies that a process
loads first serve both. So the builds have to agree in every order of loading, and LLVM must not be
free to change the arithmetic of one of them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import common
from benchmarks.cases.case import arrays
from benchmarks.kernels import CASES
from fastgsm.kernels._jit import CHECKS_BOUNDS, KERNELS, limit_workers, threads_for_any_work
from tests.kernels.helpers import JIT

# Bounds checks would make other code, and compiling all of it takes minutes.
pytestmark = pytest.mark.skipif(not JIT or CHECKS_BOUNDS, reason="the usual builds are compared")

BUILDS = ("serial", "parallel")
ORDERS = (BUILDS, BUILDS[::-1])
# Kernels without a float32 version.
FLOAT64_ONLY = {"eigh"}

# LLVM writes the flags of an instruction between its name and its type.
FREEDOMS = re.compile(
    r"= (?:(?:tail|musttail|notail) )?"
    r"(?:fadd|fsub|fmul|fdiv|frem|fneg|fcmp|select|phi|call)(?: \w+)*? "
    r"(?:fast|contract|reassoc|arcp|afn)\b"
    r"|call [^@]*@llvm\.fmuladd\."
    r'|"unsafe-fp-math"="true"'
)


def dtypes(name: str) -> list[str]:
    return ["float64"] if name in FLOAT64_ONLY else common.DTYPES


def digest(result: object) -> str:
    found = hashlib.sha256()
    for array in arrays(result):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def digests(order: tuple[str, ...]) -> dict[str, str]:
    """Run every case with one build, and then with the other."""
    found = {}
    for build in order:
        with limit_workers(1 if build == "serial" else None), threads_for_any_work():
            for name, case in CASES.items():
                for dtype in dtypes(name):
                    found[f"{name}, {dtype}, {build}"] = digest(case(dtype).ours())
        if build == order[0]:  # preparing a case has not loaded the other build
            assert not any(order[1] in vars(kernel) for kernel in KERNELS.values())
    return found


def freedoms() -> dict[str, list[str]]:
    """List for every compiled kernel the instructions that leave the arithmetic to LLVM."""
    found = {}
    for (name, kernel), build in itertools.product(KERNELS.items(), BUILDS):
        overloads = getattr(kernel, build).overloads.values()
        # The optimised module, with all functions that it calls. `get_llvm_str` is empty for what
        # comes from Numba's cache.
        texts = [str(overload.library._get_module_for_linking()) for overload in overloads]
        for text in texts:
            assert "define" in text
            assert ("__numba_parfor_gufunc" in text) == (build == "parallel")
        for number, text in enumerate(texts):
            lines = text.splitlines()
            found[f"{name}, {build}, {number}"] = [line for line in lines if FREEDOMS.search(line)]
    return found


PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
from benchmarks import common
from tests.kernels.test_bits import digests, freedoms
common.SHRINK = 64
order = tuple(sys.argv[1:])
print(json.dumps([digests(order), freedoms() if order[0] == "serial" else {}]))
"""


@cache
def measured(order: tuple[str, ...]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return `digests` and, for one order, `freedoms`, in a new process."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *order],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NUMBA_NUM_THREADS": "2",
            "NUMBA_THREADING_LAYER": "workqueue",
        },
        capture_output=True,
        text=True,
        timeout=3600,  # where compiling shares its cores
    )
    assert result.returncode == 0, result.stderr
    found, free = json.loads(result.stdout)
    return found, free


def test_builds_agree_in_either_order_of_loading() -> None:
    by_case: dict[str, set[str]] = {}
    for order in ORDERS:
        for name, found in measured(order)[0].items():
            by_case.setdefault(name.rpartition(", ")[0], set()).add(found)
    assert by_case.keys() == {f"{name}, {dtype}" for name in CASES for dtype in dtypes(name)}
    assert [name for name, found in by_case.items() if len(found) > 1] == []


def test_llvm_is_free_to_change_nothing() -> None:
    free = measured(ORDERS[0])[1]
    compiled = {tuple(name.split(", ")[:2]) for name in free}
    assert compiled == set(itertools.product(KERNELS, BUILDS))
    for name in KERNELS:
        n_types = sum(other.startswith(f"{name}, serial") for other in free)
        assert n_types >= len(dtypes(name))
    assert {name: lines[:3] for name, lines in free.items() if lines} == {}


@pytest.mark.parametrize(
    ("line", "is_free"),
    [
        ("%a = fmul contract double %b, %c", True),
        ("%a = fadd nnan reassoc <8 x float> %b, %c", True),
        ("%a = tail call fast float @llvm.fma.f32(float %b, float %c, float %d)", True),
        ("%a = tail call float @llvm.fmuladd.f32(float %b, float %c, float %d)", True),
        ("%a = call reassoc float @llvm.vector.reduce.fadd.v8f32(float 0.0, <8 x float> %b)", True),
        ("%a = call float @llvm.vector.reduce.fadd.v8f32(float 0.0, <8 x float> %b)", False),
        ("%a = tail call float @llvm.fma.f32(float %fast, float %c, float %d)", False),
        ("%a = fmul double %contract, %c", False),
        ("%a = call i32 @fast(double %b)", False),
    ],
)
def test_freedoms_are_recognised(line: str, is_free: bool) -> None:
    assert bool(FREEDOMS.search(line)) == is_free
