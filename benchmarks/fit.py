"""How long a model takes to learn, and how well it then explains patches it has not seen."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from fastgsm import _registry as registry

from .common import DTYPES, MODELS, THREADS, Array, fit, patches, threads

# Enough for the time of an iteration to outweigh the initialisation.
N_ITERATIONS = 10


def build(name: str) -> Any:
    """Return a model that runs exactly `N_ITERATIONS` iterations, where it iterates at all."""
    options = {"max_iter": N_ITERATIONS, "tol": 0.0} if registry.MODELS[name].iterates else {}
    return MODELS[name](**options)


class Fit:
    """A fixed number of EM iterations on 10,000 patches of 8x8 pixels."""

    params = (list(MODELS), DTYPES, THREADS)
    param_names = ("model", "dtype", "threads")

    def setup_cache(self) -> Array:
        """Compile into Numba's cache, so that no measured process compiles; return the data."""
        X = patches(seed=0)
        for values in itertools.product(*self.params):
            self.setup(X, *values)
        return X

    def setup(self, X: Array, name: str, dtype: str, count: int) -> None:
        self.X = X.astype(dtype)
        with threads(count):
            fit(build(name), self.X[:500])  # loads what is compiled

    def time_fit(self, X: Array, name: str, dtype: str, count: int) -> None:
        with threads(count):
            fit(build(name), self.X)


class Memory:
    """Peak memory of learning; "nothing" is the interpreter, the imports and the data."""

    params = (["nothing", *MODELS],)
    param_names = ("model",)

    def setup_cache(self) -> Array:
        return patches(seed=0).astype("float32")

    def setup(self, X: Array, name: str) -> None:
        if name != "nothing":
            fit(build(name), X[:500])

    def peakmem_fit(self, X: Array, name: str) -> None:
        if name != "nothing":
            fit(build(name), X)


class Quality:
    """A model fitted until it converges."""

    params = (list(MODELS),)
    param_names = ("model",)

    def setup_cache(self) -> tuple[Array, Array]:
        return patches(seed=0), patches(seed=10)

    def track_negative_log_likelihood(self, data: tuple[Array, Array], name: str) -> float:
        training, held_out = data
        score = fit(MODELS[name](), training).score(held_out)
        # The probability of patches rounded to 256 levels: so the result is above 0, and the
        # dashboard's overview shows a curve.
        return held_out.shape[1] * float(np.log(256)) - score

    track_negative_log_likelihood.unit = "nats per held-out patch"  # type: ignore[attr-defined]
