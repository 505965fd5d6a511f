"""Patches of images as rows of an array, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._checks import check_choice, check_integer, check_random_state, check_shape_2d
from fastgsm._images import as_float_image, check_image_2d
from fastgsm._types import FloatArray
from fastgsm.kernels import patches as kernels
from fastgsm.learning.samples import check_samples

CENTERS = ("patch", "global", None)


def grid_positions(length: int, patch_size: int, stride: int) -> NDArray[np.intp]:
    """Return the first pixels of the patches along an axis of ``length`` pixels.

    They lie ``stride`` pixels apart, with one more at the end if needed to cover every pixel.
    """
    last = length - patch_size
    positions = np.arange(0, last + 1, stride, dtype=np.intp)
    if positions[-1] != last:
        positions = np.append(positions, last)
    return positions


def coverage(positions: NDArray[np.intp], length: int, patch_size: int, dtype: Any) -> FloatArray:
    """Return the number of patches that cover each pixel along one axis."""
    steps = np.zeros(length + 1)
    np.add.at(steps, positions, 1)
    np.add.at(steps, positions + patch_size, -1)
    return steps.cumsum()[:-1].astype(dtype)


def check_stride(stride: Any, patch_size: int) -> int:
    """Return ``stride`` as an int; raise unless patches at that stride cover every pixel."""
    stride = check_integer(stride, "stride")
    if stride > patch_size:
        raise ValueError(
            f"stride is {stride}, larger than patch_size {patch_size}: pixels between the patches "
            f"would be lost. Wanted 1 to {patch_size}."
        )
    return stride


def extract_patches(
    image: ArrayLike, patch_size: int = 8, stride: int = 1, *, center: str | None = None
) -> FloatArray:
    """Cut an image into overlapping square patches.

    Patches start every `stride` pixels along both axes, and once more at the right and bottom
    borders if needed to cover every pixel.

    Parameters
    ----------
    image : array_like of shape (height, width)
        Grey image. Integers are divided by their type's maximum, as everywhere in fastgsm.
    patch_size : int
        Side of a patch in pixels.
    stride : int
        Distance between neighbouring patches in pixels, from 1 to `patch_size`.
    center : {"patch", "global", None}
        What to subtract: each patch's own mean, the mean patch of the image, or nothing.

    Returns
    -------
    patches : ndarray of shape (n_patches, patch_size**2)
        Patches row by row, each in row-major order; float32, or float64 for a float64 image.

    Raises
    ------
    TypeError
        If the image is not of integers or real floats.
    ValueError
        If it is not 2-D, is smaller than a patch or holds NaN, or if an option is out of range.

    See Also
    --------
    aggregate_patches : The inverse.
    sample_patches : Patches at random places in many images, to train on.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> patches = fastgsm.extract_patches(image, patch_size=3)
    >>> patches.shape
    (6, 9)
    >>> patches[0]
    array([ 0.,  1.,  2.,  5.,  6.,  7., 10., 11., 12.])
    """
    plane, _ = as_float_image(image)
    patch_size = check_integer(patch_size, "patch_size")
    check_image_2d(plane, patch_size)
    stride = check_stride(stride, patch_size)
    check_choice(center, "center", CENTERS)
    rows, cols = (grid_positions(side, patch_size, stride) for side in plane.shape)
    patches = np.empty((rows.size * cols.size, patch_size**2), plane.dtype)
    kernels.extract(np.ascontiguousarray(plane), rows, cols, patch_size, patches)
    return _centre(patches, center)


def aggregate_patches(
    patches: ArrayLike, image_shape: tuple[int, int], patch_size: int = 8, stride: int = 1
) -> FloatArray:
    """Put patches back into an image; a pixel is the mean of the patches that cover it.

    Parameters
    ----------
    patches : array_like of shape (n_patches, patch_size**2)
        Patches in the order in which `extract_patches` returns them.
    image_shape : tuple of int
        (height, width) of the image.
    patch_size, stride : int
        The same values as for `extract_patches`.

    Returns
    -------
    image : ndarray of shape (height, width)

    Raises
    ------
    ValueError
        If the number or the length of the patches does not fit the image.

    Examples
    --------
    >>> import numpy as np, fastgsm
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> patches = fastgsm.extract_patches(image, patch_size=3)
    >>> np.allclose(fastgsm.aggregate_patches(patches, (4, 5), patch_size=3), image)
    True
    """
    patch_size = check_integer(patch_size, "patch_size")
    stride = check_stride(stride, patch_size)
    height, width = check_shape_2d(image_shape, "image_shape", patch_size)
    values = check_samples(patches, patch_size**2, "patches")
    rows, cols = (grid_positions(side, patch_size, stride) for side in (height, width))
    if values.shape[0] != rows.size * cols.size:
        raise ValueError(
            f"patches holds {values.shape[0]} patches; an image of {height}x{width} pixels has "
            f"{rows.size * cols.size} of {patch_size}x{patch_size} at stride {stride}."
        )
    image = np.zeros((height, width), values.dtype)
    kernels.add_patches(values, rows, cols, patch_size, image)
    down = coverage(rows, height, patch_size, image.dtype)
    image /= down[:, None] * coverage(cols, width, patch_size, image.dtype)
    return image


def sample_patches(
    images: ArrayLike | Iterable[ArrayLike],
    patch_size: int = 8,
    n_patches: int = 10_000,
    *,
    center: str | None = "patch",
    random_state: Any = None,
) -> FloatArray:
    """Draw patches at random places in grey images, to train a model on.

    All places in all images are equally likely; places are drawn with replacement.

    Parameters
    ----------
    images : array_like of shape (height, width), or iterable of them
        Grey images, of any sizes. Integers are divided by their type's maximum.
    patch_size : int
        Side of a patch in pixels.
    n_patches : int
        Number of patches.
    center : {"patch", "global", None}
        What to subtract: each patch's own mean (the usual choice, for a model of contrast and
        shape but not of brightness), the mean patch of the sample, or nothing.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the places.

    Returns
    -------
    patches : ndarray of shape (n_patches, patch_size**2)
        Patches in random order; float32, or float64 if every image is float64.

    Raises
    ------
    TypeError
        If an image is not of integers or real floats.
    ValueError
        If there is no image, or one of them is not 2-D, is smaller than a patch or holds NaN.

    Examples
    --------
    >>> import fastgsm
    >>> images = [fastgsm.datasets.dead_leaves((64, 64), random_state=i) for i in range(3)]
    >>> X = fastgsm.sample_patches(images, patch_size=8, n_patches=100, random_state=0)
    >>> X.shape
    (100, 64)
    >>> bool(abs(X.mean(axis=1)).max() < 1e-6)
    True
    """
    patch_size = check_integer(patch_size, "patch_size")
    n_patches = check_integer(n_patches, "n_patches")
    check_choice(center, "center", CENTERS)
    rng = check_random_state(random_state)
    planes = []
    for number, image in enumerate(_as_sequence(images)):
        plane, _ = as_float_image(image, f"images[{number}]")
        check_image_2d(plane, patch_size, f"images[{number}]")
        planes.append(plane)
    if not planes:
        raise ValueError("images is empty; wanted at least one grey image.")
    windows = [np.lib.stride_tricks.sliding_window_view(p, (patch_size,) * 2) for p in planes]
    n_places = [w.shape[0] * w.shape[1] for w in windows]
    ends = np.cumsum(n_places)
    places = rng.integers(ends[-1], size=n_patches)
    owners = np.searchsorted(ends, places, side="right")
    patches = np.empty((n_patches, patch_size**2), np.result_type(*planes))
    for number, window in enumerate(windows):
        mine = owners == number
        place = places[mine] - ends[number] + n_places[number]
        y, x = np.divmod(place, window.shape[1])
        patches[mine] = window[y, x].reshape(-1, patch_size**2)
    return _centre(patches, center)


def _as_sequence(images: Any) -> Iterable[ArrayLike]:
    if isinstance(images, np.ndarray) and images.ndim == 2:
        return [images]
    if isinstance(images, np.ndarray) and images.ndim < 2:
        raise ValueError(f"images has shape {images.shape}; wanted grey images (height, width).")
    if not np.iterable(images):
        raise TypeError(f"images is {images!r}; wanted a grey image, or an iterable of them.")
    return images


def _centre(patches: FloatArray, center: str | None) -> FloatArray:
    if center == "patch":
        patches -= patches.mean(axis=1, keepdims=True)
    elif center == "global":
        patches -= patches.mean(axis=0, dtype=np.float64).astype(patches.dtype)
    return patches
