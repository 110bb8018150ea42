"""Fill loop of the column-compressed format with banks and runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.count_mask import Columns, Counts
from simsparse.kernels.encode_rows import Raw


@kernel
def fill_bank_columns(
    raw: Raw,
    pointers: Counts,
    columns: Columns,
    first: NDArray[np.int64],
    run_bits: int,
    values: Raw,
    indices: Columns,
) -> None:
    """Place each kept entry in its column of its bank; ``first`` (banks, k) holds the first slot of each.

    With ``run_bits`` 0 an index is the local row itself, else the zeros before it; ``values`` comes in
    zeroed.
    """
    banks, row_length = first.shape
    longest = (1 << run_bits) - 1
    cursor = first.copy()
    last = np.full((banks, row_length), -1, np.int64)
    for row in range(pointers.size - 1):
        bank, local = row % banks, row // banks
        for entry in range(pointers[row], pointers[row + 1]):
            column = columns[entry]
            slot = cursor[bank, column]
            index = local
            if run_bits > 0:
                zeros = local - last[bank, column] - 1
                for _ in range(zeros >> run_bits):
                    indices[slot] = longest
                    slot += 1
                index = zeros & longest
                last[bank, column] = local
            indices[slot] = index
            values[slot] = raw[row, column]
            cursor[bank, column] = slot + 1
