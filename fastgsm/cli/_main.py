"""From the arguments to the exit status.

Results go to standard output; progress, warnings and errors go to standard error. The sub-commands
import what the parser does not need when they run, so that the help appears at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from fastgsm.cli import _completion, _denoise, _models, _study, _train
from fastgsm.cli._options import Parser, one_line

# Errors that a user can cause and correct; anything else is a bug and keeps its traceback.
USER_ERRORS = (ValueError, TypeError, OSError, ImportError, MemoryError, NotImplementedError)
BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

COMPILING = "fastgsm: compiling for the first use: up to a minute, once on this machine"

EPILOG = """\
examples:
  fastgsm demo
  fastgsm denoise noisy.png clean.png
  fastgsm denoise photos/ cleaned/
  fastgsm train photos/ -o mine.npz
  fastgsm COMMAND --help

exit status:
  0    everything is done
  1    some of several images or pages failed; they are named on standard error, the others are done
  2    bad input: nothing is done, and one line says why
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 for success, 1 if some of several images or pages failed, 2 for bad input, 130 after an
        interrupt.
    """
    try:
        try:
            with _tidy_stderr():
                args = new_parser().parse_args(argv)
                with _say_when_compiling(args.quiet):
                    status: int = args.run(args)
        finally:
            sys.stdout.flush()  # so that a closed pipe is noticed here
    except KeyboardInterrupt:
        print("fastgsm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except USER_ERRORS as error:
        print(f"fastgsm: error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    return status


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="fastgsm",
        description="Learn Gaussian patch priors from images, and denoise images with them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (_denoise, _train, _models, _study):
        group.add_to(commands)
    _completion.add_to(commands, parser)
    return parser


class _Version(argparse.Action):
    """Look up the version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        import fastgsm

        print(f"fastgsm {fastgsm.__version__}")
        parser.exit()


@contextmanager
def _tidy_stderr() -> Iterator[None]:
    """Show a warning as one line, without the place in the code that raised it."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"fastgsm: warning: {' '.join(str(message).split())}", file=sys.stderr)

    # tifffile logs details about a damaged file, which the error says in one line
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _say_when_compiling(quiet: bool) -> Iterator[None]:
    """Say once, when Numba starts to compile, why nothing seems to happen for a while."""
    from numba.core import event

    class Listener(event.Listener):
        said = quiet

        def on_start(self, event: Any) -> None:
            if not self.said:
                self.said = True
                # The line overwrites a progress bar that may be there.
                print(f"\r{COMPILING:<78}", file=sys.stderr, flush=True)

        def on_end(self, event: Any) -> None:
            """Do nothing: the event's end is of no interest."""

    with event.install_listener("numba:compile", Listener()):
        yield
