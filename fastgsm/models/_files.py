"""Models as files: a NumPy archive with a JSON header, never a pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastgsm._validation import FloatArray
from fastgsm.io import atomic_path
from fastgsm.models._base import PatchModel
from fastgsm.models.gmm import GMM
from fastgsm.models.gsm import GSM
from fastgsm.models.ica import ICA
from fastgsm.models.mogsm import MoGSM
from fastgsm.models.mvn import MVN

FORMAT = "fastgsm-model"
VERSION = 1
MODELS: dict[str, type[PatchModel]] = {m.__name__: m for m in (MVN, GSM, GMM, MoGSM, ICA)}

# A model of 1,000 full covariances of 16x16 patches in float64 takes half of this.
MAX_BYTES = 2**30
MAX_HEADER_BYTES = 2**20

_NAMES = {"weights", "scales", "means", "eigenvalues", "eigenvectors"}


def save_model(model: PatchModel, path: str | Path, dtype: Any = np.float64) -> None:
    """Write ``model`` to ``path``, its arrays as ``dtype``."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"cannot save a model as {path.name!r}: the name must end in .npz.")
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
        "options": _plain_options(model),
        "lower_bounds": model.lower_bounds_,
        "converged": model.converged_,
    }
    arrays: dict[str, Any] = {
        name: np.asarray(values, dtype) for name, values in model._arrays().items()
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} of {path.name} does not exist; create it first."
        )
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def _plain_options(model: PatchModel) -> dict[str, bool | int | float | str]:
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
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no model file {path}.") from None
    with file:
        try:
            return _read_model(file)
        # A damaged file can fail anywhere in zipfile, NumPy and json, with errors of any kind.
        except Exception as error:
            raise ValueError(
                f"{path} is not a fastgsm model that can be read: {error}. Wanted a complete .npz "
                f"file written by a model's save method."
            ) from error


def _read_model(file: BinaryIO) -> PatchModel:
    with zipfile.ZipFile(file) as archive:
        header = _read_header(archive)
        model = MODELS[header["model"]](**header["options"])
        arrays: dict[str, FloatArray] = {
            name.removesuffix(".npy"): _read_array(archive, name).astype(np.float64)
            for name in archive.namelist()
            if name != "header.npy"
        }
    if not set(arrays) <= _NAMES:
        raise ValueError("it holds arrays that no model has")
    model._check_options()
    model._set_arrays(arrays)
    lower_bounds = [float(value) for value in header["lower_bounds"]]
    model.lower_bounds_ = lower_bounds
    model.lower_bound_ = lower_bounds[-1]
    model.n_iter_ = len(lower_bounds)
    model.converged_ = bool(header["converged"])
    return model


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
        raise ValueError(f"its contents are larger than the limit of {MAX_BYTES >> 20} MiB")
    if archive.getinfo("header.npy").file_size > MAX_HEADER_BYTES:
        raise ValueError("its header is too large")
    header = json.loads(_read_array(archive, "header.npy").tobytes())
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    if header["version"] != VERSION:
        raise ValueError(
            f"it has version {header['version']!r} of the format and this fastgsm reads "
            f"version {VERSION}; use the release that wrote it"
        )
    if header["model"] not in MODELS:
        raise ValueError(f"it holds a model of unknown class {header['model']!r}")
    return dict(header)


def _read_array(archive: zipfile.ZipFile, name: str) -> FloatArray:
    """Read one array, whose header must claim no more bytes than its file has."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has the array format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "fu" or dtype.itemsize * int(np.prod(shape, dtype=object)) > size:
            raise ValueError(f"{name} claims {shape} values of type {dtype}")
    with archive.open(name) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
