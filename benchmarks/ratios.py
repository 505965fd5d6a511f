"""The speeds that fastgsm promises, each as a ratio to a rival measured in the same run.

``JOBS`` is the one list of them. ``pytest benchmarks --benchmark-only`` measures them with
pytest-benchmark, ``python -m benchmarks.gate`` compares the result with what is expected, and
``python -m benchmarks.ratios`` measures them at full size and prints them with their targets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import fastgsm

from . import markdown, rivals
from .common import (
    DTYPES,
    SETTLE,
    SIGMA,
    THREADS,
    add_noise,
    fit,
    image,
    limit_blas,
    patches,
    seconds,
    shrunk,
    threads,
)
from .kernels import CASES
from .startup import WITHOUT_CACHE

ROUNDS = 5
# A rival that takes longer than this, in seconds, runs once: disturbances are small next to it.
SLOW = 20.0
# Whether jobs have the promised sizes, or smaller ones that take five minutes in all.
FULL = False


class Pair(NamedTuple):
    """Two functions that do one job, and how much work each of them does."""

    ours: Callable[[], Any]
    rival: Callable[[], Any]
    work: tuple[float, float] = (1, 1)
    notes: Mapping[str, Any] = MappingProxyType({})  # what to record with the times
    # Seconds of a rival that has been run and timed already while the pair was prepared.
    rival_times: tuple[float, ...] = ()
    # Returns, once both functions have run, what is compared in place of the times of their calls.
    measured: Callable[[], tuple[float, float]] | None = None
    unit: tuple[str, float] = ("ms", 1e-3)  # that figures are shown in, and its size


@dataclass(frozen=True)
class Job:
    """One line of the table: ``target`` is the most that ours / rival may be.

    A job of one round has no warm-up round either.
    """

    name: str
    rival: str
    target: float | None
    prepare: Callable[[], Pair]
    rounds: int = ROUNDS
    # Fewer if the rival takes many seconds, which leave no doubt; `main` ignores it.
    rival_rounds: int = ROUNDS
    # The most that ours may be in seconds, in place of a target for the ratio. The gate uses the
    # ratio all the same, since it moves less from machine to machine.
    limit: float | None = None


def sized(full: Any, quick: Any) -> Any:
    return full if FULL else quick


def kernel(name: str) -> Pair:
    case = CASES[name]("float32")
    return Pair(case.ours, case.numpy)


def denoise_textbook() -> Pair:
    gsm = fastgsm.load_prior("gsm")
    noisy = add_noise(image(10, 481, 321)).astype(np.float32)
    textbook = rivals.TextbookGSM.of(gsm)
    return Pair(
        lambda: fastgsm.denoise(noisy, SIGMA, prior=gsm, quality="fast"),
        lambda: textbook.denoise(noisy, SIGMA),
    )


def fit_gsm() -> Pair:
    """EM from one start to one tolerance."""
    X, tol = patches(seed=0), sized(1e-5, 1e-3)
    scales = np.geomspace(0.02, 20, 6)
    ours = partial(fit, fastgsm.GSM(n_scales=6, scales_init=scales, tol=tol), X)
    rival = partial(rivals.fit_textbook_gsm, X, scales, tol=tol)
    notes = {"nats per patch": ours().score(X), "rival's": rival().score(X)}
    return Pair(ours, rival, notes=notes)


def gmm_iteration(dtype: str) -> Pair:
    """One EM iteration of 64 components on 100,000 (quick: 20,000) patches, from one start."""
    n_components = shrunk(64, 4)
    X = patches(0, sized(100_000, 20_000), center="global").astype(dtype)
    start = {
        "weights": np.full(n_components, 1 / n_components, dtype),
        "means": X[:n_components],
        "covariances": np.tile(np.cov(X.T).astype(dtype), (n_components, 1, 1)),
    }
    rival = rivals.fit_sklearn(rivals.sklearn_gmm(**start, max_iter=1), X[:1000])
    start = {f"{name}_init": value for name, value in start.items()}
    model = fastgsm.GMM(n_components, **start, max_iter=1, warm_start=True, tol=0)
    return Pair(lambda: fit(model, X), lambda: rivals.sklearn_iteration(rival, X))


def likelihood_race() -> Pair:
    """Learn from scratch until unseen patches are as likely as under scikit-learn's mixture.

    fastgsm may do it with any of its models, and MoGSM gets there first. The rival takes minutes,
    so the fit that sets the goal is also the one that is timed.
    """
    from sklearn.mixture import GaussianMixture

    X, held_out = (patches(s, sized(50_000, 10_000), center="global") for s in (0, 10))
    n_components = shrunk(sized(64, 16), 4)
    rival = GaussianMixture(n_components, random_state=0)
    rival_time = seconds(partial(rivals.fit_sklearn, rival, X))
    wanted = rival.score(held_out)
    options = {"tol": 0, "random_state": 0}
    model = fastgsm.MoGSM(n_components // 2, 8, max_iter=1, warm_start=True, **options)
    reached, max_iter = -np.inf, 0
    while reached < wanted and max_iter < 50:
        reached = fit(model, X).score(held_out)
        max_iter += 1
    model = fastgsm.MoGSM(n_components // 2, 8, max_iter=max_iter, **options)
    notes = {
        "raced": f"MoGSM({n_components // 2}, 8) against GaussianMixture({n_components})",
        "iterations": max_iter,
        "nats per unseen patch": reached,
        "rival's": wanted,
    }
    return Pair(
        lambda: fit(model, X),
        lambda: rivals.fit_sklearn(rival, X),
        notes=notes,
        rival_times=(rival_time,),
    )


def _on_all_and_one_thread(function: Callable[[], Any]) -> Pair:
    def run(count: int) -> None:
        with threads(count):
            function()

    return Pair(partial(run, THREADS[-1]), partial(run, 1))


def denoise_threads() -> Pair:
    noisy = add_noise(image(10, 1024)).astype(np.float32)
    return _on_all_and_one_thread(lambda: fastgsm.denoise(noisy, SIGMA, quality="fast"))


def fit_threads() -> Pair:
    X = patches(0, 100_000).astype(np.float32)
    model = fastgsm.GMM(16, init_params="random", max_iter=10, tol=0, random_state=0)
    return _on_all_and_one_thread(lambda: fit(model, X))


def large_image() -> Pair:
    small, large = (
        add_noise(image(10, side)).astype(np.float32) for side in (512, sized(4096, 2048))
    )
    denoise = partial(fastgsm.denoise, sigma=SIGMA, quality="fast")
    return Pair(partial(denoise, large), partial(denoise, small), work=(large.size, small.size))


class Script:
    """Code that runs in a fresh interpreter; the numbers that it prints are kept."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.figures: list[float] = []

    def __call__(self) -> None:
        command = [sys.executable, "-c", self.code]
        # Installed packages have bytecode; from a checkout it has to be written once.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        self.figures.append(float(done.stdout))


