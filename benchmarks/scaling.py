"""Learning on many machines: what it costs, what that predicts, and how well: docs/scaling.md.

``python -m benchmarks.scaling`` measures the costs, predicts the time of a pass over the data for
numbers of workers, and tests the prediction on as many workers of Dask's own, whose tasks wait for
as long as the real ones would compute. ``--part large`` does on two workers what does not fit into
the memory of one, and ``--part beside`` what two threads of one process do too. With ``--write``,
each part writes its section of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import fastgsm
from fastgsm.distributed import denoise_dask, fit_images
from fastgsm.restore.presets import PRESETS
from fastgsm.tiles import TILE

from . import markdown
from .common import SIGMA, add_noise, image, patches, shrunk
from .prediction import (
    LARGE_CHUNK,
    costs_table,
    drawing_costs,
    model_costs,
    predicted,
    prediction_table,
    scheduler_costs,
    tested,
)

COMMAND = "python -m benchmarks.scaling"
# Patches on which the costs are measured.
CHUNK = 262_144
# Patches of one task in the test: the scheduler is as busy with 64 workers as it is predicted to be
# with 1,000 of a MoGSM(32, 8), a fifth of the time.
TESTED_CHUNK = 262_144
# A network of today's data centres, which is not measured here: 10 Gbit/s.
NETWORK = 1.25e9
TESTED_MODELS = ("MoGSM(32, 8)", "GMM(200)")
TESTED_WORKERS = (1, 2, 4, 8, 16, 32, 64)

QUALITIES = tuple(PRESETS)

MODELS: dict[str, Callable[[], Any]] = {
    "GSM(8)": lambda: fastgsm.GSM(8, random_state=0),
    "GMM(64)": lambda: fastgsm.GMM(64, init_params="random", max_iter=1, random_state=0),
    "MoGSM(32, 8)": lambda: fastgsm.MoGSM(32, 8, max_iter=1, random_state=0),
    "GMM(200)": lambda: fastgsm.GMM(200, init_params="random", max_iter=1, random_state=0),
}


def local_cluster(n_workers: int = 2, **options: Any) -> Any:
    """Return a cluster of workers with one thread each, in processes of their own."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, **options
    )


def measure_model() -> str:
    """Measure costs, predict, and test."""
    from distributed import Client

    X = patches(0, CHUNK).astype(np.float32)
    with local_cluster() as cluster, Client(cluster) as client:
        task, bandwidth = scheduler_costs(client)
    noisy = add_noise(image(0, shrunk(2048, 64))).astype(np.float32)
    drawing = drawing_costs(noisy, shrunk(CHUNK, 400))
    costs = {
        name: model_costs(make(), X, drawing, task, bandwidth) for name, make in MODELS.items()
    }
    abroad = {
        name: replace(each, bandwidth=min(NETWORK, bandwidth)) for name, each in costs.items()
    }
    rows = []
    for name in TESTED_MODELS:
        for workers in TESTED_WORKERS:
            measured, expected = tested(costs[name], shrunk(TESTED_CHUNK, 400), workers, 4)
            rows.append(
                (name, workers, f"{measured:.2f}", f"{expected:.2f}", f"{expected / measured:.2f}")
            )
    return "\n\n".join(
        [
            costs_table(costs),
            f"To draw a patch takes {1e6 * drawing:.2f} µs. A task costs the scheduler "
            f"{1e3 * task:.2f} ms; from worker to worker go {bandwidth / 1e9:.2f} GB/s.",
            prediction_table(abroad, 1e12, LARGE_CHUNK),
            markdown.table(
                ["model", "workers", "measured, s", "predicted, s", "predicted / measured"], rows
            ),
            _origin("model"),
        ]
    )


