"""The state of an interrupted fit, in a file, from which EM reaches the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.files.paths import atomic_path, check_output_path
from fastgsm.learning.chunks import Moments

# The state is written no more often than this: an iteration may take less time than the file.
SAVE_SECONDS = 1.0
# Options that may differ when a fit is resumed.
MAY_CHANGE = {"tol", "max_iter", "n_init", "random_state", "verbose", "warm_start"}


class FitCheckpoint:
    """The state of EM after each M-step, in a file, from which EM resumes if it exists."""

    saved: tuple[dict[str, FloatArray], list[float]] | None = None
    """State and lower bounds that EM resumes from. Known after `belongs_to`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        check_output_path(self._path)
        self._saved_at = -np.inf
        self._held = self._load() if self._path.exists() else None

    def _load(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                header = json.loads(archive["header"].tobytes())
                arrays = {name: archive[name] for name in archive.files if name != "header"}
                header["lower_bounds"] = [float(x) for x in header["lower_bounds"]]
                if not {"fit", "lower_bounds"} <= header.keys() or "moments" not in arrays:
                    raise ValueError("it is incomplete")
        except Exception as error:
            raise ValueError(
                f"{self._path} is not a checkpoint of a fit that can be read: {error}. Delete "
                f"it to start again, or give another name."
            ) from error
        return header, arrays

    def belongs_to(
        self,
        model: str,
        options: dict[str, Any],
        moments: Moments,
        state: dict[str, FloatArray],
        *,
        in_memory: bool,
    ) -> None:
        """Take note of what the fit depends on; raise ValueError if the file is of another fit."""
        # Sums in another order would lead to other last bits.
        where = "" if in_memory else " in chunks"
        digest = hashlib.sha256(f"{model} {sorted(state)}{where}".encode())
        for name, value in sorted(options.items()):
            if name not in MAY_CHANGE:
                digest.update(f"{name}={np.asarray(value).tolist()}".encode())
        self._fit = digest.hexdigest()
        self._moments = np.vstack([moments.mean, moments.covariance])
        if self._held is None:
            return
        header, arrays = self._held
        held = arrays.pop("moments")
        # To rounding: another machine may sum in another order.
        scale = np.abs(self._moments).max()
        same_samples = held.shape == self._moments.shape and np.allclose(
            held, self._moments, rtol=1e-9, atol=1e-9 * scale
        )
        if header["fit"] != self._fit or not same_samples:
            raise ValueError(
                f"{self._path} is the checkpoint of another fit: its samples or options differ, "
                f"one of the two fits has its samples in chunks, or another version of fastgsm "
                f"wrote it. Give what that fit was given, or delete the file to start again."
            )
        self.saved = arrays, header["lower_bounds"]

    def save(self, state: dict[str, FloatArray], lower_bounds: list[float]) -> None:
        """Write the state, unless that was done less than SAVE_SECONDS ago."""
        if time.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        header = json.dumps({"fit": self._fit, "lower_bounds": lower_bounds}).encode()
        arrays: dict[str, Any] = {"header": np.frombuffer(header, np.uint8), **state}
        with atomic_path(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, moments=self._moments, **arrays)
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Delete the file: the fit is done."""
        self._path.unlink(missing_ok=True)
