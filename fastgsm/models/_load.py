"""Reading a model from a file."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np
from numpy.typing import NDArray

from fastgsm._registry import MODELS
from fastgsm._types import FloatArray
from fastgsm.files.paths import check_regular, reason
from fastgsm.learning.em import History
from fastgsm.models._base import PatchModel
from fastgsm.models._save import FORMAT, MAX_HEADER_BYTES, VERSION

# A model of 1,000 full covariances of 16x16 patches in float64 takes half of this.
MAX_BYTES = 2**30
# Models are stored uncompressed, and compression by others hardly makes them smaller.
MAX_COMPRESSION = 100

HEADER = "header.npy"

# Entries of the header, and their types.
_ENTRIES: dict[str, type] = {
    "format": str,
    "version": int,
    "model": str,
    "options": dict,
    "lower_bounds": list,
    "converged": bool,
}

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
    header, arrays = _read_archive(file)
    if header["model"] not in MODELS:
        raise ValueError(f"it holds a model of unknown class {header['model']!r}")
    model: PatchModel = MODELS[header["model"]].model(**header["options"])
    model._check_options()
    if set(arrays) != model.array_names:
        given = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"it holds {given}; a model has {', '.join(sorted(model.array_names))}")
    model._set_arrays(arrays)
    lower_bounds = [float(value) for value in header["lower_bounds"]]
    if not np.isfinite(lower_bounds).all():
        raise ValueError("its log-likelihoods are NaN or infinite")
    model._note(History(lower_bounds, header["converged"]))
    # Files from before there was `partial_fit` do not say.
    seen = header.get("n_samples_seen", 0.0)
    if not isinstance(seen, (int, float)) or not 0 <= seen < np.inf:
        raise ValueError(f"its number of samples is {seen!r}; wanted a number of at least 0")
    model.n_samples_seen_ = float(seen)
    names = header.get("feature_names")  # only where the samples had some
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("its feature names are not a list of texts")
        if len(names) != model.n_features_in_:
            raise ValueError(f"it has {len(names)} names for {model.n_features_in_} features")
        model._set_names(np.array(names, dtype=object))
    return model


def _read_archive(file: BinaryIO) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Return the header and the arrays, in float64; raise an error if they cannot be a model's."""
    with zipfile.ZipFile(file) as archive:
        _check_archive(archive, os.fstat(file.fileno()).st_size)
        header = _read_header(archive)
        arrays: dict[str, FloatArray] = {
            name.removesuffix(".npy"): _read_array(archive, name, "f8", "f4").astype(np.float64)
            for name in archive.namelist()
            if name != HEADER
        }
    return header, arrays


def _check_archive(archive: zipfile.ZipFile, file_size: int) -> None:
    """Raise, before anything is expanded, unless the archive has the entries of a model."""
    entries = archive.namelist()
    if HEADER not in entries:
        raise ValueError("it has no header")
    known = {HEADER} | {f"{name}.npy" for name in ARRAY_NAMES}
    if len(set(entries)) < len(entries) or not set(entries) <= known:
        raise ValueError("it holds arrays that no model has")
    # Python's bz2 and LZMA decoders expand everything at once.
    if any(i.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for i in archive.infolist()):
        raise ValueError("it is compressed by another method than deflate")
    contents = sum(info.file_size for info in archive.infolist())
    limit = min(MAX_BYTES, MAX_COMPRESSION * file_size)
    if contents > limit:
        raise ValueError(f"its contents claim {contents} bytes, above the limit of {limit}")
    if archive.getinfo(HEADER).file_size > MAX_HEADER_BYTES:
        raise ValueError("its header is too large")


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the header, checked."""
    header = json.loads(_read_array(archive, HEADER, "u1").tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    if header.get("format") != FORMAT:
        raise ValueError(f"its format is {header.get('format')!r}")
    if header.get("version") != VERSION:
        raise ValueError(
            f"it has version {header.get('version')!r} of the format and this fastgsm reads "
            f"version {VERSION}; use the release that wrote it"
        )
    for name, kind in _ENTRIES.items():
        if not isinstance(header.get(name), kind):
            raise ValueError(
                f"its header says {name} = {header.get(name)!r}; wanted a {kind.__name__}"
            )
    for name, value in header["options"].items():
        if not isinstance(value, (bool, int, float, str)):
            raise ValueError(f"its option {name} is {value!r}; wanted a number or a word")
    return header


def _read_array(archive: zipfile.ZipFile, name: str, *dtypes: str) -> NDArray[Any]:
    """Read an array of one of the types; its header must claim no more than its file has."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has the array format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.str[1:] not in dtypes:
            raise ValueError(f"{name} has values of type {dtype}, not {' or '.join(dtypes)}")
        if min(shape, default=1) < 1 or dtype.itemsize * math.prod(shape) > size:
            raise ValueError(f"{name} claims an array of shape {shape} in {size} bytes")
    with archive.open(name) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