def peak_memory() -> int:
    """Return the largest memory of this process so far, in bytes (on Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def peak_of_workers(client: Any) -> float:
    """Return the largest memory of any worker, in GB."""
    return max(client.run(peak_memory).values()) / 1e9


def noisy_zarr(path: Path, side: int) -> Any:
    """Write a large noisy image, block by block."""
    import zarr

    tile = min(side, 2048)  # a multiple of 512
    array = zarr.create_array(path, shape=(side, side), dtype="f4", chunks=(tile, tile))
    for i, top in enumerate(range(0, side, tile)):
        for j, left in enumerate(range(0, side, tile)):
            clean = np.tile(fastgsm.datasets.dead_leaves((512, 512), 8 * i + j), [tile // 512] * 2)
            array[top : top + tile, left : left + tile] = add_noise(clean, 1000 * i + j)
    return array


def denoise_large(folder: Path) -> list[tuple[str, ...]]:
    """Denoise an image of 1 GB, from Zarr to Zarr."""
    import dask.array as da
    from distributed import Client

    side = shrunk(16_384, 1024)
    noisy_zarr(folder / "noisy.zarr", side)
    rows = []
    for quality in QUALITIES:
        with local_cluster(memory_limit="1500MB") as cluster, Client(cluster) as client:
            lazy = denoise_dask(da.from_zarr(folder / "noisy.zarr"), quality=quality)
            start = time.perf_counter()
            lazy.to_zarr(folder / f"{quality}.zarr")
            took = time.perf_counter() - start
            peak = peak_of_workers(client)
        what = f"denoise(quality={quality!r}), {side}x{side}, sigma estimated"
        rows.append((what, f"{took:.0f}", "", f"{peak:.2f}"))
    return rows


def fit_large(folder: Path) -> list[tuple[str, ...]]:
    """Fit to 20 million patches, 5 GB, of the image of 1 GB, and predict how long that takes."""
    import zarr
    from distributed import Client

    n_patches = shrunk(20_000_000, 5000)
    X = patches(0, CHUNK).astype(np.float32)
    rows = []
    for name in ("GSM(8)", "MoGSM(32, 8)"):
        model = MODELS[name]().set_params(max_iter=4, tol=0.0)
        times: list[float] = []

        def watch(em: fastgsm.EMIteration, times: list[float] = times) -> None:
            times.append(em.seconds)

        with local_cluster(memory_limit="1500MB") as cluster, Client(cluster) as client:
            task, bandwidth = scheduler_costs(client)
            images = [zarr.open_array(folder / "noisy.zarr", mode="r")]
            n_tasks = max(1, images[0].shape[0] // TILE) ** 2
            side = slice(0, TILE + 7)  # a task's part, in which its patches begin
            drawing = client.submit(drawing_costs, images[0], n_patches // n_tasks, side).result()
            # Workers compute all distances again, as they would have to for far more patches.
            with warnings.catch_warnings(), mock.patch("fastgsm.learning.dask.KEPT_BYTES", 0):
                warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
                fit_images(model, images, n_patches, random_state=0, callback=watch)
            peak = peak_of_workers(client)
        costs = model_costs(MODELS[name](), X, drawing, task, bandwidth)
        rows.append(
            (
                f"fit_images({name}), {n_patches:,} patches, an iteration",
                f"{np.diff(times).min():.1f}",
                f"{predicted(costs, n_patches, n_patches // n_tasks, 2)['total']:.1f}",
                f"{peak:.2f}",
            )
        )
    return rows


def measure_beside() -> str:
    """Compare two workers of one thread with two threads and everything in memory, in turn."""
    import dask.array as da
    import zarr
    from distributed import Client

    side, n_patches = shrunk(8192, 512), shrunk(1_000_000, 400)
    X = patches(0, 1_000_000).astype(np.float32)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        local_cluster() as cluster,
        Client(cluster),
    ):
        noisy = noisy_zarr(Path(folder) / "noisy.zarr", side)[:]
        lazy = da.from_zarr(Path(folder) / "noisy.zarr").persist()
        chunks = -(-len(X) // 10), X.shape[1]
        zarr.create_array(Path(folder) / "X.zarr", shape=X.shape, dtype="f4", chunks=chunks)[:] = X
        lazy_X = da.from_zarr(Path(folder) / "X.zarr").persist()

        def iteration(name: str, X: Any) -> float:
            times: list[float] = []
            model = MODELS[name]().set_params(max_iter=5, tol=0.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", fastgsm.ConvergenceWarning)
                model.fit(X, callback=lambda em: times.append(em.seconds))
            return float(np.diff(times).min())

        def restoring(quality: str, image: Any) -> float:
            start = time.perf_counter()
            if isinstance(image, np.ndarray):
                fastgsm.denoise(image, SIGMA, quality=quality)
            else:  # the result stays with the workers
                clean = denoise_dask(image, SIGMA, quality=quality)
                clean.map_blocks(lambda block: block[:1, :1]).compute()
            return time.perf_counter() - start

        jobs: list[tuple[str, Callable[[str, Any], float], str, Any, Any]] = [
            *((f"denoise, {q}, {side}x{side}", restoring, q, noisy, lazy) for q in QUALITIES),
            *(
                (f"fit {name}, {n_patches:,} patches, an iteration", iteration, name, X, lazy_X)
                for name in ("GMM(64)", "MoGSM(32, 8)")
            ),
        ]
        for what, job, name, in_memory, on_dask in jobs:
            rounds = [(job(name, in_memory), job(name, on_dask)) for _ in range(2)]
            mine, theirs = (min(times) for times in zip(*rounds, strict=True))
            rows.append((what, f"{mine:.2f}", f"{theirs:.2f}", f"{mine / theirs:.2f}"))
    header = ["", "two threads, in memory, s", "two workers, s", "speed"]
    return f"{markdown.table(header, rows)}\n\n{_origin('beside')}"


def measure_large() -> str:
    """Measure what does not fit into the memory of a worker."""
    with tempfile.TemporaryDirectory() as folder:
        rows = denoise_large(Path(folder)) + fit_large(Path(folder))
    header = ["on two workers of one thread", "s", "predicted, s", "GB of a worker at most"]
    table = markdown.table(header, rows)
    return f"{table}\n\n{_origin('large')}"


def _origin(part: str) -> str:
    command = f"{COMMAND} --part {part} --write"
    return markdown.origin(command, "fastgsm", "numpy", "numba", "dask")


PARTS = {"model": measure_model, "large": measure_large, "beside": measure_beside}


def main() -> None:
    """Print, or write into docs/scaling.md, what scaling costs."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=main.__doc__)
    parser.add_argument("--part", choices=tuple(PARTS), default="model")
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md")
    options = parser.parse_args()
    text = PARTS[options.part]()
    if options.write:
        markdown.write_part(markdown.SCALING, options.part, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
