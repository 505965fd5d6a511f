"""The data range of an image: the value that corresponds to the prior's 1.0."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastgsm._arrays import is_narrow
from fastgsm._checks import caller_level
from fastgsm._images import default_data_range
from fastgsm._types import FloatArray

# Side of the box over which pixels are averaged before their span is taken. White noise then adds
# 1.5 times its level instead of 8 times, and a hot pixel a 25th of its value.
BOX_PIXELS = 5
# A type's default range is kept where an image spans this part of it. Beyond, the result would be
# worse than with the image's own span: at noise 5 and 25 of 255, four times too large a range costs
# 0.3 and 0.2 dB ("balanced"; "fast" 0.0 and 0.1), eight times 0.6 and 0.5 dB; four times too small
# a range costs 0.2 and 0.8 dB ("fast" 1.0 and 1.3). (Four Kodak images.)
LEAST_SPAN, MOST_SPAN = 1 / 3, 2.0
# Ratio between the image's range and the default one from which on a warning appears.
UNLIKELY_RATIO = 10.0
# Least range relative to the largest magnitude: below, float32 would not hold the differences.
LEAST_RELATIVE = 1e-6
# Largest magnitude, in data ranges, of an image that is computed in float32. At 1e5, "best" made an
# image with noise of a tenth of the range worse than it was.
MOST_IN_FLOAT32 = 1e4
# Variance of pixels relative to their squared mean that may be rounding.
ROUNDING = 1e-14
# Rows and columns between the boxes that are tried first, see `_has_likely_range`.
TRIED_EVERY_PIXELS = 16
# Rows that are averaged at once; they stay in the processor's cache.
ROWS_AT_ONCE = 32


class Extent(NamedTuple):
    """Least and greatest mean over 5x5 pixels of an image's channels, in the image's own units."""

    low: FloatArray
    """The least of every channel (n,)."""
    high: FloatArray
    """The greatest of every channel (n,)."""
    brightest: float
    """The greatest pixel."""
    lower: FloatArray
    """The least mean less the standard deviation in its box (n,); NaN if the means span enough."""
    higher: FloatArray
    """The greatest mean plus the standard deviation in its box (n,), or NaN."""

    @classmethod
    def of(cls, planes: NDArray[Any], trusted: NDArray[np.bool_] | None = None) -> Extent:
        """Return the extent of planes (n, height, width).

        Boxes with a pixel that is not ``trusted`` (height, width) do not count, unless all boxes
        have one; then the pixels count one by one.
        """
        box = tuple(min(BOX_PIXELS, n) for n in planes.shape[1:])
        low, high = _ends(planes, trusted, box)
        if np.isnan(low).any():
            box = (1, 1)
            low, high = _ends(planes, trusted, box)
        lower = higher = np.full(len(planes), np.nan)
        if _span(low, high) < LEAST_SPAN * default_data_range(planes.dtype):
            lower, higher = _ends(planes, trusted, box, spread=True)
        brightest = planes.max() if trusted is None else planes[:, trusted].max()
        return cls(low, high, float(brightest), lower, higher)

    @classmethod
    def unless_likely(
        cls, planes: NDArray[Any], trusted: NDArray[np.bool_] | None = None
    ) -> Extent | None:
        """Return the extent, or None where some pixels show that the default range is kept."""
        if trusted is None and _has_likely_range(planes):
            return None
        return cls.of(planes, trusted)

    @classmethod
    def joined(cls, parts: Sequence[Extent]) -> Extent:
        """Return the extent of an image from those of overlapping parts."""
        low, high, brightest, lower, higher = zip(*parts, strict=True)
        least, most = np.fmin.reduce, np.fmax.reduce
        return cls(least(low), most(high), max(brightest), least(lower), most(higher))

    @property
    def span(self) -> float:
        """The largest span of a channel."""
        return _span(self.low, self.high)

    def data_range(self, dtype: np.dtype[Any]) -> float:
        """Return the default range of a type, or the image's span where that is far from it.

        Fine patterns hardly show in means. So an image that seems dark spans the deviations too.
        """
        default, span = default_data_range(dtype), self.span
        if span < LEAST_SPAN * default:
            span = _span(self.lower, self.higher)
        least_float = np.finfo(np.float32 if is_narrow(dtype) else np.float64).tiny
        usable = np.isfinite(span) and span > least_float
        if not usable or LEAST_SPAN * default <= span <= MOST_SPAN * default:
            return default
        return max(span, LEAST_RELATIVE * float(np.abs([self.low, self.high]).max()))

    def needs_float64(self, data_range: float) -> bool:
        """Return whether float32 holds too few digits of so small a range on so large an offset."""
        return float(np.abs([self.low, self.high]).max()) > MOST_IN_FLOAT32 * data_range

    def warn(self, dtype: np.dtype[Any]) -> None:
        """Warn if the data range is far from the default of a type."""
        default, data_range = default_data_range(dtype), self.data_range(dtype)
        if not 1 / UNLIKELY_RATIO <= data_range / default <= UNLIKELY_RATIO:
            warnings.warn(
                f"image spans {data_range:.3g}, far from {default:g}, the data range of its type. "
                f"That is taken to be its data range. If it is not the contrast of the scene, give "
                f"data_range.",
                stacklevel=caller_level(),
            )


def _has_likely_range(planes: NDArray[Any]) -> bool:
    """Return whether some pixels (n, height, width) show that the default range is to be kept.

    If not, the extent says which range to use. It takes 5 % of the time of "fast", and this 1 %.
    """
    default = default_data_range(planes.dtype)
    lows, highs = (
        each.astype(np.float64) for each in (planes.min(axis=(1, 2)), planes.max(axis=(1, 2)))
    )
    if not _span(lows, highs) <= MOST_SPAN * default:
        return False
    if float(np.abs([lows, highs]).max()) > MOST_IN_FLOAT32 * default:
        return False
    box = tuple(min(BOX_PIXELS, n) for n in planes.shape[1:])
    some = slice(None, None, TRIED_EVERY_PIXELS)
    boxes = sliding_window_view(planes, box, axis=(1, 2))[:, some, some]
    means = boxes.mean(axis=(3, 4), dtype=np.float64)
    # A little more than the least span: these means are rounded otherwise.
    return bool(np.ptp(means, axis=(1, 2)).max() > 1.001 * LEAST_SPAN * default)


def _span(low: FloatArray, high: FloatArray) -> float:
    """Return the largest span of a channel; NaN if there is infinity, which is refused later."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float((high - low).max())


