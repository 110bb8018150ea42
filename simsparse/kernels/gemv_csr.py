"""Compressed rows times vectors, eight rows side by side (SELL-8): one row per lane, so no sum across lanes.

Limit on AVX2 for one vector: eight scalar loads of ``x`` and one of weights, two per cycle, 4.5 cycles per
eight weights. For two to eight vectors one load of a row of ``x`` and one splat per weight, 1 cycle.
Rows of equal length stand together and longer ones first, so padding is small; a row that has ended names the
column behind the last, where ``x`` is zero: NaN and Inf cannot come out of padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import (
    AHEAD_BYTES,
    gather_near,
    load_weights,
    number,
    prefetch,
    scatter,
    weight,
    width_of,
)
from simsparse.kernels.simd_memory import store
from simsparse.kernels.simd_ops import add, fma, mul, splat, zeros
from simsparse.kernels.simd_scalar import address_of


@kernel
def csr_rows(
    begin: int,
    end: int,
    tag: Any,
    starts: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    rows: NDArray[np.uint32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> None:
    """Groups of eight rows for one vector ``x`` (k + 1,); ``rows`` says which row of y each lane is."""
    width = width_of(tag)
    ahead = AHEAD_BYTES // values.itemsize
    for group in range(begin, end):
        a, b = zeros(width), zeros(width)
        first, last = starts[group], starts[group + 1]
        pairs = first + (last - first) // 2 * 2
        for step in range(first, pairs, 2):
            at = 8 * step
            prefetch(values, at + ahead)
            prefetch(indices, at + ahead)
            a = fma(load_weights(width, values, at), gather_near(width, x, indices, at), a)
            b = fma(load_weights(width, values, at + 8), gather_near(width, x, indices, at + 8), b)
        if pairs < last:
            at = 8 * pairs
            a = fma(load_weights(width, values, at), gather_near(width, x, indices, at), a)
        scatter(y, rows, 8 * group, mul(add(a, b), load_weights(width, scales, 8 * group)))


@kernel
def csr_wide_rows(
    begin: int,
    end: int,
    tag: Any,
    starts: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    rows: NDArray[np.uint32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> None:
    """The same for up to eight vectors: ``x`` is flat (k + 1, 8), ``y`` is flat (rows, 8)."""
    width = width_of(tag)
    to = address_of(y)
    for group in range(begin, end):
        a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
        e, f, g, h = zeros(width), zeros(width), zeros(width), zeros(width)
        for step in range(starts[group], starts[group + 1]):
            at = 8 * step
            a = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), a)
            at += 1
            b = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), b)
            at += 1
            c = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), c)
            at += 1
            d = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), d)
            at += 1
            e = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), e)
            at += 1
            f = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), f)
            at += 1
            g = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), g)
            at += 1
            h = fma(splat(width, weight(values, at)), load_weights(width, x, 8 * number(indices, at)), h)
        row = 8 * group
        store(to + 32 * number(rows, row), mul(a, splat(width, scales[row])))
        store(to + 32 * number(rows, row + 1), mul(b, splat(width, scales[row + 1])))
        store(to + 32 * number(rows, row + 2), mul(c, splat(width, scales[row + 2])))
        store(to + 32 * number(rows, row + 3), mul(d, splat(width, scales[row + 3])))
        store(to + 32 * number(rows, row + 4), mul(e, splat(width, scales[row + 4])))
        store(to + 32 * number(rows, row + 5), mul(f, splat(width, scales[row + 5])))
        store(to + 32 * number(rows, row + 6), mul(g, splat(width, scales[row + 6])))
        store(to + 32 * number(rows, row + 7), mul(h, splat(width, scales[row + 7])))
