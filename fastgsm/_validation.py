"""Checks of what users pass in: each says what was given, what is wanted and what to do."""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._containers import check_pillow_mode

PACKAGE = str(Path(__file__).parent)
# Peaks, in data ranges that nobody gave, beyond which those are probably wrong.
TOO_BRIGHT, TOO_DARK = 10.0, 0.01

FloatArray = NDArray[np.floating[Any]]


def as_float_image(
    image: ArrayLike, name: str = "image", data_range: float | None = None
) -> tuple[FloatArray, float]:
    """Give an image as floats in units of its data range, and that range.

    Parameters
    ----------
    image : array_like
        Integers or real floats, of any shape.
    name : str
        What the error messages call it.
    data_range : float, optional
        Value that becomes 1. By default 1.0 for floats and the type's maximum for integers.

    Returns
    -------
    scaled : ndarray
        float32 for float16, float32 and integers of up to 16 bits, otherwise float64. Aligned and
        writeable; shares the memory of ``image`` where nothing had to be changed.
    data_range : float

    Raises
    ------
    TypeError
        If the image is not of integers or real floats.
    ValueError
        If it is empty or holds NaN or infinity, or if ``data_range`` is not positive.
    """
    array = real_array(image, name)
    narrow = array.dtype in (np.float16, np.float32) or (
        array.dtype.kind in "iu" and array.dtype.itemsize <= 2
    )
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
        # A kernel would be compiled anew, for up to a minute, for arrays that are read-only.
        scaled = scaled.copy()
    if data_range != 1.0:
        scaled = np.divide(scaled, data_range, dtype=scaled.dtype)
    return scaled, data_range


def default_data_range(dtype: np.dtype[Any]) -> float:
    """Give the value that is 1 where nobody says: 1.0 for floats, the maximum for integers."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def plain_array(values: Any, name: str) -> NDArray[Any]:
    """Give ``values`` as an ndarray of any type; nothing is copied that is one already.

    Raises
    ------
    TypeError
        If it is a masked array with masked values, which would lose its mask, or a Pillow image
        whose pixels are neither grey nor RGB.
    ValueError
        If it is a sequence of sequences of different lengths.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(
            f"{name} is a masked array, with {np.count_nonzero(values.mask)} values masked; wanted "
            f"a plain one. For an image give {name}.filled(0) to denoise, and "
            f"mask=~np.ma.getmaskarray({name}); elsewhere leave masked values out first."
        )
    check_pillow_mode(values, name)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is not an array of numbers: {error}.") from None


def real_array(values: Any, name: str) -> NDArray[Any]:
    """Give ``values`` as an ndarray of integers or real floats that is not empty."""
    array = plain_array(values, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} has dtype {array.dtype}; wanted integers or real floats. "
            f"Convert it first, e.g. with {name}.astype(np.float32)."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}.")
    return array


def peak_of(values: FloatArray) -> float:
    """Give the greatest absolute value."""
    return max(float(values.max()), -float(values.min()))


def warn_unlikely_range(peak: float, data_range: float, name: str = "image") -> None:
    """Warn if an image's peak, in data ranges that nobody gave, is far too bright or dark.

    That is how 8-bit values in a wider type look: nearly black as 32-bit integers, 255 times
    white as floats.
    """
    if peak > TOO_BRIGHT or 0 < peak < TOO_DARK:
        warnings.warn(
            f"{name} has values up to {peak * data_range:g}, but its data range is taken to be "
            f"{data_range:g}, the default of its type. Give data_range, e.g. 255 for 8-bit values.",
            stacklevel=caller_level(),
        )


def channels_first(image: NDArray[Any], channel_axis: Any, name: str = "image") -> NDArray[Any]:
    """Give a view (channels, height, width) of an image; of a grey one (None), one channel."""
    if channel_axis is None:
        if image.ndim != 2:
            raise ValueError(
                f"{name} has {image.ndim} dimensions, shape {image.shape}; wanted (height, width). "
                f"For a colour image give channel_axis (channel_axis=-1 if the channels are last)."
            )
        return image[None]
    return np.moveaxis(image, check_channel_axis(image.shape, channel_axis, name), 0)


