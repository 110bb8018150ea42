"""What every tiled product shares: the copy of a tile of X, and what is done to a finished row of Y."""

from __future__ import annotations

from typing import Any

from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_math import gelu
from simsparse.kernels.simd_memory import (
    load,
    load_ragged,
    load_splat,
    prefetch,
    prefetch_far,
    store,
    store_ragged,
)
from simsparse.kernels.simd_ops import add, compile_apart, floats, maximum, minimum, splat, zeros

AHEAD = 4
"""How many rows ahead Y and the residual are asked for: no hardware foresees the order of rows."""

Epilogue = tuple[int, int, int, int]
"""Addresses of bias and residual (0: none), bytes between rows of the residual, activation."""

NO_ACTIVATION, RELU, GELU, RELU6 = 0, 1, 2, 3


@apart
def fill_tile(w: Any, source: int, stride: int, tile: int, rows: int, valid: int) -> None:
    """Copy ``rows`` × ``valid`` floats, ``stride`` bytes apart, into a dense tile; columns beyond get +0."""
    compile_apart()
    step = floats(w) * 4
    if valid == floats(w):
        for _ in range(rows):
            prefetch(w, source + 8 * stride)
            prefetch_far(w, source + step)
            store(tile, load(w, source))
            source += stride
            tile += step
    else:
        for _ in range(rows):
            store(tile, load_ragged(w, source, valid))
            source += stride
            tile += step


@inner
def ask_ahead(w: Any, row: int, y: int, stride: int, first: bool, origin: int, origin_stride: int) -> None:
    """Prefetch what a row to come reads and writes, in this panel and, as near as L2, in the next one.

    A row and panel are a few lines of a page of their own, which no hardware foresees.
    """
    prefetch(w, y + row * stride)
    if first:
        prefetch_far(w, y + row * stride + 4 * floats(w))
        if origin != 0 and origin != y:
            prefetch(w, origin + row * origin_stride)
            prefetch_far(w, origin + row * origin_stride + 4 * floats(w))


@inner
def start_row(w: Any, row: int, origin: int, origin_stride: int, valid: int) -> Any:
    """Where the sums of a row and block begin: at the residual or what is in Y; at 0 if there is none."""
    return zeros(w) if origin == 0 else read_row(w, origin + row * origin_stride, valid)


@inner
def read_row(w: Any, address: int, valid: int) -> Any:
    """The first ``valid`` floats at ``address``, which end in the last vector; nothing beyond is read."""
    return load(w, address) if valid == floats(w) else load_ragged(w, address, valid)


@inner
def write_row(w: Any, address: int, value: Any, valid: int) -> None:
    """Store the first ``valid`` floats, which end in the last vector; nothing beyond is touched."""
    if valid == floats(w):
        store(address, value)
    else:
        store_ragged(address, value, valid)


@inner
def finish_row(w: Any, value: Any, row: int, valid: int, epilogue: Epilogue) -> Any:
    """``activation(value + bias[row] + residual[row])``; addresses of what is absent are 0."""
    bias, residual, residual_stride, activation = epilogue
    if bias != 0:
        value = add(value, load_splat(w, bias + 4 * row))
    if residual != 0:
        value = add(value, read_row(w, residual + row * residual_stride, valid))
    if activation == RELU:
        value = maximum(value, zeros(w))
    elif activation == RELU6:
        value = minimum(maximum(value, zeros(w)), splat(w, 6.0))
    elif activation == GELU:
        value = gelu_apart(w, value)
    return value


@apart
def gelu_apart(w: Any, value: Any) -> Any:
    """GELU as a call: values pass through memory, but the loop around keeps its registers."""
    compile_apart()
    return gelu(w, value)
