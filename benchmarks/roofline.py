"""How close the kernels come to the machine: ``python -m benchmarks.roofline``.

Measures the rate of matrix products and the bandwidth of the memory, what fraction of them each
kernel reaches, and how times grow with the size of the task. Writes the tables and plots of
``docs/performance.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numba
import numpy as np

import fastgsm

from . import markdown
from .common import (
    DTYPES,
    SIGMA,
    THREADS,
    Array,
    add_noise,
    alternate,
    fit,
    image,
    patches,
    seconds,
    shrunk,
    threads,
)
from .drivers import add_blocks
from .kernels import CASES

IMAGES = markdown.PERFORMANCE.parent / "images"
COMMAND = "python -m benchmarks.roofline"
ROUNDS = 5

Curve = tuple[list[float], list[float]]


def product_rate(dtype: str) -> float:
    """Measure the flops per second of NumPy's product of large matrices."""
    side = shrunk(2048, 64)
    A = np.random.default_rng(0).standard_normal((side, side)).astype(dtype)
    return 2 * side**3 / alternate(lambda: A @ A, rounds=ROUNDS)[0]


def bandwidth() -> float:
    """Measure the bytes per second that all threads read and write, far beyond the caches."""
    x = np.ones(shrunk(2**25, 2**12), np.float32)
    y, out = x.copy(), np.empty_like(x)
    return 3 * x.nbytes / alternate(lambda: add_blocks(x, y, out), rounds=ROUNDS)[0]


def kernel_rows(dtype: str, peak: float, memory: float) -> list[dict[str, Any]]:
    """Measure every kernel, and which part of the roof it reaches: above 1 if it beats NumPy."""
    rows = []
    for name, case in CASES.items():
        ours, flops, moved = case(dtype)[0], *case(dtype)[2:4]
        time = alternate(ours, rounds=ROUNDS)[0]
        roof = max(flops / peak, moved / memory)
        rows.append(
            {"name": name, "flops": flops, "bytes": moved, "time": time, "reached": roof / time}
        )
    return rows


def kernel_table(rows: list[dict[str, Any]]) -> str:
    header = ["kernel", "Mflop", "MB", "ms", "GFLOP/s", "GB/s", "of the roof"]
    return markdown.table(
        header,
        [
            [
                f"`{row['name']}`",
                *(markdown.number(row[key] / 1e6) for key in ("flops", "bytes")),
                markdown.number(1e3 * row["time"]),
                *(markdown.number(row[key] / row["time"] / 1e9) for key in ("flops", "bytes")),
                f"{100 * row['reached']:.0f} %",
            ]
            for row in rows
        ],
    )


def best(function: Callable[[], Any]) -> float:
    """Return the shortest of three times, or the first if it is long."""
    function()
    first = seconds(function)
    return min([first, *(seconds(function) for _ in range(2 if first < 2 else 0))])


def curve(xs: Iterable[int], task: Callable[[int], Callable[[], Any]]) -> Curve:
    """Time ``task(x)`` for every x."""
    xs = list(xs)
    return list(map(float, xs)), [best(task(x)) for x in xs]


def fit_shapes(n_components: int) -> Callable[[], Any]:
    X = patches(0).astype(np.float32)
    options = {"init_params": "random", "max_iter": 5, "tol": 0, "random_state": 0}
    return partial(fit, fastgsm.GMM(n_components, **options), X)


def _denoise(prior: Any, side: int = 256) -> Callable[[], Any]:
    noisy = add_noise(image(10, side)).astype(np.float32)
    return partial(fastgsm.denoise, noisy, SIGMA, prior=prior, quality="fast")


def denoise_scales(n_scales: int) -> Callable[[], Any]:
    gsm = fastgsm.GSM(n_scales, max_iter=5, tol=0)
    return _denoise(fit(gsm, patches(0)))


def denoise_dimension(d: int) -> Callable[[], Any]:
    side = int(d**0.5)
    X = fastgsm.sample_patches(image(0), side, shrunk(10_000, 400), random_state=0)
    return _denoise(fit(fastgsm.GSM(8, max_iter=5, tol=0), X))


def denoise_pixels(pixels: int) -> Callable[[], Any]:
    return _denoise("gsm", int(pixels**0.5))


def denoise_threads(count: int) -> Callable[[], Any]:
    denoise = _denoise("gsm", 1024)

    def run() -> Array:
        with threads(count):
            return denoise()

    return run


