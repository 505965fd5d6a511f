"""Writing a model to a file: a NumPy archive with a JSON header, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastgsm.files.paths import atomic_path, check_output_path
from fastgsm.models._model import Model

FORMAT = "fastgsm-model"
VERSION = 1
MAX_HEADER_BYTES = 2**20


def save_model(model: Model, path: str | Path, dtype: DTypeLike = np.float64) -> None:
    """Write ``model`` to ``path``, its arrays as ``dtype``."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"cannot save a model as {path.name!r}: the name must end in .npz.")
    check_output_path(path)
    try:
        type(model)(**model.get_params())._set_arrays(model._arrays())
    except ValueError as error:
        raise ValueError(
            f"cannot save a model that could not be loaded: {error}. "
            f"Fit it again after changing its options."
        ) from None
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model": type(model).__name__,
        "options": plain_options(model),
        "lower_bounds": model.lower_bounds_,
        "converged": model.converged_,
        "n_samples_seen": model.n_samples_seen_,
    }
    if hasattr(model, "feature_names_in_"):
        header["feature_names"] = model.feature_names_in_.tolist()
    text = json.dumps(header).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(
            f"cannot save a model with options and feature names of {len(text)} bytes; wanted at "
            f"most {MAX_HEADER_BYTES}. Give the columns of X shorter names, and fit it again."
        )
    # mypy takes arrays by keyword for the option `allow_pickle`.
    arrays: dict[str, Any] = {
        name: np.asarray(values, dtype) for name, values in model._arrays().items()
    }
    arrays["header"] = np.frombuffer(text, np.uint8)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def plain_options(model: Model) -> dict[str, bool | int | float | str]:
    """Return the options that JSON can hold, with NumPy's scalars as Python's."""
    plain = {
        name: value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
        for name, value in model.get_params().items()
    }
    scalars = (bool, int, float, str)
    return {name: value for name, value in plain.items() if isinstance(value, scalars)}
