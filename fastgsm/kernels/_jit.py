"""How kernels are compiled and on how many threads they run.

This is the only module that applies Numba's ``njit``. Three decorators cover everything:

``jit``
    a building block (micro-kernel, function of one set of lanes) for other compiled code;
``inlined``
    one that becomes a part of each caller, for loops as long as arrays of the caller's, whose
    lengths LLVM then knows: the E-step of a GSM takes two thirds of the time;
``Kernel``
    an entry point that Python calls, compiled twice from one source: a serial build that holds
    no lock and starts no thread, and a parallel one whose ``prange`` loops run on Numba's threads.

Everything is compiled at its first call, for the argument types it meets, never at import.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.resources import files
from operator import attrgetter
from types import FunctionType
from typing import Any, TypeVar

import numba

from fastgsm._checks import caller_level
from fastgsm.kernels._cache import keep_on_disk

# No "fastmath": its flags let LLVM choose, and it chooses differently in the two builds of a kernel
# (tests/kernels/test_bits.py checks that none is left). "contract" fuses multiplications and
# additions at will (see kernels/fma.py), "reassoc" sums in an order that depends on the vector
# width and on a lane's place among the others, and flags that assume the absence of NaN or infinity
# break log-sum-exp, whose empty components are -inf.
OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
}

# Whether compiled code checks indices before it uses them.
CHECKS_BOUNDS = bool(numba.config.BOUNDSCHECK)  # type: ignore[attr-defined]

# Calls of fewer floating-point operations run on one thread. They take a fraction of a millisecond,
# and waking the threads in each of hundreds of iterations takes as long, or 35 times as long where
# other programs keep the cores busy.
LEAST_FLOPS = 4e6
# What an exponential and the arithmetic around it count.
EXP_FLOPS = 20
# What one operation counts in products in registers, which are so many times as fast. A GSM learns
# from 10,000 patches in one call of moments and one of distances, half a millisecond each. While
# other programs kept both cores busy, the fit took 22 ms with threads in these calls, and 12 ms
# without (on two cores; alone, it takes half a millisecond less with them).
PRODUCT_FLOPS = 1 / 16

_Function = TypeVar("_Function", bound=Callable[..., Any])


def source_digest() -> str:
    """Return a short digest of all kernel sources, and of whether bounds are checked.

    Numba's cache notices a change in the file of the function it stores, but not in the files of
    the functions that were inlined into it. With the digest in the cached name, an edited or
    upgraded kernel never meets machine code of another version. Nor does Numba notice that
    NUMBA_BOUNDSCHECK has changed: the run with checks would use code that has none.
    """
    digest = hashlib.sha256(b"bounds" if CHECKS_BOUNDS else b"")
    # Sources may be in a zip archive, or left out in favour of byte code.
    modules = (each for each in files(__package__).iterdir() if each.name.endswith((".py", ".pyc")))
    for module in sorted(modules, key=attrgetter("name")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:12]


DIGEST = source_digest()


def _compile(function: Callable[..., Any], suffix: str, **options: Any) -> Callable[..., Any]:
    """Compile a copy of ``function`` whose cache entry is its own.

    The copy matters: Numba's cache key ignores the compilation options, so the serial and the
    parallel build of one function would otherwise be served from the same entry.
    """
    assert isinstance(function, FunctionType)
    # Byte code without its source names a file that is not there, and would not be cached.
    file = function.__globals__.get("__file__", function.__code__.co_filename)
    code = function.__code__.replace(co_filename=file)
    copy = FunctionType(code, function.__globals__, closure=function.__closure__)
    copy.__defaults__ = function.__defaults__
    copy.__qualname__ = f"{function.__qualname__}-{suffix}-{DIGEST}"
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    dispatcher: Callable[..., Any] = numba.njit(**OPTIONS, **options)(copy)
    keep_on_disk(dispatcher, copy)
    return dispatcher


def jit(function: _Function) -> _Function:
    """Compile a building block that is called from other compiled code."""
    return _compile(function, "block")  # type: ignore[return-value]


def inlined(function: _Function) -> _Function:
    """Compile a building block as a part of each of its callers."""
    return _compile(function, "inlined", forceinline=True)  # type: ignore[return-value]


def compiled(plain: _Function, intrinsic: Any, *, indexes: bool = False) -> _Function:
    """Return ``intrinsic`` for compiled code, or ``plain`` if Numba is switched off.

    Where bounds are checked, return ``plain`` also if it ``indexes`` arrays, since an intrinsic's
    instructions check none. It is then decorated with `jit`.
    """
    disabled: int = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    return plain if disabled or (indexes and CHECKS_BOUNDS) else intrinsic


# Every entry point of this package by its name, once its module has been imported.
KERNELS: dict[str, Kernel] = {}


class Kernel:
    """A compiled entry point that runs on as many threads as its caller may use.

    Parameters
    ----------
    function : callable
        Python source whose outermost loop is a ``numba.prange`` over independent tasks. Its
        result must not depend on how the tasks are shared out. Convert the loop's index with
        ``np.intp``: it is unsigned, and unsigned with signed integers make floats.
    flops : callable, optional
        Takes the kernel's arguments by name and returns about how many floating-point operations
        the call needs. Small calls run the serial build. By default none is small.

    Attributes
    ----------
    serial, parallel : callable
        The two builds. Both return the same bits. They are made when first used, which saves a
        third of what `from fastgsm import denoise` costs beyond Numba's import.
    """

    def __init__(
        self, function: Callable[..., Any], flops: Callable[..., float] | None = None
    ) -> None:
        self._flops = flops
        self._names = function.__code__.co_varnames[: function.__code__.co_argcount]
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__wrapped__ = function
        if function.__module__.startswith(f"{__package__}."):  # and not of tests or benchmarks
            other = KERNELS.setdefault(self.__name__, self).__wrapped__.__module__
            if other != function.__module__:
                raise ValueError(
                    f"{function.__module__} and {other} both define a kernel {self.__name__!r}; "
                    f"wanted names that are unique in {__package__}. Rename one of them."
                )
            KERNELS[self.__name__] = self  # also where its module is loaded again

    @functools.cached_property
    def serial(self) -> Callable[..., Any]:
        return _compile(self.__wrapped__, "serial")

    @functools.cached_property
    def parallel(self) -> Callable[..., Any]:
        return _compile(self.__wrapped__, "parallel", parallel=True)

    @classmethod
    def with_flops(cls, flops: Callable[..., float]) -> Callable[[Callable[..., Any]], Kernel]:
        """Decorate a kernel whose number of floating-point operations is known."""
        return functools.partial(cls, flops=flops)

    def __call__(self, *args: Any) -> Any:
        threads = usable_threads()
        if threads == 1 or self._is_small(args):
            return self.serial(*args)
        with _numba_threads(threads):
            return self.parallel(*args)

    def _is_small(self, args: tuple[Any, ...]) -> bool:
        """Return whether a call does so little that threads do not pay."""
        if self._flops is None:
            return False
        return self._flops(**dict(zip(self._names, args, strict=True))) < _least_flops.get()

    def __repr__(self) -> str:
        return f"<kernel {self.__name__}>"


_limit: contextvars.ContextVar[int | None] = contextvars.ContextVar("workers", default=None)
_least_flops: contextvars.ContextVar[float] = contextvars.ContextVar(
    "least_flops", default=LEAST_FLOPS
)
_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


@contextlib.contextmanager
def limit_workers(workers: int | None) -> Iterator[None]:
    """Let the kernels called inside the ``with`` block use at most ``workers`` threads.

    None keeps the limit of the enclosing ``with`` block, if any.
    """
    token = _limit.set(_limit.get() if workers is None else workers)
    try:
        yield
    finally:
        _limit.reset(token)


@contextlib.contextmanager
def threads_for_any_work() -> Iterator[None]:
    """Let small calls inside the ``with`` block use threads too."""
    token = _least_flops.set(0)
    try:
        yield
    finally:
        _least_flops.reset(token)


def usable_threads() -> int:
    """Return the number of threads that a kernel called here and now may use.

    It is 1 in a thread other than the main one (the pool that it belongs to already fills the
    machine, and Numba's workqueue layer aborts the process on concurrent use) and in a forked
    child (where the parent's threads do not exist).
    """
    limit = _limit.get()
    if limit == 1 or _forked or threading.current_thread() is not threading.main_thread():
        return 1
    if not _threads_start():
        return 1
    available = int(numba.get_num_threads())
    return available if limit is None else min(limit, available)


@functools.cache
def _threads_start() -> bool:
    """Return whether Numba can start threads; if not, warn, once.

    It cannot if NUMBA_THREADING_LAYER asks for a library that is not installed.
    """
    try:
        numba.get_num_threads()
    except ValueError as error:
        layer = numba.config.THREADING_LAYER  # type: ignore[attr-defined]
        warnings.warn(
            f"Numba cannot start threads with NUMBA_THREADING_LAYER={layer}, so that fastgsm runs "
            f"on one thread. Install that library or unset the variable. "
            f"({' '.join(str(error).split())})",
            stacklevel=caller_level(),
        )
        return False
    return True


@contextlib.contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    if threads == before:
        yield
        return
    try:
        numba.set_num_threads(threads)  # inside, since Ctrl-C may be heard as it returns
        yield
    finally:
        numba.set_num_threads(before)
