"""Images on their way in, as floats, and on their way out, in their own type and units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._arrays import as_given, is_narrow, peak_of, real_array
from fastgsm._checks import check_nonnegative, check_positive
from fastgsm._types import FloatArray

# Largest accepted value and noise level, in data ranges: far above any meaningful image, and with
# squares that float32 holds.
MOST_RANGES = 1e9
# Noise of so few roundings of the type in which the image is computed (1e-6 of the data range in
# float32, 2e-15 in float64) is about what sums over some hundred patches lose to rounding: with
# quality="best" in float32, 5e-7 of the data range, at most 3e-6.
NEGLIGIBLE_ROUNDINGS = 8


def as_float_image(
    image: ArrayLike, name: str = "image", data_range: float | None = None
) -> tuple[FloatArray, float]:
    """Return an image of any shape as floats in units of its data range, and that range.

    The floats are float32 for float16, float32 and integers of up to 16 bits, otherwise float64.
    They are aligned and writeable, and share the memory of ``image`` where nothing had to be
    changed. By default the range is 1.0 for floats and the type's maximum for integers.

    Raise TypeError unless the image, called ``name`` in messages, holds integers or real floats,
    and ValueError if it is empty or holds NaN or infinity, or the range is not positive.
    """
    array = real_array(image, name)
    narrow = is_narrow(array.dtype) or (array.dtype.kind in "iu" and array.dtype.itemsize <= 2)
    if data_range is None:
        data_range = default_data_range(array.dtype)
    else:
        data_range = check_positive(data_range, "data_range")
        limits = np.finfo(np.float32 if narrow else np.float64)
        if not float(limits.tiny) <= data_range <= float(limits.max):
            raise ValueError(
                f"data_range is {data_range:g}, which {limits.dtype} cannot hold; wanted about the "
                f"largest value of {name}."
            )
    scaled: FloatArray = array.astype(np.float32 if narrow else np.float64, copy=False)
    if array.dtype.kind == "f":
        n_bad = scaled.size - int(np.count_nonzero(np.isfinite(scaled)))
        if n_bad:
            raise ValueError(
                f"{name} has {n_bad} NaN or infinite values of {scaled.size}; "
                f"wanted finite pixels. Replace them first."
            )
    if not scaled.flags.behaved:
        # For read-only arrays a kernel would be compiled again, for up to a minute.
        scaled = scaled.copy()
    if data_range != 1.0:
        scaled = np.divide(scaled, data_range, dtype=scaled.dtype)
    return scaled, data_range


def default_data_range(dtype: np.dtype[Any]) -> float:
    """Return the default data range of a type: 1.0 for floats, the maximum for integers."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def channels_first(image: NDArray[Any], channel_axis: Any, name: str = "image") -> NDArray[Any]:
    """Return a view (channels, height, width) of an image; a grey one (None) has one channel."""
    if channel_axis is None:
        if image.ndim != 2:
            raise ValueError(
                f"{name} has {image.ndim} dimensions, shape {image.shape}; wanted (height, width). "
                f"{_remedy_for(image.shape)}"
            )
        return image[None]
    return np.moveaxis(image, check_channel_axis(image.shape, channel_axis, name), 0)


def without_ones(channel_axis: int | None, image: NDArray[Any], *others: Any) -> list[Any]:
    """Return a grey image, and ``others`` that have its shape, without axes of length 1.

    They are returned as they are if the image has channels, is 2-D, or would not be then.
    """
    sides = [n for n in image.shape if n != 1]
    if channel_axis is not None or image.ndim <= 2 or len(sides) != 2:
        return [image, *others]
    return [
        np.reshape(each, sides) if np.shape(each) == image.shape else each
        for each in (image, *others)
    ]


def _remedy_for(shape: tuple[int, ...]) -> str:
    """Return what to do with an image of such a shape and no channel axis."""
    if len(shape) == 3 and shape[-1] <= 4:
        return "For a colour image give channel_axis=-1."
    if len(shape) < 3:
        return "Give an image."
    return (
        "Denoise the slices of a stack one by one, as 'fastgsm denoise' does with the pages of a "
        "TIFF; for a colour image give channel_axis, the axis of red, green and blue."
    )


