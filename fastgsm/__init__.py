"""fastgsm: Gaussian patch priors, learned by EM, and fast image denoising with them.

What it offers is imported at the first use of any of it, because Numba takes half a second: the
command line answers ``fastgsm --help`` without.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastgsm._interface import *  # noqa: F403

__version__ = "0.1.0"


class _Package(ModuleType):
    """The package, whose function `denoise` is not replaced by the module of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Do what importing a module does to its package, but for `denoise`."""
        if not (name == "denoise" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name, as cloudpickle, and so joblib, does plain modules but no subclass."""
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__all__" or not name.startswith("_"):
        interface = importlib.import_module("fastgsm._interface")
        if name == "__all__" or name in interface.__all__:
            globals()[name] = getattr(interface, name)
        if name in globals():  # a module, perhaps, that the interface has imported
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("fastgsm._interface").__all__})
