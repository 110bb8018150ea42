"""The portable sparse × dense product on row-compressed weights: what faster kernels must equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


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
