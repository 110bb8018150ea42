"""Fill loops of the formats that store a fixed shape per block or group: BSR, N:M and V:N:M."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.count_mask import Columns, Counts, Mask
from simsparse.kernels.encode_rows import Raw

Small = NDArray[np.int32]


@kernel
def fill_blocks(raw: Raw, mask: Mask, pointers: Counts, values: Raw, indices: Columns) -> None:
    """Blocks with a kept weight, block row by block row; ``values`` (blocks, rows, columns) comes in zeroed."""
    rows, columns = mask.shape
    block_rows, block_columns = values.shape[1:]
    across = (columns + block_columns - 1) // block_columns
    for block_row in range(pointers.size - 1):
        first, last = block_row * block_rows, min((block_row + 1) * block_rows, rows)
        used = np.zeros(across, np.bool_)
        for row in range(first, last):
            for block in range(across):
                start = block * block_columns
                for column in range(start, min(start + block_columns, columns)):
                    used[block] |= mask[row, column]
        slot = pointers[block_row]
        for block in range(across):
            if used[block]:
                indices[slot] = block
                start = block * block_columns
                for row in range(first, last):
                    for column in range(start, min(start + block_columns, columns)):
                        if mask[row, column]:
                            values[slot, row - first, column - start] = raw[row, column]
                slot += 1


@kernel
def fill_groups(raw: Raw, mask: Mask, group: int, values: Raw, indices: NDArray[np.uint16]) -> None:
    """``keep`` slots per group with rising positions; unused slots take the first free positions and value zero.

    ``values`` and ``indices`` have shape ``(m, groups, keep)`` and come in zeroed. Rising distinct positions are what
    2:4 hardware expects of its metadata.
    """
    rows, columns = mask.shape
    groups, keep = values.shape[1:]
    for row in range(rows):
        for g in range(groups):
            start = g * group
            inside = min(group, columns - start)
            free = keep
            for position in range(inside):
                free -= mask[row, start + position]
            slot, position = 0, 0
            while slot < keep:
                kept = position < inside and mask[row, start + position]
                if kept:
                    values[row, g, slot] = raw[row, start + position]
                if kept or free > 0:
                    free -= not kept
                    indices[row, g, slot] = position
                    slot += 1
                position += 1


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
