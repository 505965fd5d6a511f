"""Ctrl-C ends long work soon and leaves nothing broken or half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import QUALITIES

# A limit against hanging; how soon work ends is measured in docs/reliability.md.
SOON = 30

PROGRAM = """
import _thread, signal, sys, threading, time
import numba, numpy as np, fastgsm

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background

rng = np.random.default_rng(0)
image = rng.random((2048, 2048), np.float32)
small, few = image[:64, :64], rng.standard_normal((1000, 64), np.float32)
model = fastgsm.MoGSM(8, 4, tol=1e9, random_state=0)
work = {
    "fit": lambda: model.set_params(tol=0, max_iter=10**6).fit(np.repeat(few, 100, axis=0)),
}.get(sys.argv[1], lambda: denoise_for_long(sys.argv[1]))

def denoise_for_long(quality):
    for _ in range(100):
        fastgsm.denoise(image, 0.1, quality=quality, workers=2)

def result():
    copy = fastgsm.MoGSM(8, 4, tol=1e9, random_state=0).fit(few)
    return copy.covariances_.tobytes(), fastgsm.denoise(small, 0.1, quality="best").tobytes()

numba.set_num_threads(3)  # neither the initial number nor that of the workers
wanted, threads = result(), numba.get_num_threads()
sent = []

def interrupt():
    sent.append(time.monotonic())
    _thread.interrupt_main()

threading.Timer(0.5, interrupt).start()
try:
    work()
except KeyboardInterrupt:
    delay = time.monotonic() - sent[0]
else:
    sys.exit("the work ended before the interrupt")
assert numba.get_num_threads() == threads
assert result() == wanted
print(delay)
"""


@pytest.mark.parametrize("work", ["fit", *QUALITIES])
def test_interrupted_work_leaves_a_usable_interpreter(work: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, work],
        env={**os.environ, "NUMBA_NUM_THREADS": "4", "NUMBA_THREADING_LAYER": "workqueue"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < SOON


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process on Windows")
def test_interrupted_command_leaves_no_file(tmp_path: Path) -> None:
    source = tmp_path / "in.npy"
    np.save(source, np.random.default_rng(0).random((2000, 2000), np.float32))
    command = [sys.executable, "-m", "fastgsm", "denoise", "in.npy", "out.npy", "--quality", "best"]
    # A program that a shell runs in the background ignores SIGINT; this one must not.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, heard)
    assert process.stderr is not None
    said = b""
    while b"denoising" not in said:
        byte = os.read(process.stderr.fileno(), 1)
        assert byte, said.decode()
        said += byte
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    said += process.communicate(timeout=300)[1]
    assert time.monotonic() - sent < SOON
    assert process.returncode == 130
    assert said.endswith(b"fastgsm: interrupted\n")
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == [source]