def check_channel_axis(
    shape: tuple[int, ...], channel_axis: Any, name: str = "image", *, stack: bool = False
) -> int:
    """Give ``channel_axis`` as an int, or raise unless it is one of the three axes of ``shape``.

    Of a ``stack``, one of the last three.
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


def check_shape_2d(shape: Any, name: str, minimum: int = 1) -> tuple[int, int]:
    """Give (height, width) as ints, or raise unless they are integers of at least ``minimum``."""
    sides = list(shape) if np.iterable(shape) else []
    if len(sides) != 2:
        raise ValueError(f"{name} is {shape!r}; wanted (height, width) in pixels.")
    height, width = (
        check_integer(side, f"{name}: {what}", minimum)
        for what, side in zip(("height", "width"), sides, strict=True)
    )
    return height, width


def check_image_2d(image: NDArray[Any], patch_size: int, name: str = "image") -> None:
    """Raise ValueError unless ``image`` is 2-D and at least one patch large."""
    if image.ndim != 2:
        raise ValueError(
            f"{name} has {image.ndim} dimensions, shape {image.shape}; wanted (height, width). "
            f"For an image with channels give channel_axis where the function has it, "
            f"or pass the channels one by one."
        )
    if min(image.shape) < patch_size:
        raise ValueError(
            f"{name} of {image.shape[0]}x{image.shape[1]} pixels is smaller than one patch of "
            f"{patch_size}x{patch_size}; wanted at least {patch_size} pixels along both axes."
        )


def check_integer(value: Any, name: str, minimum: int = 1) -> int:
    """Give ``value`` as an int, or raise unless it is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}; wanted an integer of at least {minimum}.")
    if value < minimum:
        raise ValueError(f"{name} is {value}; wanted an integer of at least {minimum}.")
    return int(value)


def check_real(value: Any, name: str) -> float:
    """Give ``value`` as a float, or raise unless it is one finite real number."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; wanted a finite number.")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; wanted a finite number.")
    return number


def check_positive(value: Any, name: str) -> float:
    """Give ``value`` as a float, or raise unless it is finite and above 0."""
    number = check_real(value, name)
    if number <= 0:
        raise ValueError(f"{name} is {number:g}; wanted a number above 0.")
    return number


def check_nonnegative(value: Any, name: str) -> float:
    """Give ``value`` as a float, or raise unless it is finite and not below 0."""
    number = check_real(value, name)
    if number < 0:
        raise ValueError(f"{name} is {number:g}; wanted a number of at least 0.")
    return number


def check_choice(value: Any, name: str, choices: tuple[Any, ...]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``."""
    if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
        wanted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; wanted one of {wanted}.")


