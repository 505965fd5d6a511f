"""Everything that `import fastgsm` offers by name; `fastgsm/__init__.py` says why it is here."""

from fastgsm import datasets
from fastgsm.denoise import denoise
from fastgsm.models import (
    GMM,
    GSM,
    ICA,
    MVN,
    ConvergenceWarning,
    MoGSM,
    NotFittedError,
    load,
)
from fastgsm.noise import estimate_sigma
from fastgsm.patches import aggregate_patches, extract_patches, sample_patches
from fastgsm.priors import list_priors, load_prior
from fastgsm.warmup import warmup

__all__ = [
    "GMM",
    "GSM",
    "ICA",
    "MVN",
    "ConvergenceWarning",
    "MoGSM",
    "NotFittedError",
    "aggregate_patches",
    "datasets",
    "denoise",
    "estimate_sigma",
    "extract_patches",
    "list_priors",
    "load",
    "load_prior",
    "sample_patches",
    "warmup",
]
