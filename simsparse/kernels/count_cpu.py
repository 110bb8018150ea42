"""Counting loops of the CPU family: what the inner loops of each thread's rows will meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@kernel
def row_visits(mask: BoolArray, starts: IntArray, k_block: int) -> tuple[IntArray, FloatArray]:
    """Counts of each part's rows ``[starts[p], starts[p+1])``, cut into blocks of ``k_block`` columns.

    A visit is a (row, block) pair with entries, or any in the first and the last block. The integers
    (parts, 9): kept entries; visits; Σ n mod 2 and Σ n mod 4 over visits of n entries; changes of n along the
    rows of a block sorted by it; entries that the row before has too; visits longer than 24, 48 and 96
    entries. The floats (parts,): loop exits that a perfect memory of n would mispredict.
    """
    parts = len(starts) - 1
    columns = mask.shape[1]
    blocks = (columns + k_block - 1) // k_block
    out = np.zeros((parts, 9), dtype=np.int64)
    surprise = np.zeros(parts, dtype=np.float64)
    lengths = np.zeros((blocks, k_block + 1), dtype=np.int64)
    for p in range(parts):
        lengths[:] = 0
        for row in range(starts[p], starts[p + 1]):
            for b in range(blocks):
                first, last = b * k_block, min((b + 1) * k_block, columns)
                n, shared = 0, 0
                for c in range(first, last):
                    n += mask[row, c]
                if row > starts[p]:
                    for c in range(first, last):
                        shared += mask[row, c] & mask[row - 1, c]
                if n == 0 and 0 < b < blocks - 1:
                    continue
                lengths[b, n] += 1
                out[p, 0] += n
                out[p, 1] += 1
                out[p, 2] += n % 2
                out[p, 3] += n % 4
                out[p, 5] += shared
                out[p, 6] += n > 24
                out[p, 7] += n > 48
                out[p, 8] += n > 96
        for b in range(blocks):
            total, squares, kinds = 0, 0.0, 0
            for n in range(k_block + 1):
                total += lengths[b, n]
                squares += float(lengths[b, n]) ** 2
                kinds += lengths[b, n] > 0
            if total:
                surprise[p] += total - squares / total
                out[p, 4] += kinds - 1
    return out, surprise


@kernel
def group_visits(mask: BoolArray, starts: IntArray, k_block: int) -> tuple[IntArray, FloatArray]:
    """Counts of groups of four rows, columns sorted by which of the four use them.

    Every (group, block) pair is a visit. The integers (parts, 9): columns used by 1, 2, 3 and 4 rows of a
    group; visits; visits without a column that only some of the rows use; non-empty segments (one per set of
    rows); segments longer than 24 columns; columns that the group before uses too. The floats (parts,):
    segment loop exits that a perfect memory of lengths would mispredict.
    """
    parts = len(starts) - 1
    columns = mask.shape[1]
    out = np.zeros((parts, 9), dtype=np.int64)
    surprise = np.zeros(parts, dtype=np.float64)
    lengths = np.zeros((16, k_block + 1), dtype=np.int64)
    segment = np.zeros(16, dtype=np.int64)
    code = np.zeros(columns, dtype=np.uint8)
    previous = np.zeros(columns, dtype=np.uint8)
    for p in range(parts):
        lengths[:] = 0
        visits = 0
        previous[:] = 0
        for group in range(starts[p], starts[p + 1], 4):
            code[:] = 0
            for i in range(group, min(group + 4, starts[p + 1])):
                bit = np.uint8(1 << (i - group))
                for c in range(columns):
                    code[c] |= bit * np.uint8(mask[i, c])
            for first in range(0, columns, k_block):
                segment[:] = 0
                for c in range(first, min(first + k_block, columns)):
                    segment[code[c]] += 1
                    out[p, 8] += (code[c] != 0) & (previous[c] != 0)
                mixed = 0
                for s in range(1, 16):
                    n = segment[s]
                    rows = (s & 1) + ((s >> 1) & 1) + ((s >> 2) & 1) + ((s >> 3) & 1)
                    out[p, rows - 1] += n
                    out[p, 6] += n > 0
                    out[p, 7] += n > 24
                    mixed += (n > 0) & (s < 15)
                    lengths[s, n] += 1
                visits += 1
                out[p, 4] += 1
                out[p, 5] += mixed == 0
            code, previous = previous, code
        for s in range(1, 16):
            squares = 0.0
            for n in range(k_block + 1):
                squares += float(lengths[s, n]) ** 2
            if visits:
                surprise[p] += visits - squares / visits
    return out, surprise