def _ends(
    planes: NDArray[Any],
    trusted: NDArray[np.bool_] | None,
    box: tuple[int, ...],
    *,
    spread: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest mean (n,) over boxes of ``box`` pixels down and across.

    With ``spread``, the least mean less, and the greatest plus, the standard deviation in the box.
    """
    narrow = not spread and (is_narrow(planes.dtype) or planes.dtype.itemsize <= 2)
    lows, highs = [], []
    for top in range(0, planes.shape[1] - box[0] + 1, ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE + box[0] - 1)
        values: FloatArray = planes[:, rows].astype(np.float32 if narrow else np.float64)
        if trusted is not None:
            values[:, ~trusted[rows]] = np.nan
        with np.errstate(invalid="ignore", over="ignore"):
            low = high = _means(values, box)
            if spread:
                square = np.square(low)
                variance = _means(np.square(values), box) - square
                variance[variance < ROUNDING * square] = 0
                deviation = np.sqrt(variance)
                low, high = low - deviation, high + deviation
        lows.append(np.fmin.reduce(low, axis=(1, 2)))
        highs.append(np.fmax.reduce(high, axis=(1, 2)))
    low, high = np.fmin.reduce(lows), np.fmax.reduce(highs)
    return low.astype(np.float64), high.astype(np.float64)


def _means(values: FloatArray, box: tuple[int, ...]) -> FloatArray:
    """Return the means over all boxes of planes (n, height, width)."""
    sums = _sums(_sums(values, box[0], 1), box[1], 2)
    sums /= box[0] * box[1]
    return sums


def _sums(values: FloatArray, length: int, axis: int) -> FloatArray:
    """Return the sums of ``length`` neighbours along an axis, in one order wherever they are."""
    values = np.moveaxis(values, axis, 0)
    n = len(values) - length + 1
    total = values[:n].copy()
    for first in range(1, length):
        total += values[first : first + n]
    return np.moveaxis(total, 0, axis)
