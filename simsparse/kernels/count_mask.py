"""Counting loops over a boolean mask: what a storage format needs to know before it stores anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
Columns = NDArray[np.int32]


@kernel
def row_counts(mask: Mask) -> Counts:
    """Kept weights of each row of ``mask`` (m, k)."""
    rows, columns = mask.shape
    counts = np.zeros(rows, np.int64)
    for row in range(rows):
        count = 0
        for column in range(columns):
            count += mask[row, column]
        counts[row] = count
    return counts


@kernel
def column_counts(mask: Mask) -> Counts:
    """Kept weights of each column of ``mask`` (m, k)."""
    rows, columns = mask.shape
    counts = np.zeros(columns, np.int64)
    for row in range(rows):
        for column in range(columns):
            counts[column] += mask[row, column]
    return counts


@kernel
def widest_group(mask: Mask, group: int) -> int:
    """Most kept weights in any ``group`` consecutive ones of a row; the last group may be short."""
    rows, columns = mask.shape
    full = columns // group
    widest = 0
    for row in range(rows):
        for g in range(full):
            count = 0
            for position in range(group):
                count += mask[row, g * group + position]
            widest = max(widest, count)
        count = 0
        for column in range(full * group, columns):
            count += mask[row, column]
        widest = max(widest, count)
    return widest


@kernel
def vector_columns(mask: Mask, vector_rows: int, group: int) -> tuple[int, int]:
    """Columns used per block of ``vector_rows`` × ``group``: their sum, and the most in one block."""
    rows, columns = mask.shape
    total, widest = 0, 0
    for first in range(0, rows, vector_rows):
        used = np.zeros(columns, np.bool_)
        for row in range(first, min(first + vector_rows, rows)):
            for column in range(columns):
                used[column] |= mask[row, column]
        for start in range(0, columns, group):
            count = 0
            for column in range(start, min(start + group, columns)):
                count += used[column]
            total += count
            widest = max(widest, count)
    return total, widest


@kernel
def used_chunks(flat: Mask, chunk: int) -> int:
    """Chunks of ``chunk`` consecutive elements of a flattened mask that hold a kept weight."""
    used = 0
    for start in range(0, flat.size, chunk):
        any_kept = False
        for i in range(start, min(start + chunk, flat.size)):
            any_kept |= flat[i]
        used += any_kept
    return used
