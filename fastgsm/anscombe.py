"""Noise of photon counts: made white and Gaussian for the denoiser, and back without bias."""

from fastgsm.noise.anscombe import exact_unbiased_inverse, stabilise

__all__ = ["exact_unbiased_inverse", "stabilise"]
