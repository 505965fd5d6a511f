"""Models as files: a NumPy archive with a JSON header, never a pickle."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastgsm._types import FloatArray
from fastgsm.files.paths import atomic_path, check_output_path, check_regular, reason
from fastgsm.models._archive import (
    FORMAT,
    HEADER,
    NAMES,
    VERSION,
    check_archive,
    read_array,
    read_header,
)
from fastgsm.models._base import PatchModel
from fastgsm.models.gmm import GMM
from fastgsm.models.gsm import GSM
from fastgsm.models.ica import ICA
from fastgsm.models.mogsm import MoGSM
from fastgsm.models.mvn import MVN

MODELS: dict[str, type[PatchModel]] = {m.__name__: m for m in (MVN, GSM, GMM, MoGSM, ICA)}


def save_model(model: PatchModel, path: str | Path, dtype: Any = np.float64) -> None:
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
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": type(model).__name__,
        "options": plain_options(model),
        "lower_bounds": model.lower_bounds_,
        "converged": model.converged_,
        "n_samples_seen": model.n_samples_seen_,
    }
    arrays: dict[str, Any] = {
        name: np.asarray(values, dtype) for name, values in model._arrays().items()
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def plain_options(model: PatchModel) -> dict[str, bool | int | float | str]:
    """Give the options of ``model`` that JSON can hold, NumPy's scalars as Python's."""
    options = model.get_params()
    plain = {
        name: value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
        for name, value in options.items()
    }
    return {
        name: value for name, value in plain.items() if isinstance(value, (bool, int, float, str))
    }


def load(path: str | Path) -> PatchModel:
    """Read a model that was written by its `save` method.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    model : MVN, GSM, GMM, MoGSM or ICA
        Fitted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a complete and valid model, or was written by a newer version. Nothing
        in a file is executed.

    Examples
    --------
    >>> import fastgsm, pathlib, tempfile
    >>> prior = fastgsm.load_prior("gsm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "mine.npz"
    ...     prior.save(path)
    ...     same = fastgsm.load(path)
    >>> bool((same.scales_ == prior.scales_).all())
    True
    """
    path = Path(path)
    check_regular(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no model file {path}.") from None
    with file:
        try:
            return _read_model(file)
        except MemoryError:
            raise
        # A damaged file can fail anywhere in zipfile, NumPy and json, with errors of any kind.
        except Exception as error:
            raise ValueError(
                f"{path} is not a fastgsm model that can be read: {reason(error)}. Wanted a "
                f"complete .npz file written by a model's save method."
            ) from error


def _read_model(file: BinaryIO) -> PatchModel:
    with zipfile.ZipFile(file) as archive:
        check_archive(archive, os.fstat(file.fileno()).st_size)
        header = read_header(archive)
        if header["model"] not in MODELS:
            raise ValueError(f"it holds a model of unknown class {header['model']!r}")
        model = MODELS[header["model"]](**header["options"])
        arrays: dict[str, FloatArray] = {
            name.removesuffix(".npy"): read_array(archive, name, "f8", "f4").astype(np.float64)
            for name in archive.namelist()
            if name != HEADER
        }
    model._check_options()
    wanted = NAMES - {"means"} if isinstance(model, ICA) else NAMES
    if set(arrays) != wanted:
        given = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"it holds {given}; a model has {', '.join(sorted(wanted))}")
    model._set_arrays(arrays)
    lower_bounds = [float(value) for value in header["lower_bounds"]]
    if not (lower_bounds and np.isfinite(lower_bounds).all()):
        raise ValueError("its log-likelihoods are missing, NaN or infinite")
    model.lower_bounds_ = lower_bounds
    model.lower_bound_ = lower_bounds[-1]
    model.n_iter_ = len(lower_bounds)
    model.converged_ = header["converged"]
    # Files from before there was `partial_fit` do not say.
    seen = header.get("n_samples_seen", 0.0)
    if not isinstance(seen, (int, float)) or not 0 <= seen < np.inf:
        raise ValueError(f"its number of samples is {seen!r}; wanted a number of at least 0")
    model.n_samples_seen_ = float(seen)
    return model
