"""N:M and V:N:M masks: the best few of each short group along k."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel


@kernel
def nm_mask(scores: NDArray[Any], keep: int, group: int, mask: NDArray[np.bool_]) -> None:
    """Mark the ``keep`` largest scores of each ``group`` along k; of equal ones the first.

    An element stays if fewer than ``keep`` others beat it. Counting those is quadratic in the group but free
    of branches: for groups of 4 and 8 it is faster than repeated maxima (4.9 against 8.4 ns per weight).
    """
    m, k = scores.shape
    for i in range(m):
        for start in range(0, k, group):
            stop = min(start + group, k)
            for a in range(start, stop):
                score = scores[i, a]
                better = 0
                for j in range(start, a):
                    better += scores[i, j] >= score
                for j in range(a + 1, stop):
                    better += scores[i, j] > score
                mask[i, a] = better < keep


@kernel
def n4_mask(scores: NDArray[Any], keep: int, mask: NDArray[np.bool_]) -> None:
    """`nm_mask` of groups of 4 where 4 divides k, unrolled: six comparisons a group, 1.3 against 4.9 ns."""
    m, k = scores.shape
    for i in range(m):
        for j in range(0, k, 4):
            a, b, c, d = scores[i, j], scores[i, j + 1], scores[i, j + 2], scores[i, j + 3]
            ab, ac, ad = int(a >= b), int(a >= c), int(a >= d)
            bc, bd, cd = int(b >= c), int(b >= d), int(c >= d)
            mask[i, j] = 3 - ab - ac - ad < keep
            mask[i, j + 1] = 2 + ab - bc - bd < keep
            mask[i, j + 2] = 1 + ac + bc - cd < keep
            mask[i, j + 3] = ad + bd + cd < keep


@kernel
def vnm_mask(
    scores: NDArray[Any], rows: int, columns: int, keep: int, group: int, mask: NDArray[np.bool_]
) -> None:
    """Mark ``keep`` of the ``columns`` best columns of each (``rows``-row block, ``group``) in each row.

    ``mask`` must come in all False. A column's score is its sum over the rows of the block.
    """
    m, k = scores.shape
    sums = np.zeros(group)
    chosen = np.zeros(group, np.int64)
    for top in range(0, m, rows):
        bottom = min(top + rows, m)
        for start in range(0, k, group):
            width = min(group, k - start)
            sums[:] = 0.0
            for i in range(top, bottom):
                for j in range(width):
                    sums[j] += scores[i, start + j]
            n_chosen = 0
            for a in range(width):
                better = 0
                for j in range(width):
                    better += sums[j] > sums[a] or (j < a and sums[j] == sums[a])
                if better < columns:
                    chosen[n_chosen] = start + a
                    n_chosen += 1
            for i in range(top, bottom):
                for a in range(n_chosen):
                    score = scores[i, chosen[a]]
                    better = 0
                    for b in range(n_chosen):
                        other = scores[i, chosen[b]]
                        better += other > score or (b < a and other == score)
                    mask[i, chosen[a]] = better < keep
