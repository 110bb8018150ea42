"""Dense weights times one vector, finished on the way: bound by the one pass over the weights.

Rows that leave x in L1 go one by one: a single stream through memory, which every prefetcher follows. Longer
ones go four at a time, so that x passes once for four.

Limit. A row by itself takes two loads for an FMA, so half of L1's bandwidth is left for weights: as much as
L2 has. Four rows share a vector of x: ten loads for eight FMAs and 256 bytes of weights, five cycles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, load_first
from simsparse.kernels.simd_ops import add, floats, fma, total, zeros
from simsparse.kernels.simd_scalar import peek_f32, poke_f32
from simsparse.kernels.spmm_tile import RELU, RELU6

GROUP = 4
"""Rows at a time."""
ALONE_BYTES = 16384
"""Rows up to here go one by one: x and a row fit an L1 of 32 KB. Against four at a time: from DRAM 0.5 to 1
of the time, from L3 0.85 to 1, from L2 0.95 to 1.05; rows of 20 KB take 1.1 to 1.5 times as long (Zen 4,
with AVX-512 and AVX2)."""


@kernel
def dense_vector(
    w: Any, weights: int, m: int, k: int, x: int, y: int, bias: int, residual: int, activation: int
) -> None:
    """``y = activation(W @ x + bias + residual)`` for contiguous W (m, k), x (k,), y and residual (m,).

    All but the sizes are addresses, 0 for no bias or residual; ``w`` is a width of two vectors. No GELU.
    """
    row = 4 * k
    alone = 0 if row > ALONE_BYTES else m
    grouped = (m - alone) // GROUP * GROUP
    for i in range(0, grouped, GROUP):
        a, b, c, d = _four(w, weights + i * row, row, x)
        _put(i, a, y, bias, residual, activation)
        _put(i + 1, b, y, bias, residual, activation)
        _put(i + 2, c, y, bias, residual, activation)
        _put(i + 3, d, y, bias, residual, activation)
    for i in range(grouped, m):
        _put(i, _one(w, weights + i * row, row, x), y, bias, residual, activation)


@inner
def _one(w: Any, at: int, row: int, x: int) -> Any:
    """The sum of one row of ``row`` bytes."""
    step, a, b = 4 * floats(w), zeros(w), zeros(w)
    pairs = row - row % (2 * step)
    for j in range(0, pairs, 2 * step):
        a = fma(load(w, at + j), load(w, x + j), a)
        b = fma(load(w, at + j + step), load(w, x + j + step), b)
    j = pairs
    if row - j >= step:
        a = fma(load(w, at + j), load(w, x + j), a)
        j += step
    if j < row:
        left = (row - j) // 4
        b = fma(load_first(w, at + j, left), load_first(w, x + j, left), b)
    return total(add(a, b))


@inner
def _four(w: Any, at: int, row: int, x: int) -> Any:
    """The sums of four rows."""
    step, a, b, c, d = 4 * floats(w), zeros(w), zeros(w), zeros(w), zeros(w)
    whole = row - row % step
    for j in range(0, whole, step):
        v = load(w, x + j)
        a = fma(load(w, at + j), v, a)
        b = fma(load(w, at + row + j), v, b)
        c = fma(load(w, at + 2 * row + j), v, c)
        d = fma(load(w, at + 3 * row + j), v, d)
    if whole < row:
        left, j = (row - whole) // 4, whole
        v = load_first(w, x + j, left)
        a = fma(load_first(w, at + j, left), v, a)
        b = fma(load_first(w, at + row + j, left), v, b)
        c = fma(load_first(w, at + 2 * row + j, left), v, c)
        d = fma(load_first(w, at + 3 * row + j, left), v, d)
    return total(a), total(b), total(c), total(d)


@inner
def _put(i: int, value: Any, y: int, bias: int, residual: int, activation: int) -> None:
    """Finish and store one sum; a NaN stays one."""
    if bias != 0:
        value += peek_f32(bias + 4 * i)
    if residual != 0:
        value += peek_f32(residual + 4 * i)
    if activation in (RELU, RELU6) and value < 0:
        value = np.float32(0)
    if activation == RELU6 and value > 6:
        value = np.float32(6)
    poke_f32(y + 4 * i, value)
