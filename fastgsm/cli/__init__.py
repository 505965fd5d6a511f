"""The command `fastgsm`: one module per group of sub-commands, with shared code in `_options`."""

from fastgsm.cli._main import main

__all__ = ["main"]
