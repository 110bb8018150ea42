"""Fill loops of the formats that store a fixed shape per block or group: BSR, N:M and V:N:M."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.count_mask import Columns, Counts, Mask
from simsparse.kernels.encode_rows import Raw

Small = NDArray[np.int32]


@kernel
def fill_blocks(
    raw: Raw, pointers: Counts, columns: Columns, first: Counts, values: Raw, indices: Columns
) -> None:
    """Blocks with a kept weight, block row by block row from slot ``first[block row]`` on, columns rising.

    ``values`` has shape ``(blocks, rows, columns)`` and comes in zeroed.
    """
    rows = pointers.size - 1
    _, block_rows, block_columns = values.shape
    slots = np.empty((raw.shape[1] + block_columns - 1) // block_columns, np.int64)
    for block_row in range(first.size - 1):
        top, bottom = block_row * block_rows, min((block_row + 1) * block_rows, rows)
        slots[:] = -1
        for entry in range(pointers[top], pointers[bottom]):
            slots[columns[entry] // block_columns] = 0
        slot = first[block_row]
        for block in range(slots.size):
            if slots[block] == 0:
                slots[block] = slot
                indices[slot] = block
                slot += 1
        for row in range(top, bottom):
            for entry in range(pointers[row], pointers[row + 1]):
                column = columns[entry]
                block = column // block_columns
                values[slots[block], row - top, column - block * block_columns] = raw[row, column]


@kernel
def fill_groups(
    raw: Raw,
    pointers: Counts,
    columns: Columns,
    keep: int,
    group: int,
    values: Raw,
    positions: NDArray[np.uint16],
) -> None:
    """``keep`` >= 1 slots per group with rising positions; unused slots take the first free positions.

    ``values`` and ``positions`` are flat, in order of row, group, slot; ``values`` comes in zeroed.
    """
    slot = 0
    for row in range(pointers.size - 1):
        entry, end = pointers[row], pointers[row + 1]
        for start in range(0, raw.shape[1], group):
            # full groups first: nearly all of a pruned matrix, and twice as fast without the merge below
            if entry + keep <= end and columns[entry + keep - 1] < start + group:
                for i in range(keep):
                    column = columns[entry + i]
                    values[slot + i] = raw[row, column]
                    positions[slot + i] = column - start
                entry += keep
                slot += keep
                continue
            last = entry
            while last < end and columns[last] < start + group:
                last += 1
            free, position = keep - (last - entry), 0
            for _ in range(keep):
                kept = columns[entry] - start if entry < last else group
                if free > 0 and position < kept:
                    free -= 1
                else:
                    position = kept
                    values[slot] = raw[row, start + kept]
                    entry += 1
                positions[slot] = position
                position += 1
                slot += 1


@kernel
def choose_columns(mask: Mask, vector_rows: int, group: int, chosen: Small) -> None:
    """The columns each block of rows uses in each group, rising; unused places take the first free columns.

    ``chosen`` has shape ``(row blocks, groups, columns per group)``; entries are positions inside the group.
    """
    rows, columns = mask.shape
    blocks, groups, width = chosen.shape
    for block in range(blocks):
        used = np.zeros(groups * group, np.bool_)
        for row in range(block * vector_rows, min((block + 1) * vector_rows, rows)):
            for column in range(columns):
                used[column] |= mask[row, column]
        for g in range(groups):
            free = width
            for position in range(group):
                free -= used[g * group + position]
            slot, position = 0, 0
            while slot < width:
                taken = used[g * group + position]
                if taken or free > 0:
                    free -= not taken
                    chosen[block, g, slot] = position
                    slot += 1
                position += 1


@kernel
def fill_vectors(
    raw: Raw, mask: Mask, group: int, vector_rows: int, chosen: Small, values: Raw, indices: NDArray[np.uint8]
) -> None:
    """``keep`` slots per row and group, each with its place among the block's ``chosen`` columns, rising."""
    rows, columns = mask.shape
    groups, keep = values.shape[1:]
    width = chosen.shape[2]
    for row in range(values.shape[0]):
        block = row // vector_rows
        for g in range(groups):
            free = keep
            for place in range(width):
                column = g * group + chosen[block, g, place]
                free -= row < rows and column < columns and mask[row, column]
            slot, place = 0, 0
            while slot < keep:
                column = g * group + chosen[block, g, place]
                kept = row < rows and column < columns and mask[row, column]
                if kept:
                    values[row, g, slot] = raw[row, column]
                if kept or free > 0:
                    free -= not kept
                    indices[row, g, slot] = place
                    slot += 1
                place += 1
