"""Image files: PNG, JPEG, TIFF and NPY, read exactly and written completely or not at all.

Pixels are returned as they are stored, without rescaling, rotation by the EXIF orientation or
conversion between colour spaces. What makes the picture look right (orientation, colour profile,
alpha) is kept with them, so that it can be written back; so is what else a file says, but previews.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastgsm.colour import grey
from fastgsm.files import formats, tiff
from fastgsm.files.formats import FORMATS, MAX_PIXELS, check_output, image_files
from fastgsm.files.image_file import ImageFile, image_file

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "ImageFile",
    "check_output",
    "image_files",
    "read_grey_images",
    "read_image",
    "read_pages",
    "write_image",
    "write_pages",
]


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Read a PNG, JPEG, TIFF or NPY file.

    Sixteen-bit values are read exactly. Images of 1, 2 or 4 bits fill 0 to 255, images whose white
    is 0 are inverted, and palettes and YCbCr become RGB. Samples of a TIFF that are neither colours
    nor marked as alpha are channels. An NPY array is grey with shape (height, width), or has 2
    (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels on its last axis; other axes of length 1 are
    left out, and come back when it is written.

    Parameters
    ----------
    path : str or path-like
        The file; its extension names the format.
    max_pixels : int
        Largest accepted height times width of a compressed image, because a small file can claim
        to hold more than fits into memory. Raise it for larger images from people you trust.

    Returns
    -------
    ImageFile
        Pixels, alpha, orientation, colour profile, mask of missing pixels, tags and notes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a regular file, is of an unknown format or damaged, is larger than
        `max_pixels`, has several pages, has colours other than grey and RGB, or holds pixels of
        another kind than it announces. A smaller page of the same shape counts as a thumbnail.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_image, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/grey.npy", np.eye(3, dtype=np.uint8))
    ...     image = read_image(f"{folder}/grey.npy")
    >>> image.array.shape, image.channel_axis, image.alpha is None
    ((3, 3), None, True)
    """
    [image] = formats.read(Path(path), max_pixels, max_pages=1)
    return image


def read_pages(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> list[ImageFile]:
    """Read all pages of a TIFF file, or the one image of a file of another format.

    Thumbnails (pages marked as reduced) are left out. A mask page, as GDAL writes it, becomes the
    `mask` of the page before it.

    Parameters
    ----------
    path : str or path-like
        The file; its extension names the format.
    max_pixels : int
        As in `read_image`; for a compressed TIFF, the limit of all its pages together.

    Returns
    -------
    list of ImageFile
        The pages in order; their sizes and types may differ.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As for `read_image`, but several pages are accepted.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import ImageFile, read_pages, write_pages
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pages(f"{folder}/stack.tif", [ImageFile(np.eye(3)), ImageFile(np.zeros((4, 5)))])
    ...     pages = read_pages(f"{folder}/stack.tif")
    >>> [page.array.shape for page in pages]
    [(3, 3), (4, 5)]
    """
    return formats.read(Path(path), max_pixels, max_pages=tiff.MAX_PAGES)


def read_grey_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    data_range: float | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> dict[Path, NDArray[np.float32]]:
    """Read image files, and the images of folders, as grey images in [0, 1].

    Parameters
    ----------
    paths : path, or iterable of paths
        Files and folders. In a folder, the files with a known extension are read in the order of
        their names; sub-folders and hidden files are not read.
    data_range : float, optional
        Value that becomes 1; by default 1.0 for floats and the type's maximum for integers.
    max_pixels : int
        Largest accepted size of one compressed image, as in `read_image`.

    Returns
    -------
    dict of Path to (height, width) float32 array
        The images in the order given, colour images as their luminance. A file that is given
        twice appears once.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError, ImportError
        As for `read_image`; also if values lie outside the data range or are missing, an image has
        other channels than grey or RGB, a folder holds no image, or nothing is given.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import read_grey_images, write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b", "a"):
    ...         write_image(f"{folder}/{name}.png", np.full((2, 2), 51, np.uint8))
    ...     images = read_grey_images(folder)
    >>> [(path.name, float(image[0, 0].round(1))) for path, image in images.items()]
    [('a.png', 0.2), ('b.png', 0.2)]
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files = [file for path in paths for file in image_files(Path(path))]
    if not files:
        raise ValueError("no image given; give at least one file or folder")
    return {file: _grey_image(file, data_range, max_pixels) for file in files}


def _grey_image(file: Path, data_range: float | None, max_pixels: int) -> NDArray[np.float32]:
    image = read_image(file, max_pixels=max_pixels)
    if image.n_channels != image.n_colours:
        raise ValueError(f"{file} has {image.n_channels} channels; wanted grey or RGB")
    if image.missing is not None:
        raise ValueError(
            f"{file} has {np.count_nonzero(image.missing)} pixels without a value (no-data or "
            f"masked); crop it to pixels that have one"
        )
    return grey(image.array, str(file), data_range)


def write_image(
    path: str | os.PathLike[str],
    image: ImageFile | np.ndarray,
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write a PNG, JPEG (quality 95), TIFF or NPY file, completely or not at all.

    The file is written under another name in the same folder and then renamed, so that a failure
    leaves neither half a file nor a damaged older one.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace; its extension names the format.
    image : ImageFile or ndarray
        Pixels; an array has the axes that `read_image` expects in an NPY file.
    source : str or path-like, optional
        The file that the image was made from, which is never overwritten.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If `path` is `source` or a folder, its format is unknown or cannot hold the image.
    ImportError
        If the extra `cli` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastgsm.io import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/out.png", np.zeros((8, 8)))
    Traceback (most recent call last):
        ...
    ValueError: PNG holds uint8 or uint16 pixels, not float64; write TIFF (.tif) or NPY (.npy)
    """
    image = image if isinstance(image, ImageFile) else image_file(image)
    write_pages(path, [image], source=source)


def write_pages(
    path: str | os.PathLike[str],
    pages: Sequence[ImageFile],
    *,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write pages, completely or not at all; only a TIFF file holds several.

    Parameters
    ----------
    path : str or path-like
        The file to write or replace; its extension names the format.
    pages : sequence of ImageFile
        At least one.
    source : str or path-like, optional
        The file that the pages were made from, which is never overwritten.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As for `write_image`; also if there is no page, or several but the format holds only one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm.io import ImageFile, write_pages
    >>> write_pages("stack.png", 2 * [ImageFile(np.zeros((8, 8), np.uint8))])
    Traceback (most recent call last):
        ...
    ValueError: PNG holds one page, not 2; write TIFF (.tif)
    """
    check_output(path, pages, source=source)
    formats.write(path, pages)
