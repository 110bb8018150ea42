"""Multicast tiles: the exact recurrence of broadcasts into bounded per-unit queues.

Tile j is broadcast at ``b[j] = max(b[j-1] + issue, start of the last tile that must have left the
queues)``. Unit p starts it at ``max(b[j], done[p])`` and is busy for its work. Because every unit takes the
same tiles in the same order, "all queues have room" depends only on the latest start of one earlier tile,
so a scalar per tile is remembered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]


@kernel
def run_broadcast(
    work: NDArray[np.int32],
    work_row: IntArray,
    barrier: IntArray,
    tile_credits: IntArray,
    queue_credits: int,
    issue: int,
) -> tuple[IntArray, IntArray]:
    """Finish cycle of each tile (T,) and busy cycles of each unit (U,); ``work`` is (R, U) with minima
    applied.
    """
    tiles, units = len(work_row), work.shape[1]
    finish = np.zeros(tiles, dtype=np.int64)
    last_start = np.zeros(tiles, dtype=np.int64)  # when the last unit started tile j
    uses = np.zeros(work.shape[0], dtype=np.int64)
    # busy[p]: how long after the present broadcast unit p is still busy; int32 so that 8 units fit a vector
    busy = np.zeros(units, dtype=np.int32)
    now = -issue
    oldest = 0  # first tile whose credits count against the queues with tile j
    waiting = 0
    for j in range(tiles):
        earliest = now + issue
        waiting += tile_credits[j]
        while waiting > queue_credits:
            waiting -= tile_credits[oldest]
            oldest += 1
        if oldest > 0:
            earliest = max(earliest, last_start[oldest - 1])
        if j > 0 and barrier[j] != barrier[j - 1]:
            earliest = max(earliest, finish[j - 1])
        passed = np.int32(earliest - now)
        now = earliest
        row = work[work_row[j]]
        latest, longest = np.int32(0), np.int32(0)
        for p in range(units):
            wait = max(busy[p] - passed, np.int32(0))
            latest = max(latest, wait)
            wait += row[p]
            longest = max(longest, wait)
            busy[p] = wait
        last_start[j] = now + latest
        finish[j] = now + longest
        uses[work_row[j]] += 1
    total = np.zeros(units, dtype=np.int64)
    for r in range(work.shape[0]):
        for p in range(units):
            total[p] += uses[r] * work[r, p]
    return finish, total
