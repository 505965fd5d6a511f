"""scikit-learn's conventions for options, without importing scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np


class Estimator:
    """Base of everything with options that scikit-learn can read, change and clone.

    Subclasses take their options as arguments of ``__init__`` and store them unchanged, under the
    same names.
    """

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(p for p in inspect.signature(cls.__init__).parameters if p != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the options as a dict.

        Parameters
        ----------
        deep : bool
            Accepted for scikit-learn's sake; no option is an estimator.
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change options; takes effect when they are next used."""
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
        """Give the class and the options that differ from their defaults."""
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={_shown(value)}"
            for name, value in self.get_params().items()
            if not _same(value, defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _shown(value: Any) -> str:
    """Give an option as one short line: an array's values would fill pages."""
    if isinstance(value, np.ndarray):
        return f"<array of shape {value.shape}>"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        return value is default
    return bool(value == default)
