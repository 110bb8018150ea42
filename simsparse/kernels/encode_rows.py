"""Fill loops of the formats that store kept entries row by row: skeleton, lanes, runs and diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.count_mask import Columns, Counts, Mask

Raw = NDArray[Any]  # weights as unsigned integers, bit for bit


@kernel
def kept_columns(mask: Mask, kept: int) -> Columns:
    """Columns of the ``kept`` true elements of ``mask`` in row-major order."""
    rows, row_length = mask.shape
    columns = np.empty(
        kept + 1, np.int32
    )  # one spare: the store below is unconditional, which avoids mispredictions
    entry = 0
    for row in range(rows):
        for column in range(row_length):
            columns[entry] = column
            entry += mask[row, column]
    return columns[:kept]


@kernel
def fill_values(raw: Raw, pointers: Counts, columns: Columns, values: Raw) -> None:
    """Kept values in row-major order."""
    for row in range(pointers.size - 1):
        for entry in range(pointers[row], pointers[row + 1]):
            values[entry] = raw[row, columns[entry]]


@kernel
def fill_lanes(
    raw: Raw, pointers: Counts, columns: Columns, first: Counts, stride: int, values: Raw, indices: Columns
) -> None:
    """Entry j of row r goes to slot ``first[r] + j * stride`` (ELL: stride 1; SELL: rows of a slice)."""
    for row in range(pointers.size - 1):
        slot = first[row]
        for entry in range(pointers[row], pointers[row + 1]):
            values[slot] = raw[row, columns[entry]]
            indices[slot] = columns[entry]
            slot += stride


@kernel
def fill_runs(
    raw: Raw, pointers: Counts, columns: Columns, run_bits: int, values: Raw, runs: Columns
) -> None:
    """Run-length entries (zeros before, value); ``values`` comes in zeroed, so padding entries hold zero."""
    longest = (1 << run_bits) - 1
    slot, previous = 0, -1
    for row in range(pointers.size - 1):
        for entry in range(pointers[row], pointers[row + 1]):
            position = row * raw.shape[1] + columns[entry]
            zeros = position - previous - 1
            for _ in range(zeros >> run_bits):
                runs[slot] = longest
                slot += 1
            runs[slot] = zeros & longest
            values[slot] = raw[row, columns[entry]]
            slot += 1
            previous = position


@kernel
def fill_diagonals(raw: Raw, pointers: Counts, columns: Columns, rank: Counts, values: Raw) -> None:
    """Value at (row, column) goes to element ``min(row, column)`` of its diagonal's line in ``values``."""
    rows = pointers.size - 1
    for row in range(rows):
        for entry in range(pointers[row], pointers[row + 1]):
            column = columns[entry]
            values[rank[column - row + rows - 1], min(row, column)] = raw[row, column]
