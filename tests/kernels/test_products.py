"""Four rows of a product: LLVM's instructions against plain Python, for all kinds of registers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from fastgsm.kernels import products
from fastgsm.kernels._jit import CHECKS_BOUNDS
from fastgsm.kernels.products import COLUMNS, ROWS
from fastgsm.kernels.rotation import LANES, rotate
from tests.kernels.helpers import DTYPES, JIT, assert_close, assert_same_bits


def compiled(add: bool) -> Any:
    """Compile the product's instructions, also where Numba is off."""
    function = products.product_intrinsic(add=add)

    def call(a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns):  # type: ignore[no-untyped-def]
        function(a, row_step, term_step, n_terms, b, b_step, c, c_step, n_columns)

    return CPUDispatcher(call, targetoptions={"nopython": True})


PLAIN = {False: products.set_products_plain, True: products.add_products_plain}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_instructions_do_what_python_does(
    add: bool, wide: bool, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "has_wide_registers", lambda _: wide)
    function, rng = compiled(add), np.random.default_rng(0)
    for n_terms, n_blocks in [(0, 1), (1, 1), (5, 2), (6, 4), (7, 7), (3, 8)]:
        n_columns = n_blocks * COLUMNS
        # A by rows and by columns; rows of B and C with something between them.
        for row_step, term_step in ((n_terms + 2, 1), (1, ROWS + 1)):
            a = rng.standard_normal(ROWS * (n_terms + 2) + 20 + n_terms).astype(dtype)
            b = rng.standard_normal(max(1, n_terms) * (n_columns + 3)).astype(dtype)
            c = rng.standard_normal(ROWS * (n_columns + 5)).astype(dtype)
            steps = (row_step, term_step, n_terms, b, n_columns + 3)
            got, wanted, exact = c.copy(), c.copy(), c.astype(np.float64)
            function(a, *steps, got, n_columns + 5, n_columns)
            PLAIN[add](a, *steps, wanted, n_columns + 5, n_columns)
            assert_close(got, wanted, dtype)
            for row in range(ROWS):
                line = exact[row * (n_columns + 5) :][:n_columns]
                line *= add
                for k in range(n_terms):
                    factor = float(a[row * row_step + k * term_step])
                    line += factor * b[k * (n_columns + 3) :][:n_columns]
            assert_close(got, exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_kinds_of_registers_give_the_same_bits(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 64 * 7 * COLUMNS)).astype(dtype)
    results = []
    for wide in (False, True):
        monkeypatch.setattr(products, "has_wide_registers", lambda _, wide=wide: wide)
        c = np.zeros(ROWS * 7 * COLUMNS, dtype)
        compiled(add=True)(a, 64, 1, 64, b, 7 * COLUMNS, c, 7 * COLUMNS, 7 * COLUMNS)
        results.append(c)
    assert_same_bits(*results)


@pytest.mark.parametrize(
    ("features", "wide"),
    [("+avx2,+avx512f", True), ("+avx2,-avx512f", False), ("", False), (None, False)],
)
def test_wide_registers_are_a_feature(features: str | None, wide: bool) -> None:
    assert products.has_wide_registers(features) == wide


# Prints whether the product is compiled for wide registers.
REGISTERS = """
import numba
from fastgsm.kernels import products

emit = products.emit

def report(*args, wide, **others):
    print(wide)
    emit(*args, wide=wide, **others)

products.emit = report
function = products.product_intrinsic(add=False)

@numba.njit("void(float64[::1])")  # compiled but not run
def call(x):
    function(x, 1, 1, 1, x, 1, x, 1, 16)
"""


@pytest.mark.parametrize(
    ("setting", "wide"),
    [({"NUMBA_ENABLE_AVX": "0"}, False), ({"NUMBA_CPU_FEATURES": "+avx512f"}, True)],
)
def test_registers_are_those_that_numba_compiles_for(setting: dict[str, str], wide: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REGISTERS],
        env={**os.environ, "NUMBA_DISABLE_JIT": "0", **setting},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"{wide}\n", done.stderr


X32, X64 = (np.zeros(ROWS * COLUMNS, dtype) for dtype in DTYPES)
READ_ONLY = X64.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    "arrays",
    [
        (X32, X64, X64),
        (X64, X32, X64),
        (X64, X64, X32),
        (X64.astype(int),) * 3,
        (X64[::2], X64, X64),
        (X64, X64[::2], X64),
        (X64, X64, X64[::2]),
        (X64, X64, X64.reshape(ROWS, COLUMNS)),
        (X64, X64, READ_ONLY),
        (1.0, X64, X64),
    ],
)
def test_arrays_that_instructions_would_misread_do_not_compile(arrays: tuple[Any, ...]) -> None:
    a, b, c = map(numba.typeof, arrays)
    n = numba.intp
    with pytest.raises(numba.TypingError):
        compiled(add=False).compile((a, n, n, n, b, n, c, n, n))


def test_factors_may_be_read_only() -> None:
    c = np.ones_like(X64)
    compiled(add=False)(READ_ONLY, 1, 1, 1, READ_ONLY, 1, c, COLUMNS, COLUMNS)
    assert not c.any()


@pytest.mark.parametrize("add", [False, True])
def test_columns_are_whole_blocks(add: bool) -> None:
    with pytest.raises(AssertionError):
        PLAIN[add](X64, 1, 1, 1, X64, 1, X64.copy(), COLUMNS, COLUMNS - 1)


@pytest.mark.skipif(JIT and not CHECKS_BOUNDS, reason="wants NUMBA_BOUNDSCHECK=1")
@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ((ROWS, 4), (5, LANES), (ROWS, LANES)),
        ((ROWS, 5), (5, LANES - 1), (ROWS, LANES)),
        ((ROWS, 5), (5, LANES), (ROWS - 1, LANES)),
    ],
)
def test_products_stay_inside_their_arrays(a: Any, b: Any, c: Any) -> None:
    # The rows that follow make reads and writes outside harmless.
    arrays = [np.zeros((n_rows + 8, width))[:n_rows] for n_rows, width in (a, b, c)]
    with pytest.raises(IndexError):
        rotate(*arrays)
