"""Images larger than memory, in files of which parts are read and written: TIFF, NPY and Zarr.

A result is made in a folder beside the file that it will be, together with the list of the tiles
that are done; so a run that was stopped goes on, and nobody takes half a result for a whole one.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from fastgsm._extras import import_extra
from fastgsm.files import tiff as _tiff
from fastgsm.files.image_file import ImageFile
from fastgsm.files.paths import check_output_path, check_regular, reason
from fastgsm.io import MAX_PIXELS

FORMATS = {".zarr": "ZARR", ".npy": "NPY", ".tif": "TIFF", ".tiff": "TIFF"}
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")


class Stored:
    """The pixels of a file: an array of (height, width[, 3]) in the machine's own byte order.

    Parameters
    ----------
    array : array
        What the package that knows the format makes of the file.
    name : path
        Of the file, for messages.
    """

    def __init__(self, array: Any, name: Path) -> None:
        self.shape = tuple(array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self._array, self._name = array, name

    def __getitem__(self, part: tuple[slice, ...]) -> np.ndarray:
        try:
            return np.array(self._array[part], self.dtype, order="C")
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise _unreadable(self._name, error) from error

    def __setitem__(self, part: tuple[slice, ...], pixels: np.ndarray) -> None:
        self._array[part] = pixels

    def close(self) -> None:
        """Bring what was written to the disk, and let go of the file."""
        if isinstance(self._array, np.memmap):
            self._array.flush()
        self._array = None


def is_zarr(path: Path) -> bool:
    """Say whether a path is, by its name or by what is in it, a folder of Zarr's."""
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in ZARR_FILES)


@contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """Open an image whose `array` is `Stored`: grey, or RGB with the channels last."""
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    check_regular(path)
    format_ = "ZARR" if is_zarr(path) else FORMATS.get(path.suffix.lower())
    if format_ is None or path.is_dir() != (format_ == "ZARR"):
        kind = "folder" if path.is_dir() else "file"
        raise ValueError(
            f"{path} is a {kind} of another kind; --tile reads one image of TIFF (.tif) or NPY "
            f"(.npy), or the folder of a Zarr array (.zarr)"
        )
    with ExitStack() as stack:
        try:
            image = _open(path, format_, stack)
            _check_image(image.array)
            # What this installation cannot decode shows now, not after hours.
            _ = image.array[(slice(0, 1),) * image.array.ndim]
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise _unreadable(path, error) from error
        yield image


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"cannot read {path}: {reason(error)}")


def _open(path: Path, format_: str, stack: ExitStack) -> ImageFile:
    if format_ == "TIFF":
        file = stack.enter_context(path.open("rb"))
        array, orientation, icc, tags = stack.enter_context(_tiff.opened(file, MAX_PIXELS))
        orientation = orientation if orientation in range(1, 9) else 1
        return ImageFile(cast(Any, Stored(array, path)), None, orientation, icc, tags)
    if format_ == "NPY":
        array = np.lib.format.open_memmap(path, mode="r")
    else:
        array = _zarr_array(path)
        _tiff.check_part(array.chunks, MAX_PIXELS)
    return ImageFile(cast(Any, Stored(array, path)))


def _zarr_array(path: Path) -> Any:
    """Give the array of a folder, to be read; raise if it has none, or several."""
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
        raise ValueError(f"it has {array.shape[2]} channels, the last of them alpha, which is not "
                         f"denoised by tiles; save it without")  # fmt: skip
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise ValueError(f"its shape is {array.shape}; wanted (height, width), or (height, width, "
                         f"3) for RGB")  # fmt: skip


