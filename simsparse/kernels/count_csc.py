"""Entries of compressed columns that are interleaved over processing elements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def banked_entries(
    mask: NDArray[np.bool_], banks: int, longest_run: int, rows_per_pass: int
) -> NDArray[np.int64]:
    """(passes, k, banks) entries of each column in each bank, padding included.

    Row o belongs to bank o mod banks at local row i = o // banks. A nonzero costs ``1 + (i − i_prev − 1) //
    longest_run`` entries, with i_prev = −1 at the start of a column; trailing zeros cost nothing. An entry
    is counted in the pass of ``rows_per_pass`` rows in which its nonzero lies.
    """
    m, k = mask.shape
    passes = (m + rows_per_pass - 1) // rows_per_pass
    out = np.zeros((passes, k, banks), dtype=np.int64)
    previous = np.full((k, banks), -1, dtype=np.int64)
    for o in range(m):
        bank, local, at = o % banks, o // banks, o // rows_per_pass
        for j in range(k):
            if mask[o, j]:
                out[at, j, bank] += 1 + (local - previous[j, bank] - 1) // longest_run
                previous[j, bank] = local
    return out
