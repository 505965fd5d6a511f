"""Loops around the blocks that only other kernels call, so that they can be timed alone."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgsm.kernels import vmath
from fastgsm.kernels._jit import Kernel
from fastgsm.kernels.rotation import rotate


@Kernel
def rotate_all(A, columns, repeats, out):
    """Set ``out[i] = A @ columns[i]``, ``repeats`` times; each pair stays in the L2 cache."""
    for task in prange(columns.shape[0]):
        i = np.intp(task)
        for _ in range(repeats):
            rotate(A, columns[i], out[i])


@Kernel
def exp_blocks(x, repeats, out):
    """Set ``out = exp(x)`` row by row, ``repeats`` times."""
    for task in prange(x.shape[0]):
        row = np.intp(task)
        for _ in range(repeats):
            for t in range(x.shape[1]):
                out[row, t] = vmath.exp(x[row, t])


@Kernel
def log_blocks(x, repeats, out):
    """Set ``out = log(x)`` row by row, ``repeats`` times."""
    for task in prange(x.shape[0]):
        row = np.intp(task)
        for _ in range(repeats):
            for t in range(x.shape[1]):
                out[row, t] = vmath.log(x[row, t])


@Kernel
def add_blocks(x, y, out):
    """Set ``out = x + y``, which takes as long as the memory does."""
    length = (x.shape[0] + 63) // 64
    for task in prange(64):
        part = np.intp(task)
        for i in range(part * length, min(x.shape[0], (part + 1) * length)):
            out[i] = x[i] + y[i]