def check_channel_axis(
    shape: tuple[int, ...], channel_axis: Any, name: str = "image", *, stack: bool = False
) -> int:
    """Return ``channel_axis`` as an int; raise unless it is one of the three axes of ``shape``.

    For a ``stack``, it has to be one of the last three axes.
    """
    if isinstance(channel_axis, bool) or not isinstance(channel_axis, (int, np.integer)):
        raise TypeError(f"channel_axis is {channel_axis!r}; wanted an integer or None.")
    n = len(shape)
    enough = n >= 3 if stack else n == 3
    if not enough or not (-3 <= channel_axis < 0 or n - 3 <= channel_axis < n):
        which = ", as the last three" if stack else ""
        raise ValueError(
            f"{name} has shape {shape} and channel_axis is {channel_axis}; wanted two axes of "
            f"pixels and one of channels{which}."
        )
    return int(channel_axis)


def check_image_2d(image: NDArray[Any], patch_size: int, name: str = "image") -> None:
    """Raise ValueError unless ``image`` is 2-D and at least one patch large."""
    if image.ndim != 2:
        raise ValueError(
            f"{name} has {image.ndim} dimensions, shape {image.shape}; wanted (height, width). "
            f"For an image with channels give channel_axis where the function has it, "
            f"or pass the channels one by one."
        )
    check_patch_fits(image.shape, patch_size, name)


def check_patch_fits(shape: tuple[int, ...], patch_size: int, name: str = "image") -> None:
    """Raise ValueError unless an image of ``shape`` (height, width) is at least a patch large."""
    if min(shape) < patch_size:
        raise ValueError(
            f"{name} of {shape[0]}x{shape[1]} pixels is smaller than one patch of "
            f"{patch_size}x{patch_size}; wanted at least {patch_size} pixels along both axes."
        )


def with_median(
    image: NDArray[Any], trusted: NDArray[np.bool_], channel_axis: int | None
) -> NDArray[Any]:
    """Return a copy whose untrusted pixels, which may be NaN, hold the median of the others."""
    known = image.copy()
    planes = channels_first(known, channel_axis)
    median = np.median(planes[:, trusted])
    planes[:, ~trusted] = median if np.isfinite(median) else 0
    return known


def check_sigma(sigma: Any, shape: tuple[int, ...]) -> float | FloatArray:
    """Return the noise level as a float, or as float64 (height, width) if it is not constant.

    Raise TypeError or ValueError unless it is one finite number of at least 0, or a real one for
    each pixel of ``shape``.
    """
    if np.ndim(sigma) == 0:
        return check_nonnegative(sigma, "sigma")
    levels = np.asarray(sigma)
    if levels.dtype.kind not in "iuf":
        raise TypeError(
            f"sigma has dtype {levels.dtype}; wanted real numbers: one, or one for each pixel."
        )
    if levels.shape != shape:
        raise ValueError(
            f"sigma has shape {levels.shape}; wanted one number, or one for each pixel of the "
            f"image: shape {shape}, equal for all channels."
        )
    n_bad = levels.size - int(np.count_nonzero(np.isfinite(levels) & (levels >= 0)))
    if n_bad:
        raise ValueError(
            f"sigma has {n_bad} negative, NaN or infinite values of {levels.size}; wanted finite "
            f"numbers of at least 0. Where a pixel is not to be trusted at all, give a mask."
        )
    levels = levels.astype(np.float64)
    constant = (levels == levels.flat[0]).all()
    return float(levels.flat[0]) if constant else levels


def check_peak(peak: float, data_range: float) -> None:
    """Raise ValueError if an image's peak, in units of its data range, is far too bright."""
    if peak > MOST_RANGES:
        raise ValueError(
            f"image has values up to {peak * data_range:g}, {peak:.2g} times its data range of "
            f"{data_range:g}; wanted at most {MOST_RANGES:g} times. Give data_range."
        )


