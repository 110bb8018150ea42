"""What is done to a finished product outside its loop, and the portable loop over stored entries."""

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
    return functools.partial(run_kept, _finish(width()), operands, (y, bias, residual))


def _nothing() -> None:
    """Nothing to be done."""


def run_kept(product: Callable[..., None], operands: tuple[Any, ...], kept: Any) -> None:  # noqa: ARG001
    """Call a product of addresses; ``kept`` are the arrays there, alive as long as what is bound to them."""
    product(*operands)


@functools.cache
def _finish(of: Width) -> Callable[..., None]:
    from simsparse.kernels.spmm_finish import finish_matrix

    dispatcher: Any = finish_matrix
    types: Any = numba.types
    signature = (width_type(of), *[types.int64] * 4, types.UniTuple(types.int64, 4))
    entry: Callable[..., None] = dispatcher.compile(signature)
    return entry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portable:
    """The stored entries as compressed rows for the portable loop, in the accumulator's dtype."""

    rows: CompressedRows

    @property
    def stored_bytes(self) -> int:
        return self.rows.pointers.nbytes + self.rows.columns.nbytes + self.rows.values.nbytes

    def bind(
        self, x: NDArray[Any], y: NDArray[Any], bias: Floats | None, residual: Floats | None, activation: int
    ) -> Callable[[], None]:
        """As in ``Ready``."""

        def multiply() -> None:
            y[...] = multiply_rows(self.rows, x)
            finish(y, bias, residual, activation)

        return multiply
