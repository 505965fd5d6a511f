"""``fastgsm completion``: print a script that completes commands in a shell, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from fastgsm.cli import _options

# Names in the help that stand for files.
FILES = {"IN", "OUT", "FILE", "IMAGES", "MODEL", "NAME|FILE", "DIR"}

EXAMPLES = """\
  eval "$(fastgsm completion bash)"                     now, or in ~/.bashrc
  fastgsm completion zsh > "${fpath[1]}/_fastgsm"       for good
  fastgsm completion fish > ~/.config/fish/completions/fastgsm.fish"""


def add_to(commands: Any) -> None:
    """Add the sub-command."""
    command = _options.add_command(
        commands, "completion", run, "print a script that completes commands in a shell", EXAMPLES
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from fastgsm.cli._main import new_parser

    try:
        import shtab
    except ImportError as error:
        raise ImportError('completion needs shtab: pip install "fastgsm[cli]"') from error
    parser = new_parser()
    for action in _actions(parser):
        if action.metavar in FILES:
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options and arguments of a parser and of its sub-commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
