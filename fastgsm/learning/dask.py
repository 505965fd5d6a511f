"""Sums over chunks of samples on Dask."""

from __future__ import annotations

import functools
import operator
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastgsm._extras import import_extra
from fastgsm.learning.chunks import Chunk

# A function that gives chunks, and its arguments: what a task begins with.
Source = tuple[Callable[..., Iterator[Chunk]], tuple[Any, ...]]


# Results that one task adds up: 8 results of 6.5 MB (200 covariances of 8x8 patches) are soon sent.
FAN_IN = 8


class _Sums:
    """What adds up functions of all chunks, on Dask: a `Reduction`."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        self._delayed = import_extra("dask", "dask").delayed

    def share(self, value: Any) -> Any:
        """Give a task of its own, whose result every worker is sent once."""
        with _no_warning_of_size():
            return self._sent(value).persist()

    def __call__(self, function: Callable[..., Any], *args: Any, **shared: Any) -> Any:
        given = self._sent(args)
        task = self._delayed(_total, pure=False)
        parts = [task(function, chunks, given, shared, *chunk) for chunks, chunk in self._sources]
        add = self._delayed(_added, pure=False)
        while len(parts) > 1:
            parts = [add(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
        with _no_warning_of_size():
            total = parts[0].persist()  # with a cluster, this submits and does not wait
        return total.compute()

    def _sent(self, value: Any) -> Any:
        # Pickled, since Dask would look for its own objects in all that it is made of.
        return self._delayed(pickle.loads, pure=False)(pickle.dumps(value))


def _no_warning_of_size() -> Any:
    """Give a context in which the parameters of 200 shapes, 13 MB, are sent without a warning.

    It would advise to scatter them, and what is scattered is lost with the worker that holds it.
    """
    name = "distributed.admin.large-graph-warning-threshold"
    return import_extra("dask.config", "dask").set({name: "1 GB"})


def _total(
    function: Callable[..., Any],
    chunks: Callable[..., Iterator[Chunk]],
    args: tuple[Any, ...],
    shared: dict[str, Any],
    *given: Any,
) -> Any:
    """Add up what a function gives of chunks."""
    return _added(function(chunk, *args, **shared) for chunk in chunks(*given))


def _added(parts: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, parts)
