"""1:4, 2:4 and 4:8 times vectors: positions pick from registers of ``x``, so weights stay packed.

Limit on AVX2 for 2:4: two in-lane permutations, a blend, a shift and an FMA per row and 16 columns, 2 cycles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import AHEAD_BYTES, load_weights, number, pick, prefetch, width_of
from simsparse.kernels.simd_ops import floats, fma, total, zeros


@kernel
def nm_rows(
    begin: int,
    end: int,
    tag: Any,
    form: Any,
    columns: int,
    words: NDArray[np.uint32],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """Groups of four rows: per ``columns`` columns four words of positions, and the slots that they place.

    ``form`` and ``columns`` are those of ``pick``; ``width_of(tag)`` holds the slots of one word. ``x`` is
    flat (n, stride), finite, zero beyond k; ``y`` is flat (rows, n).
    """
    width = width_of(tag)
    slots = floats(width)
    steps = stride // columns
    ahead = AHEAD_BYTES // values.itemsize
    for group in range(begin, end):
        for j in range(n):
            a, b, c, d = zeros(width), zeros(width), zeros(width), zeros(width)
            for step in range(steps):
                word = (group * steps + step) * 4
                at = word * slots
                xs = j * stride + step * columns
                prefetch(values, at + ahead)
                a = fma(load_weights(width, values, at), pick(form, x, xs, number(words, word)), a)
                at += slots
                prefetch(values, at + ahead)
                b = fma(load_weights(width, values, at), pick(form, x, xs, number(words, word + 1)), b)
                at += slots
                prefetch(values, at + ahead)
                c = fma(load_weights(width, values, at), pick(form, x, xs, number(words, word + 2)), c)
                at += slots
                prefetch(values, at + ahead)
                d = fma(load_weights(width, values, at), pick(form, x, xs, number(words, word + 3)), d)
            row = 4 * group
            y[row * n + j] = total(a) * scales[row]
            y[(row + 1) * n + j] = total(b) * scales[row + 1]
            y[(row + 2) * n + j] = total(c) * scales[row + 2]
            y[(row + 3) * n + j] = total(d) * scales[row + 3]
