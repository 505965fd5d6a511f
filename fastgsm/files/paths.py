"""Paths: checks before reading and writing, and files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_REASON = 300  # characters


def check_regular(path: Path) -> None:
    """Raise if `path` is a pipe or a device, because reading it might never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is not a regular file; save its content to one first")


def check_output_path(path: str | os.PathLike[str]) -> None:
    """Raise if no regular file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file name in it")
    check_parent(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; give another output file")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is write-protected; give another output file")


def check_parent(path: Path) -> None:
    """Raise if the folder that is to hold `path` does not exist."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}; create it first")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`, which becomes `path` if the block succeeds.

    The temporary file has the extension of `path`. Links are followed. If anything goes wrong,
    including an interrupt from the keyboard, the temporary file is removed.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".fastgsm-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        replace_on_disk(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def replace_on_disk(new: Path, target: Path) -> None:
    """Rename a file to `target`, with the permissions of the file that it replaces."""
    with open(new, "rb+") as file:
        os.fsync(file.fileno())  # the content is on disk before the name points to it
    if target.exists():
        shutil.copymode(target, new)
    os.replace(new, target)


@contextmanager
def decoding(before: str, after: str = "") -> Iterator[None]:
    """Raise what a decoder finds wrong as a ValueError, with words before and after the reason.

    An error that has these words already is raised as it is.
    """
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # a damaged file may make a decoder raise anything
        if isinstance(error, ValueError) and str(error).startswith(before):
            raise
        raise ValueError(f"{before}{reason(error)}{after}") from error


def reason(error: Exception) -> str:
    """Return what a decoder found wrong, as one printable line of bounded length.

    Examples
    --------
    >>> from fastgsm.files.paths import reason
    >>> reason(ValueError("too   long")), reason(EOFError())
    ('too long', 'EOFError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} ..."
