"""The list of the tiles that are done, in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fastgsm._progress import Progress
from fastgsm.files.paths import atomic_path, check_output_path

# Of a checkpoint's file, so that no other file is taken for one, and overwritten.
FIRST_WORD = b"fastgsm-tiles-1 "


class Checkpoint:
    """The tiles that are done, in a file; there is none until the first of them is.

    Its first line names the run. Each of the others is the number of a tile and a digest of what
    `out` holds there.

    Parameters
    ----------
    path : path or None
        File to write, and to go on from if it exists; None for no checkpoint.

    Attributes
    ----------
    done : dict of int to str
        Tiles and their digests; empty until `begin` has found that they are of this run.
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
        """Raise ValueError if the file is of another run, or `out` does not hold what is done.

        Parameters
        ----------
        run : callable
            Gives the name of this run.
        held : callable
            Gives the digest of what `out` holds of a tile.
        """
        if self._path is None:
            return
        name, self._held = run(), held
        if self._run not in ("", name):
            raise ValueError(
                f"{self._path} is the checkpoint of another run: image, sigma, tile, random_state "
                f"or options differ. Give those of that run, or delete the file to begin anew."
            )
        self._run = name
        if not self._listed:
            return
        with Progress(len(self._listed), "checking tiles", enabled=progress) as bar:
            for number, pixels in self._listed.items():
                if held(number) != pixels:
                    raise ValueError(
                        f"out does not hold tile {number}, which is done according to "
                        f"{self._path}; wanted the array of that run as that run left it. Open it "
                        f"without emptying it (mode 'r+', not 'w+'), or delete {self._path} to "
                        f"begin anew."
                    )
                bar.update()
        self.done = self._listed
        self._write()  # without a line that was cut short

    def add(self, number: int) -> None:
        """Note that a tile is done."""
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
    """Give the name of a run, and the tiles that are done; raise if it is any other file."""
    with path.open("rb") as file:
        ours = file.read(len(FIRST_WORD)) == FIRST_WORD
        content = file.read() if ours else b""
    try:
        # A line that a kill left unfinished counts as none.
        run, *lines = content.decode("ascii").split("\n")[:-1]
        return run, {int(number): pixels for number, pixels in map(str.split, lines)}
    except ValueError:
        raise ValueError(
            f"{path} exists and is no checkpoint of tiles; wanted one, or a name that is free. "
            f"Give checkpoint another name, or delete the file."
        ) from None
