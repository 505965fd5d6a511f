"""fastgsm: Gaussian patch priors, learned by EM, and fast image denoising with them.

Names are imported at their first use, because Numba takes half a second: the command line answers
``fastgsm --help`` without it. `__init__.pyi` tells type checkers and editors the same names.
"""

import importlib
from typing import Any

from fastgsm._registry import MODELS

__version__ = "0.1.0"

# Where each public name is defined.
_NAMES = {
    **dict.fromkeys(MODELS, "models"),
    "ConvergenceWarning": "models",
    "EMIteration": "models",
    "NotFittedError": "models",
    "NoiseModel": "noise",
    "PatchSampler": "patch_sampler",
    "SufficientStatistics": "models",
    "aggregate_patches": "patches",
    "denoise": "_denoise",
    "denoise_tiles": "tiles",
    "estimate_noise": "noise",
    "estimate_sigma": "noise",
    "extract_patches": "patches",
    "list_priors": "priors",
    "load": "models",
    "load_prior": "priors",
    "sample_patches": "patches",
    "warmup": "_warmup",
}
_MODULES = (
    "anscombe",
    "colour",
    "datasets",
    "distributed",
    "io",
    "metrics",
    "models",
    "noise",
    "patches",
    "plot",
    "priors",
    "report",
    "tiles",
)

__all__ = sorted([*_NAMES, "datasets"])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"fastgsm.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fastgsm.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_NAMES, *_MODULES, "__all__", "__doc__", "__version__"})
