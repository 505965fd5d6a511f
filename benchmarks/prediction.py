"""What an iteration of EM on many machines costs, and the time that this predicts.

`predicted` adds up the parts of an iteration; `model_costs`, `drawing_costs` and `scheduler_costs`
measure them, and `tested` compares the sum with Dask's own scheduler.
"""

from __future__ import annotations

import functools
import operator
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import fastgsm
from fastgsm._patch_sources import Draw, drawn_chunks
from fastgsm.kernels._jit import limit_workers
from fastgsm.learning.chunks import Chunk, KeptDistances
from fastgsm.learning.dask import FAN_IN, DaskSums
from fastgsm.learning.statistics import group_statistics, shape_statistics

from . import markdown
from .common import Array, fit, seconds, shrunk

# Patches of one task in the prediction for 10^12 of them.
LARGE_CHUNK = 4_194_304
WORKERS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Costs:
    """The seconds and bytes of which one iteration on chunks consists."""

    patch: float
    """Seconds to draw a patch and for its E-step, in all passes of an iteration, on one core."""
    size: int
    """Bytes of the statistics of all passes."""
    addition: float
    """Seconds to add two statistics of each pass."""
    m_step: float
    """Seconds of the M-step."""
    task: float
    """Seconds of the scheduler, per task."""
    bandwidth: float
    """Bytes per second, into one worker."""
    passes: int
    """Passes over the data in an iteration."""

    @property
    def exchange(self) -> float:
        """Seconds until statistics have arrived and have been added."""
        return self.size / self.bandwidth + self.addition


def predicted(costs: Costs, n_patches: float, chunk: int, workers: int) -> dict[str, float]:
    """Predict the seconds of an iteration on ``n_patches``, part by part.

    The E-steps and the additions of their statistics are shared out evenly; the last additions,
    from one result per worker to one, wait for each other; so do all tasks at the scheduler, whose
    time counts where it exceeds that of the workers.
    """
    n_tasks = max(1.0, n_patches / chunk)
    busy = min(float(workers), n_tasks)
    depth = np.ceil(np.log(busy) / np.log(FAN_IN)) if busy > 1 else 0.0
    rounds = np.ceil(n_tasks / workers)
    parts = {
        "compute": rounds * chunk * costs.patch,
        "additions": rounds * costs.exchange,
        "last additions": float(depth * (FAN_IN - 1) * costs.exchange),
        "M-step": costs.m_step,
        "scheduler": costs.passes * n_tasks * (1 + 1 / (FAN_IN - 1)) * costs.task,
    }
    working = sum(seconds for name, seconds in parts.items() if name != "scheduler")
    return {**parts, "total": max(working, parts["scheduler"] + costs.m_step)}


def model_costs(model: Any, X: Array, drawing: float, task: float, bandwidth: float) -> Costs:
    """Measure, on one core, what does not depend on the number of workers."""
    fit(model, X[: shrunk(20_000, 400)])
    chunk = Chunk.of(X)
    statistics = model.sufficient_statistics(X[: shrunk(20_000, 400)])
    passes = passes_of(model)
    with limit_workers(1):
        e_step = sum(seconds(functools.partial(each, chunk)) for each in passes)
        sums = [each(chunk) for each in passes]
        start = time.perf_counter()
        model.m_step(statistics)
        m_step = time.perf_counter() - start
    return Costs(
        patch=e_step / len(X) + len(passes) * drawing,
        size=sum(len(pickle.dumps(each)) for each in sums),
        addition=sum(seconds(functools.partial(operator.add, each, each)) for each in sums),
        m_step=m_step,
        task=task,
        bandwidth=bandwidth,
        passes=len(passes),
    )


def passes_of(model: Any) -> list[Callable[[Chunk], fastgsm.SufficientStatistics]]:
    """Return what an iteration of a fit does with each chunk, one function for each pass."""
    density = model._density
    if isinstance(model, fastgsm.GSM):
        groups = KeptDistances(model._groups())
        return [lambda chunk: group_statistics(chunk, density.weights, density.scales, kept=groups)]
    shapes = KeptDistances(density.whitened)
    if isinstance(model, fastgsm.MoGSM):
        return [
            lambda chunk: shape_statistics(chunk, kept=shapes, scales=True, moments=False),
            lambda chunk: shape_statistics(chunk, kept=shapes),
        ]
    return [lambda chunk: shape_statistics(chunk, kept=shapes)]


