"""The same layouts one weight at a time: for hosts without the instructions, and for ``x`` with NaN or Inf.

The fast kernels multiply zeros that fill a lane, a slot or a block, which is harmless only while x is finite.
Here an all-zero weight is no entry and is never multiplied, as everywhere in the formats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.gemv_simd import number, weight


@kernel
def bitmask_plain(
    lanes: int,
    starts: NDArray[np.int64],
    masks: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """What ``bitmask_rows`` computes, for all groups."""
    chunks = stride // lanes
    y[:] = 0.0
    for group in range(starts.size):
        at = starts[group]
        for chunk in range(chunks):
            word = number(masks, group * chunks + chunk)
            for place in range(4 * lanes):
                if (word >> place) & 1:
                    row = 4 * group + place // lanes
                    column = chunk * lanes + place % lanes
                    for j in range(n):
                        y[row * n + j] += weight(values, at) * x[j * stride + column]
                    at += 1
    for row in range(scales.size):
        for j in range(n):
            y[row * n + j] *= scales[row]


@kernel
def nm_plain(
    slot_columns: NDArray[np.int64],
    group_size: int,
    columns: int,
    words: NDArray[np.uint32],
    values: NDArray[Any],
    bits: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """What ``nm_rows`` computes, for all groups; ``bits`` are the values as unsigned integers."""
    steps = stride // columns
    position_bits = 2 if group_size == 4 else 3
    y[:] = 0.0
    for index in range(words.size):
        row = index // (4 * steps) * 4 + index % 4
        step = index // 4 % steps
        word = number(words, index)
        for slot in range(slot_columns.size):
            at = index * slot_columns.size + slot
            if bits[at] != 0:
                place = (word >> (position_bits * slot)) & (group_size - 1)
                column = step * columns + slot_columns[slot] + place
                for j in range(n):
                    y[row * n + j] += weight(values, at) * x[j * stride + column]
    for row in range(scales.size):
        for j in range(n):
            y[row * n + j] *= scales[row]


@kernel
def bsr_plain(
    tall: int,
    starts: NDArray[np.int64],
    indices: NDArray[Any],
    values: NDArray[Any],
    bits: NDArray[Any],
    scales: NDArray[np.float32],
    x: NDArray[np.float32],
    stride: int,
    y: NDArray[np.float32],
    n: int,
) -> None:
    """What ``bsr_rows`` computes, for all block rows."""
    y[:] = 0.0
    for group in range(starts.size - 1):
        for block in range(starts[group], starts[group + 1]):
            for inside in range(tall):
                at = block * tall + inside
                if bits[at] != 0:
                    for j in range(n):
                        product = weight(values, at) * x[j * stride + number(indices, block)]
                        y[(group * tall + inside) * n + j] += product
    for row in range(scales.size):
        for j in range(n):
            y[row * n + j] *= scales[row]
