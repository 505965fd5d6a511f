"""Local weights: a prior's shape weights, adapted to every block of an image by EM.

A prior's weights say how often each shape occurs in photographs. In a brick wall or a clear sky few
shapes occur. Expecting these there separates noise from texture where a single patch cannot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgsm._types import FloatArray
from fastgsm.kernels.local_weights import local_weights
from fastgsm.kernels.shapes import shape_evidence
from fastgsm.kernels.wiener import WienerBank
from fastgsm.restore.grid import Grid

# Weights are learned in blocks of 24x24 pixels by five steps of EM, from the patches that start in
# the block or up to 8 pixels outside it (100 patches if they are 4 pixels apart). The prior counts
# as a tenth as many patches.
#
# Gain of quality="balanced" in mean PSNR, in dB at noise 15 / 25 / 50 of 255, on the upper left
# 400x400 pixels of every third Kodak image in grey (the prior was trained on them), and increase of
# a prototype's time:
#
#   block 24, 8 outside                         0.081 / 0.120 / 0.162   10 %
#   block 16, 8 outside                         0.081 / 0.120 / 0.156   11 %
#   block 32, 8 outside                         0.082 / 0.118 / 0.165    7 %
#   block 32, 0 outside                         0.078 / 0.109 / 0.144    5 %
#   block 32, 8 outside, learned in each pass   0.081 / 0.121 / 0.176   14 %
#     the prior counts 0.03 / 0.3 times as many, at noise 25  +0.001 / -0.003
#     two steps, at noise 25                                  -0.009
#   weights of the whole image                  0.035 / 0.064 / 0.099
#   weights and covariances of the whole image  0.062 / 0.088 / 0.123   several times as long
#
# On all of BSD68, unknown to the priors, "balanced" gains 0.07, 0.08 and 0.08 dB and "best", whose
# refinement learns from the image too, 0.04, 0.04 and 0.07. On CBSD68 they gain 0.03, 0.05 and
# 0.06, and 0.00, 0.02 and 0.03. Learning the weights of scales as well gained nothing, and a second
# run with weights from the first one's result lost up to 0.09 dB.
BLOCK_PIXELS = 24
MARGIN_PIXELS = 8
CONCENTRATION = 0.1
STEPS = 5
# How far beyond its own pixels a patch's shape depends on others: from one end of a block to the
# last patch beyond the other end.
REACH = BLOCK_PIXELS + MARGIN_PIXELS - 1

# Patches whose evidence is held at once; more if a row of blocks needs more.
PATCHES_PER_CALL = 65_536


class LocalWeights(NamedTuple):
    """Logarithms (R, C, K) of the ratios of K shapes' weights in each block to the prior's."""

    log_ratios: FloatArray

    @classmethod
    def none(cls, n_shapes: int, dtype: Any) -> LocalWeights:
        """Return the weights of the prior for the whole image, as one block."""
        return cls(np.zeros((1, 1, n_shapes), dtype))

    def blocks(
        self, rows: NDArray[np.intp], cols: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the blocks in which patches at ``rows``, ``cols`` start."""
        n_rows, n_cols, _ = self.log_ratios.shape
        of_rows = np.minimum(rows // BLOCK_PIXELS, n_rows - 1)
        return of_rows, np.minimum(cols // BLOCK_PIXELS, n_cols - 1)


def learn_local_weights(
    plane: FloatArray, grid: Grid, bank: WienerBank, weights: FloatArray
) -> tuple[NDArray[np.int32], LocalWeights]:
    """Adapt the weights (K,) of a prior's shapes to each block of a plane.

    EM on the weights alone: the densities of the noisy patches with each shape do not change from
    step to step. With r_nk the responsibilities of the block's n patches and c the concentration,
    weights become ``(c n pi_k + sum_n r_nk) / (c n + n)``, the maximum a posteriori for a Dirichlet
    prior of mode pi.

    ``grid`` includes the last possible positions, and ``bank`` is the prior at the noise of the
    plane. Also returns the likeliest shape of every patch under the weights of its block.
    """
    n_shapes, dtype, n_cols = weights.size, plane.dtype, grid.cols.size
    row_blocks, col_blocks = _blocks(grid.rows), _blocks(grid.cols)
    ratios = np.empty((len(row_blocks), len(col_blocks), n_shapes), dtype)
    shapes = np.empty(grid.n_patches, np.int32)
    with np.errstate(divide="ignore", over="ignore"):
        inverse_weights = (1 / weights).astype(dtype)
    inverse_weights[np.isinf(inverse_weights)] = 0  # for shapes of weight 0
    n_groups = min(-(-grid.n_patches // PATCHES_PER_CALL), len(row_blocks))
    groups = np.array_split(row_blocks, n_groups)
    most = max(mine[-1, 3] - mine[0, 0] for mine in groups)
    room = np.empty(most * n_cols * n_shapes, dtype)
    for mine, its_ratios in zip(groups, np.array_split(ratios, n_groups), strict=True):
        top, first, last, bottom = mine[0, 0], mine[0, 1], mine[-1, 2], mine[-1, 3]
        window = grid.part(slice(top, bottom))
        n = window.n_patches
        evidence = room[: n_shapes * n].reshape(n_shapes, n)
        shape_evidence(plane, *window, bank, evidence)
        chosen = np.empty(n, np.int32)
        local_weights(
            evidence, n_cols, mine - top, col_blocks, inverse_weights,
            dtype.type(CONCENTRATION), STEPS, its_ratios, chosen,
        )  # fmt: skip
        own = chosen[(first - top) * n_cols : (last - top) * n_cols]
        shapes[first * n_cols : last * n_cols] = own
    return shapes, LocalWeights(np.log(ratios))


def _blocks(positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each block along an axis (window, block, end of block, end of window).

    These are indices into ``positions``, ascending, where the patches start. A block may have no
    patch.
    """
    starts = BLOCK_PIXELS * np.arange(positions[-1] // BLOCK_PIXELS + 1)
    edges = [-MARGIN_PIXELS, 0, BLOCK_PIXELS, BLOCK_PIXELS + MARGIN_PIXELS]
    return np.searchsorted(positions, np.add.outer(starts, edges))
