"""Checks of scalars: each says what was given, what is wanted and what to do."""

from __future__ import annotations

import math
import numbers
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastgsm._types import FloatArray

PACKAGE = str(Path(__file__).parent)


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
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}; wanted an integer of at least {minimum}.")
    if value < minimum:
        raise ValueError(f"{name} is {value}; wanted an integer of at least {minimum}.")
    return int(value)


def check_real(value: Any, name: str) -> float:
    """Return ``value`` as a float; raise unless it is one finite real number."""
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
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def check_numbers(values: Any, name: str) -> FloatArray:
    """Return ``values`` as a float64 array; raise an error unless they are real numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind != "c":
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of real numbers: {error}.") from None
    raise TypeError(f"{name} has complex numbers (dtype {array.dtype}); wanted real ones.")
