"""Distances that a worker keeps between two passes over its samples."""

from __future__ import annotations

from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from fastgsm._types import FloatArray
from fastgsm.learning.chunks import Chunk


class HasDistances(Protocol):
    """Shapes that samples have squared Mahalanobis distances from."""

    def distances(self, X: FloatArray) -> FloatArray:
        """Return the distances of samples (n, d), with the samples along the last axis."""


Origin = TypeVar("Origin", bound=HasDistances)


class KeptDistances(Generic[Origin]):
    """Squared Mahalanobis distances of parts of chunks, kept by the process that computes them.

    For passes over the data between which weights and scales change, but no shape: the next pass
    finds what the last one left here. Copies begin empty, and what is missing is computed again,
    to the same bits.

    Parameters
    ----------
    origin
        The shapes.
    room : float
        Most bytes to keep.
    """

    def __init__(self, origin: Origin, room: float) -> None:
        self.origin = origin
        self._kept: dict[int, FloatArray] = {}
        self._limit = self._room = room
        self._lock = Lock()

    def of(self, part: Chunk) -> FloatArray:
        """Return the distances (K, n) of a part, and keep them no longer."""
        with self._lock:
            kept = self._kept.pop(part.numbers[0], None)
            if kept is not None:
                self._room += kept.nbytes
                return kept
        return self.origin.distances(part.X)

    def keep(self, part: Chunk, distances: FloatArray) -> None:
        """Keep the distances of a part, if there is room for them."""
        number = part.numbers[0]
        with self._lock:
            if number not in self._kept and distances.nbytes <= self._room:
                self._kept[number] = distances
                self._room -= distances.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.origin, self._limit)
