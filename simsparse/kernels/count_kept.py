"""Counting loops over the kept entries in row-major order (row pointers and columns)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.count_mask import Columns, Counts


@kernel
def run_padding(pointers: Counts, columns: Columns, row_length: int, run_bits: int) -> int:
    """Padding entries of a run-length code: one per full ``2**run_bits`` zeros before a kept weight."""
    padding, previous = 0, -1
    for row in range(pointers.size - 1):
        for entry in range(pointers[row], pointers[row + 1]):
            position = row * row_length + columns[entry]
            padding += (position - previous - 1) >> run_bits
            previous = position
    return padding


@kernel
def largest_gap(pointers: Counts, columns: Columns, row_length: int) -> int:
    """Largest distance between neighbouring kept weights in row-major order; 1 where there are none."""
    gap, previous = 1, -1
    for row in range(pointers.size - 1):
        for entry in range(pointers[row], pointers[row + 1]):
            position = row * row_length + columns[entry]
            if previous >= 0:
                gap = max(gap, position - previous)
            previous = position
    return gap


@kernel
def bank_column_entries(
    pointers: Counts, columns: Columns, row_length: int, banks: int, run_shift: int
) -> NDArray[np.int64]:
    """Stored entries, padding included, of each column in each bank: shape ``(banks, k)``.

    Row o is row ``o // banks`` of bank ``o % banks``; each full ``2**run_shift`` zeros before an entry cost
    one more.
    """
    entries = np.zeros((banks, row_length), np.int64)
    last = np.full((banks, row_length), -1, np.int64)
    for row in range(pointers.size - 1):
        bank, local = row % banks, row // banks
        for entry in range(pointers[row], pointers[row + 1]):
            column = columns[entry]
            entries[bank, column] += 1 + ((local - last[bank, column] - 1) >> run_shift)
            last[bank, column] = local
    return entries


@kernel
def used_diagonals(pointers: Counts, columns: Columns, row_length: int) -> NDArray[np.bool_]:
    """Which diagonals hold a kept weight; index ``column - row + (m - 1)``, length ``m + k - 1``."""
    rows = pointers.size - 1
    used = np.zeros(rows + row_length - 1, np.bool_)
    for row in range(rows):
        for entry in range(pointers[row], pointers[row + 1]):
            used[columns[entry] - row + rows - 1] = True
    return used


@kernel
def block_counts(
    pointers: Counts, columns: Columns, row_length: int, block_rows: int, block_columns: int
) -> NDArray[np.int64]:
    """Blocks with a kept weight in each block row; blocks at the edges may be cut."""
    rows = pointers.size - 1
    across = (row_length + block_columns - 1) // block_columns
    counts = np.zeros((rows + block_rows - 1) // block_rows, np.int64)
    seen = np.full(across, -1, np.int64)
    for row in range(rows):
        block_row = row // block_rows
        for entry in range(pointers[row], pointers[row + 1]):
            block = columns[entry] // block_columns
            counts[block_row] += seen[block] != block_row
            seen[block] = block_row
    return counts
