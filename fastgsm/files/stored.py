"""Images larger than memory, read and written in parts: TIFF, NPY and Zarr.

A result grows in a folder next to its final path, together with the list of finished tiles. So a
stopped run can go on, and nobody mistakes half a result for a whole one.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import tiff, tiff_write
from fastgsm.files.formats import MAX_PIXELS
from fastgsm.files.image_file import ImageFile
from fastgsm.files.paths import (
    check_output_path,
    check_parent,
    check_regular,
    decoding,
    replace_on_disk,
)

FORMATS = {".zarr": "ZARR", ".npy": "NPY", ".tif": "TIFF", ".tiff": "TIFF"}
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")


class Stored:
    """The pixels of a file, (height, width[, 3]), in the machine's own byte order.

    ``array`` is the file as an array of the package that reads its format; messages name ``path``.
    """

    def __init__(self, array: Any, path: Path) -> None:
        self.shape = tuple(array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self._array, self._path = array, path

    def __getitem__(self, part: tuple[slice, ...]) -> np.ndarray:
        with decoding(f"cannot read {self._path}: "):
            return np.array(self._array[part], self.dtype, order="C")

    def __setitem__(self, part: tuple[slice, ...], pixels: np.ndarray) -> None:
        self._array[part] = pixels

    def close(self) -> None:
        """Write what is still in memory to the disk, and release the file."""
        if isinstance(self._array, np.memmap):
            self._array.flush()
        self._array = None


def is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr folder, by its name or its content."""
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in ZARR_FILES)


@contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """Open a grey or RGB image (channels last), with a `Stored` as its `array`."""
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    check_regular(path)
    format_ = "ZARR" if is_zarr(path) else FORMATS.get(path.suffix.lower())
    if format_ is None or path.is_dir() != (format_ == "ZARR"):
        kind = "folder" if path.is_dir() else "file"
        raise ValueError(
            f"{path} is another kind of {kind}; --tile reads one image from a TIFF (.tif) or NPY "
            f"(.npy) file, or from the folder of a Zarr array (.zarr)"
        )
    with ExitStack() as stack:
        with decoding(f"cannot read {path}: "):
            image = _open(path, format_, stack)
            _check_image(image.array)
            # If this installation cannot decode the file, fail now and not after hours.
            _ = image.array[(slice(0, 1),) * image.array.ndim]
        yield image


def _open(path: Path, format_: str, stack: ExitStack) -> ImageFile:
    if format_ == "TIFF":
        file = stack.enter_context(path.open("rb"))
        image = stack.enter_context(tiff.opened(file, MAX_PIXELS))
        return replace(image, array=cast(Any, Stored(image.array, path)))
    if format_ == "NPY":
        array = np.lib.format.open_memmap(path, mode="r")
    else:
        array = _zarr_array(path)
        tiff.check_part_size(array.chunks, MAX_PIXELS)
    return ImageFile(cast(Any, Stored(array, path)))


def _zarr_array(path: Path) -> Any:
    """Open the array in a folder for reading; raise if it has none or several."""
    zarr = import_extra("zarr", "zarr")
    array = zarr.open(path, mode="r")
    if not isinstance(array, zarr.Array):
        names = ", ".join(sorted(array.keys())) or "none"
        raise ValueError(f"it is a group of arrays ({names}), not an array; give one of them, as "
                         f"{path}/NAME")  # fmt: skip
    return array


def _check_image(array: Any) -> None:
    if array.dtype.kind not in "uif":
        raise ValueError(f"pixels must be integers or floats, not {array.dtype}")
    if 0 in array.shape:
        raise ValueError(f"the image is empty: its shape is {array.shape}")
    if array.ndim == 3 and array.shape[2] in (2, 4):
        raise ValueError(f"it has {array.shape[2]} channels, the last of them alpha, which --tile "
                         f"does not support; save it without alpha")  # fmt: skip
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise ValueError(f"its shape is {array.shape}; wanted (height, width), or (height, width, "
                         f"3) for RGB")  # fmt: skip


