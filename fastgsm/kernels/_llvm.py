"""What kernels in LLVM's language share: loops, and arrays that they may read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from fastgsm.kernels._jit import jit

INDEX = ir.IntType(64)


def index(value: int) -> ir.Constant:
    """Return an index as LLVM's constant."""
    return ir.Constant(INDEX, value)


def emit_loop(
    builder: ir.IRBuilder,
    start: ir.Value,
    stop: ir.Value,
    step: int,
    values: Sequence[ir.Value],
    body: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
) -> list[ir.Value]:
    """Write a loop through which ``body`` carries values; return the values at its end."""
    before = builder.block
    head, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    counter = builder.phi(INDEX)
    counter.add_incoming(start, before)
    carried = [builder.phi(value.type) for value in values]
    for phi, value in zip(carried, values, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", counter, stop), inside, after)
    builder.position_at_end(inside)
    results = body(counter, carried)
    counter.add_incoming(builder.add(counter, index(step)), builder.block)
    for phi, result in zip(carried, results, strict=True):
        phi.add_incoming(result, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return carried


def item_bytes(item: ir.Type) -> int:
    """Return the size of a float or a double, to which arrays are aligned."""
    return 4 if isinstance(item, ir.FloatType) else 8


def emit_splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """Write a vector whose lanes all hold ``value``."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    to_all = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    lane = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(lane, undefined, to_all)


def vector_at(
    builder: ir.IRBuilder, array: ir.Value, place: ir.Value, kind: ir.VectorType
) -> ir.Value:
    """Return the pointer to a vector that begins at element ``place`` of an array."""
    return builder.bitcast(builder.gep(array, [place]), kind.as_pointer())


def are_flat(written: Any, *read: Any) -> bool:
    """Return whether the instructions, which see only pointers, hold for arrays of these types."""
    if not all(isinstance(kind, types.Array) for kind in (written, *read)):
        return False
    wanted = types.Array(written.dtype, 1, "C")  # which may be written to
    return (
        written.dtype in (types.float32, types.float64)
        and written == wanted
        and all(kind.copy(readonly=False) == wanted for kind in read)
    )


def pointers(
    context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[Any]
) -> list[ir.Value]:
    """Return the arguments of an intrinsic, with pointers to the data of arrays."""
    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, values, strict=True)
    ]


@jit
def stretch(x, start, n):
    """Return ``n`` elements of x from ``start`` on; unlike a slice, never fewer."""
    if not 0 <= start <= x.shape[0] - n:
        raise IndexError("a run of numbers lies outside its array")
    return x[start : start + n]