def noise_level(
    sigma: float | FloatArray, data_range: float, pixels: FloatArray
) -> float | FloatArray:
    """Return the noise level in units of the data range, like ``pixels``; 0 where negligible."""
    check_peak(peak_of(pixels), data_range)
    with np.errstate(over="ignore"):
        level = np.asarray(sigma) / data_range
    if level.max() > MOST_RANGES:
        raise ValueError(
            f"sigma is up to {np.max(sigma):g} and the data range {data_range:g}; wanted noise of "
            f"at most {MOST_RANGES:g} data ranges. Give sigma and data_range in the image's own "
            f"units."
        )
    negligible = level < NEGLIGIBLE_ROUNDINGS * np.finfo(pixels.dtype).eps
    level = np.where(negligible, 0.0, level)
    return level if level.ndim else float(level)


def check_out(out: Any, image: NDArray[Any]) -> None:
    """Raise unless ``out``, if given, is a writable array of the image's shape and type."""
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; wanted a NumPy array.")
    if out.shape != image.shape or out.dtype != image.dtype or not out.flags.writeable:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; wanted a writable array of shape "
            f"{image.shape} and dtype {image.dtype}."
        )


def delivered(result: NDArray[Any], out: NDArray[Any] | None, image: Any) -> Any:
    """Return the result in ``out`` if given, or as an array of the kind and shape of ``image``."""
    if out is None:
        return as_given(image, np.ascontiguousarray(result).reshape(np.shape(image)))
    out[...] = result.reshape(out.shape)
    return out


def channels_back(planes: FloatArray, channel_axis: int | None) -> FloatArray:
    """Undo `channels_first`."""
    return planes[0] if channel_axis is None else np.moveaxis(planes, 0, channel_axis)


def as_type(values: FloatArray, dtype: np.dtype[Any], data_range: float) -> NDArray[Any]:
    """Return restored values in the image's own units and type."""
    if data_range != 1.0:
        with np.errstate(over="ignore"):  # infinity is clipped below
            values = values * values.dtype.type(data_range)
    if dtype.kind == "f" and (data_range != 1.0 or dtype == np.float16):
        largest = np.finfo(dtype).max
        values = np.clip(values, -largest, largest)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # The largest 64-bit integers are not floats: clip to the last float inside the range.
        top = float(limits.max)
        top = top if int(top) <= limits.max else float(np.nextafter(top, 0))
        values = np.clip(np.rint(values.astype(np.float64)), float(limits.min), top)
    return values.astype(dtype, copy=False)


def trusted_pixels(
    image: NDArray[Any], mask: Any, channel_axis: int | None
) -> NDArray[np.bool_] | None:
    """Return where pixels are to be trusted, (height, width); None if all are.

    NaN in any channel masks the pixel. The mask, or None, has the shape of the pixels (height,
    width) or of the whole image. Raise TypeError or ValueError if it does not hold booleans, has
    another shape, or leaves no pixel.
    """
    planes = channels_first(image, channel_axis)
    trusted = np.ones(planes.shape[1:], bool)
    if mask is not None:
        given = np.asarray(mask)
        if given.dtype != np.bool_:
            raise TypeError(
                f"mask has dtype {given.dtype}; wanted booleans, True where a pixel is to be "
                f"trusted. Convert it first, e.g. with mask > 0."
            )
        if given.shape == image.shape:
            trusted &= channels_first(given, channel_axis).all(axis=0)
        elif given.shape == trusted.shape:
            trusted &= given
        else:
            raise ValueError(
                f"mask has shape {given.shape}; wanted {trusted.shape}, one value for each pixel "
                f"of the image."
            )
    if image.dtype.kind == "f":
        trusted &= ~np.isnan(planes).any(axis=0)
    if trusted.size and not trusted.any():
        raise ValueError(
            f"all of the {trusted.size} pixels are masked or NaN; wanted some to fill the others "
            f"from. mask is True where a pixel is to be trusted: if yours is True where one is "
            f"missing, give ~mask."
        )
    return None if trusted.all() else trusted
