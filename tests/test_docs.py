"""The Python that the documentation shows runs, and the API reference is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastgsm
from fastgsm._registry import MODELS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "guide").glob("*.md"))]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = list(PYTHON.finditer(text))
    assert blocks, f"{page.name} has no block of Python"
    names: dict[str, object] = {}
    for block in blocks:
        # Empty lines go before the block, so that a traceback names the line of the page.
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], page, "exec"), names)


def test_api_reference_lists_all_that_is_public() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"^api/(\w+)$", page, re.MULTILINE))
    listed = set(re.findall(r"^   (\w+)$", page, re.MULTILINE)) | modules | set(MODELS)
    assert set(fastgsm.__all__) <= listed
    assert modules == {path.stem for path in (DOCS / "api").glob("*.md")}
