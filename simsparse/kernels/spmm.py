"""Row-compressed weights from positions, and the portable product on them: what faster kernels must equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def rising(positions: NDArray[np.int64]) -> bool:
    """Whether each position is greater than the one before."""
    falls = 0
    for i in range(1, positions.size):
        falls += positions[i] <= positions[i - 1]
    return falls == 0


@kernel
def split_positions(
    positions: NDArray[np.int64], k: int, pointers: NDArray[np.int64], columns: NDArray[np.int32]
) -> None:
    """Rising positions ``row * k + column`` as ``pointers`` (m + 1,) of rows and ``columns``."""
    at = 0
    for row in range(pointers.size - 1):
        pointers[row] = at
        start, end = row * k, (row + 1) * k
        while at < positions.size and positions[at] < end:
            columns[at] = positions[at] - start
            at += 1
    pointers[pointers.size - 1] = at


@kernel
def spmm_rows(
    pointers: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
) -> None:
    """``y += W @ x``; all in the accumulator's dtype, ``x`` of shape (k, n), ``y`` of shape (m, n)."""
    for row in range(pointers.size - 1):
        for entry in range(pointers[row], pointers[row + 1]):
            value, column = values[entry], columns[entry]
            for j in range(x.shape[1]):
                y[row, j] += value * x[column, j]
