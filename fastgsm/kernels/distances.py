"""Squared distances from one block of pixels to others, and which are small, in LLVM's language.

The sums for blocks side by side stay in registers until all pixels are added. Comparisons become
bits: LLVM leaves a loop in Python that counts them without vectors, which takes 10 times as long.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastgsm.kernels._jit import compiled, jit
from fastgsm.kernels._llvm import (
    are_flat,
    emit_loop,
    emit_splat,
    index,
    item_bytes,
    pointers,
    stretch,
    vector_at,
)
from fastgsm.kernels.fma import emit_fma, fma, fuses
from fastgsm.kernels.products import COLUMNS, VECTOR_BYTES

# Distances that are compared at once.
BLOCK = 64


def _emit(builder: ir.IRBuilder, values: list[ir.Value], item: ir.Type, *, fused: bool) -> None:
    """Write the instructions of `set_distances`; ``item`` is the type of the pixels."""
    align = item_bytes(item)
    lanes = VECTOR_BYTES // align
    vector = ir.VectorType(item, lanes)
    pixels, own, other, width, n_rows, n_columns, out, place, n = values
    start = index(0)
    for n_vectors in (2, 1):
        stop = builder.sub(n, builder.srem(n, index(n_vectors * lanes)))
        firsts = [index(i * lanes) for i in range(n_vectors)]

        def block(first: ir.Value, _: Any, firsts: list[ir.Value] = firsts) -> list[ir.Value]:
            def row(y: ir.Value, sums: Any) -> list[ir.Value]:
                line = builder.mul(y, width)
                mine = builder.add(own, line)
                theirs = builder.add(builder.add(other, line), first)

                def pixel(x: ir.Value, sums: Any) -> list[ir.Value]:
                    value = builder.load(builder.gep(pixels, [builder.add(mine, x)]))
                    values = emit_splat(builder, value, lanes)
                    begin = builder.add(theirs, x)
                    added = []
                    for total, offset in zip(sums, firsts, strict=True):
                        at = vector_at(builder, pixels, builder.add(begin, offset), vector)
                        error = builder.fsub(values, builder.load(at, align=align))
                        added.append(emit_fma(builder, fused, error, error, total))
                    return added

                return emit_loop(builder, index(0), n_columns, 1, sums, pixel)

            zeros = [ir.Constant(vector, None)] * len(firsts)
            sums = emit_loop(builder, index(0), n_rows, 1, zeros, row)
            begin = builder.add(place, first)
            for total, offset in zip(sums, firsts, strict=True):
                at = vector_at(builder, out, builder.add(begin, offset), vector)
                builder.store(total, at, align=align)
            return []

        emit_loop(builder, start, stop, n_vectors * lanes, [], block)
        start = stop


@intrinsic
def distances_intrinsic(
    context: Any, pixels: Any, own: Any, other: Any, width: Any, n_rows: Any, n_columns: Any,
    out: Any, place: Any, n: Any,
) -> Any:  # fmt: skip
    """Do what `set_distances_plain` does, in compiled code."""
    if not are_flat(out, pixels):
        return None  # the caller does not compile
    i = types.intp

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        item = context.get_value_type(out.dtype)
        _emit(builder, pointers(context, builder, signature, values), item, fused=fuses(context))
        return context.get_dummy_value()

    return types.void(pixels, i, i, i, i, i, out, i, i), generate


@jit
def set_distances_plain(pixels, own, other, width, n_rows, n_columns, out, place, n):
    """Set ``out[place + t]`` to the distance between blocks at ``own`` and ``other`` + t, t < n.

    It is the sum of squared differences of (n_rows, n_columns) pixels of an image ``width`` pixels
    wide. ``pixels`` and ``out`` are one-dimensional, and n is a multiple of COLUMNS.
    """
    assert n % COLUMNS == 0
    total = stretch(out, place, n)
    total[:] = 0
    for y in range(n_rows):
        for x in range(n_columns):
            value = pixels[own + y * width + x]
            line = stretch(pixels, other + y * width + x, n)
            for t in range(n):
                error = value - line[t]
                total[t] = fma(error, error, total[t])


def _emit_within(
    builder: ir.IRBuilder, distances: ir.Value, first: ir.Value, limit: ir.Value, kind: ir.Type
) -> tuple[ir.Value, ir.Value]:
    """Write which of a block's distances are within a limit, as bits, and their number."""
    vector = ir.VectorType(kind, BLOCK)
    block = builder.load(vector_at(builder, distances, first, vector), align=item_bytes(kind))
    within = builder.fcmp_ordered("<=", block, emit_splat(builder, limit, BLOCK))
    bits = builder.bitcast(within, ir.IntType(BLOCK))
    return bits, builder.ctpop(bits)


@intrinsic
def count_intrinsic(context: Any, distances: Any, limit: Any) -> Any:
    """Do what `count_within_plain` does, in compiled code."""
    if not are_flat(distances) or limit != distances.dtype:
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        array = context.make_array(distances)(context, builder, values[0])
        n = builder.extract_value(array.shape, 0)

        def block(first: ir.Value, count: Any) -> list[ir.Value]:
            kind = context.get_value_type(distances.dtype)
            _, number = _emit_within(builder, array.data, first, values[1], kind)
            return [builder.add(count[0], number)]

        return emit_loop(builder, index(0), n, BLOCK, [index(0)], block)[0]

    return types.intp(distances, limit), generate


@intrinsic
def list_intrinsic(context: Any, distances: Any, limit: Any, out: Any) -> Any:
    """Do what `list_within_plain` does, in compiled code."""
    if (
        not are_flat(distances)
        or limit != distances.dtype
        or out != types.Array(types.intp, 1, "C")
    ):
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        array = context.make_array(distances)(context, builder, values[0])
        numbers = context.make_array(out)(context, builder, values[2]).data
        n = builder.extract_value(array.shape, 0)

        def block(first: ir.Value, count: Any) -> list[ir.Value]:
            kind = context.get_value_type(distances.dtype)
            bits, number = _emit_within(builder, array.data, first, values[1], kind)

            def write(t: ir.Value, bits: Any) -> list[ir.Value]:
                lowest = builder.cttz(bits[0], ir.Constant(ir.IntType(1), 1))
                place = builder.gep(numbers, [builder.add(count[0], t)])
                builder.store(builder.add(first, lowest), place)
                return [builder.and_(bits[0], builder.sub(bits[0], index(1)))]

            emit_loop(builder, index(0), number, 1, [bits], write)
            return [builder.add(count[0], number)]

        return emit_loop(builder, index(0), n, BLOCK, [index(0)], block)[0]

    return types.intp(distances, limit, out), generate


@jit
def count_within_plain(distances, limit):
    """Return how many distances are within a limit; their number is a multiple of BLOCK."""
    assert distances.shape[0] % BLOCK == 0
    count = 0
    for k in range(distances.shape[0]):
        count += 1 if distances[k] <= limit else 0
    return count


@jit
def list_within_plain(distances, limit, out):
    """Write the numbers of the distances within a limit to ``out``; return how many there are.

    The number of distances is a multiple of BLOCK.
    """
    assert distances.shape[0] % BLOCK == 0
    count = 0
    for k in range(distances.shape[0]):
        if distances[k] <= limit:
            out[count] = k
            count += 1
    return count


count_within = compiled(count_within_plain, count_intrinsic, indexes=True)
list_within = compiled(list_within_plain, list_intrinsic, indexes=True)
set_distances = compiled(set_distances_plain, distances_intrinsic, indexes=True)
