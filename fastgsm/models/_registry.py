"""The list of models. A new model is one file and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastgsm.models._base import PatchModel
from fastgsm.models.gmm import GMM
from fastgsm.models.gsm import GSM
from fastgsm.models.ica import ICA
from fastgsm.models.mogsm import MoGSM
from fastgsm.models.mvn import MVN


@dataclass(frozen=True)
class Entry:
    """A model, and the sizes at which it is used.

    Attributes
    ----------
    model : type of PatchModel
        Files name it by its ``__name__``, the command line by the same in lower case.
    tiny : mapping
        Options of the smallest model that runs all of its kernels.
    modest : mapping
        Options of a model that 10,000 patches can teach, as in the study and the benchmarks. With
        more components it would learn the training patches by heart, which costs held-out
        likelihood.
    """

    model: type[PatchModel]
    tiny: MappingProxyType[str, int]
    modest: MappingProxyType[str, int]

    def new(self, sizes: Mapping[str, int], **options: Any) -> PatchModel:
        """Return a model with `tiny` or `modest` sizes, not yet fitted."""
        make: Callable[..., PatchModel] = self.model
        return make(**sizes, **options)


def _entry(model: type[PatchModel], tiny: dict[str, int], modest: dict[str, int]) -> Entry:
    return Entry(model, MappingProxyType(tiny), MappingProxyType(modest))


MODELS: MappingProxyType[str, Entry] = MappingProxyType(
    {
        entry.model.__name__: entry
        for entry in (
            _entry(MVN, {}, {}),
            _entry(GSM, {"n_scales": 2}, {"n_scales": 6}),
            _entry(GMM, {"n_components": 2}, {"n_components": 16}),
            _entry(
                MoGSM,
                {"n_components": 2, "n_scales": 2},
                {"n_components": 8, "n_scales": 6},
            ),
            _entry(ICA, {"n_scales": 2}, {"n_scales": 6}),
        )
    }
)
