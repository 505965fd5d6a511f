"""Checks of scalars: each says what was given, what is wanted and what to do."""

from __future__ import annotations

import math
import numbers
import sys
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray

# Python and NumPy count these as integers.
NO_NUMBERS = bool, np.bool_, np.timedelta64


def check_shape_2d(shape: Any, name: str, minimum: int = 1) -> tuple[int, int]:
    """Return (height, width) as ints; raise unless they are integers of at least ``minimum``."""
    sides = list(shape) if np.iterable(shape) else []
    if len(sides) != 2:
        raise ValueError(f"{name} is {shape!r}; wanted (height, width) in pixels.")
    height, width = (
        check_integer(side, f"{name}: {what}", minimum)
        for what, side in zip(("height", "width"), sides, strict=True)
    )
    return height, width


def check_integer(value: Any, name: str, minimum: int = 1) -> int:
    """Return ``value`` as an int; raise unless it is an integer of at least ``minimum``."""
    if isinstance(value, NO_NUMBERS) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}; wanted an integer of at least {minimum}.")
    if value < minimum:
        raise ValueError(f"{name} is {value}; wanted an integer of at least {minimum}.")
    return int(value)


def check_real(value: Any, name: str) -> float:
    """Return ``value`` as a float; raise unless it is one finite real number."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; wanted a finite number.")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; wanted a finite number.")
    return number


def check_positive(value: Any, name: str) -> float:
    """Return ``value`` as a float; raise unless it is finite and above 0."""
    number = check_real(value, name)
    if number <= 0:
        raise ValueError(f"{name} is {number:g}; wanted a number above 0.")
    return number


def check_nonnegative(value: Any, name: str) -> float:
    """Return ``value`` as a float; raise unless it is finite and not below 0."""
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
    """Return a Generator for None, a seed, a Generator (itself) or a legacy RandomState."""
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


def caller_level() -> int:
    """Return the ``stacklevel`` of a warning that points at the code which called fastgsm."""
    frame, level = sys._getframe(1), 1
    # By the module's name, because byte code may name a file of another machine.
    while frame.f_back is not None and _module(frame).split(".")[0] == "fastgsm":
        frame, level = frame.f_back, level + 1
    return level


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def as_ndarray(values: Any, name: str) -> NDArray[Any]:
    """Return ``values`` as an ndarray of any type; an ndarray is not copied.

    Raise TypeError for masked and sparse arrays, which would lose what they mean, and ValueError
    for sequences of different lengths.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(
            f"{name} is a masked array, with {np.count_nonzero(values.mask)} values masked; wanted "
            f"a plain one. For an image give {name}.filled(0) to denoise, and "
            f"mask=~np.ma.getmaskarray({name}); elsewhere leave masked values out first."
        )
    if not isinstance(values, np.ndarray) and hasattr(values, "nnz"):
        raise TypeError(
            f"{name} is a sparse matrix ({type(values).__name__}); wanted a dense array: use "
            f"{name}.toarray() or {name}.todense()."
        )
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is not an array of numbers: {error}.") from None
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name} is not an array of numbers: {error}.") from None


def check_numbers(values: Any, name: str) -> FloatArray:
    """Return ``values``, real numbers in an array of any type, as a float64 array."""
    array = as_numbers(as_ndarray(values, name), name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} has complex numbers (dtype {array.dtype}); wanted real ones.")
    return array.astype(np.float64, copy=False)


def as_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array of booleans or numbers; Python's objects become float64 or complex128.

    Raise TypeError for dates, times, text, bytes and structures, which NumPy would convert to some
    number, and ValueError for pandas' missing values.
    """
    if array.dtype.kind in "biufc":
        return array
    if array.dtype.kind != "O":
        raise TypeError(
            f"{name} has dtype {array.dtype}; wanted numbers. Dates, times, text and bytes are not "
            f"taken for numbers: convert them first, text e.g. with {name}.astype(float)."
        )
    n_missing = 0
    for value in array.flat:
        if value is None or type(value).__name__ == "NAType":
            n_missing += 1
        elif not is_number(value):
            raise TypeError(
                f"{name} has dtype object and contains a {type(value).__name__}, {value!r:.60}; "
                f"wanted numbers. The argument must be no string or date, but a number."
            )
    if n_missing:
        raise ValueError(
            f"{name} contains {n_missing} missing values (None or pandas.NA), which are not "
            f"supported; wanted finite numbers. Remove or replace those samples first, e.g. with "
            f"dropna() or fillna()."
        )
    is_complex = any(isinstance(value, (complex, np.complexfloating)) for value in array.flat)
    try:
        return array.astype(np.complex128 if is_complex else np.float64)
    except OverflowError:  # an integer of hundreds of digits
        raise ValueError(f"{name} contains infinity, as a float; wanted finite numbers.") from None


def is_number(value: Any) -> bool:
    """Return whether a scalar is a number, or a boolean; NumPy counts spans of time as integers."""
    kinds = (numbers.Number, np.bool_)
    return isinstance(value, kinds) and not isinstance(value, np.timedelta64)
