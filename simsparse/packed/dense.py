"""Products with all positions of W, the zeros among them: BLAS on one thread, our own loops on several.

Threads of BLAS go on looking for work for milliseconds after a product, and so do Numba's. Two such pools
in one program take each other's processors: on two cores a network that used both ran three times slower
than on one. So only one pool multiplies, ours: groups of four full rows run at the FMA peak (measured on one
Zen 3 core, 0.93 to 1.0 of OpenBLAS's time), and one column is bound by the one pass over the weights anyway.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from simsparse.formats.product import CompressedRows, multiply_rows
from simsparse.kernels.simd import Width, chosen_isa, width
from simsparse.kernels.spmm_tile import GELU
from simsparse.packed.arrays import address
from simsparse.packed.plain import addresses, finish, finish_bound, run_kept
from simsparse.packed.request import Floats, Request
from simsparse.packed.threads import on_threads, width_type
from simsparse.packed.tiled import Tiled, blocking_of
from simsparse.packed.tiled_pack import pack_tiled

ONE_THREAD_MACS = 1 << 18
"""Products of several columns up to this many multiply-adds stay on one thread: a few microseconds."""
ONE_THREAD_VECTOR_MACS = 460_800
"""The same for one column."""

Call = Callable[[], None]


def blas_threads(threads: int) -> int:
    """How many BLAS may have beside ``threads`` of ours: without vectors of our own it multiplies alone."""
    return threads if chosen_isa() == "plain" else 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dense:
    """Decoded weights (m, k) in row order, or as groups of rows for threads that share several columns.

    All loops multiply the zeros too, so an X with NaN or Inf takes the portable loop over the stored weights
    in ``rows``; they are left out where none is missing, as NaN and Inf then reach every row.
    """

    weights: Floats
    groups: Tiled | None
    rows: CompressedRows | None
    threads: int

    @property
    def stored_bytes(self) -> int:
        return self.weights.nbytes if self.groups is None else self.groups.stored_bytes

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Call:
        """As in ``Ready``."""
        product, rows = self._product(x, y, bias, residual, activation), self.rows
        if rows is None:
            return product

        finite = _finite(x)

        def multiply() -> None:
            if finite():
                product()
            else:
                y[...] = multiply_rows(rows, x)
                finish(y, bias, residual, activation)

        return multiply

    def _product(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Call:
        if self.groups is not None:
            return self.groups.bind(x, y, bias, residual, activation)
        columns = (x, y) if residual is None else (x, y, residual)
        if x.shape[1] == 1 and activation != GELU and all(column.strides[0] == 4 for column in columns):
            return self._by_column(x, y, bias, residual, activation)
        return self._by_blas(x, y, finish_bound(y, bias, residual, activation))

    def _by_blas(self, x: Floats, y: Floats, finish: Call) -> Call:
        def multiply() -> None:
            np.matmul(self.weights, x, out=y)
            finish()

        return multiply

    def _by_column(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Call:
        two = width(2)
        (m, k), (shift, beside, _, _) = self.weights.shape, addresses(bias, residual, activation)
        operands = (address(self.weights), m, k, address(x), address(y), shift, beside, activation)
        kept = (self, x, y, bias, residual)
        if self.threads == 1 or m * k <= ONE_THREAD_VECTOR_MACS:
            return functools.partial(run_kept, _column(two), (two, *operands), kept)
        shared = functools.partial(_column_shares, two), (two, self.threads, *operands)
        return functools.partial(run_kept, on_threads, (self.threads, *shared), kept)


def pack_dense(request: Request) -> Dense:
    """All positions of the weights, arranged for the threads and columns of the request."""
    weights = np.ascontiguousarray(request.encoded.decode(), np.float32)
    shared = request.threads > 1 and request.n > 1 and weights.size * request.n > ONE_THREAD_MACS
    groups = _grouped(weights, request) if shared and blas_threads(request.threads) == 1 else None
    return Dense(
        weights=weights if groups is None else np.empty((0, 0), np.float32),
        groups=groups,
        rows=None if request.rows.columns.size == weights.size else request.rows,
        threads=request.threads,
    )


def _grouped(weights: Floats, request: Request) -> Tiled:
    m, k = weights.shape
    blocking = blocking_of("grouped", k=k, n=request.n, density=1.0, threads=request.threads, uses=m)
    full = CompressedRows(
        pointers=np.arange(m + 1, dtype=np.int64) * k,
        columns=np.tile(np.arange(k, dtype=request.rows.columns.dtype), m),
        values=weights.reshape(-1),
        shape=weights.shape,
    )
    return pack_tiled("grouped", full, weights.reshape(-1), blocking, request.threads)


def _finite(x: Floats) -> Callable[[], bool]:
    """Whether x is finite, asked in each call."""
    if not x.flags.forc:
        return lambda: bool(np.isfinite(x).all())
    flat = (x if x.flags.c_contiguous else x.T).reshape(-1)
    return functools.partial(_all_finite(), flat.view(np.uint32))


@functools.cache
def _all_finite() -> Callable[..., bool]:
    from simsparse.kernels.finite import all_finite

    dispatcher: Any = all_finite
    entry: Callable[..., bool] = dispatcher.compile((numba.types.uint32[::1],))
    return entry


@functools.cache
def _column(of: Width) -> Callable[..., None]:
    from simsparse.kernels.gemv_dense import dense_vector

    dispatcher: Any = dense_vector
    entry: Callable[..., None] = dispatcher.compile((width_type(of), *[numba.types.int64] * 8))
    return entry


@functools.cache
def _column_shares(of: Width) -> Callable[..., None]:
    from simsparse.kernels.gemv_threads import dense_threads

    dispatcher: Any = dense_threads
    entry: Callable[..., None] = dispatcher.compile((width_type(of), *[numba.types.int64] * 9))
    return entry
