"""The list of models. A new model is one file in `models` and one entry here.

A model is imported only when it is asked for, as the help of the command needs the list at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A model, and the sizes at which it is used.

    Attributes
    ----------
    name : str
        Name of the class, also in files; in lower case, of its module and on the command line.
    tiny : mapping
        Options of the smallest model that runs all of its kernels: all that set a size.
    modest : mapping
        Options of a model that 10,000 patches can teach, as in the study and the benchmarks. With
        more components it would learn the training patches by heart, which costs held-out
        likelihood.
    iterates : bool
        False for a model that is learned in closed form, without iterations of EM.
    """

    name: str
    tiny: Mapping[str, int]
    modest: Mapping[str, int]
    iterates: bool = True

    @property
    def model(self) -> type[Any]:
        """The class, a `PatchModel`."""
        module = importlib.import_module(f"fastgsm.models.{self.name.lower()}")
        return getattr(module, self.name)

    def takes(self, option: str) -> bool:
        """Return whether a size, or ``max_iter``, changes the model."""
        return self.iterates if option == "max_iter" else option in self.tiny

    def new(self, sizes: Mapping[str, int], **options: Any) -> Any:
        """Return a model with `tiny` or `modest` sizes, not yet fitted."""
        return self.model(**sizes, **options)


MODELS = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry("MVN", {}, {}, iterates=False),
            Entry("GSM", {"n_scales": 2}, {"n_scales": 6}),
            Entry("GMM", {"n_components": 2}, {"n_components": 16}),
            Entry("MoGSM", {"n_components": 2, "n_scales": 2}, {"n_components": 8, "n_scales": 6}),
            Entry("ICA", {"n_scales": 2}, {"n_scales": 6}),
        )
    }
)


def names_of(base: type) -> str:
    """Return the models that derive from a class, as in "MVN, GSM or ICA"."""
    *most, last = (name for name, entry in MODELS.items() if issubclass(entry.model, base))
    return f"{', '.join(most)} or {last}"
