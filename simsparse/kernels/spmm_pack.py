"""Sorting stored weights into the blocks that the tiled products read. One or two passes over the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

_ROWS = 4


@kernel
def count_blocks(
    pointers: NDArray[np.int64], columns: NDArray[np.int32], k_block: int, counts: NDArray[np.int64]
) -> None:
    """Weights of each row in each block of K, into zeroed ``counts`` (m, blocks)."""
    for row in range(counts.shape[0]):
        for p in range(pointers[row], pointers[row + 1]):
            counts[row, columns[p] // k_block] += 1


@kernel
def fill_blocks(
    pointers: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    k_block: int,
    places: NDArray[np.int64],
    local_columns: NDArray[np.uint16],
    packed: NDArray[np.float32],
) -> None:
    """Copy each weight to its row's and block's place; ``places`` (m, blocks) is used up."""
    for row in range(places.shape[0]):
        for p in range(pointers[row], pointers[row + 1]):
            block = columns[p] // k_block
            place = places[row, block]
            places[row, block] = place + 1
            local_columns[place] = columns[p] - block * k_block
            packed[place] = values[p]


@kernel
def shared_columns(pointers: NDArray[np.int64], columns: NDArray[np.int32], k: int, every: int) -> Any:
    """How many columns exactly 1, 2, 3 and 4 rows use, summed over each ``every``-th group of four rows."""
    used = np.zeros(k, np.uint8)
    found = np.zeros(_ROWS + 1, np.int64)
    m = pointers.size - 1
    for base in range(0, m, _ROWS * every):
        end = min(base + _ROWS, m)
        for p in range(pointers[base], pointers[end]):
            used[columns[p]] += 1
        for p in range(pointers[base], pointers[end]):
            amount = used[columns[p]]
            if amount > 0:
                found[amount] += 1
                used[columns[p]] = 0
    return found


@kernel
def pack_group(
    pointers: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    base: int,
    cursor: NDArray[np.int64],
    start: int,
    stop: int,
    sets: NDArray[np.uint8],
    dense: NDArray[np.float32],
    lengths: NDArray[np.uint16],
    local_columns: NDArray[np.uint16],
    packed: NDArray[np.float32],
    column_at: int,
    value_at: int,
) -> Any:
    """Columns start..stop of rows base..base + 3, sorted by the set of rows that use them.

    ``cursor`` (4,) moves along the rows, ``sets`` (k_block,) and ``dense`` (4, k_block) are scratch.
    """
    m = pointers.size - 1
    sets[: stop - start] = 0
    for r in range(_ROWS):
        if base + r < m:
            p = cursor[r]
            while p < pointers[base + r + 1] and columns[p] < stop:
                local = columns[p] - start
                sets[local] |= 1 << r
                dense[r, local] = values[p]
                p += 1
            cursor[r] = p
    for local in range(stop - start):
        lengths[sets[local]] += 1
    lengths[0] = 0
    for s in range(1, 15):
        lengths[0] += lengths[s]
    begin = np.empty(16, np.int64)
    begin_value = np.empty(16, np.int64)
    for s in range(1, 16):
        begin[s], begin_value[s] = column_at, value_at
        rows = (s & 1) + (s >> 1 & 1) + (s >> 2 & 1) + (s >> 3)
        column_at += lengths[s]
        value_at += lengths[s] * rows
    for local in range(stop - start):
        s = sets[local]
        if s != 0:
            local_columns[begin[s]] = local
            begin[s] += 1
            for r in range(_ROWS):
                if s >> r & 1:
                    packed[begin_value[s]] = dense[r, local]
                    begin_value[s] += 1
    return column_at, value_at


@kernel
def pack_groups(
    pointers: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    k: int,
    k_block: int,
    bounds: NDArray[np.int64],
    spans: NDArray[np.int64],
    lengths: NDArray[np.uint16],
    local_columns: NDArray[np.uint16],
    packed: NDArray[np.float32],
) -> Any:
    """All groups, chunk by chunk and block by block; returns how many columns and values were written.

    ``spans`` (chunks, blocks, 5): first and last group, where columns, values and lengths start.
    ``lengths`` (groups · blocks, 16) zeroed.
    """
    blocks = (k + k_block - 1) // k_block
    sets, dense = np.zeros(k_block, np.uint8), np.zeros((_ROWS, k_block), np.float32)
    column_at, value_at, entry = 0, 0, 0
    for chunk in range(bounds.size - 1):
        low, high = bounds[chunk] // _ROWS, (bounds[chunk + 1] + _ROWS - 1) // _ROWS
        cursors = np.empty((high - low, _ROWS), np.int64)
        for group in range(low, high):
            for r in range(_ROWS):
                cursors[group - low, r] = pointers[min(group * _ROWS + r, pointers.size - 1)]
        for block in range(blocks):
            span = spans[chunk, block]
            span[0], span[1], span[2], span[3], span[4] = low, high, column_at, value_at, entry
            stop = min((block + 1) * k_block, k)
            for group in range(low, high):
                column_at, value_at = pack_group(
                    pointers,
                    columns,
                    values,
                    group * _ROWS,
                    cursors[group - low],
                    block * k_block,
                    stop,
                    sets,
                    dense,
                    lengths[entry],
                    local_columns,
                    packed,
                    column_at,
                    value_at,
                )
                entry += 1
    return column_at, value_at
