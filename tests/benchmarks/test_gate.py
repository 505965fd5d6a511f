"""The gate of continuous integration: what it accepts, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gate, markdown, ratios


def pytest_results(path: Path, **jobs: float) -> Path:
    benchmarks = [{"extra_info": {"job": job, "ratio": ratio}} for job, ratio in jobs.items()]
    path.write_text(json.dumps({"benchmarks": [*benchmarks, {"extra_info": {}}]}))
    return path


def test_gate(tmp_path: Path) -> None:
    results = pytest_results(tmp_path / "results.json", steady=1.5, twice_as_slow=2.0, new=1.0)
    found = gate.complaints(
        gate.read_ratios(results), {"steady": 1.0, "twice_as_slow": 1.0, "dropped": 1.0}
    )
    assert [line.split(":")[0] for line in found] == ["twice_as_slow", "dropped", "new"]


# A plugin of pytest: one real kernel against NumPy, on a clock that advances by one second at each
# call of either, so that the ratio does not depend on the machine.
COUNTED = """
from benchmarks import common, ratios

common.SHRINK = 64
now = 0.0


def clock():
    return now


def counted(function, times):
    def run():
        global now
        for _ in range(times):
            function()
            now += 1

    return run


(job,) = (job for job in ratios.JOBS if job.name == "kernel exp")


def prepare():
    pair = job.prepare()
    return pair._replace(ours=counted(pair.ours, {times}), rival=counted(pair.rival, 1))


ratios.JOBS[:] = [ratios.Job(job.name, job.rival, None, prepare)]
common.time.perf_counter = clock
common.time.sleep = lambda seconds: None
"""


@pytest.mark.parametrize(("times", "slow"), [(1, False), (2, True)])
def test_gate_fails_when_a_kernel_takes_twice_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, slow: bool
) -> None:
    plugin, results = tmp_path / "counted.py", tmp_path / "ratios.json"
    plugin.write_text(COUNTED.replace("{times}", str(times)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    options = ["-p", "counted", "--benchmark-only", "--benchmark-timer", "counted.clock"]
    command = [sys.executable, "-m", "pytest", "benchmarks", *options]
    done = subprocess.run(
        [*command, "--benchmark-json", str(results), "-p", "no:cacheprovider"],
        cwd=markdown.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    expected = {"kernel exp": 1.0}
    assert bool(gate.complaints(gate.read_ratios(results), expected)) == slow


def test_gate_expects_every_job() -> None:
    expected = json.loads(gate.EXPECTED.read_text(encoding="utf-8"))
    assert expected.keys() == {job.name for job in ratios.JOBS}


def test_gate_returns_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "EXPECTED", tmp_path / "expected.json")
    good = pytest_results(tmp_path / "good.json", job=1.0)
    slow = pytest_results(tmp_path / "slow.json", job=2.0)
    monkeypatch.setattr("sys.argv", ["gate", str(good), "--update"])
    assert gate.main() == 0
    monkeypatch.setattr("sys.argv", ["gate", str(good)])
    assert gate.main() == 0
    monkeypatch.setattr("sys.argv", ["gate", str(slow)])
    assert gate.main() == 1
