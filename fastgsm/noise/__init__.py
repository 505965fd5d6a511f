"""The noise: what is known of it, estimating it, and stabilising it."""

from fastgsm.noise.estimate import estimate_noise
from fastgsm.noise.model import NoiseModel
from fastgsm.noise.white import estimate_sigma

__all__ = ["NoiseModel", "estimate_noise", "estimate_sigma"]
