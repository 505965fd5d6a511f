"""Multiply-add against exact rounding."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher, cpu_target

from fastgsm.kernels import fma as module
from fastgsm.kernels.fma import fma, fma_intrinsic, fuses, plain_fma
from tests.kernels.helpers import DTYPES, JIT, assert_same_bits


def compiled() -> Any:
    """Compile a loop over the intrinsic, also where Numba is off."""

    def multiply_add(a, b, c, out):  # type: ignore[no-untyped-def]
        for i in range(out.shape[0]):
            out[i] = fma_intrinsic(a[i], b[i], c[i])

    return CPUDispatcher(multiply_add, targetoptions={"nopython": True})


def operands(dtype: Any) -> tuple[np.ndarray, ...]:
    """Draw numbers whose product and sum nearly cancel, so that one and two roundings differ."""
    a, b = np.random.default_rng(0).standard_normal((2, 200)).astype(dtype)
    return a, b, -(a * b)


def rounded(exact: Fraction, dtype: Any) -> Any:
    """Round to the nearest number of the type; a float64 holds these remainders of float32."""
    return dtype(float(exact))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounded_once_if_the_processor_fuses(dtype: Any) -> None:
    a, b, c = operands(dtype)
    out = np.empty_like(a)
    compiled()(a, b, c, out)
    if not fuses(cpu_target.target_context):
        assert_same_bits(out, plain_fma(a, b, c))
        return
    numbers = ([Fraction(float(x)) for x in values] for values in (a, b, c))
    wanted = [rounded(x * y + z, dtype) for x, y, z in zip(*numbers, strict=True)]
    assert_same_bits(out, np.array(wanted, dtype))
    assert (out != plain_fma(a, b, c)).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_twin_rounds_twice(dtype: Any) -> None:
    a, b, c = operands(dtype)
    assert_same_bits(plain_fma(a, b, c + 1), a * b + (c + 1))
    assert_same_bits(plain_fma(a, b, c), np.zeros_like(a))
    assert (fma is plain_fma) == (not JIT)


class Context:
    """What `fuses` asks Numba's context."""

    def __init__(self, triple: str, features: str | None) -> None:
        self.answer = triple, "name", features

    def codegen(self) -> Context:
        return self

    def magic_tuple(self) -> tuple[str, str, str | None]:
        return self.answer


@pytest.mark.parametrize(
    ("triple", "features", "wanted"),
    [
        ("x86_64-unknown-linux-gnu", "+avx2,+fma,+sse2", True),
        ("x86_64-unknown-linux-gnu", "+avx2,-fma,+sse2", False),
        ("x86_64-unknown-linux-gnu", "+fma4,+sse2", False),
        ("x86_64-pc-windows-msvc", "", False),
        ("i686-pc-linux-gnu", None, False),
        ("aarch64-unknown-linux-gnu", "+neon", True),
        ("arm64-apple-darwin23.0.0", None, True),
    ],
)
def test_a_processor_fuses_by_its_features(triple: str, features: str | None, wanted: bool) -> None:
    assert fuses(Context(triple, features)) == wanted


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_fused_instructions_every_product_is_rounded(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fuses", lambda context: False)
    a, b, c = operands(dtype)
    out = np.empty_like(a)
    compiled()(a, b, c, out)
    assert_same_bits(out, np.zeros_like(a))


@pytest.mark.parametrize(
    "kinds", [(np.float32, np.float32, np.float64), (np.float64, np.float32, np.float32),
              (np.int64, np.float64, np.float64), (np.int64, np.int64, np.int64)]
)  # fmt: skip
def test_mixed_types_are_refused(kinds: tuple[Any, ...]) -> None:
    a, b, c = (np.ones(3, kind) for kind in kinds)
    with pytest.raises(TypingError, match="fma_intrinsic"):
        compiled()(a, b, c, np.empty(3))
