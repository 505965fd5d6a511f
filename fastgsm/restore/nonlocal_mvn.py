"""Non-local MVN refinement of a pilot estimate: the second step of NL-Bayes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgsm._parts import Part
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.kernels._jit import usable_threads
from fastgsm.kernels.elimination import LARGEST
from fastgsm.kernels.nonlocal_mvn import Matching, refine_bands
from fastgsm.kernels.products import COLUMNS
from fastgsm.kernels.runs import RUN
from fastgsm.patches import check_stride, grid_positions
from fastgsm.restore.method import Method, Reach, shape_of
from fastgsm.restore.planes import PlaneNoise

# Rows of references in a band. Constant, whatever the number of threads: the order in which
# patches are summed, and so every bit of the result, follows from it.
BAND_ROWS = 8
# Bands refined in one call of the kernel, for each thread: each has sums of its own in memory.
BANDS_PER_THREAD = 4

# Measured on every fourth Kodak image in grey, mean PSNR in dB at noise 15 / 25 / 50 of 255, with
# a pilot from EPLL with a small MoGSM (30.77 / 28.19 / 24.99):
#
#   6x6, groups of 32, window +-12, stride 3               31.06 / 28.43 / 25.10
#   groups of 24 / 40                                      31.02 28.42 25.11 / 31.07 28.42 25.08
#   window +-10 / +-15                                     31.06 28.42 25.10 / 31.07 28.43 25.11
#   8x8 (twice the time)                                   30.96 / 28.40 / 25.15
#   covariances times 1.2 / 1.5 (see `gain`)               31.03 28.44 25.14 / 30.95 28.42 25.18
#   groups of 40, and times 0.9 / 1.3 / 2                  31.07 / 28.44 / 25.21
#   a second round with the result as its pilot            31.09 / 28.47 / 25.23
#
# Groups weighted by 1 / (1 + trace C / trace s2 I), or patches by their distance, changed at most
# 0.01 dB; covariances shrunk by 0.1 towards a multiple of I lost up to 0.16. Of the pilot, 0.1
# blended in changed 0.02 dB or less.
#
# With the pilot of quality="best", rounds of strides 4 and 3 gain 0.03 to 0.05 dB on Kodak's and
# scikit-image's photographs for half more time, but lose texture: 0.05 and 0.03 dB at noise 15 and
# 25 on the Berkeley images. So there is one round.
#
# With a single pass of a GSM as the pilot (three images, noise 25), stride 2 gained 0.003 dB and
# 4x4 patches lost 0.15.
PATCH_SIZE = 6
STRIDE = 3
GROUP_SIZE = 40
RADIUS = 12


class NonlocalMVN:
    """Refinement of a pilot estimate by a multivariate normal for each group of similar patches.

    For reference patches on a strided grid, a mean m and a covariance C are fitted to the most
    similar patches of the pilot within a window, and the noisy patches y at the same places are
    restored as ``m + C (C + s2 I)^-1 (y - m)``. A pixel is the mean over the patches that cover
    it.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, where images range from 0 to 1.
    dtype : dtype
        float32 or float64: the type of the images.
    n_rounds : int
        A second round uses the result of the first as its pilot: 0.02 dB for twice the time.
    patch_size, stride, group_size, radius : int
        Side of a patch (even, 8 at most; no image may be smaller); distance between references (1
        to `patch_size`); patches in a group (2 to 64); largest displacement in the window. In
        pixels.
    gain : float, optional
        Factor on the pilot's covariances, which its own smoothing has made too small. By default
        it grows with the noise.
    noise : PlaneNoise, optional
        Relative levels of the planes, and correlations between their pixels. By default the noise
        is white and equal.

    References
    ----------
    .. [1] M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image denoising algorithm",
       SIAM J. Imaging Sciences 6(3), 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgsm._progress import Progress
    >>> from fastgsm.restore.nonlocal_mvn import NonlocalMVN
    >>> clean = np.tile(np.sin(np.arange(32) / 2), (1, 32, 1))
    >>> noise = np.random.default_rng(0).standard_normal(clean.shape)
    >>> method = NonlocalMVN(0.2, np.float64)
    >>> with Progress(method.n_steps(clean.shape), "refining", enabled=False) as bar:
    ...     refined = method(clean + 0.2 * noise, clean + 0.05 * noise, bar)
    >>> bool(np.mean((refined - clean) ** 2) < 0.05**2)
    True
    """

    def __init__(
        self,
        sigma: float,
        dtype: Any,
        *,
        n_rounds: int = 1,
        patch_size: int = PATCH_SIZE,
        stride: int = STRIDE,
        group_size: int = GROUP_SIZE,
        radius: int = RADIUS,
        gain: float | None = None,
        noise: PlaneNoise | None = None,
    ) -> None:
        if patch_size not in (2, 4, 6, 8) or not 2 <= group_size <= LARGEST:
            raise ValueError(
                f"patch_size is {patch_size} and group_size {group_size}; wanted 2, 4, 6 or 8, and "
                f"2 to {LARGEST}."
            )
        self.patch_size = patch_size
        self._stride = check_stride(stride, patch_size)
        gain = default_gain(sigma) if gain is None else gain
        # gain C (gain C + s2 I)^-1 = C (C + s2 / gain I)^-1
        variance = np.dtype(dtype).type(sigma**2 / gain)
        self.noise = PlaneNoise(()) if noise is None else noise
        correlations = self.noise.patch_correlations(patch_size, dtype)
        self._matching = Matching(patch_size, radius, group_size, variance, correlations)
        self._n_rounds = n_rounds

    @staticmethod
    def reach() -> Reach:
        """Return how far the default refinement looks.

        Patches anywhere in a window are matched, and restored.
        """
        return Reach(2 * RADIUS + 2 * PATCH_SIZE, BAND_ROWS * STRIDE)

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        rows = grid_positions(shape[1], self._matching.patch_size, self._stride)
        n_bands = _bands(rows).size - 1
        return self._n_rounds * -(-n_bands // (BANDS_PER_THREAD * usable_threads()))

    def __call__(self, noisy: FloatArray, pilot: FloatArray, bar: Progress) -> FloatArray:
        """Refine the ``pilot`` (n, height, width) of ``noisy``; match groups in its plane 0."""
        # Planes of equal noise.
        scale = np.array(self.noise.ratios or (1,), noisy.dtype)[:, None, None]
        width = noisy.shape[2]
        noisy, pilot = (
            _with_spare_columns(np.divide(each, scale, order="C")) for each in (noisy, pilot)
        )
        for _ in range(self._n_rounds):
            pilot = self._refine(noisy, pilot, width, bar)
        return pilot[:, :, :width] * scale

    def _refine(
        self, noisy: FloatArray, pilot: FloatArray, width: int, bar: Progress
    ) -> FloatArray:
        """Refine the first ``width`` columns; all others are spare."""
        p, radius = self._matching.patch_size, self._matching.radius
        n_planes, height, stored_width = noisy.shape
        sides = ((0, 0), (radius, radius + COLUMNS))
        padded = np.pad(pilot[0, :, :width], sides, constant_values=np.inf)
        rows, cols = (grid_positions(n, p, self._stride) for n in (height, width))
        bands = _bands(rows)
        room = min((BAND_ROWS - 1) * self._stride + 2 * radius + p, height)
        total = np.zeros(noisy.shape, noisy.dtype)
        starts = np.zeros((height, stored_width), noisy.dtype)
        step = BANDS_PER_THREAD * usable_threads()
        for first in range(0, bands.size - 1, step):
            part = bands[first : first + step + 1]
            sums = np.empty((part.size - 1, n_planes, room, stored_width), noisy.dtype)
            coverage = np.empty((part.size - 1, room, stored_width), noisy.dtype)
            refine_bands(noisy, pilot, padded, rows, cols, part, self._matching, sums, coverage)
            for band in range(part.size - 1):
                top = max(int(rows[part[band]]) - radius, 0)
                reach = min(room, height - top)
                total[:, top : top + reach] += sums[band, :, :reach]
                starts[top : top + reach] += coverage[band, :reach]
            bar.update()
        starts = starts[:, :width]
        total[:, :, :width] /= _window_sums(_window_sums(starts, p).T, p).T
        return total


@dataclass(frozen=True, eq=False)
class Refined:
    """A method, and the non-local refinement of its result, or of a part of it.

    An image smaller than a patch of the refinement keeps the method's result.
    """

    pilot: Method
    refinement: NonlocalMVN
    missing: NDArray[np.bool_] | None = None
    """Where (height, width) the method's result replaces the noisy image."""
    part: Part = (slice(None), slice(None))

    def n_steps(self, shape: tuple[int, ...]) -> int:
        """Return the number of progress updates for planes of ``shape`` (n, height, width)."""
        steps = self.pilot.n_steps(shape)
        if self._refines(shape):
            steps += self.refinement.n_steps(shape_of(self.part, shape))
        return steps

    def __call__(self, planes: FloatArray, bar: Progress) -> FloatArray:
        """Denoise ``planes`` (n, height, width)."""
        restored = self.pilot(planes, bar)
        if not self._refines(planes.shape):
            return restored
        if self.missing is not None:
            planes = np.where(self.missing, restored, planes)
        part = (slice(None), *self.part)
        restored[part] = self.refinement(planes[part], restored[part], bar)
        return restored

    def _refines(self, shape: tuple[int, ...]) -> bool:
        return min(shape[1:]) >= self.refinement.patch_size


def default_gain(sigma: float) -> float:
    """Return the factor on the pilot's covariances: the best on Kodak at 15, 25 and 50 of 255."""
    return float(np.clip(sigma * 255 / 20, 1.0, 2.0))


def _with_spare_columns(planes: FloatArray) -> FloatArray:
    """Append columns of zeros for the kernel, which reads whole runs of pixels beyond patches.

    Sums of rows of patches that are a multiple of 2 kB apart would compete for the same places of
    the caches: images 512 pixels wide took 1.1 times as long.
    """
    n_spare = RUN if (planes.shape[2] + RUN) % 64 else 2 * RUN
    return np.pad(planes, ((0, 0), (0, 0), (0, n_spare)))


def _bands(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first grid row of every band, and the end."""
    return np.append(np.arange(0, rows.size, BAND_ROWS, dtype=np.intp), rows.size)


def _window_sums(values: FloatArray, n: int) -> FloatArray:
    """Return each row of ``values`` summed with the n - 1 rows above."""
    sums = values.copy()
    for i in range(1, n):
        sums[i:] += values[:-i]
    return sums
