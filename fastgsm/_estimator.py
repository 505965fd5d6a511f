"""scikit-learn's conventions for options, without an import of scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np


class Estimator:
    """Base of classes whose options scikit-learn can read, change and clone.

    A subclass accepts its options as arguments of ``__init__`` and stores them unchanged under the
    same names.
    """

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(p for p in inspect.signature(cls.__init__).parameters if p != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the options as a dict.

        Parameters
        ----------
        deep : bool
            Accepted for scikit-learn; no option is an estimator.
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change options, with effect from their next use."""
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}. "
                    f"Valid parameters are: {names!r}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Return the class and the options that differ from their defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={_shown(value)}"
            for name, value in self.get_params().items()
            if not _same(value, defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _shown(value: Any) -> str:
    """Return an option as one short line, without the values of an array."""
    if isinstance(value, np.ndarray):
        return f"<array of shape {value.shape}>"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        return value is default
    return bool(value == default)
