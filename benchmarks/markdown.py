"""Tables in Markdown, and the parts of documents that commands write."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numba

from fastgsm.study.measure import machine

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
QUALITY = ROOT / "docs" / "quality.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
SCALING = ROOT / "docs" / "scaling.md"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose first column is text; the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def read_tables(text: str) -> list[list[list[str]]]:
    """Read all tables, each a list of rows with the header first; ValueError if one is crooked."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        header, rule, *rows = [
            [cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()
        ]
        if not rows or any(len(row) != len(header) for row in (rule, *rows)):
            raise ValueError(f"table is empty or crooked:\n{block}")
        tables.append([header, *rows])
    return tables


def _markers(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}:begin -->\n)(.*?)(<!-- {name}:end -->)", re.DOTALL)


def read_part(path: Path, name: str) -> str:
    """Return the text between the markers ``<!-- name:begin -->`` and ``<!-- name:end -->``."""
    found = _markers(name).search(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path.name} has no markers {name}:begin and {name}:end")
    return found[2]


def write_part(path: Path, name: str, text: str) -> None:
    """Replace the text between the markers."""
    read_part(path, name)
    whole = path.read_text(encoding="utf-8")
    new = _markers(name).sub(lambda found: f"{found[1]}\n{text}\n\n{found[3]}", whole)
    path.write_text(new, encoding="utf-8")
    print(f"wrote {name} in {path.name}")


def number(value: float) -> str:
    """Format a number with three significant digits, without an exponent."""
    digits = f"{value:.3g}"
    return f"{value:.0f}" if "e" in digits else digits


def origin(command: str, *packages: str) -> str:
    """Return how a table was measured: processor, threads, versions and command."""
    m = machine()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return (
        f"{m['processor']}, {m['cores']} cores, {numba.get_num_threads()} threads; "
        f"{', '.join(versions)}. Measured by `{command}`."
    )
