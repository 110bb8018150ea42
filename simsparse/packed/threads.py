"""Compiled products by the types they run on, and starting threads of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.core import types as _types

from simsparse.kernels import spmm_run
from simsparse.kernels.simd import Width, WidthType
from simsparse.kernels.spmm_form import Form, FormType

types: Any = _types
_INT = types.int64


@functools.cache
def compiled(form: str, width: Width) -> Callable[..., None]:
    """The product of panels of this width over weights of a form.

    A dispatcher would look at the type of every argument again in every call, which takes 30 microseconds.
    """
    dispatcher: Any = spmm_run.share
    types_of = (FormType(form), width_type(width), *[_INT] * 7)
    entry: Callable[..., None] = dispatcher.compile(types_of)
    return entry


@functools.cache
def compiled_threads(form: str, wide: Width, narrow: Width) -> Callable[..., None]:
    """The product of all shares, one per thread."""
    from simsparse.kernels import spmm_threads

    dispatcher: Any = spmm_threads.shares
    table, pair = types.Array(_INT, 2, "C"), types.UniTuple(_INT, 2)
    signature = (FormType(form), width_type(wide), width_type(narrow), table, pair, *[_INT] * 4)
    entry: Callable[..., None] = dispatcher.compile(signature)
    return entry


def width_type(width: Width) -> WidthType:
    """The Numba type of a width."""
    return WidthType(width.lanes, width.count, width.isa)


def run_shares(form: str, threads: int, arguments: tuple[Any, ...]) -> None:
    """Run one share of a tiled product per thread."""
    kernel = functools.partial(compiled_threads, form, arguments[0], arguments[1])
    on_threads(threads, kernel, (Form(form), *arguments))


def on_threads(threads: int, kernel: Callable[[], Callable[..., None]], arguments: tuple[Any, ...]) -> None:
    """Call what ``kernel`` compiles on some threads; Numba's own number of them is the same afterwards."""
    from simsparse.kernels.spmm_threads import prefer_openmp

    prefer_openmp()
    before = numba.get_num_threads()
    if before == threads:  # setting the number twice takes as long as starting the threads
        kernel()(*arguments)
        return
    numba.set_num_threads(threads)
    try:
        kernel()(*arguments)
    finally:
        numba.set_num_threads(before)
