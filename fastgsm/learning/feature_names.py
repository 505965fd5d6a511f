"""Names of features, as scikit-learn has them: the columns of a table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._checks import caller_level

# Most names that an error lists.
SHOWN_NAMES = 5


def feature_names(X: Any) -> NDArray[np.object_] | None:
    """Return the column names of a table of pandas, polars or the like; None if there are none.

    Names that are no strings count as none. Raise TypeError if only some are strings.
    """
    if isinstance(X, np.ndarray) or not hasattr(X, "shape"):
        return None
    columns = getattr(X, "column_names", getattr(X, "columns", None))  # pyarrow's, or the others'
    if columns is None or len(columns) == 0:
        return None
    names = np.asarray(columns, dtype=object)
    types = sorted({type(name).__qualname__ for name in names})
    if "str" not in types:
        return None
    if len(types) > 1:
        raise TypeError(
            f"Feature names are only supported if all input features have string names, but your "
            f"input has {types} as feature name / column name types. Convert them all to strings, "
            f"e.g. by X.columns = X.columns.astype(str), or give X.to_numpy()."
        )
    return names


def check_feature_names(X: Any, fitted: NDArray[np.object_] | None, model: str, name: str) -> None:
    """Raise ValueError if ``X`` has other names than a model was ``fitted`` with.

    Warn if only one of the two has names.
    """
    given = feature_names(X)
    if fitted is None or given is None:
        if given is not None:
            _warn(f"{name} has feature names, but {model} was fitted without feature names.")
        if fitted is not None:
            _warn(
                f"{name} does not have valid feature names, but {model} was fitted with feature "
                f"names."
            )
        return
    if np.array_equal(given, fitted):
        return
    unseen, missing = (sorted(set(a) - set(b)) for a, b in ((given, fitted), (fitted, given)))
    message = "The feature names should match those that were passed during fit.\n"
    message += _listed("Feature names unseen at fit time:", unseen)
    message += _listed("Feature names seen at fit time, yet now missing:", missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise ValueError(message)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=caller_level())


def _listed(title: str, names: list[str]) -> str:
    """Return lines with the first of the names, or nothing if there are none."""
    lines = [title, *(f"- {name}" for name in names[:SHOWN_NAMES])]
    lines += ["- ..."] if len(names) > SHOWN_NAMES else []
    return "\n".join(lines) + "\n" if names else ""
