"""Fail if fastgsm has become slower compared with its rivals: for continuous integration.

Compares the ratios in a file of ``pytest benchmarks --benchmark-only --benchmark-json FILE`` with
those in ``expected.json``. Ratios move with the processor and the BLAS, hence the wide margin. It
catches a loop that is no longer vectorised, not a few per cent (for these, see `asv continuous`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.json")
MARGIN = 1.6


def read_ratios(results: Path) -> dict[str, float]:
    """Read the jobs' ratios, fastgsm over rival, from pytest-benchmark's file."""
    benchmarks = json.loads(results.read_text(encoding="utf-8"))["benchmarks"]
    infos = [benchmark["extra_info"] for benchmark in benchmarks]
    return {info["job"]: info["ratio"] for info in infos if "ratio" in info}


def complaints(
    ratios: dict[str, float], expected: dict[str, float], margin: float = MARGIN
) -> list[str]:
    """List the jobs that are slower than expected, missing, or unknown."""
    slow = [
        f"{job}: {ratios[job]:.3g} times its rival's time, {ratios[job] / usual:.2f} times the "
        f"expected {usual:.3g}; allowed is {margin:g} times"
        for job, usual in expected.items()
        if job in ratios and ratios[job] > margin * usual
    ]
    missing = [f"{job}: expected, but not in the results" for job in expected.keys() - ratios]
    unknown = [
        f"{job}: not in expected.json; run with --update" for job in ratios.keys() - expected
    ]
    return slow + sorted(missing) + sorted(unknown)


def main() -> int:
    """Compare the results with expected.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=main.__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--margin", type=float, default=MARGIN)
    parser.add_argument("--update", action="store_true", help="expect these results from now on")
    options = parser.parse_args()
    ratios = read_ratios(options.results)
    if options.update:
        rounded = {job: float(f"{ratio:.3g}") for job, ratio in ratios.items()}
        EXPECTED.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        return 0
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
    found = complaints(ratios, expected, options.margin)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(ratios)} ratios, {len(found)} complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
