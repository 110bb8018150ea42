"""The scratch copy of the vectors: aligned, zero beyond k, and known to be finite or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.finite import EXPONENT, all_finite


@kernel
def copy_vectors(bits: NDArray[np.uint32], scratch: NDArray[np.uint32], stride: int) -> bool:
    """Rows of ``bits`` (k, n) to flat (n, stride), zero beyond k; True if one of them is NaN or Inf."""
    k, n = bits.shape
    special = np.uint32(0)
    if n == 1:  # a loop over vectors, where that is known: a fifth of the time
        for i in range(k):
            value = bits[i, 0]
            scratch[i] = value
            special |= np.uint32((value & EXPONENT) == EXPONENT)
        scratch[k:stride] = 0
        return bool(special != 0)
    finite = True
    for j in range(n):
        column = scratch[j * stride : j * stride + k]
        for i in range(k):
            column[i] = bits[i, j]
        finite &= all_finite(column)  # of what lies together: a third of the time of asking on the way
        scratch[j * stride + k : (j + 1) * stride] = 0
    return not finite


@kernel
def copy_rows(bits: NDArray[np.uint32], scratch: NDArray[np.uint32]) -> None:
    """Rows of ``bits`` (k, n) to flat (k + 1, 8), zero in the other columns and in the last row."""
    k, n = bits.shape
    scratch[:] = 0
    for i in range(k):
        for j in range(n):
            scratch[8 * i + j] = bits[i, j]
