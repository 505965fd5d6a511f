"""The priors that come with the package, each with a model card."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib.resources import as_file, files

from fastgsm.models._base import PatchModel
from fastgsm.models._load import load
from fastgsm.models.cascade import Cascade

# Names of the files that hold a `Cascade` begin with this.
CASCADE_PREFIX = "cascade-"


def list_priors() -> list[str]:
    """Return the names of the bundled priors.

    Examples
    --------
    >>> import fastgsm
    >>> "gsm" in fastgsm.list_priors()
    True
    """
    return [name for name in _archives() if not name.startswith(CASCADE_PREFIX)]


def list_cascades() -> list[str]:
    """Return the names of the bundled cascades, which the presets use for white noise.

    Examples
    --------
    >>> from fastgsm.priors import list_cascades
    >>> "cascade-fast" in list_cascades()
    True
    """
    return [name for name in _archives() if name.startswith(CASCADE_PREFIX)]


def _archives() -> list[str]:
    names = (each.name for each in files(__name__).iterdir())
    return sorted(name.removesuffix(".npz") for name in names if name.endswith(".npz"))


def load_prior(name: str) -> PatchModel:
    """Return a bundled prior.

    Parameters
    ----------
    name : str
        One of `list_priors`.

    Returns
    -------
    model : fitted model
        A new copy for every call, so that changes to it affect no other.

    Raises
    ------
    ValueError
        If there is no prior with that name.

    Examples
    --------
    >>> import fastgsm
    >>> fastgsm.load_prior("gsm").n_features_in_
    64
    """
    if name not in list_priors():
        raise ValueError(
            f"there is no bundled prior {name!r}; wanted one of {', '.join(list_priors())}. "
            f"A model file is read with fastgsm.load(path)."
        )
    return deepcopy(_loaded(name))


@cache
def load_cascade(name: str) -> Cascade:
    """Return a bundled cascade, one of `list_cascades`. It is never changed.

    Examples
    --------
    >>> from fastgsm.priors import load_cascade
    >>> load_cascade("cascade-fast").patch_size
    8
    """
    with as_file(files(__name__) / f"{name}.npz") as path:
        return Cascade.load(path)


def read_card(name: str) -> dict[str, str]:
    """Return the entries of a bundled prior's model card, by their titles.

    Examples
    --------
    >>> from fastgsm.priors import read_card
    >>> read_card("gsm")["Of"]
    'luminance.'
    """
    text = (files(__name__) / f"{name}.md").read_text(encoding="utf-8")
    entries = " ".join(text.split()).split(" - **")[1:]
    return dict(entry.split("**: ", 1) for entry in entries)


@cache
def _loaded(name: str) -> PatchModel:
    with as_file(files(__name__) / f"{name}.npz") as path:  # the package may be in a zip archive
        return load(path)
