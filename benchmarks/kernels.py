"""The kernels one by one, each next to NumPy's way to the same result.

``CASES`` is the one list of them: asv times them, `benchmarks.ratios` compares them with NumPy,
`benchmarks.roofline` with the machine's limits, and the tests compare the results and the bits.
Every `Kernel` of fastgsm is here under its own name; `rotation`, `exp` and `log` are functions
that only kernels call, `aggregate` is `add_patches` with the division behind it.
"""

from __future__ import annotations

from collections.abc import Callable

from .cases import blocks, gradients, images, learning, nonlocal_mvn
from .cases.case import Case
from .common import DTYPES, alternate

CASES: dict[str, Callable[[str], Case]] = {
    case.__name__: case
    for case in (
        blocks.rotation,
        blocks.exp,
        blocks.log,
        learning.mahalanobis,
        learning.responsibilities,
        learning.moments,
        learning.scale_statistics,
        learning.component_weights,
        learning.eigh,
        images.posterior_patches,
        images.denoise_bands,
        images.extract,
        images.aggregate,
        images.best_shapes,
        images.restore_patches,
        images.add_patches,
        images.shape_evidence,
        images.local_weights,
        images.shrink_coordinates,
        nonlocal_mvn.refine_bands,
        gradients.pass_gradients,
    )
}


class Kernel:
    """One call on all threads."""

    params = (list(CASES), DTYPES)
    param_names = ("kernel", "dtype")

    def setup(self, name: str, dtype: str) -> None:
        self.case = CASES[name](dtype)
        self.case.ours()  # compiles, or loads what is compiled

    def time_kernel(self, name: str, dtype: str) -> None:
        self.case.ours()


class Ratio:
    """Time over NumPy's, alternately measured: holds where times do not."""

    params = (list(CASES),)
    param_names = ("kernel",)

    def track_time_over_numpy(self, name: str) -> float:
        case = CASES[name]("float32")
        ours, numpy = alternate(case.ours, case.numpy)
        return ours / numpy

    track_time_over_numpy.unit = "times"  # type: ignore[attr-defined]