def check_output(path: Path, source: Path) -> None:
    """Raise, before any work is done, if no result can be written at ``path``."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: --tile writes .zarr, .npy or .tif; give one of these extensions")
    target, given = path.resolve(), source.resolve()
    if path.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input file {source}; give another output file")
    if target in given.parents or given in target.parents:
        raise ValueError(f"one of {path} and {source} lies within the other; give another output")
    if path.suffix.lower() != ".zarr":
        check_output_path(path)
        return
    check_parent(path)
    if path.exists():
        # An array is replaced like a file. A folder that is not just an array is left alone.
        with decoding(f"{path} exists and is not a Zarr array (", "); give another output"):
            _zarr_array(path)


class Result:
    """A result that stays in the folder PATH.partial until it is complete.

    What is at the final ``path`` is replaced at the end. The result has the shape, the type and,
    in a TIFF, the tags of ``image``; in a Zarr array, chunks of shape ``chunks``. The list of
    finished tiles is ``checkpoint`` in ``folder``.
    """

    def __init__(self, path: Path, image: ImageFile, chunks: tuple[int, ...]) -> None:
        self._target, self._image, self._chunks = path.resolve(), image, chunks
        self.folder = self._target.with_name(f"{self._target.name}.partial")
        self.checkpoint = self.folder / "done.txt"
        suffix = self._target.suffix.lower()
        self._format = FORMATS[suffix]
        self._inside = self.folder / f"image{suffix}"
        self._older = self.folder / f"replaced{suffix}"

    @contextmanager
    def written(self) -> Iterator[Stored]:
        """Yield the pixels to write, and move them to the final path if the block succeeds.

        Otherwise the folder is kept if it has a checkpoint, and removed if not. So the block must
        not delete the checkpoint; it is removed once the pixels are at the final path.
        """
        self._bring_back()
        reopened = self._reopen() if self.checkpoint.exists() else None
        self.folder.mkdir(exist_ok=True)
        try:
            out = self._create() if reopened is None else reopened
            yield out
            out.close()
            self._put()
        finally:
            self._bring_back()
            # Pixels that have been moved to the final path are no longer inside.
            if not (self.checkpoint.exists() and self._inside.exists()):
                self._remove()

    def _create(self) -> Stored:
        shape, dtype = self._image.array.shape, self._image.array.dtype
        if self._format == "ZARR":
            zarr = import_extra("zarr", "zarr")
            array = zarr.create_array(
                self._inside, shape=shape, dtype=dtype, chunks=self._chunks, overwrite=True
            )
        else:
            # A mapped file is sparse. If the disk became full, the process would be killed.
            n_bytes, free = math.prod(shape) * dtype.itemsize, shutil.disk_usage(self.folder).free
            if free < n_bytes:
                raise ValueError(f"{self._target} needs {n_bytes} bytes, but {free} are free on "
                                 f"its disk; make room, or give another output")  # fmt: skip
            if self._format == "TIFF":
                array = tiff_write.create(self._inside, self._image)
            else:
                array = np.lib.format.open_memmap(self._inside, "w+", dtype, shape)
        return Stored(array, self._inside)

    def _reopen(self) -> Stored:
        image = self._image.array
        before = f"{self.folder} was not left by a run like this one ("
        with decoding(before, "); delete it to start again"):
            if self._format == "ZARR":
                array = import_extra("zarr", "zarr").open_array(self._inside, mode="r+")
            elif self._format == "TIFF":
                array = tiff_write.reopen(self._inside)
            else:
                array = np.lib.format.open_memmap(self._inside, "r+")
            stored = Stored(array, self._inside)
            if (stored.shape, stored.dtype) != (image.shape, image.dtype):
                raise ValueError(f"it has shape {stored.shape} and dtype {stored.dtype}")
        return stored

    def _put(self) -> None:
        """Move the pixels to the final path, in place of an older result."""
        if self._inside.is_file():
            replace_on_disk(self._inside, self._target)
            return
        if self._target.exists():
            if self._older.exists():
                shutil.rmtree(self._older)
            os.replace(self._target, self._older)  # a folder cannot replace another one
        os.replace(self._inside, self._target)

    def _bring_back(self) -> None:
        """Move an older result back if nothing has taken its place."""
        if self._older.exists() and not self._target.exists():
            os.replace(self._older, self._target)

    def _remove(self) -> None:
        """Remove what this class made, but nothing that somebody else put there."""
        for path in (self.checkpoint, self._inside, self._older):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
