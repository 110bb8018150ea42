"""From compressed rows to the layouts of the matrix-vector kernels, each in one pass over the entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

Ints = NDArray[np.int64]


@kernel
def pack_bitmask(
    pointers: Ints,
    columns: NDArray[np.int32],
    values: NDArray[Any],
    lanes: int,
    masks: NDArray[Any],
    packed: NDArray[Any],
) -> None:
    """Fill zeroed ``masks`` (groups, chunks) and ``packed``: chunk by chunk, row by row of each four."""
    groups, chunks = masks.shape
    m = pointers.size - 1
    cursor = np.zeros(4, dtype=np.int64)
    at = 0
    for group in range(groups):
        for inside in range(4):
            cursor[inside] = pointers[min(4 * group + inside, m)]
        for chunk in range(chunks):
            word = np.uint64(0)
            for inside in range(4):
                end = pointers[min(4 * group + inside + 1, m)]
                entry = cursor[inside]
                while entry < end and columns[entry] < (chunk + 1) * lanes:
                    bit = inside * lanes + columns[entry] - chunk * lanes
                    word |= np.uint64(1) << np.uint64(bit)
                    packed[at] = values[entry]
                    at += 1
                    entry += 1
                cursor[inside] = entry
            masks[group, chunk] = word


@kernel
def fits_groups(pointers: NDArray[np.int64], columns: NDArray[np.int32], keep: int, shift: int) -> bool:
    """Whether no group of ``2**shift`` columns of a row holds over ``keep`` entries; ends at the first."""
    for row in range(pointers.size - 1):
        for p in range(pointers[row] + keep, pointers[row + 1]):
            if columns[p] >> shift == columns[p - keep] >> shift:
                return False
    return True


@kernel
def pack_nm(
    pointers: Ints,
    columns: NDArray[np.int32],
    values: NDArray[Any],
    slot_of: Ints,
    group_size: int,
    step_columns: int,
    words: NDArray[np.uint32],
    packed: NDArray[Any],
) -> int:
    """Fill zeroed ``words`` (groups of rows, steps, 4) and ``packed`` (..., slots); the number of entries
    that found no free slot. ``slot_of`` (groups of a step, keep) says where each group's slots lie.
    """
    position_bits = 2 if group_size == 4 else 3
    lost = 0
    for row in range(pointers.size - 1):
        previous, used = -1, 0
        for entry in range(pointers[row], pointers[row + 1]):
            column = columns[entry]
            group = column // group_size
            if group != previous:
                previous, used = group, 0
            if used == slot_of.shape[1]:
                lost += 1
                continue
            step = column // step_columns
            slot = slot_of[column % step_columns // group_size, used]
            used += 1
            place = np.uint32(column % group_size) << np.uint32(position_bits * slot)
            words[row // 4, step, row % 4] |= place
            packed[row // 4, step, row % 4, slot] = values[entry]
    return lost


@kernel
def pack_csr(
    pointers: Ints,
    columns: NDArray[np.int32],
    values: NDArray[Any],
    rows: NDArray[np.uint32],
    starts: Ints,
    indices: NDArray[Any],
    packed: NDArray[Any],
) -> None:
    """Fill ``indices``, preset to k, and zeroed ``packed``: lane j of a group is the row ``rows`` names."""
    m = pointers.size - 1
    for lane in range(rows.size):
        row = rows[lane]
        if row >= m:
            continue
        at = 8 * starts[lane // 8] + lane % 8
        for entry in range(pointers[row], pointers[row + 1]):
            indices[at] = columns[entry]
            packed[at] = values[entry]
            at += 8


@kernel
def block_starts(pointers: Ints, columns: NDArray[np.int32], tall: int, k: int) -> Ints:
    """(block rows + 1,) numbers of ``tall`` x 1 blocks with an entry, added up."""
    m = pointers.size - 1
    starts = np.zeros((m + tall - 1) // tall + 1, dtype=np.int64)
    seen = np.full(k, -1, dtype=np.int64)
    for row in range(m):
        group = row // tall
        for entry in range(pointers[row], pointers[row + 1]):
            if seen[columns[entry]] != group:
                seen[columns[entry]] = group
                starts[group + 1] += 1
    for group in range(starts.size - 1):
        starts[group + 1] += starts[group]
    return starts


@kernel
def pack_bsr(
    pointers: Ints,
    columns: NDArray[np.int32],
    values: NDArray[Any],
    tall: int,
    k: int,
    starts: Ints,
    indices: NDArray[Any],
    packed: NDArray[Any],
) -> None:
    """Fill ``indices`` and zeroed ``packed`` with the blocks of ``block_starts``, columns rising."""
    m = pointers.size - 1
    block_of = np.full(k, -1, dtype=np.int64)
    for group in range(starts.size - 1):
        first, last = group * tall, min(m, (group + 1) * tall)
        for entry in range(pointers[first], pointers[last]):
            block_of[columns[entry]] = 0
        block = starts[group]
        for column in range(k):
            if block_of[column] >= 0:
                block_of[column] = block
                indices[block] = column
                block += 1
        for row in range(first, last):
            for entry in range(pointers[row], pointers[row + 1]):
                packed[block_of[columns[entry]] * tall + row - first] = values[entry]
        for block in range(starts[group], starts[group + 1]):
            block_of[indices[block]] = -1
