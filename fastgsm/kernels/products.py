"""Four rows of a matrix product: the innermost loop of most kernels, written in LLVM's language.

A loop in Python leaves the vectors to LLVM, which takes only half of the registers' width on
Intel's processors with AVX-512, and adds every few terms to sums in memory. Here the sums stay in
registers until all terms are added, in vectors of 64 bytes, which LLVM cuts into what the processor
has. Terms are added one after the other, by fused multiply-adds where the processor has them (see
kernels/fma.py), so that an element's bits do not depend on the columns next to it.

GFLOP/s on two cores for 64x64 by 128 columns, in float32 / float64, on an Intel Xeon with
AVX-512, where NumPy's product of large matrices reaches 400 / 190, and on the same processor
restricted to AVX2:

======================================================  =========  =========
loops in Python, four rows by four terms, 256 columns   173 / 88   165 / 88
four rows by four vectors of 64 bytes, as below         397 / 173  71 / 36
four rows by two                                        332 / 164  122 / 47
four rows by one                                        249 / 120  212 / 98
eight rows by two                                       368 / 183
======================================================  =========  =========

Sixteen sums of 64 bytes fit only into the 32 registers of AVX-512.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
from fastgsm.kernels.fma import emit_fma, fuses

# Rows of one product; its number of columns has to be a multiple of COLUMNS.
ROWS = 4
COLUMNS = 16

VECTOR_BYTES = 64


class Operands(NamedTuple):
    """The arguments of `set_products` as LLVM's values; arrays are pointers."""

    a: ir.Value
    row_step: ir.Value
    term_step: ir.Value
    n_terms: ir.Value
    b: ir.Value
    b_step: ir.Value
    c: ir.Value
    c_step: ir.Value
    n_columns: ir.Value


def has_wide_registers(features: str | None) -> bool:
    """Return whether LLVM's ``features`` of a processor, if known, include AVX-512's registers."""
    return "+avx512f" in (features or "").split(",")


def emit(
    builder: ir.IRBuilder,
    operands: Operands,
    item: ir.Type,
    *,
    wide: bool,
    fused: bool,
    add: bool,
) -> None:
    """Write the product's instructions; ``item`` is the type of the elements."""
    lanes = VECTOR_BYTES // item_bytes(item)
    vector = ir.VectorType(item, lanes)
    start = index(0)
    for n_vectors in (4, 2, 1) if wide else (1,):
        step = n_vectors * lanes
        rest = builder.srem(operands.n_columns, index(step))
        stop = builder.sub(operands.n_columns, rest)

        def block(column: ir.Value, _: Any, n_vectors: int = n_vectors) -> list[ir.Value]:
            _emit_block(builder, operands, vector, column, n_vectors, fused=fused, add=add)
            return []

        emit_loop(builder, start, stop, step, [], block)
        start = stop


def _emit_block(
    builder: ir.IRBuilder,
    operands: Operands,
    vector: ir.VectorType,
    column: ir.Value,
    n_vectors: int,
    *,
    fused: bool,
    add: bool,
) -> None:
    """Write the product of some columns, ``n_vectors`` vectors wide."""
    a, row_step, term_step, n_terms, b, b_step, c, c_step, _ = operands
    lanes = vector.count
    align = VECTOR_BYTES // lanes

    def vectors_at(pointer: ir.Value, first: ir.Value) -> list[ir.Value]:
        places = [builder.add(first, index(i * lanes)) for i in range(n_vectors)]
        return [vector_at(builder, pointer, place, vector) for place in places]

    def rows_of(step: ir.Value) -> list[ir.Value]:
        return [builder.mul(step, index(row)) for row in range(ROWS)]

    def term(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
        first = builder.add(builder.mul(k, b_step), column)
        terms = [builder.load(place, align=align) for place in vectors_at(b, first)]
        added = []
        for row, offset in enumerate(rows_of(row_step)):
            place = builder.add(builder.mul(k, term_step), offset)
            factor = builder.load(builder.gep(a, [place]))
            factors = emit_splat(builder, factor, lanes)
            mine = sums[row * n_vectors : (row + 1) * n_vectors]
            added += [
                emit_fma(builder, fused, factors, other, total)
                for other, total in zip(terms, mine, strict=True)
            ]
        return added

    offsets = [builder.add(offset, column) for offset in rows_of(c_step)]
    places = [place for offset in offsets for place in vectors_at(c, offset)]
    sums = [
        builder.load(place, align=align) if add else ir.Constant(vector, None) for place in places
    ]
    sums = emit_loop(builder, index(0), n_terms, 1, sums, term)
    for place, total in zip(places, sums, strict=True):
        builder.store(total, place, align=align)


def product_intrinsic(add: bool) -> Any:
    """Return the function for compiled code, which adds to C or sets it."""

    def typed(context, a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns):
        if not are_flat(c, a, b):
            return None  # the caller does not compile
        n = types.intp
        signature = types.void(a, n, n, n, b, n, c, n, n)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            operands = pointers(context, builder, signature, values)
            item = context.get_value_type(a.dtype)
            # Not the host's features: Numba's settings may exclude some of them.
            _, _, features = context.codegen().magic_tuple()
            wide = has_wide_registers(features)
            emit(builder, Operands(*operands), item, wide=wide, fused=fuses(context), add=add)
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(typed)


@jit
def set_products_plain(a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns):
    """C (4, n_columns) = A (4, n_terms) @ B (n_terms, n_columns), in one-dimensional arrays.

    ``A[i, k]`` is ``a[i * row_step + k * term_step]``. Rows of B and C are ``b_step`` and
    ``c_step`` apart, and each row is contiguous. ``n_columns`` is a multiple of COLUMNS. C overlaps
    neither A nor B, and all have one type.
    """
    for row in range(ROWS):
        stretch(c, row * c_step, n_columns)[:] = 0
    add_products_plain(a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns)


@jit
def add_products_plain(a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns):
    """C (4, n_columns) += A (4, n_terms) @ B (n_terms, n_columns); see `set_products`."""
    assert n_columns % COLUMNS == 0
    for row in range(ROWS):
        total = stretch(c, row * c_step, n_columns)
        for k in range(n_terms):
            total += a[row * row_step + k * term_step] * stretch(b, k * b_step, n_columns)


set_products = compiled(set_products_plain, product_intrinsic(add=False), indexes=True)
add_products = compiled(add_products_plain, product_intrinsic(add=True), indexes=True)
