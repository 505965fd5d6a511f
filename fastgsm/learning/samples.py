"""Checks of samples: their arrays, their magnitude and their weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastgsm._arrays import is_narrow, peak_of, plain_array
from fastgsm._checks import as_numbers, check_numbers
from fastgsm._types import FloatArray


def check_samples(X: Any, n_features: int | None = None, name: str = "X") -> FloatArray:
    """Return samples as a C-contiguous float32 or float64 array of shape (n_samples, n_features).

    Raise TypeError if X is sparse or holds anything but numbers, and ValueError if it is complex,
    not 2-D or empty, holds NaN or infinity, or does not have ``n_features`` columns.
    """
    array = as_numbers(plain_array(X, name), name)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}.")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: {name} has shape {array.shape}; "
            f"wanted (n_samples, n_features). Reshape your data: {name}.reshape(1, -1) for one "
            f"sample, {name}.reshape(-1, 1) for one feature."
        )
    for axis, what in enumerate(("sample", "feature")):
        if array.shape[axis] == 0:
            raise ValueError(
                f"Found array {name} with 0 {what}(s) (shape={array.shape}) "
                f"while a minimum of 1 is required."
            )
    if n_features is not None and array.shape[1] != n_features:
        side = math.isqrt(n_features)
        patches = f" (patches of {side}x{side} pixels)" if side * side == n_features else ""
        raise ValueError(
            f"{name} has {array.shape[1]} features, but it is expecting {n_features} "
            f"features as input{patches}."
        )
    array = np.ascontiguousarray(array, dtype=np.float32 if is_narrow(array.dtype) else np.float64)
    if not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "infinity"
        raise ValueError(
            f"Input {name} contains {kind}; wanted finite numbers. "
            f"Remove or replace those samples first."
        )
    return array


def magnitudes(dtype: Any) -> tuple[float, float]:
    """Return the least and greatest standard deviation that models handle in ``dtype``.

    Within them, ``dtype`` holds variances, their inverses and, with a floor of 1e-6, those of the
    least scales.
    """
    return (1e-15, 1e15) if dtype == np.float32 else (1e-100, 1e100)


def check_magnitude(X: FloatArray) -> None:
    """Raise ValueError unless models can be learned from the squares of ``X`` in its type."""
    least, most = magnitudes(X.dtype)
    peak = peak_of(X)
    if peak > most or 0 < peak < least:
        raise ValueError(
            f"X has values up to {peak:g}, too {'large' if peak > most else 'small'} to learn "
            f"from in {X.dtype}; wanted {least:g} to {most:g}. Rescale X"
            f"{', or use float64' if X.dtype == np.float32 else ''}."
        )


def check_deviations(peak: float, spread: float, dtype: Any, name: str) -> None:
    """Raise ValueError if values up to ``peak`` have squares that ``dtype`` cannot hold.

    That includes squares in units of a model's variance, whose root is ``spread``.
    """
    least, most = magnitudes(dtype)
    most = min(most, (1e12 if dtype == np.float32 else 1e100) * spread)
    if peak > most or not spread >= least:
        raise ValueError(
            f"{name} is up to {peak:g}, and the standard deviation of the model's samples is "
            f"{spread:.3g}; in {np.dtype(dtype)} wanted at most {most:.3g}, and a deviation of at "
            f"least {least:g}. Give {name} in the units of the training data"
            f"{', or use float64' if dtype == np.float32 else ''}."
        )


def check_sample_weight(sample_weight: Any, n_samples: int, dtype: Any) -> FloatArray:
    """Return the weights as an array (n_samples,) of ``dtype``; ones for None.

    Weights above 0 are scaled to mean 1, so that later sums stay in the range of ``dtype`` and
    only the ratios of weights matter.
    """
    if sample_weight is None:
        return np.ones(n_samples, dtype)
    weights = check_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; wanted one weight for each of the "
            f"{n_samples} samples: shape ({n_samples},)."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight holds NaN, infinity or negative weights; wanted >= 0.")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
    weights = weights / weights.max()
    return (weights / weights[weights > 0].mean()).astype(dtype)


def total_weight(sample_weight: Any, n_samples: int) -> float:
    """Return the sum of the weights as they were given; each counts 1 for None."""
    if sample_weight is None:
        return float(n_samples)
    weights = check_numbers(sample_weight, "sample_weight")
    with np.errstate(over="ignore"):
        total = float(np.broadcast_to(weights, n_samples).sum())
    return min(total, float(np.finfo(np.float64).max))
