"""The list of finished tiles, in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fastgsm._progress import Progress
from fastgsm.files.paths import atomic_path, check_output_path

# Magic bytes of a checkpoint, so that no other file is mistaken for one and overwritten.
FIRST_WORD = b"fastgsm-tiles-1 "


class Checkpoint:
    """The list of finished tiles, in a file that exists once the first tile is finished.

    Its first line identifies the run. Each other line is the number of a tile and a digest of the
    pixels of `out` there. The path is None for no checkpoint. If the file exists, the run continues
    from it: ``done`` holds its tiles and their digests once `begin` has checked them.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.done: dict[int, str] = {}
        self._path = None if path is None else Path(path)
        self._run, self._listed = "", dict[int, str]()
        if self._path is not None:
            check_output_path(self._path)
            if self._path.exists() and self._path.stat().st_size:
                self._run, self._listed = _read_checkpoint(self._path)

    def begin(
        self, run: Callable[[], str], held: Callable[[int], str], progress: bool = False
    ) -> None:
        """Raise ValueError if the file belongs to another run, or `out` lacks a finished tile.

        ``run`` returns the name of this run, and ``held`` the digest of a tile's pixels in `out`.
        """
        if self._path is None:
            return
        name, self._held = run(), held
        if self._run not in ("", name):
            raise ValueError(
                f"{self._path} is the checkpoint of another run: image, sigma, tile, random_state "
                f"or options differ. Give those of that run, or delete the file to start again."
            )
        self._run = name
        if not self._listed:
            return
        with Progress(len(self._listed), "checking tiles", enabled=progress) as bar:
            for number, pixels in self._listed.items():
                if held(number) != pixels:
                    raise ValueError(
                        f"out does not hold tile {number}, which is done according to "
                        f"{self._path}; wanted the array as that run left it. Open it without "
                        f"emptying it (mode 'r+', not 'w+'), or delete {self._path} to start again."
                    )
                bar.update()
        self.done = self._listed
        self._write()  # drops a line that was cut short

    def add(self, number: int) -> None:
        """Record that a tile is done."""
        if self._path is None:
            return
        self.done[number] = self._held(number)
        if len(self.done) == 1:
            self._write()
        else:
            with self._path.open("a") as file:
                file.write(f"{number} {self.done[number]}\n")

    def _write(self) -> None:
        assert self._path is not None
        lines = [self._run, *(f"{number} {pixels}" for number, pixels in self.done.items())]
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(FIRST_WORD + "".join(f"{line}\n" for line in lines).encode())

    def remove(self) -> None:
        """Delete the file: the run is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _read_checkpoint(path: Path) -> tuple[str, dict[int, str]]:
    """Return the name of a run and its finished tiles; raise if it is any other file."""
    with path.open("rb") as file:
        ours = file.read(len(FIRST_WORD)) == FIRST_WORD
        content = file.read() if ours else b""
    try:
        # A line that a kill left unfinished does not count.
        run, *lines = content.decode("ascii").split("\n")[:-1]
        return run, {int(number): pixels for number, pixels in map(str.split, lines)}
    except ValueError:
        raise ValueError(
            f"{path} exists and is not a checkpoint of tiles; wanted one, or a name that is free. "
            f"Give checkpoint another name, or delete the file."
        ) from None
