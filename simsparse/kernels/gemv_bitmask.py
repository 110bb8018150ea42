"""Bitmask times vectors: a register expand puts packed weights under their columns; x is read in order.

Limit on AVX2: 2.6 cycles per row and 8 columns (table look-up, two-part permutation, blend, FMA), whatever
the density, where a dense product takes about 2.2. So in cache it only ties; from DRAM it saves the bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import (
    AHEAD_BYTES,
    count_bits,
    load_weights,
    number,
    prefetch,
    spread,
    width_of,
)
from simsparse.kernels.simd_ops import floats, fma, total, zeros


@kernel
def bitmask_rows(
    begin: int,
    end: int,
    tag: Any,
    starts: NDArray[np.int64],
    masks: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    places: NDArray[np.int8],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """Groups of four rows: per ``lanes`` columns one word of four masks, then the kept weights in that order.

    ``x`` is flat (n, stride), finite, zero beyond k; ``y`` is flat (rows, n). Values of all n vectors meet a
    group's weights while they are in L1.
    """
    width = width_of(tag)
    lanes = floats(width)
    full = (1 << lanes) - 1
    chunks = stride // lanes
    ahead = AHEAD_BYTES // values.itemsize
    for group in range(begin, end):
        for j in range(n):
            a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
            at = starts[group]
            for chunk in range(chunks):
                word = number(masks, group * chunks + chunk)
                xs = load_weights(width, x, j * stride + chunk * lanes)
                # without it 36 MB took 1.25 times as long: the hardware does not run ahead far enough;
                # four rows of 16 weights are up to four lines, which all have to be asked for
                prefetch(values, at + ahead)
                bits = word & full
                a = fma(spread(load_weights(width, values, at), bits, places), xs, a)
                at += count_bits(bits)
                if lanes == 16:
                    prefetch(values, at + ahead)
                bits = (word >> lanes) & full
                b = fma(spread(load_weights(width, values, at), bits, places), xs, b)
                at += count_bits(bits)
                if lanes == 16:
                    prefetch(values, at + ahead)
                bits = (word >> (2 * lanes)) & full
                c = fma(spread(load_weights(width, values, at), bits, places), xs, c)
                at += count_bits(bits)
                if lanes == 16:
                    prefetch(values, at + ahead)
                bits = (word >> (3 * lanes)) & full
                d = fma(spread(load_weights(width, values, at), bits, places), xs, d)
                at += count_bits(bits)
            row = 4 * group
            y[row * n + j] = total(a) * scales[row]
            y[(row + 1) * n + j] = total(b) * scales[row + 1]
            y[(row + 2) * n + j] = total(c) * scales[row + 2]
            y[(row + 3) * n + j] = total(d) * scales[row + 3]
