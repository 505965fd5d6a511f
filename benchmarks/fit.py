"""How long a model takes to learn, and how well it then explains patches it has not seen."""

from __future__ import annotations

import itertools
from typing import Any

import numba
from numpy.typing import NDArray

from .common import DTYPES, MODELS, THREADS, fit, patches

# Enough for the time of an iteration to outweigh the initialisation.
N_ITERATIONS = 10


def build(name: str) -> Any:
    """Return a model that runs exactly `N_ITERATIONS` iterations, where it iterates at all."""
    options = {} if name == "MVN" else {"max_iter": N_ITERATIONS, "tol": 0.0, "random_state": 0}
    return MODELS[name](**options)


class Fit:
    """A fixed number of EM iterations on 10,000 patches of 8x8 pixels."""

    params = (list(MODELS), DTYPES, THREADS)
    param_names = ("model", "dtype", "threads")

    def setup_cache(self) -> NDArray[Any]:
        """Compile into Numba's cache, so that no measured process compiles; return the data."""
        X = patches(seed=0)
        for values in itertools.product(*self.params):
            self.setup(X, *values)
        return X

    def setup(self, X: NDArray[Any], name: str, dtype: str, threads: int) -> None:
        numba.set_num_threads(threads)
        self.X = X.astype(dtype)
        fit(build(name), self.X[:500])  # loads what is compiled

    def time_fit(self, X: NDArray[Any], name: str, dtype: str, threads: int) -> None:
        fit(build(name), self.X)

    def peakmem_fit(self, X: NDArray[Any], name: str, dtype: str, threads: int) -> None:
        fit(build(name), self.X)

    def peakmem_baseline(self, X: NDArray[Any], name: str, dtype: str, threads: int) -> None:
        """Show what the interpreter, the imports and `setup` take of `peakmem_fit`."""


class Quality:
    """A model fitted until it converges."""

    params = (list(MODELS),)
    param_names = ("model",)

    def setup_cache(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return patches(seed=0), patches(seed=10)

    def track_negative_log_likelihood(
        self, data: tuple[NDArray[Any], NDArray[Any]], name: str
    ) -> float:
        training, held_out = data
        return -float(fit(MODELS[name](), training).score(held_out))

    track_negative_log_likelihood.unit = "nats per held-out patch"  # type: ignore[attr-defined]