def check_output(path: Path, source: Path) -> None:
    """Raise, before any work is done, if no result of ``source`` can be written at ``path``."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: --tile writes .zarr, .npy or .tif; give one of these extensions")
    target, given = path.resolve(), source.resolve()
    if path.exists() and path.samefile(source):
        raise ValueError(f"{path} is the input file {source}; give another output file")
    if target in given.parents or given in target.parents:
        raise ValueError(f"one of {path} and {source} lies within the other; give another output")
    if path.suffix.lower() != ".zarr":
        check_output_path(path)
    elif not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}; create it first")
    elif path.exists():
        # Like a file it is replaced; but not what is more than a result.
        try:
            _zarr_array(path)
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(
                f"{path} exists and is not an array of Zarr ({reason(error)}); give another output"
            ) from error


class Result:
    """What becomes the file at ``path``, in the folder PATH.partial until it is complete.

    Parameters
    ----------
    path : path
        Where it goes in the end. What is there is then replaced.
    image : ImageFile
        Whose shape, type and, in a TIFF, tags it has.
    chunks : tuple of int
        Shape of Zarr's chunks.

    Attributes
    ----------
    folder, checkpoint : path
        The folder, and the list of what is done in it.
    """

    def __init__(self, path: Path, image: ImageFile, chunks: tuple[int, ...]) -> None:
        self._target, self._image, self._chunks = path.resolve(), image, chunks
        self.folder = self._target.with_name(f"{self._target.name}.partial")
        self.checkpoint = self.folder / "done.txt"
        self._inside = self.folder / f"image{self._target.suffix.lower()}"
        self._older = self.folder / f"replaced{self._target.suffix.lower()}"

    @contextmanager
    def written(self) -> Iterator[Stored]:
        """Give the pixels to write; put them where they belong if all went well.

        Otherwise the folder stays if it has a checkpoint, and goes if it has none. So the
        checkpoint must outlive the block: it goes once the pixels are in their place.
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
            # What is worth keeping has both: pixels that are in their place are no longer inside.
            if not (self.checkpoint.exists() and self._inside.exists()):
                self._remove()

    def _format(self) -> str:
        return FORMATS[self._target.suffix.lower()]

    def _create(self) -> Stored:
        shape, dtype = self._image.array.shape, self._image.array.dtype
        if self._format() == "ZARR":
            zarr = import_extra("zarr", "zarr")
            array = zarr.create_array(
                self._inside, shape=shape, dtype=dtype, chunks=self._chunks, overwrite=True
            )
        else:
            # A mapped file has holes: without space for them, the process would be killed.
            n_bytes, free = math.prod(shape) * dtype.itemsize, shutil.disk_usage(self.folder).free
            if free < n_bytes:
                raise ValueError(f"{self._target} needs {n_bytes} bytes, of which {free} are free "
                                 f"on its disk; make room, or give another output")  # fmt: skip
            if self._format() == "TIFF":
                array = _tiff.create(self._inside, self._image)
            else:
                array = np.lib.format.open_memmap(self._inside, "w+", dtype, shape)
        return Stored(array, self._inside)

    def _reopen(self) -> Stored:
        image = self._image.array
        try:
            if self._format() == "ZARR":
                array = import_extra("zarr", "zarr").open_array(self._inside, mode="r+")
            elif self._format() == "TIFF":
                array = _tiff.reopen(self._inside)
            else:
                array = np.lib.format.open_memmap(self._inside, "r+")
            stored = Stored(array, self._inside)
            if (stored.shape, stored.dtype) != (image.shape, image.dtype):
                raise ValueError(f"it has shape {stored.shape} and dtype {stored.dtype}")
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(
                f"{self.folder} is not what a run like this one left ({reason(error)}); delete it "
                f"to begin anew"
            ) from error
        return stored

    def _put(self) -> None:
        if self._inside.is_file():
            with open(self._inside, "rb+") as file:
                os.fsync(file.fileno())  # the content is on disk before the name points to it
            if self._target.exists():
                shutil.copymode(self._target, self._inside)
        elif self._target.exists():
            if self._older.exists():
                shutil.rmtree(self._older)
            os.replace(self._target, self._older)  # a folder cannot replace one
        os.replace(self._inside, self._target)

    def _bring_back(self) -> None:
        """Put an older result back if nothing has taken its place."""
        if self._older.exists() and not self._target.exists():
            os.replace(self._older, self._target)

    def _remove(self) -> None:
        """Remove what this class made, and nothing that somebody else put there."""
        for path in (self.checkpoint, self._inside, self._older):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
