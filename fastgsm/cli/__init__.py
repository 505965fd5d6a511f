"""The command `fastgsm`: one module a group of sub-commands, the rest in `_main` and `_options`."""

from fastgsm.cli._main import main

__all__ = ["main"]
