"""Transposition in blocks: every cache line that is touched is used whole while it is near."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

_BLOCK = 16


@kernel
def transpose(source: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``out[j, i] = source[i, j]`` for ``source`` (a, b) and ``out`` (b, a), both with contiguous rows."""
    a, b = source.shape
    for top in range(0, a, _BLOCK):
        bottom = min(a, top + _BLOCK)
        for left in range(0, b, _BLOCK):
            right = min(b, left + _BLOCK)
            for j in range(left, right):
                for i in range(top, bottom):
                    out[j, i] = source[i, j]
