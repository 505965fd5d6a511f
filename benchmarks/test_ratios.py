"""The jobs of `benchmarks.ratios` for pytest-benchmark: ``pytest benchmarks --benchmark-only``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .ratios import JOBS, Job, Race

# One race serves both rows of a job's group.
race_of = lru_cache(maxsize=1)(Race)


def pytest_generate_tests(metafunc: Any) -> None:
    # pytest itself is not imported: asv, which imports every file here, may be without it.
    metafunc.parametrize("job", JOBS, ids=lambda job: job.name)
    metafunc.parametrize("who", ["rival", "fastgsm"])  # the last one varies first


def test_ratio(benchmark: Any, job: Job, who: str) -> None:
    """The rival once, as a row for comparison and a first round; the job, rivals in between."""
    race = race_of(job)
    benchmark.group = job.name
    if who == "rival":
        benchmark.pedantic(race.pair.rival, warmup_rounds=int(job.rival_rounds > 1))
        if benchmark.stats:  # not with --benchmark-disable
            race.times.append(benchmark.stats["min"])
        return
    benchmark.pedantic(race.pair.ours, setup=race.run_rival, rounds=job.rounds)
    if benchmark.stats:
        benchmark.extra_info |= race.pair.notes
        benchmark.extra_info |= {"job": job.name, "ratio": race.ratio(benchmark.stats["min"])}