TIMED = """
{before}
import time
start = time.perf_counter()
{code}
print(time.perf_counter() - start)
"""


def start_up(code: str, before: str = "") -> Pair:
    """Compare the time of ``code`` in a new process, after ``before``, with importing Numba."""
    ours = Script(TIMED.format(code=code, before=before))
    rival = Script(TIMED.format(code="import numba", before=""))
    return Pair(ours, rival, measured=lambda: (min(ours.figures), min(rival.figures)))


def import_time() -> Pair:
    return start_up("from fastgsm import denoise")  # `import fastgsm` alone delays it


def first_denoise(quality: str, compiled: bool) -> Pair:
    return start_up(
        f'denoise(numpy.eye(64, dtype="float32"), 0.1, quality="{quality}")',
        before=("" if compiled else WITHOUT_CACHE) + "import numpy\nfrom fastgsm import denoise",
    )


MEMORY = """
import numpy, fastgsm
def kilobytes(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if field in line)
image = numpy.random.default_rng(0).random(({side}, {side}), numpy.float32)
fastgsm.denoise(image[:64, :64], 0.1, quality="fast", out=image[:64, :64])
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of loading and compiling
before = kilobytes("VmRSS")
out = fastgsm.denoise(image, 0.1, quality="fast")
print(1024 * (kilobytes("VmHWM") - before) - out.nbytes)
"""


def memory() -> Pair:
    """Compare the peak of `denoise`, without input and output, with the image and 64 MiB."""
    side = shrunk(4096, 64)
    ours, allowed = Script(MEMORY.format(side=side)), 4 * side**2 + 2**26
    return Pair(ours, int, measured=lambda: (max(ours.figures), allowed), unit=("MB", 1e6))


