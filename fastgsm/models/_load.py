"""Reading a model from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastgsm._registry import MODELS
from fastgsm.files.paths import check_regular, reason
from fastgsm.learning.em import History
from fastgsm.models._archive import read_archive
from fastgsm.models._base import PatchModel

# Arrays that files of models may hold.
ARRAY_NAMES = frozenset().union(*(entry.model.array_names for entry in MODELS.values()))


def load(path: str | os.PathLike[str]) -> PatchModel:
    """Read a model that was written by its `save` method.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    model : any model of fastgsm
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
    header, arrays = read_archive(file, ARRAY_NAMES)
    if header["model"] not in MODELS:
        raise ValueError(f"it holds a model of unknown class {header['model']!r}")
    model: PatchModel = MODELS[header["model"]].model(**header["options"])
    model._check_options()
    if set(arrays) != model.array_names:
        given = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"it holds {given}; a model has {', '.join(sorted(model.array_names))}")
    model._set_arrays(arrays)
    lower_bounds = [float(value) for value in header["lower_bounds"]]
    if not (lower_bounds and np.isfinite(lower_bounds).all()):
        raise ValueError("its log-likelihoods are missing, NaN or infinite")
    model._note(History(lower_bounds, header["converged"]))
    # Files from before there was `partial_fit` do not say.
    seen = header.get("n_samples_seen", 0.0)
    if not isinstance(seen, (int, float)) or not 0 <= seen < np.inf:
        raise ValueError(f"its number of samples is {seen!r}; wanted a number of at least 0")
    model.n_samples_seen_ = float(seen)
    return model
