"""Compiled products by the types they run on, and starting threads of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.core import types as _types

from simsparse.kernels import spmm_run
from simsparse.kernels.simd import Width, WidthType

types: Any = _types
_INT, _FLOAT = types.int64, types.float32
_BATCH, _VECTOR = types.Array(_FLOAT, 3, "A"), types.Array(_FLOAT, 1, "C")


@functools.cache
def compiled(grouped: bool, width: Width) -> Callable[..., None]:
    """The product of panels of this width.

    A dispatcher would look at the type of every argument again in every call, which takes 30 microseconds.
    """
    dispatcher: Any = spmm_run.grouped_share if grouped else spmm_run.csr_share
    entry: Callable[..., None] = dispatcher.compile((width_type(width), *[_INT] * 5, *_operands(1)))
    return entry


@functools.cache
def compiled_threads(grouped: bool, wide: Width, narrow: Width) -> Callable[..., None]:
    """The product of all shares, one per thread."""
    from simsparse.kernels import spmm_threads

    dispatcher: Any = spmm_threads.grouped_shares if grouped else spmm_threads.csr_shares
    table, pair = types.Array(_INT, 2, "C"), types.UniTuple(_INT, 2)
    signature = (width_type(wide), width_type(narrow), table, pair, _INT, *_operands(2))
    entry: Callable[..., None] = dispatcher.compile(signature)
    return entry


def width_type(width: Width) -> WidthType:
    """The Numba type of a width."""
    return WidthType(width.lanes, width.count, width.isa)


def _operands(dimensions: int) -> tuple[Any, ...]:
    """Weights, window, X, Y, one tile or one per thread, bias, residual, activation."""
    tile = types.Array(_FLOAT, dimensions, "C")
    return (types.UniTuple(_INT, 7), _INT, _BATCH, _BATCH, tile, _VECTOR, _BATCH, _INT)


def run_shares(grouped: bool, threads: int, arguments: tuple[Any, ...]) -> None:
    """Run one share of a tiled product per thread."""
    on_threads(threads, lambda: compiled_threads(grouped, arguments[0], arguments[1]), arguments)


def on_threads(threads: int, kernel: Callable[[], Callable[..., None]], arguments: tuple[Any, ...]) -> None:
    """Call what ``kernel`` compiles on some threads; Numba's own number of them is the same afterwards."""
    from simsparse.kernels.spmm_threads import prefer_openmp

    prefer_openmp()
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        kernel()(*arguments)
    finally:
        numba.set_num_threads(before)
