"""Make the page about the command line from the help that the commands print."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from unittest import mock

from sphinx.application import Sphinx

from fastgsm.cli._main import new_parser


def write_help(app: Sphinx) -> None:
    """Write the help of every command to ``generated/commands.md``."""
    parser = new_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    # This width fits a page. Newer Pythons would add colours.
    with mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1"):
        sections = [
            f"## `fastgsm {name}`\n\n```text\n{command.format_help()}```\n"
            for name, command in commands.choices.items()
        ]
    page = Path(app.srcdir) / "generated" / "commands.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(sections), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the help before the pages are read."""
    app.connect("builder-inited", write_help)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
