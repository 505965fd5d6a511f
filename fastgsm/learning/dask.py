"""Sums over chunks of samples on Dask."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastgsm._arrays import is_dask, is_narrow
from fastgsm._checks import check_numbers
from fastgsm._extras import import_extra
from fastgsm.learning.chunks import KEPT_BYTES, Chunk, added
from fastgsm.learning.data import Data

# A function that yields chunks, and its arguments: what a task begins with.
Source = tuple[Callable[..., Iterator[Chunk]], tuple[Any, ...]]

# Results that one task adds up: 8 results of 6.5 MB (200 covariances of 8x8 patches) are soon sent.
FAN_IN = 8


class DaskSums:
    """A `Reduction` over chunks that Dask's workers hold."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        self._delayed = import_extra("dask", "dask").delayed
        self.kept_bytes: float = KEPT_BYTES

    def share(self, value: Any) -> Any:
        """Return a task that makes the value, so that each worker receives it once."""
        with _no_warning_of_size():
            return self._sent(value).persist()

    def __call__(self, function: Callable[..., Any], *args: Any, **shared: Any) -> Any:
        """Return the sum of ``function(chunk, *args, **shared)``, added by a fixed tree."""
        given = self._sent(args)
        task = self._delayed(_total, pure=False)
        parts = [task(function, chunks, given, shared, *chunk) for chunks, chunk in self._sources]
        add = self._delayed(added, pure=False)
        while len(parts) > 1:
            parts = [add(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
        with _no_warning_of_size():
            total = parts[0].persist()  # with a cluster, this submits and does not wait
        return total.compute()

    def _sent(self, value: Any) -> Any:
        # Pickled, because Dask would search every part of the value for its own objects.
        return self._delayed(pickle.loads, pure=False)(pickle.dumps(value))


def _no_warning_of_size() -> AbstractContextManager[Any]:
    """Return a context in which the parameters of 200 shapes, 13 MB, are sent without a warning.

    It would advise to scatter them, but scattered data are lost with the worker that holds them.
    """
    if "distributed" not in sys.modules:
        # Without a client nothing is sent. If Dask imported the package inside the block, the end
        # of the block would delete the package's defaults.
        return nullcontext()
    name = "distributed.admin.large-graph-warning-threshold"
    context: AbstractContextManager[Any] = import_extra("dask.config", "dask").set({name: "1 GB"})
    return context


def _total(
    function: Callable[..., Any],
    chunks: Callable[..., Iterator[Chunk]],
    args: tuple[Any, ...],
    shared: dict[str, Any],
    *given: Any,
) -> Any:
    """Return the sum of a function over the chunks of one source."""
    return added(function(chunk, *args, **shared) for chunk in chunks(*given))


def source_data(sources: list[Source], shape: tuple[int, int], dtype: DTypeLike) -> Data:
    """Return the samples of sources, whose total shape and type are given."""
    narrow = is_narrow(np.dtype(dtype))
    return Data(*shape, np.dtype(np.float32 if narrow else np.float64), DaskSums(sources))


def array_data(X: Any, sample_weight: Any) -> Data:
    """Check a Dask array of samples and its weights, and return them."""
    da = import_extra("dask.array", "dask")
    check_dask(X, "X")
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}; wanted (n_samples, n_features).")
    check_known_shape(X, "X")
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}; wanted at least one sample of one feature.")
    X = announced(X, "X").rechunk({1: -1})
    weights = [None] * X.numblocks[0]
    if sample_weight is not None:
        if not is_dask(sample_weight):
            sample_weight = check_numbers(sample_weight, "sample_weight")
        sample_weight = da.asarray(sample_weight)
        check_known_shape(sample_weight, "sample_weight")
        if sample_weight.ndim == 0:
            sample_weight = da.broadcast_to(sample_weight, X.shape[:1])
        if sample_weight.shape != X.shape[:1]:
            raise ValueError(
                f"sample_weight has shape {sample_weight.shape}; wanted one weight for each of the "
                f"{X.shape[0]} samples: shape ({X.shape[0]},)."
            )
        sample_weight = announced(sample_weight, "sample_weight")
        weights = list(sample_weight.rechunk((X.chunks[0],)).to_delayed())
    firsts = np.cumsum([0, *X.chunks[0]])
    sources: list[Source] = [
        (_array_chunks, (chunk, weight, X.shape[1], int(first)))
        for chunk, weight, first, n in zip(
            X.to_delayed().ravel(), weights, firsts, X.chunks[0], strict=False
        )
        if n
    ]
    return source_data(sources, X.shape, X.dtype)


def _array_chunks(X: Any, sample_weight: Any, n_features: int, first: int) -> Iterator[Chunk]:
    yield Chunk.of(X, sample_weight, n_features, first)


def check_dask(array: Any, name: str) -> None:
    """Raise TypeError unless it is a Dask array, or ImportError if Dask is not installed."""
    import_extra("dask.array", "dask")
    if not is_dask(array):
        raise TypeError(
            f"{name} is a {type(array).__name__}; wanted a dask.array.Array. Make one with "
            f"dask.array.from_array or dask.array.from_zarr."
        )


def check_known_shape(array: Any, name: str) -> None:
    """Raise ValueError unless the lengths of all chunks are known."""
    if np.isnan(array.shape).any():
        raise ValueError(
            f"{name} has chunks of unknown length; wanted known ones: call its "
            f"compute_chunk_sizes() first."
        )


def announced(array: Any, name: str) -> Any:
    """Return the same Dask array, whose chunks are refused unless they have the announced shape.

    A fit would otherwise miss rows, or number them wrongly, without a word.
    """
    return array.map_blocks(_checked_block, name, dtype=array.dtype, meta=array._meta)


def _checked_block(block: Any, name: str, block_info: Any = None) -> Any:
    place = block_info[None]
    if np.shape(block) != tuple(place["chunk-shape"]):
        raise ValueError(
            f"the chunk {place['chunk-location']} of {name} has shape {np.shape(block)}, but the "
            f"Dask array announces {tuple(place['chunk-shape'])}. Give what made it, such as "
            f"map_blocks or from_delayed, the shapes of its results."
        )
    return block
