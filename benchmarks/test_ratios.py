"""The jobs of `benchmarks.ratios` for pytest-benchmark: ``pytest benchmarks --benchmark-only``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .ratios import JOBS, Job, Race

# A rival this slow, in seconds, is shown by one call only: the ratio has been measured by then.
SLOW = 1.0

# One race serves both rows of a job's group.
race_of = lru_cache(maxsize=1)(Race)


def pytest_generate_tests(metafunc: Any) -> None:
    # pytest itself is not imported: asv, which imports every file here, may be without it.
    metafunc.parametrize("job", JOBS, ids=lambda job: job.name)
    metafunc.parametrize("who", ["fastgsm", "rival"])  # the last one varies first


def test_ratio(benchmark: Any, job: Job, who: str) -> None:
    """The job with its rival between the rounds, and the rival for comparison."""
    race = race_of(job)
    benchmark.group = job.name
    if who == "rival":
        rounds = job.rounds if min(race.times) < SLOW else 1
        benchmark.pedantic(race.pair.rival, rounds=rounds)
        return
    benchmark.pedantic(race.pair.ours, setup=race.run_rival, rounds=job.rounds)
    if benchmark.stats:  # not with --benchmark-disable
        benchmark.extra_info |= race.pair.notes
        benchmark.extra_info |= {"job": job.name, "ratio": race.ratio(benchmark.stats["min"])}
