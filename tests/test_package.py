"""The names that `import fastgsm` offers: lazy, complete, and the same for type checkers."""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path

import pytest

import fastgsm

STUB = Path(fastgsm.__file__).with_suffix(".pyi")


def stub_names() -> dict[str, str]:
    """Return the names in the stub, each with the module it is imported from there."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.parse(STUB.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_stub_and_package_offer_the_same_names() -> None:
    modules = {name for name, module in stub_names().items() if module == "fastgsm"}
    assert set(stub_names()) == {*fastgsm.__all__, *modules}
    assert set(stub_names()) <= set(dir(fastgsm))


@pytest.mark.parametrize(("name", "module"), stub_names().items())
def test_each_name_comes_from_the_module_in_the_stub(name: str, module: str) -> None:
    if module == "fastgsm":
        assert isinstance(getattr(fastgsm, name), types.ModuleType)
    else:
        assert getattr(fastgsm, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fastgsm' has no attribute 'denoize'"):
        _ = fastgsm.denoize  # type: ignore[attr-defined]
