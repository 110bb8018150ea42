"""Products without a kernel of our own: BLAS over decoded weights, and the portable loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from simsparse.formats.product import CompressedRows, multiply_rows
from simsparse.kernels.simd import Width, width
from simsparse.kernels.spmm_tile import GELU, NO_ACTIVATION, RELU, RELU6
from simsparse.packed.arrays import address
from simsparse.packed.request import Floats
from simsparse.packed.threads import width_type

_erf: Any = np.frompyfunc(math.erf, 1, 1)


def finish(y: NDArray[Any], bias: Floats | None, residual: Floats | None, activation: int) -> None:
    """``y = activation(y + bias + residual)`` in place."""
    if bias is not None:
        y += bias[:, None].astype(y.dtype, copy=False)
    if residual is not None:
        y += residual
    if activation == RELU:
        np.maximum(y, 0, out=y)
    elif activation == RELU6:
        np.clip(y, 0, 6, out=y)
    elif activation == GELU:
        y *= 0.5 * (1 + _erf(y.astype(np.float64) / math.sqrt(2)).astype(np.float64))


def addresses(bias: Floats | None, residual: Floats | None, activation: int) -> tuple[int, int, int, int]:
    """An epilogue as kernels take it."""
    return (
        0 if bias is None else address(bias),
        0 if residual is None else address(residual),
        0 if residual is None else residual.strides[0],
        activation,
    )


def finish_bound(
    y: Floats, bias: Floats | None, residual: Floats | None, activation: int
) -> Callable[[], None]:
    """``finish`` compiled, for float32 with neighbouring columns, to be called again and again."""
    if bias is None and residual is None and activation == NO_ACTIVATION:
        return _nothing
    m, n = y.shape
    shift, beside, step, _ = addresses(bias, residual, activation)
    if n == 1 and 0 in (shift, beside) and all(a is None or a.strides[0] == 4 for a in (y, residual)):
        m, n, shift, beside = 1, m, 0, shift or beside  # a column is a row in memory, its bias one more
    operands = (width(), address(y), y.strides[0], m, n, (shift, beside, step, activation))
    return functools.partial(_run, _finish(width()), operands, (y, bias, residual))


def _nothing() -> None:
    """Nothing to be done."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dense:
    """Decoded weights for NumPy's BLAS, which runs as many threads as it was started with.

    BLAS multiplies the zeros too, so an X with NaN or Inf takes the portable loop over stored weights. One
    column with no zero among the weights, on one thread, takes one pass of a kernel of our own instead.
    """

    weights: Floats
    rows: CompressedRows
    threads: int

    @property
    def stored_bytes(self) -> int:
        return self.weights.nbytes

    def run(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        self.bind(x, y, bias, residual, activation)()

    def bind(
        self, x: Floats, y: Floats, bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """``run`` with these very arrays, as often as it is called."""
        if not self._by_own_kernel(x, y, residual, activation):
            full, finish = self.is_full, finish_bound(y, bias, residual, activation)

            def multiply() -> None:
                if full or np.isfinite(x).all():
                    np.matmul(self.weights, x, out=y)
                else:
                    y[...] = multiply_rows(self.rows, x)
                finish()

            return multiply
        two = width(2)
        (m, k), (shift, beside, _, _) = self.weights.shape, addresses(bias, residual, activation)
        operands = (address(self.weights), m, k, address(x), address(y), shift, beside, activation)
        kept = (self, x, y, bias, residual)
        return functools.partial(_run, _dense_vector(two), (two, *operands), kept)

    @property
    def is_full(self) -> bool:
        """Whether every weight is stored, so that NaN and Inf in X reach every row."""
        return self.rows.columns.size == self.weights.size

    def _by_own_kernel(self, x: Floats, y: Floats, residual: Floats | None, activation: int) -> bool:
        """Whether X is one column, each array is contiguous, and no weight is missing."""
        if x.shape[1] != 1 or self.threads > 1 or not self.is_full or activation == GELU:
            return False
        columns = (x, y) if residual is None else (x, y, residual)
        return all(column.strides[0] == 4 for column in columns)


def _run(product: Callable[..., None], operands: tuple[Any, ...], kept: Any) -> None:  # noqa: ARG001
    product(*operands)


@functools.cache
def _finish(of: Width) -> Callable[..., None]:
    from simsparse.kernels.spmm_finish import finish_matrix

    dispatcher: Any = finish_matrix
    types: Any = numba.types
    signature = (width_type(of), *[types.int64] * 4, types.UniTuple(types.int64, 4))
    entry: Callable[..., None] = dispatcher.compile(signature)
    return entry


@functools.cache
def _dense_vector(of: Width) -> Callable[..., None]:
    from simsparse.kernels.gemv_dense import dense_vector

    dispatcher: Any = dense_vector
    entry: Callable[..., None] = dispatcher.compile((width_type(of), *[numba.types.int64] * 8))
    return entry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portable:
    """The stored entries as compressed rows for the portable loop, in the accumulator's dtype."""

    rows: CompressedRows

    @property
    def stored_bytes(self) -> int:
        return self.rows.pointers.nbytes + self.rows.columns.nbytes + self.rows.values.nbytes

    def run(
        self, x: NDArray[Any], y: NDArray[Any], bias: Floats | None, residual: Floats | None, activation: int
    ) -> None:
        y[...] = multiply_rows(self.rows, x)
        finish(y, bias, residual, activation)
