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
_MATRIX, _VECTOR = types.Array(_FLOAT, 2, "A"), types.Array(_FLOAT, 1, "C")


@functools.cache
def compiled(grouped: bool, width: Width) -> Callable[..., None]:
    """The product of panels of this width.

    A dispatcher would look at the type of every argument again in every call, which takes 30 microseconds.
    """
    dispatcher: Any = spmm_run.grouped_share if grouped else spmm_run.csr_share
    entry: Callable[..., None] = dispatcher.compile((_type(width), *[_INT] * 4, *_operands(1)))
    return entry


@functools.cache
def compiled_threads(grouped: bool, wide: Width, narrow: Width) -> Callable[..., None]:
    """The product of all shares, one per thread."""
    from simsparse.kernels import spmm_threads

    dispatcher: Any = spmm_threads.grouped_shares if grouped else spmm_threads.csr_shares
    spmm_threads.prefer_openmp()
    table = types.Array(_INT, 2, "C")
    entry: Callable[..., None] = dispatcher.compile((_type(wide), _type(narrow), table, _INT, *_operands(2)))
    return entry


def _type(width: Width) -> WidthType:
    return WidthType(width.lanes, width.count, width.isa)


def _operands(dimensions: int) -> tuple[Any, ...]:
    """Weights, X, Y, one tile or one per thread, bias, residual, activation."""
    tile = types.Array(_FLOAT, dimensions, "C")
    return (types.UniTuple(_INT, 7), _MATRIX, _MATRIX, tile, _VECTOR, _MATRIX, _INT)


def run_shares(grouped: bool, threads: int, arguments: tuple[Any, ...]) -> None:
    """Run one share per thread; Numba's own number of threads is the same afterwards."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        compiled_threads(grouped, arguments[0], arguments[1])(*arguments)
    finally:
        numba.set_num_threads(before)
