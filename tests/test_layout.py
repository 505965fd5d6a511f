"""Imports form no circle and go down only; private names stay in their module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import fastgsm

PACKAGE = Path(fastgsm.__file__).parent

# Floors from the top; a module imports from its own floor and from those below it. A name stands
# for a module or a whole folder.
FLOORS = (
    ("__main__", "cli"),
    ("study", "report", "plot", "priors.train"),
    ("_warmup",),
    ("_denoise",),
    ("distributed",),
    ("_patch_sources",),
    ("tiles",),
    ("restore",),
    ("priors",),
    ("models",),
    ("patches", "patch_sampler"),
    ("learning", "noise", "anscombe"),
    ("io",),
    ("files", "datasets", "metrics"),
    ("colour",),
    ("kernels",),
    ("_data_range", "_parts"),
    ("_images",),
    ("_arrays", "_estimator", "_progress"),
    ("_checks", "_extras", "_registry"),
    ("_types",),
    ("",),  # the package itself: its version, and names imported at their first use
)
# Folders that only these may import.
ONLY_FOR = {
    "files": {"files", "cli", "study", "report", "io", "tiles", "models", "learning", "noise"},
    "study": {"study", "cli", "report", "priors.train"},
    "report": {"cli"},
    "cli": {"cli", "__main__"},
    "plot": {"plot", "cli", "study", "report"},
}


@cache
def modules() -> dict[str, Path]:
    """Return the path of every module, by its name inside the package."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(name: str) -> Iterator[tuple[str, str]]:
    """Yield the package's modules, and names, that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fastgsm":
                    yield alias.name.removeprefix("fastgsm").removeprefix("."), ""
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fastgsm":
            assert node.level == 0
            base = (node.module or "").removeprefix("fastgsm").removeprefix(".")
            for alias in node.names:
                inside = f"{base}.{alias.name}".removeprefix(".")
                yield (inside, "") if inside in modules() else (base, alias.name)


def place(name: str, among: dict[str, int]) -> int:
    """Return the number that belongs to a module or to the nearest folder around it."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in among:
            return among[".".join(parts[:n])]
    raise AssertionError(f"{name} is on no floor: add it to FLOORS")


FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down(name: str) -> None:
    if name == "":
        return  # only its stub and __getattr__ know the others
    own = place(name, FLOOR_OF)
    upward = [other for other, _ in imports_of(name) if place(other or "", FLOOR_OF) < own]
    assert not upward


def test_no_circles() -> None:
    graph = {name: {other for other, _ in imports_of(name)} & set(modules()) for name in modules()}
    # The name of a folder stands for its __init__, which is imported before its modules.
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for other in sorted(graph[name] - {name}):
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


@pytest.mark.parametrize("folder", ONLY_FOR)
def test_some_folders_have_few_users(folder: str) -> None:
    strangers = {
        name
        for name in modules()
        for other, _ in imports_of(name)
        if other.split(".")[0] == folder and not {name, name.split(".")[0]} & ONLY_FOR[folder]
    }
    assert not strangers


@pytest.mark.parametrize("name", sorted(modules()))
def test_private_names_stay_in_their_module(name: str) -> None:
    private = [
        f"{other}.{what}"
        for other, what in imports_of(name)
        if what.startswith("_") and not what.startswith("__")
    ]
    assert not private


def test_modules_and_functions_are_short() -> None:
    long = []
    for name, path in modules().items():
        source = path.read_text(encoding="utf-8")
        if source.count("\n") > 400:
            long.append(f"{name}: {source.count(chr(10))} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (node.end_lineno or 0) - body[0].lineno + 1 > 60:
                    long.append(f"{name}.{node.name}: {node.end_lineno - body[0].lineno + 1} lines")
    assert not long
