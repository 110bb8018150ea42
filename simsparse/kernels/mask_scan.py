"""Scans of a mask that stop as soon as a structure is ruled out: most masks are random and leave early."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

Mask = NDArray[np.bool_]


@kernel
def has_uniform_tiles(mask: Mask, rows: int, columns: int) -> bool:
    """Whether each ``rows`` × ``columns`` tile of ``mask`` (m, k) is either all kept or all removed."""
    m, k = mask.shape
    for i in range(m):
        first_row = i // rows * rows
        for tile in range(0, k, columns):
            first = mask[first_row, tile]
            for j in range(tile, min(tile + columns, k)):
                if mask[i, j] != first:
                    return False
    return True


@kernel
def stray_zeros(mask: Mask, rows: int, columns: int, limit: int) -> int:
    """Zeros of ``mask`` (m, k) outside its empty ``rows`` × ``columns`` tiles; counting ends above ``limit``."""
    m, k = mask.shape
    stray = 0
    for top in range(0, m, rows):
        bottom = min(top + rows, m)
        for left in range(0, k, columns):
            right = min(left + columns, k)
            kept = 0
            for i in range(top, bottom):
                for j in range(left, right):
                    kept += mask[i, j]
            if kept:
                stray += (bottom - top) * (right - left) - kept
        if stray > limit:
            break
    return stray
