"""What was measured on real noise, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import markdown
from .common import Array

# Mean PSNR over cc15 in the literature, not measured here.
PUBLISHED = {
    "CBM3D": 35.19,
    "WNNM": 35.77,
    "NC": 36.43,
    "CC": 36.88,
    "MCWNNM": 37.72,
    "TWSC": 37.81,
    "NLH": 38.49,
}


@dataclass
class Row:
    """What one method made of the images of a set; PSNR in decibels, image by image."""

    set: str
    method: str
    noisy: list[float]  # empty where the input is clean
    restored: list[float]
    noise: str = ""
    seconds_per_megapixel: float | None = None
    ratio: float | None = None

    @property
    def psnr(self) -> float:
        return float(np.mean(self.restored))

    @property
    def gains(self) -> Array:
        return np.subtract(self.restored, self.noisy)


def gain_table(rows: Sequence[Row]) -> str:
    """Return PSNR and gains over the noisy images, with the figures of others."""
    first = rows[0]
    header = ["method", "PSNR, dB", "gain, dB", "gain of the worst image, dB"]
    lines = [[f"noisy ({len(first.noisy)} images)", f"{np.mean(first.noisy):.2f}", "", ""]]
    lines += [
        [row.method, f"{row.psnr:.2f}", f"{row.gains.mean():.2f}", f"{row.gains.min():.2f}"]
        for row in rows
    ]
    if any(row.ratio is not None for row in rows):
        header += ["s per megapixel", "times as long as told its noise"]
        lines[0] += ["", ""]
        for line, row in zip(lines[1:], rows, strict=True):
            timed = row.ratio is not None
            line += [f"{row.seconds_per_megapixel:.2f}", f"{row.ratio:.2f}"] if timed else ["", ""]
    if first.set == "cc15":
        empty = [""] * (len(header) - 2)
        lines += [[f"{name}, published", f"{mean:.2f}", *empty] for name, mean in PUBLISHED.items()]
    return markdown.table(header, lines)


def clean_table(rows: Sequence[Row]) -> str:
    """Return how near clean images stay to themselves."""
    header = ["method", "images", "mean PSNR, dB", "worst image, dB"]
    lines = [
        [row.method, len(row.restored), f"{row.psnr:.2f}", f"{min(row.restored):.2f}"]
        for row in rows
    ]
    return markdown.table(header, lines)


def noise_table(rows: Sequence[Row]) -> str:
    """Return mean PSNR, one column for each noise."""
    columns: dict[str, dict[str, Row]] = {}
    for row in rows:
        columns.setdefault(row.noise, {})[row.method] = row
    by_method = list(columns.values())
    lines = [
        [f"noisy ({len(rows[0].noisy)} images)"]
        + [f"{np.mean(next(iter(column.values())).noisy):.2f}" for column in by_method]
    ]
    lines += [
        [method, *(f"{column[method].psnr:.2f}" for column in by_method)] for method in by_method[0]
    ]
    return markdown.table(["PSNR, dB", *columns], lines)


def white_table(rows: Sequence[Row]) -> str:
    """Return mean PSNR, and what not knowing sigma costs."""
    lines: dict[str, list[str]] = {}
    told, blind = rows[::2], rows[1::2]
    for known, unknown in zip(told, blind, strict=True):
        losses = np.subtract(unknown.restored, known.restored)
        quality = known.method.split(",")[0]
        lines.setdefault(f"{quality}, difference", []).append(f"{losses.mean():.3f}")
        lines.setdefault(f"{quality}, worst image", []).append(f"{losses.min():.3f}")
    table = [noise_table(rows)]
    table += [f"| {' | '.join([name, *cells])} |" for name, cells in lines.items()]
    return "\n".join(table)
