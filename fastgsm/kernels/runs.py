"""Runs of eight numbers, moved and transposed in registers, in LLVM's language.

A row of a patch is part of such a run. A loop in Python over its 6 pixels costs 11 cycles for each
row, and one that gathers patches as columns 1.1 cycles for each pixel.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastgsm.kernels._jit import compiled, jit
from fastgsm.kernels._llvm import (
    are_flat,
    emit_splat,
    index,
    item_bytes,
    pointers,
    stretch,
    vector_at,
)
from fastgsm.kernels.fma import emit_fma, fma, fuses

RUN = 8

# In the three steps of a transposition: how far apart two runs are, and which of their lanes make
# the two runs that replace them.
PAIRS = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
ORDER = (0, 2, 1, 3, 4, 6, 5, 7)  # of the transposed runs


def _emit_transpose(builder: ir.IRBuilder, runs: list[ir.Value]) -> list[ir.Value]:
    """Write the transposition of eight vectors of eight."""
    masks = ir.VectorType(ir.IntType(32), RUN)
    for step, *halves in PAIRS:
        for i in range(RUN):
            if i & step == 0:
                pair = runs[i], runs[i + step]
                for k, lanes in zip((i, i + step), halves, strict=True):
                    runs[k] = builder.shuffle_vector(*pair, ir.Constant(masks, lanes))
    return [runs[k] for k in ORDER]


def _load(builder: ir.IRBuilder, array: ir.Value, place: ir.Value) -> ir.Value:
    item = array.type.pointee
    pointer = vector_at(builder, array, place, ir.VectorType(item, RUN))
    return builder.load(pointer, align=item_bytes(item))


def _store(builder: ir.IRBuilder, value: ir.Value, array: ir.Value, place: ir.Value) -> None:
    pointer = vector_at(builder, array, place, value.type)
    builder.store(value, pointer, align=item_bytes(array.type.pointee))


@intrinsic
def sum_intrinsic(context: Any, x: Any, i: Any, y: Any, j: Any, out: Any, k: Any) -> Any:
    """Do what `sum_runs_plain` does, in compiled code."""
    if not are_flat(out, x, y):
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        x, i, y, j, out, k = pointers(context, builder, signature, values)
        _store(builder, builder.fadd(_load(builder, x, i), _load(builder, y, j)), out, k)
        return context.get_dummy_value()

    n = types.intp
    return types.void(x, n, y, n, out, n), generate


@intrinsic
def add_intrinsic(
    context: Any, factor: Any, x: Any, i: Any, y: Any, j: Any, out: Any, k: Any
) -> Any:
    """Do what `add_run_plain` does, in compiled code."""
    if not are_flat(out, x, y) or factor != out.dtype:
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        factor, x, i, y, j, out, k = pointers(context, builder, signature, values)
        factors = emit_splat(builder, factor, RUN)
        term = emit_fma(
            builder, fuses(context), factors, _load(builder, x, i), _load(builder, y, j)
        )
        _store(builder, builder.fadd(_load(builder, out, k), term), out, k)
        return context.get_dummy_value()

    n = types.intp
    return types.void(factor, x, n, y, n, out, n), generate


@intrinsic
def columns_intrinsic(
    context: Any, x: Any, begins: Any, t: Any, offset: Any, y: Any, j: Any, out: Any, k: Any,
    step: Any,
) -> Any:  # fmt: skip
    """Do what `set_columns_plain` does, in compiled code."""
    if not are_flat(out, x, y) or begins != types.Array(types.intp, 1, "C"):
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        values = pointers(context, builder, signature, values)
        x, begins, t, offset, y, j, out, k, step = values
        rows = [index(row) for row in range(RUN)]
        places = [builder.load(builder.gep(begins, [builder.add(t, row)])) for row in rows]
        runs = [_load(builder, x, builder.add(place, offset)) for place in places]
        for row, run in zip(rows, _emit_transpose(builder, runs), strict=True):
            term = builder.load(builder.gep(y, [builder.add(j, row)]))
            column = builder.fadd(run, emit_splat(builder, term, RUN))
            _store(builder, column, out, builder.add(k, builder.mul(row, step)))
        return context.get_dummy_value()

    n = types.intp
    return types.void(x, begins, n, n, y, n, out, n, n), generate


@intrinsic
def transpose_intrinsic(
    context: Any, x: Any, i: Any, x_step: Any, out: Any, k: Any, out_step: Any
) -> Any:
    """Do what `transpose_runs_plain` does, in compiled code."""
    if not are_flat(out, x):
        return None  # the caller does not compile

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        x, i, x_step, out, k, out_step = pointers(context, builder, signature, values)
        rows = [index(row) for row in range(RUN)]
        runs = [_load(builder, x, builder.add(i, builder.mul(row, x_step))) for row in rows]
        for row, run in zip(rows, _emit_transpose(builder, runs), strict=True):
            _store(builder, run, out, builder.add(k, builder.mul(row, out_step)))
        return context.get_dummy_value()

    n = types.intp
    return types.void(x, n, n, out, n, n), generate


@jit
def sum_runs_plain(x, i, y, j, out, k):
    """Set ``out`` to x + y, the runs at k, i and j of one-dimensional arrays."""
    total, a, b = stretch(out, k, RUN), stretch(x, i, RUN), stretch(y, j, RUN)
    for t in range(RUN):
        total[t] = a[t] + b[t]


@jit
def add_run_plain(factor, x, i, y, j, out, k):
    """Add ``factor`` x + y to ``out``, the runs at i, j and k of one-dimensional arrays."""
    total, a, b = stretch(out, k, RUN), stretch(x, i, RUN), stretch(y, j, RUN)
    for t in range(RUN):
        total[t] += fma(factor, a[t], b[t])


@jit
def set_columns_plain(x, begins, t, offset, y, j, out, k, step):
    """Write eight runs of ``x`` plus that of ``y`` at j as columns into ``out``.

    The runs begin at ``begins[t]`` to ``begins[t + 7]``, plus ``offset``. They make eight runs of
    ``out``, from k on and ``step`` apart. The arrays are one-dimensional.
    """
    terms = stretch(y, j, RUN)
    for column in range(RUN):
        run = stretch(x, begins[t + column] + offset, RUN)
        for row in range(RUN):
            stretch(out, k + row * step, RUN)[column] = run[row] + terms[row]


@jit
def transpose_runs_plain(x, i, x_step, out, k, out_step):
    """Write eight runs of ``x``, from i on and ``x_step`` apart, as columns into ``out``.

    These make eight runs there, from k on and ``out_step`` apart. The arrays are one-dimensional.
    """
    for column in range(RUN):
        run = stretch(x, i + column * x_step, RUN)
        for row in range(RUN):
            stretch(out, k + row * out_step, RUN)[column] = run[row]


sum_runs = compiled(sum_runs_plain, sum_intrinsic, indexes=True)
add_run = compiled(add_run_plain, add_intrinsic, indexes=True)
set_columns = compiled(set_columns_plain, columns_intrinsic, indexes=True)
transpose_runs = compiled(transpose_runs_plain, transpose_intrinsic, indexes=True)