# What grows, what is timed, and for which values.
SCALING: dict[str, tuple[str, Iterable[int], Callable[[int], Callable[[], Any]]]] = {
    "shapes K": ("fit, 5 iterations", (1, 4, 16, 64), fit_shapes),
    "scales J": ("denoise 256x256", (1, 4, 8, 16), denoise_scales),
    "pixels of a patch d": ("denoise 256x256", (16, 36, 64, 100, 144), denoise_dimension),
    "pixels": ("denoise", (256**2, 512**2, 1024**2, 2048**2), denoise_pixels),
    "threads": ("denoise 1024x1024", range(1, THREADS[-1] + 1), denoise_threads),
}


def scaling_table(curves: dict[str, Curve]) -> str:
    rows = []
    for what, (xs, times) in curves.items():
        pairs = (f"{x:.0f}: {markdown.number(1e3 * t)}" for x, t in zip(xs, times, strict=True))
        rows.append([f"{SCALING[what][0]}, by {what}", ", ".join(pairs)])
    return markdown.table(["task", "ms"], rows)


def plot(rows: list[dict[str, Any]], peak: float, memory: float, curves: dict[str, Curve]) -> None:
    """Draw the roofline, and the scaling curves next to lines of proportional growth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "fastgsm"
    save = {"metadata": {"Date": None}, "bbox_inches": "tight"}

    figure, axes = plt.subplots(figsize=(7, 4))
    shown = [row for row in rows if row["flops"]]
    intensity = np.array([row["flops"] / row["bytes"] if row["bytes"] else 0 for row in shown])
    intensity[intensity == 0] = 4 * intensity.max()  # in cache: at the right
    style = {"textcoords": "offset points", "ha": "right"}
    x = np.geomspace(intensity.min() / 2, intensity.max() * 2, 100)
    axes.loglog(x, np.minimum(peak, memory * x) / 1e9, "k-")
    for i, (row, at) in enumerate(zip(shown, intensity, strict=True)):
        rate = row["flops"] / row["time"] / 1e9
        axes.loglog(at, rate, "o")
        axes.annotate(row["name"], (at, rate), xytext=(-8, (-14, 6, 14)[i % 3]), **style)
    axes.set(xlabel="flops per byte of main memory", ylabel="GFLOP/s, float32")
    figure.savefig(IMAGES / "roofline.svg", **save)
    plt.close(figure)

    figure, panels = plt.subplots(1, len(curves), figsize=(3 * len(curves), 2.8), sharey=True)
    for axes, (what, (xs, times)) in zip(panels, curves.items(), strict=True):
        axes.loglog(xs, np.array(times) / times[0], "o-")
        growth = np.array(xs) / xs[0]
        axes.loglog(xs, 1 / growth if what == "threads" else growth, "k:", label="proportional")
        axes.minorticks_off()
        axes.set_xticks(xs, [f"{x:.0f}" for x in xs], rotation=90)
        axes.set(xlabel=what, title=SCALING[what][0])
    panels[0].set_ylabel("time over the first")
    panels[0].legend()
    figure.savefig(IMAGES / "scaling.svg", **save)
    plt.close(figure)


def main() -> None:
    """Measure, and rewrite the tables and plots of docs/performance.md."""
    argparse.ArgumentParser(prog=COMMAND, description=main.__doc__).parse_args()
    memory = bandwidth()
    parts = [f"Main memory: {memory / 1e9:.1f} GB/s on {numba.get_num_threads()} threads."]
    measured = {}
    for dtype in DTYPES:
        peak = product_rate(dtype)
        measured[dtype] = kernel_rows(dtype, peak, memory), peak
        parts += [
            f"{dtype}: products at {peak / 1e9:.0f} GFLOP/s.",
            kernel_table(measured[dtype][0]),
        ]
    curves = {what: curve(xs, task) for what, (_, xs, task) in SCALING.items()}
    origin = markdown.origin(COMMAND, "fastgsm", "numpy", "numba")
    plot(*measured["float32"], memory, curves)
    markdown.write_part(markdown.PERFORMANCE, "roofline", "\n\n".join([*parts, origin]))
    markdown.write_part(markdown.PERFORMANCE, "scaling", f"{scaling_table(curves)}\n\n{origin}")


if __name__ == "__main__":
    main()