def drawing_costs(image: Any, n: int, side: slice = slice(None)) -> float:
    """Return the seconds per patch when a task reads part of an image and draws n patches."""
    part = image, (side, side)

    def draw() -> None:
        for _ in drawn_chunks(part, n, 0, 0, Draw(n, 8, "patch", 1024), np.dtype(np.float32)):
            pass

    with limit_workers(1):
        return seconds(draw) / n


def scheduler_costs(client: Any) -> tuple[float, float]:
    """Measure the seconds per task of Dask's scheduler, and bytes per second between workers."""
    n_tasks = shrunk(4000, 40)

    def nothing(i: int) -> int:
        return i

    start = time.perf_counter()
    client.gather(client.map(nothing, range(n_tasks), pure=False))
    task = (time.perf_counter() - start) / n_tasks
    first, second = list(client.scheduler_info()["workers"])[:2]
    rates = []
    for _ in range(3):
        data = client.submit(np.ones, shrunk(2**23, 2**10), workers=[first], pure=False)
        client.submit(len, data, workers=[first], pure=False).result()
        start = time.perf_counter()
        client.submit(len, data, workers=[second], pure=False).result()
        rates.append(8 * shrunk(2**23, 2**10) / (time.perf_counter() - start))
    return task, max(rates)


def tested(costs: Costs, chunk: int, workers: int, chunks_each: int) -> tuple[float, float]:
    """Return the seconds of an iteration whose tasks only wait: measured, and predicted.

    Scheduler, graph and additions are those of a fit. All workers live in this process, so that
    nothing but the additions needs a core, and nothing has to be sent.
    """
    costs = replace(costs, bandwidth=np.inf, m_step=0.0)
    from distributed import Client, LocalCluster

    statistics = np.ones(costs.size // 8 // costs.passes)
    duration = chunk * costs.patch / costs.passes

    def wait(_: Any) -> Array:
        time.sleep(duration)
        return statistics.copy()

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            memory_limit=0,
            dashboard_address=None,
        ) as cluster,
        Client(cluster),
    ):
        sums = DaskSums([(iter, ([i],)) for i in range(workers * chunks_each)])
        start = time.perf_counter()
        for _ in range(costs.passes):
            sums(wait)
        measured = time.perf_counter() - start
    n_patches = workers * chunks_each * chunk
    return measured, predicted(costs, n_patches, chunk, workers)["total"]


def costs_table(costs: dict[str, Costs]) -> str:
    """Return the table of what was measured."""
    rows = [
        (
            name,
            c.passes,
            f"{1e6 * c.patch:.2f}",
            f"{c.size / 1e6:.2f}",
            f"{1e3 * c.addition:.1f}",
            f"{1e3 * c.m_step:.0f}",
            f"{c.size / (LARGE_CHUNK * 64 * 4):.1g}",
        )
        for name, c in costs.items()
    ]
    header = [
        "model",
        "passes",
        "µs per patch",
        "MB of statistics",
        "ms to add",
        "ms of the M-step",
        "bytes sent per byte read",
    ]
    return markdown.table(header, rows)


def prediction_table(costs: dict[str, Costs], n_patches: float, chunk: int) -> str:
    """Return the table of what is predicted for one iteration."""
    rows = []
    for name, c in costs.items():
        alone = predicted(c, n_patches, chunk, 1)["total"]
        for workers in WORKERS:
            parts = predicted(c, n_patches, chunk, workers)
            rows.append(
                (
                    name,
                    workers,
                    _duration(parts["total"]),
                    f"{alone / parts['total'] / workers:.2f}",
                    _duration(parts["compute"]),
                    _duration(parts["additions"] + parts["last additions"]),
                    _duration(parts["scheduler"]),
                )
            )
    header = ["model", "workers", "an iteration", "efficiency", "compute", "add", "scheduler"]
    return markdown.table(header, rows)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s"
