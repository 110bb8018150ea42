"""Blocks of 4, 8 or 16 output rows times vectors: one value of ``x``, splat, meets a whole block column.

Limit: the bytes. A 16x1 block is two loads of weights and one splat, 1.5 cycles for 16 multiplications.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import AHEAD_BYTES, load_weights, number, prefetch, weight, width_of
from simsparse.kernels.simd_memory import LINE_BYTES, store
from simsparse.kernels.simd_ops import add, floats, fma, mul, splat, zeros
from simsparse.kernels.simd_scalar import address_of


@kernel
def bsr_rows(
    begin: int,
    end: int,
    tag: Any,
    starts: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """Block rows, each as tall as ``width_of(tag)``; x is flat (n, stride), finite; y is flat (n, rows)."""
    width = width_of(tag)
    tall = floats(width)
    ahead = AHEAD_BYTES // values.itemsize
    block_bytes, length = tall * values.itemsize, scales.size
    to = address_of(y)
    for group in range(begin, end):
        first, last = starts[group], starts[group + 1]
        fours = first + (last - first) // 4 * 4
        for j in range(n):
            xs = j * stride
            # four sums hide the latency of the FMA
            a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
            for block in range(first, fours, 4):
                at = block * tall
                prefetch(values, at + ahead)
                a = fma(
                    load_weights(width, values, at), splat(width, weight(x, xs + number(indices, block))), a
                )
                at += tall
                if block_bytes >= LINE_BYTES:
                    prefetch(values, at + ahead)
                b = fma(
                    load_weights(width, values, at),
                    splat(width, weight(x, xs + number(indices, block + 1))),
                    b,
                )
                at += tall
                if 2 * block_bytes >= LINE_BYTES:
                    prefetch(values, at + ahead)
                c = fma(
                    load_weights(width, values, at),
                    splat(width, weight(x, xs + number(indices, block + 2))),
                    c,
                )
                at += tall
                if block_bytes >= LINE_BYTES:
                    prefetch(values, at + ahead)
                d = fma(
                    load_weights(width, values, at),
                    splat(width, weight(x, xs + number(indices, block + 3))),
                    d,
                )
            for block in range(fours, last):
                a = fma(
                    load_weights(width, values, block * tall),
                    splat(width, weight(x, xs + number(indices, block))),
                    a,
                )
            sums = mul(add(add(a, b), add(c, d)), load_weights(width, scales, group * tall))
            store(to + 4 * (j * length + group * tall), sums)
