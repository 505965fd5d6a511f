"""What is known of the noise: its level, and how it grows with the light."""

from fastgsm.noise.white import estimate_sigma

__all__ = ["estimate_sigma"]
