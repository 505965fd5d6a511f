"""Everything that `import fastgsm` offers by name; `fastgsm/__init__.py` says why it is here."""

from fastgsm import datasets
from fastgsm._denoise import denoise
from fastgsm._warmup import warmup
from fastgsm.models import (
    GMM,
    GSM,
    ICA,
    MVN,
    ConvergenceWarning,
    EMIteration,
    MoGSM,
    NotFittedError,
    SufficientStatistics,
    load,
)
from fastgsm.noise.white import estimate_sigma
from fastgsm.patch_sampler import PatchSampler
from fastgsm.patches import aggregate_patches, extract_patches, sample_patches
from fastgsm.priors import list_priors, load_prior
from fastgsm.tiles import denoise_tiles

__all__ = [
    "GMM",
    "GSM",
    "ICA",
    "MVN",
    "ConvergenceWarning",
    "EMIteration",
    "MoGSM",
    "NotFittedError",
    "PatchSampler",
    "SufficientStatistics",
    "aggregate_patches",
    "datasets",
    "denoise",
    "denoise_tiles",
    "estimate_sigma",
    "extract_patches",
    "list_priors",
    "load",
    "load_prior",
    "sample_patches",
    "warmup",
]