JOBS = [
    *(
        Job(f"kernel {name}", "NumPy", target, partial(kernel, name))
        for name, target in {
            **dict.fromkeys(CASES),
            "rotation": 1 / 0.8,
            "denoise_bands": 1.0,
        }.items()
    ),
    Job("denoise 481x321", "textbook NumPy/SciPy", 1 / 60, denoise_textbook, rival_rounds=2),
    Job("fit GSM(6)", "textbook NumPy/SciPy", 1 / 500, fit_gsm, rival_rounds=1),
    *(
        Job(
            f"GMM(64) iteration, {dtype}",
            "scikit-learn",
            target,
            partial(gmm_iteration, dtype),
            rival_rounds=1,
        )
        for dtype, target in zip(DTYPES, (1 / 5, 1 / 6), strict=True)
    ),
    Job(
        "MoGSM to a GMM's likelihood",
        "scikit-learn",
        1 / 15,
        likelihood_race,
        rival_rounds=1,
    ),
    Job("denoise, all threads", "one thread", 1 / 1.85, denoise_threads),
    Job("fit, all threads", "one thread", 1 / 1.85, fit_threads),
    Job("pixel of a large image", "pixel of 512x512", 1.10, large_image),
    Job("memory of a large image", "image + 64 MiB", 1.0, memory, rounds=1, rival_rounds=1),
    Job("import fastgsm", "import numba", 1.3, import_time),
    *(
        Job(
            f"first denoise, {quality}, {'compiled before' if compiled else 'never compiled'}",
            "import numba",
            None,
            partial(first_denoise, quality, compiled),
            rounds=ROUNDS if compiled else 1,
            limit=0.5 if compiled else 20,
        )
        for compiled in (True, False)
        for quality in ("fast", "balanced")
    ),
]


class Race:
    """A job and its rival, timed in turn."""

    def __init__(self, job: Job, rival_rounds: int | None = None) -> None:
        self.job = job
        limit_blas()
        self.pair = job.prepare()
        self.rival_rounds = job.rival_rounds if rival_rounds is None else rival_rounds
        self.times = list(self.pair.rival_times)
        self.short = False
        if job.rounds > 1:
            self.pair.ours()  # compiles, loads, warms the caches
            self.short = seconds(self.pair.ours) < SETTLE

    def run_rival(self) -> None:
        """Run the rival's part of a round; when this returns, its threads have settled."""
        if len(self.times) < self.rival_rounds:
            self.times.append(seconds(self.pair.rival))
            time.sleep(SETTLE)
            if self.short:
                self.pair.ours()  # wakes its threads: see `seconds`

    def figures(self, ours: float) -> tuple[float, float]:
        """Return our time and the rival's shortest one, or what the pair measures instead."""
        return (ours, min(self.times)) if self.pair.measured is None else self.pair.measured()

    def ratio(self, ours: float) -> float:
        """Return our figure over the rival's, for equal work."""
        figures = zip(self.figures(ours), self.pair.work, strict=True)
        mine, theirs = (figure / work for figure, work in figures)
        return mine / theirs


def measure(job: Job) -> tuple[Race, float]:
    """Run a job at full size, and the rival in between; return the race and the shortest time."""
    race = Race(job, rival_rounds=job.rounds)
    ours = []
    for _ in range(job.rounds):
        if not race.times or race.times[0] < SLOW:
            race.run_rival()
        ours.append(seconds(race.pair.ours))
    return race, min(ours)


def row(race: Race, ours: float) -> list[str]:
    """Return a job's row of the table."""
    job, (unit, size) = race.job, race.pair.unit
    target = "–" if job.target is None else markdown.number(job.target)
    if job.limit is not None:
        target = f"{job.limit:g} s"
    figures = [f"{markdown.number(figure / size)} {unit}" for figure in race.figures(ours)]
    return [job.name, job.rival, *figures, markdown.number(race.ratio(ours)), target]


def notes(race: Race) -> str:
    """Return what is recorded with a job's figures, as an item of a list."""
    said = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in race.pair.notes.items()}
    return f"- {race.job.name}: {', '.join(f'{key} {value}' for key, value in said.items())}."


def main() -> None:
    """Print the jobs' ratios as a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="parts of jobs' names; all by default")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    if options.write and options.names:
        parser.error(
            f"--write replaces the whole table, and only {' '.join(options.names)} would be in it; "
            f"give no names, or leave out --write to print the part"
        )
    global FULL
    FULL = True
    rows, remarks = [], []
    for job in JOBS:
        if options.names and not any(name in job.name for name in options.names):
            continue
        race, ours = measure(job)
        rows.append(row(race, ours))
        remarks += [notes(race)] if race.pair.notes else []
        print(*rows[-1], race.pair.notes or "", sep=" | ", file=sys.stderr)
    header = ["job", "rival", "fastgsm", "rival's", "ratio", "target: at most"]
    text = "\n\n".join([markdown.table(header, rows), *(["\n".join(remarks)] if remarks else [])])
    if options.write:
        text += "\n\n" + markdown.origin(
            "python -m benchmarks.ratios --write", "fastgsm", "numpy", "numba", "scikit-learn"
        )
        markdown.write_part(markdown.PERFORMANCE, "ratios", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
