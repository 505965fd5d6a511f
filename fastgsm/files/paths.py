"""Paths: what may be read and written, and files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_REASON = 300  # characters


def check_regular(path: Path) -> None:
    """Raise if `path` is a pipe or a device, whose reading might never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is not a regular file; save what it gives to one first")


def reason(error: Exception) -> str:
    """Say in one line of bounded length what a decoder found wrong, whatever the file made it say.

    Examples
    --------
    >>> from fastgsm.io import reason
    >>> reason(ValueError("too   long")), reason(EOFError())
    ('too long', 'EOFError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} ..."


def check_output_path(path: str | os.PathLike[str]) -> None:
    """Raise if no regular file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file name in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}; create it first")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; give another output file")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is write-protected; give another output file")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` only if the block succeeds.

    The temporary file has the extension of `path`. Links are followed. Whatever goes wrong, an
    interrupt from the keyboard too, the temporary file is removed.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".fastgsm-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # the content is on disk before the name points to it
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
