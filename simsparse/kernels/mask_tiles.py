"""Sums over the tiles of a matrix; the last row and column of tiles may be shorter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def tile_sums(values: NDArray[Any], rows: int, columns: int, sums: NDArray[np.float64]) -> None:
    """Add to ``sums`` (ceil(m / rows), ceil(k / columns)) the values of each ``rows`` × ``columns`` tile."""
    m, k = values.shape
    for i in range(m):
        tile_row = i // rows
        if columns == 1:  # a loop of one turn per tile would cost 11 ns a value, this costs 1
            for j in range(k):
                sums[tile_row, j] += values[i, j]
            continue
        for tile in range(sums.shape[1]):
            total = 0.0
            for j in range(tile * columns, min((tile + 1) * columns, k)):
                total += values[i, j]
            sums[tile_row, tile] += total
