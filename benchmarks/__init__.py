"""Benchmarks for asv: how long fitting and denoising take, and how good the result is.

asv takes a smaller number for a better one, so each tracked number besides the times is an error or
a negative log-likelihood: a change that buys speed with quality shows as a regression.
"""
