"""Multiply-add with one rounding, where this package decides and not LLVM.

With the flag ``contract``, LLVM may fuse a multiplication and an addition, or not. It chooses by
the code around them, and that differs between a kernel's serial and parallel build. Both builds
carry the same helper functions, and a process keeps the copies that it loads first: bits then
depended on the order in which builds were loaded. So the flag is off, and a kernel writes
``fma(a, b, c)`` where fusing pays. All three are float32 or all are float64: a mixture does not
compile, since it would silently be computed in float64.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastgsm.kernels._jit import compiled


def fuses(context: Any) -> bool:
    """Return whether the processor that Numba compiles for has fused multiply-adds.

    Without them, a correctly rounded one would be a slow library call. So on such a processor
    every product is rounded before the addition.
    """
    # Not the host's features: Numba's settings may exclude some of them.
    triple, _, features = context.codegen().magic_tuple()
    on_intel = triple.startswith(("x86_64", "i386", "i686"))
    return not on_intel or "+fma" in (features or "").split(",")


def emit_fma(builder: ir.IRBuilder, fused: bool, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Write the instructions of ``a * b + c`` for floats or vectors of them."""
    if not fused:
        return builder.fadd(builder.fmul(a, b), c)
    kind = a.type
    item = kind.element if isinstance(kind, ir.VectorType) else kind
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    name = f"llvm.fma.{lanes}{'f32' if isinstance(item, ir.FloatType) else 'f64'}"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [kind] * 3), name
    )
    return builder.call(function, [a, b, c])


@intrinsic
def fma_intrinsic(context: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``a * b + c`` in compiled code."""
    if a not in (types.float32, types.float64) or not a == b == c:
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        return emit_fma(builder, fuses(context), *values)

    return a(a, a, a), generate


def plain_fma(a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once if the processor can; all float32 or all float64."""
    return a * b + c


fma = compiled(plain_fma, fma_intrinsic)