def check_random_state(random_state: Any) -> np.random.Generator:
    """Give a Generator for None, a seed, a Generator (itself) or a legacy RandomState."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    if random_state is None:
        return np.random.default_rng()
    is_seed = isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool)
    if is_seed and int(random_state) >= 0:
        return np.random.default_rng(int(random_state))
    raise ValueError(
        f"random_state is {random_state!r}; wanted None, an integer of at least 0, "
        f"a numpy.random.Generator or a numpy.random.RandomState."
    )


def check_samples(X: Any, n_features: int | None = None, name: str = "X") -> FloatArray:
    """Give samples as a C-contiguous float32 or float64 array of shape (n_samples, n_features).

    Raises
    ------
    TypeError
        If X is sparse, complex or not numeric.
    ValueError
        If X is not 2-D, is empty, holds NaN or infinity, or has not ``n_features`` columns.
    """
    if hasattr(X, "toarray") and not isinstance(X, np.ndarray):
        raise TypeError(f"{name} is a sparse matrix; wanted a dense array: use {name}.toarray().")
    array = plain_array(X, name)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}.")
    if array.dtype.kind not in "iuf":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{name} has dtype {array.dtype}; wanted numbers. The argument must be "
                f"a string or a number only where it can be read as one ({error})."
            ) from None
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: {name} has shape {array.shape}; "
            f"wanted (n_samples, n_features). Reshape your data: {name}.reshape(1, -1) for one "
            f"sample, {name}.reshape(-1, 1) for one feature."
        )
    for axis, what in enumerate(("sample", "feature")):
        if array.shape[axis] == 0:
            raise ValueError(
                f"Found array {name} with 0 {what}(s) (shape={array.shape}) "
                f"while a minimum of 1 is required."
            )
    if n_features is not None and array.shape[1] != n_features:
        side = math.isqrt(n_features)
        patches = f" (patches of {side}x{side} pixels)" if side * side == n_features else ""
        raise ValueError(
            f"{name} has {array.shape[1]} features, but it is expecting {n_features} "
            f"features as input{patches}."
        )
    narrow = array.dtype in (np.float16, np.float32)
    array = np.ascontiguousarray(array, dtype=np.float32 if narrow else np.float64)
    if not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "infinity"
        raise ValueError(
            f"Input {name} contains {kind}; wanted finite numbers. "
            f"Remove or replace those samples first."
        )
    return array


def magnitudes(dtype: Any) -> tuple[float, float]:
    """Least and greatest standard deviation of what is learned and restored in ``dtype``.

    Variances, their inverses and, with a floor of 1e-6, those of the least scales are then numbers
    of the type.
    """
    return (1e-15, 1e15) if dtype == np.float32 else (1e-100, 1e100)


def check_magnitude(X: FloatArray, name: str = "X") -> None:
    """Raise ValueError unless models can be learned from the squares of ``X`` in its type."""
    least, most = magnitudes(X.dtype)
    peak = peak_of(X)
    if peak > most or 0 < peak < least:
        raise ValueError(
            f"{name} has values up to {peak:g}, too {'large' if peak > most else 'small'} to learn "
            f"from in {X.dtype}; wanted {least:g} to {most:g}. Rescale {name}"
            f"{', or use float64' if X.dtype == np.float32 else ''}."
        )


def check_deviations(peak: float, spread: float, dtype: Any, name: str) -> None:
    """Raise ValueError if values up to ``peak`` have squares that ``dtype`` cannot hold.

    Squares in units of a model's variance, too, of which ``spread`` is the root.
    """
    least, most = magnitudes(dtype)
    most = min(most, (1e12 if dtype == np.float32 else 1e100) * spread)
    if peak > most or not spread >= least:
        raise ValueError(
            f"{name} is up to {peak:g}, and the standard deviation of the model's samples is "
            f"{spread:.3g}; in {np.dtype(dtype)} wanted at most {most:.3g}, and a deviation of at "
            f"least {least:g}. Give {name} in the units of the training data"
            f"{', or use float64' if dtype == np.float32 else ''}."
        )


def check_sample_weight(sample_weight: Any, n_samples: int, dtype: Any) -> FloatArray:
    """Give the weights as an array (n_samples,) of ``dtype``; ones for None.

    Those above 0 are brought to mean 1, so that none of the sums to come leaves the range of
    ``dtype`` and only the weights' ratios matter.
    """
    if sample_weight is None:
        return np.ones(n_samples, dtype)
    weights = check_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; wanted one weight for each of the "
            f"{n_samples} samples: shape ({n_samples},)."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight holds NaN, infinity or negative weights; wanted >= 0.")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; wanted some above 0.")
    weights = weights / weights.max()
    return (weights / weights[weights > 0].mean()).astype(dtype)


def caller_level() -> int:
    """Give the ``stacklevel`` of a warning that points at the code which called fastgsm."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def total_weight(sample_weight: Any, n_samples: int) -> float:
    """Give the sum of the weights, in the units that they were given in; 1 each for None."""
    if sample_weight is None:
        return float(n_samples)
    weights = check_numbers(sample_weight, "sample_weight")
    with np.errstate(over="ignore"):
        total = float(np.broadcast_to(weights, n_samples).sum())
    return min(total, float(np.finfo(np.float64).max))


def check_numbers(values: Any, name: str) -> FloatArray:
    """Give ``values`` as a float64 array, or raise ValueError if they are no numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of real numbers: {error}.") from None
