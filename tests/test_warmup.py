"""After `warmup` nothing is left to compile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import gc
from concurrent.futures import ThreadPoolExecutor
import fastgsm
from fastgsm.kernels.patches import extract
from tests.test_determinism import all_digests

def compiled():
    # For each kernel and build: the number of types it was loaded or compiled for.
    kernels = [each for each in gc.get_objects() if type(each) is type(extract.serial)]
    return {each.__qualname__: len(each.signatures) for each in kernels if each.signatures}

fastgsm.warmup()
before = compiled()
assert len(before) > 20
all_digests()
with ThreadPoolExecutor(1) as pool:
    pool.submit(all_digests).result()
after = compiled()
print(*[name for name in after if after[name] != before.get(name)])
"""


def test_nothing_is_left_to_compile() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "NUMBA_NUM_THREADS": "2",  # so that there are parallel kernels
            "NUMBA_THREADING_LAYER": "workqueue",
        },
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""
