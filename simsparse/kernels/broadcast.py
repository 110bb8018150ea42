"""Multicast tiles: the exact recurrence of broadcasts into bounded per-unit queues.

Tile j is broadcast at ``b[j] = max(b[j-1] + issue, arrival[j], start of the last tile that must have left
the queues)``. Unit p starts it at ``max(b[j], done[p])`` and is busy for its work. Because every unit takes
the same tiles in the same order, "all queues have room" depends only on the latest start of one earlier
tile, so a scalar per tile is remembered. Bytes arrive in tile order over each channel; a tile that is fetched
holds its credits in the staging buffer until it is broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel

IntArray = NDArray[np.int64]

_LONGEST = 2**31 - 1  # what an int32 holds


@kernel
def run_broadcast(
    work: NDArray[np.int32],
    work_row: IntArray,
    work_scale: IntArray,
    barrier: IntArray,
    tile_credits: IntArray,
    queue_credits: int,
    issue: int,
    fetch: IntArray,
    fetch_channel: IntArray,
    latency: IntArray,
    prefetch_credits: int,
    ticks_per_cycle: int,
) -> tuple[IntArray, IntArray, IntArray]:
    """Finish cycle of each tile (T,), busy cycles of each unit (U,) and busy ticks of each channel (C,).

    ``work`` is (R, U) with minima applied, in cycles like ``issue``; ``fetch`` (T, F) and ``latency`` (C,)
    are ticks. ``work_scale`` is (T,) or empty; ``prefetch_credits`` 0 is an unlimited staging buffer. A tile
    is broadcast on a whole cycle.
    """
    tiles, units = len(work_row), work.shape[1]
    fetches = fetch.shape[1]
    scaled = len(work_scale) > 0
    finish = np.zeros(tiles, dtype=np.int64)
    last_start = np.zeros(tiles, dtype=np.int64)  # when the last unit started tile j
    broadcast_at = np.zeros(tiles if prefetch_credits else 0, dtype=np.int64)
    channel_free = np.zeros(len(latency), dtype=np.int64)
    channel_busy = np.zeros(len(latency), dtype=np.int64)
    uses = np.zeros(work.shape[0], dtype=np.int64)
    # busy[p]: how long after the present broadcast unit p is still busy; int32 so that 8 units fit a vector
    busy = np.zeros(units, dtype=np.int32)
    now = -issue
    oldest = 0  # first tile whose credits count against the queues with tile j
    waiting = 0
    staged_from = 0  # first tile whose credits count against the staging buffer with tile j
    staged = 0
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
        if fetches > 0:
            room_at = 0
            if prefetch_credits > 0:
                staged += tile_credits[j]
                while staged > prefetch_credits:
                    staged -= tile_credits[staged_from]
                    staged_from += 1
                if staged_from > 0:
                    room_at = broadcast_at[staged_from - 1] * ticks_per_cycle
            arrival = room_at
            for f in range(fetches):
                if fetch[j, f] > 0:
                    c = fetch_channel[f]
                    channel_free[c] = max(channel_free[c], room_at) + fetch[j, f]
                    channel_busy[c] += fetch[j, f]
                    arrival = max(arrival, channel_free[c] + latency[c])
            earliest = max(earliest, -(-arrival // ticks_per_cycle))
            if prefetch_credits > 0:
                broadcast_at[j] = earliest
        passed = np.int32(min(earliest - now, _LONGEST))
        now = earliest
        row = work[work_row[j]]
        scale = np.int32(work_scale[j]) if scaled else np.int32(1)
        latest, longest = np.int32(0), np.int32(0)
        for p in range(units):
            wait = max(busy[p] - passed, np.int32(0))
            latest = max(latest, wait)
            wait += row[p] * scale
            longest = max(longest, wait)
            busy[p] = wait
        last_start[j] = now + latest
        finish[j] = now + longest
        uses[work_row[j]] += scale
    total = np.zeros(units, dtype=np.int64)
    for r in range(work.shape[0]):
        for p in range(units):
            total[p] += uses[r] * work[r, p]
    return finish, total, channel_busy
