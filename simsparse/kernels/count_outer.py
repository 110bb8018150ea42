"""Counts for outer products: nonzeros of the short vectors that meet at each position of k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def vector_counts(mask: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
    """(ceil(rows / length), k) nonzeros of each vector of ``length`` rows in each column of a (rows, k)
    mask.
    """
    rows, k = mask.shape
    out = np.zeros(((rows + length - 1) // length, k), dtype=np.int64)
    for i in range(rows):
        vector = i // length
        for j in range(k):
            out[vector, j] += mask[i, j]
    return out
