"""Dense weights times one vector, finished on the way: bound by the one pass over the weights.

Limit. Four rows share a vector of x: ten loads for eight FMAs and 256 bytes of weights, five cycles, which no
cache beyond L1 keeps up with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simsparse.kernels._jit import kernel
from simsparse.kernels.simd_emit import inner
from simsparse.kernels.simd_memory import load, load_first, prefetch
from simsparse.kernels.simd_ops import floats, fma, total, zeros
from simsparse.kernels.simd_scalar import peek_f32, poke_f32
from simsparse.kernels.spmm_tile import RELU, RELU6

GROUP = 4
"""Rows at a time."""
SHORT_BYTES = 3072
"""Up to here rows end before hardware foresees four of them side by side, so the weights to come are asked
for: that takes 0.7 to 0.95 of the time, from L3 0.5 to 0.8. Rows from 4 KB on would only lose by it."""
AHEAD_BYTES = 16384
"""How far ahead; half of it does the same, an eighth takes 1.05 to 1.3 times as long."""


@kernel
def dense_vector(
    w: Any, weights: int, m: int, k: int, x: int, y: int, bias: int, residual: int, activation: int
) -> None:
    """``y = activation(W @ x + bias + residual)`` for contiguous W (m, k), x (k,), y and residual (m,).

    All but the sizes are addresses, 0 for no bias or residual; ``w`` is a width of two vectors. No GELU.
    """
    row, whole = 4 * k, k - k % floats(w)
    for i in range(0, m - GROUP + 1, GROUP):
        at = weights + i * row
        ahead, a, b, c, d = at + AHEAD_BYTES, zeros(w), zeros(w), zeros(w), zeros(w)
        for j in range(0, 4 * whole, 4 * floats(w)):
            if row <= SHORT_BYTES:
                for line in range(ahead, ahead + 16 * floats(w), 4 * floats(w)):
                    prefetch(w, line)
                ahead += 16 * floats(w)
            v = load(w, x + j)
            a = fma(load(w, at + j), v, a)
            b = fma(load(w, at + row + j), v, b)
            c = fma(load(w, at + 2 * row + j), v, c)
            d = fma(load(w, at + 3 * row + j), v, d)
        if whole < k:
            left, j = k - whole, 4 * whole
            v = load_first(w, x + j, left)
            a = fma(load_first(w, at + j, left), v, a)
            b = fma(load_first(w, at + row + j, left), v, b)
            c = fma(load_first(w, at + 2 * row + j, left), v, c)
            d = fma(load_first(w, at + 3 * row + j, left), v, d)
        _put(i, total(a), y, bias, residual, activation)
        _put(i + 1, total(b), y, bias, residual, activation)
        _put(i + 2, total(c), y, bias, residual, activation)
        _put(i + 3, total(d), y, bias, residual, activation)
    for i in range(m - m % GROUP, m):
        at, a = weights + i * row, zeros(w)
        for j in range(0, 4 * whole, 4 * floats(w)):
            a = fma(load(w, at + j), load(w, x + j), a)
        if whole < k:
            a = fma(load_first(w, at + 4 * whole, k - whole), load_first(w, x + 4 * whole, k - whole), a)
        _put(i, total(a), y, bias, residual, activation)


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
