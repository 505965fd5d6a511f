"""The noise: its level, its growth with the light, and stabilising it."""

from fastgsm.noise.white import estimate_sigma

__all__ = ["estimate_sigma"]
