"""Scans of a mask for structures; most masks are random, so the callers leave as soon as one is ruled out."""

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
def tiled_zeros(mask: NDArray[np.uint8], rows: int, columns: int) -> int:
    """Zeros inside the empty ``rows`` × ``columns`` tiles of a mask (m, k) seen as bytes."""
    m, k = mask.shape
    used = np.empty(k, np.uint8)
    zeros = 0
    for top in range(0, m, rows):
        bottom = min(top + rows, m)
        used[:] = mask[top]
        for i in range(top + 1, bottom):
            for j in range(k):
                used[j] |= mask[i, j]
        empty = 0
        # written out: a loop of one to four turns per tile is not vectorised and takes ten times as long
        if columns == 1:
            for j in range(k):
                empty += used[j] == 0
        elif columns == 2:
            for tile in range(k // 2):
                empty += 2 * ((used[2 * tile] | used[2 * tile + 1]) == 0)
        elif columns == 4:
            for tile in range(k // 4):
                at = 4 * tile
                empty += 4 * ((used[at] | used[at + 1] | used[at + 2] | used[at + 3]) == 0)
        else:
            for left in range(0, k // columns * columns, columns):
                any_used = False
                for j in range(left, left + columns):
                    any_used |= used[j] != 0
                if not any_used:
                    empty += columns
        rest = k - k % columns
        if rest < k and not used[rest:].any():
            empty += k - rest
        zeros += empty * (bottom - top)
    return zeros
