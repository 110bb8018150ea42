"""The machine of unicast tiles and chains as one event loop over integer time.

``engine/simpy_engine.py`` tells the same story in prose; the two agree to the tick. The loop works in
rounds: all events of one instant are handled first (they only change states and file requests), then every
free resource takes the oldest request, ties going to the lowest index. What a grant causes at the same
instant belongs to the next round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simsparse.kernels._jit import kernel
from simsparse.kernels.heap import pop, push

IntArray = NDArray[np.int64]

_ADMITTED, _CHANNEL_FREE, _ARRIVED, _DECODED, _COMPUTED, _DRAINED = range(6)
_KIND_BITS = 3  # an event's code is (what it concerns << 3) | kind


@kernel
def run_tiles(
    slice_start: IntArray,
    unit_of: IntArray,
    barrier: IntArray,
    tile_credits: IntArray,
    fetch: IntArray,
    fetch_channel: IntArray,
    drain: IntArray,
    drain_channel: IntArray,
    decode: IntArray,
    compute: IntArray,
    latency: IntArray,
    units: int,
    room: int,
    outputs: int,
    in_flight: int,
    start: int,
    hold: bool,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Run all tiles; returns finish times (T,), channel busy (C,), unit busy (U,) and decoder busy (U,) in
    ticks.

    All durations are ticks. ``unit_of[t]`` is a unit or −1 for the one with most room. ``room`` credits per
    unit are taken at admission and given back after compute, or after the drain when ``hold`` is set (a
    thread block's slot). ``outputs`` is the number of tiles of a unit that may be computed but not yet
    drained.
    """
    tiles = len(barrier)
    slices = len(compute)
    channels = len(latency)
    fetches, drains = fetch.shape[1], drain.shape[1]
    requests = fetches + drains  # rank of a request within its slice

    finish = np.zeros(tiles, dtype=np.int64)
    channel_busy = np.zeros(channels, dtype=np.int64)
    unit_busy = np.zeros(units, dtype=np.int64)
    decode_busy = np.zeros(units, dtype=np.int64)

    # events: a unit holds at most `room` tiles, each with at most `in_flight` slices of `requests` transfers
    live = min(tiles, units * room) if hold else tiles
    event_capacity = live * (in_flight * requests + requests + 3) + channels + 2 * units + 16
    event_time = np.zeros(event_capacity, dtype=np.int64)
    event_code = np.zeros(event_capacity, dtype=np.int64)
    events = 0

    queue_capacity = live * (in_flight * fetches + drains) + 1
    queue_time = np.zeros((channels, queue_capacity), dtype=np.int64)
    queue_rank = np.zeros((channels, queue_capacity), dtype=np.int64)
    queued = np.zeros(channels, dtype=np.int64)
    channel_free = np.ones(channels, dtype=np.bool_)

    decoder_time = np.zeros((units, room + 1), dtype=np.int64)
    decoder_tile = np.zeros((units, room + 1), dtype=np.int64)
    decoder_queued = np.zeros(units, dtype=np.int64)
    decoder_free = np.ones(units, dtype=np.bool_)
    ready_time = np.zeros((units, room + 1), dtype=np.int64)
    ready_tile = np.zeros((units, room + 1), dtype=np.int64)
    ready = np.zeros(units, dtype=np.int64)
    unit_free = np.ones(units, dtype=np.bool_)

    free_credits = np.full(units, room, dtype=np.int64)
    free_outputs = np.full(units, outputs, dtype=np.int64)
    placed = np.full(tiles, -1, dtype=np.int64)
    waiting = np.zeros(slices, dtype=np.int64)  # transfers a slice still waits for
    arrived = np.zeros(slices, dtype=np.bool_)
    next_compute = slice_start[:-1].copy()
    next_load = slice_start[:-1].copy()
    drains_left = np.zeros(tiles, dtype=np.int64)
    owner = np.zeros(slices, dtype=np.int64)
    for t in range(tiles):
        for s in range(slice_start[t], slice_start[t + 1]):
            owner[s] = t

    groups = barrier[tiles - 1] + 1 if tiles else 0
    unfinished = np.zeros(groups, dtype=np.int64)
    for t in range(tiles):
        unfinished[barrier[t]] += 1
    open_group = 0
    static = tiles > 0 and unit_of[0] >= 0
    lanes = units if static else 1
    lane_start, lane_tiles = _lanes(unit_of, lanes, static)
    lane_next = lane_start[:-1].copy()

    # only units whose state changed in a round are looked at: with 108 of them a full scan was 3/4 of the
    # time
    touched = np.zeros(units, dtype=np.int64)
    is_touched = np.zeros(units, dtype=np.bool_)
    touches = 0
    try_admission = True

    now = 0
    loads = np.zeros(in_flight + 1, dtype=np.int64)  # slices to fetch after this event
    while True:
        # requests of this round are on file: every free resource takes its oldest one
        while open_group < groups and unfinished[open_group] == 0:
            open_group += 1
            try_admission = True
        for lane in range(lanes if try_admission else 0):
            while lane_next[lane] < lane_start[lane + 1]:
                t = lane_tiles[lane_next[lane]]
                if barrier[t] > open_group:
                    break
                u = lane
                if not static:
                    u = 0
                    for v in range(1, units):
                        if free_credits[v] > free_credits[u]:
                            u = v
                if free_credits[u] < tile_credits[t]:
                    break
                free_credits[u] -= tile_credits[t]
                placed[t] = u
                lane_next[lane] += 1
                events = push(event_time, event_code, events, now + start, (t << _KIND_BITS) | _ADMITTED)
        for c in range(channels):
            if channel_free[c] and queued[c]:
                rank = queue_rank[c, 0]
                queued[c] = pop(queue_time[c], queue_rank[c], queued[c])
                s, stream = rank // requests, rank % requests
                if stream < fetches:
                    length = fetch[s, stream]
                    done = (s << _KIND_BITS) | _ARRIVED
                else:
                    length = drain[owner[s], stream - fetches]
                    done = (owner[s] << _KIND_BITS) | _DRAINED
                channel_free[c] = False
                channel_busy[c] += length
                events = push(event_time, event_code, events, now + length, (c << _KIND_BITS) | _CHANNEL_FREE)
                events = push(event_time, event_code, events, now + length + latency[c], done)
        try_admission = False
        for i in range(touches):
            u = touched[i]
            is_touched[u] = False
            if decoder_free[u] and decoder_queued[u]:
                t = decoder_tile[u, 0]
                decoder_queued[u] = pop(decoder_time[u], decoder_tile[u], decoder_queued[u])
                length = decode[next_compute[t]]
                decoder_free[u] = False
                decode_busy[u] += length
                events = push(event_time, event_code, events, now + length, (t << _KIND_BITS) | _DECODED)
            if unit_free[u] and ready[u]:
                t = ready_tile[u, 0]
                if not hold and drains and free_outputs[u] == 0 and drain[t].sum() > 0:
                    continue
                ready[u] = pop(ready_time[u], ready_tile[u], ready[u])
                if not hold and drains and drain[t].sum() > 0:
                    free_outputs[u] -= 1
                length = compute[next_compute[t]]
                unit_free[u] = False
                unit_busy[u] += length
                events = push(event_time, event_code, events, now + length, (t << _KIND_BITS) | _COMPUTED)

        touches = 0
        if events == 0:
            break
        now = event_time[0]
        while events and event_time[0] == now:
            kind = event_code[0] & ((1 << _KIND_BITS) - 1)
            index = event_code[0] >> _KIND_BITS
            events = pop(event_time, event_code, events)
            tile = index
            load_count = 0
            offer = False
            if kind == _CHANNEL_FREE:
                channel_free[index] = True
                continue
            if kind == _ADMITTED:
                while load_count < in_flight and next_load[tile] < slice_start[tile + 1]:
                    loads[load_count] = next_load[tile]
                    load_count += 1
                    next_load[tile] += 1
            elif kind == _ARRIVED:
                tile = owner[index]
                waiting[index] -= 1
                if waiting[index] == 0:
                    arrived[index] = True
                    offer = index == next_compute[tile]
            elif kind == _DECODED:
                u = placed[tile]
                decoder_free[u] = True
                ready[u] = push(ready_time[u], ready_tile[u], ready[u], now, tile)
            elif kind == _COMPUTED:
                u = placed[tile]
                unit_free[u] = True
                next_compute[tile] += 1
                if next_load[tile] < slice_start[tile + 1]:
                    loads[0] = next_load[tile]
                    load_count = 1
                    next_load[tile] += 1
                if next_compute[tile] < slice_start[tile + 1]:
                    offer = arrived[next_compute[tile]]
                else:
                    if not hold:
                        free_credits[u] += tile_credits[tile]
                        try_admission = True
                    for d in range(drains):
                        if drain[tile, d] > 0:
                            c = drain_channel[d]
                            rank = (slice_start[tile + 1] - 1) * requests + fetches + d
                            queued[c] = push(queue_time[c], queue_rank[c], queued[c], now, rank)
                            drains_left[tile] += 1
                    if drains_left[tile] == 0:
                        finish[tile] = now
                        unfinished[barrier[tile]] -= 1
                        if hold:
                            free_credits[u] += tile_credits[tile]
                        try_admission = True
            else:
                drains_left[tile] -= 1
                if drains_left[tile] == 0:
                    u = placed[tile]
                    finish[tile] = now
                    unfinished[barrier[tile]] -= 1
                    if hold:
                        free_credits[u] += tile_credits[tile]
                        try_admission = True
                    else:
                        free_outputs[u] += 1
            for i in range(load_count):
                s = loads[i]
                for f in range(fetches):
                    if fetch[s, f] > 0:
                        c = fetch_channel[f]
                        queued[c] = push(queue_time[c], queue_rank[c], queued[c], now, s * requests + f)
                        waiting[s] += 1
                if waiting[s] == 0:
                    arrived[s] = True
                    offer = offer or s == next_compute[tile]
            u = placed[tile]
            if not is_touched[u]:
                is_touched[u] = True
                touched[touches] = u
                touches += 1
            if offer:
                if decode[next_compute[tile]] > 0:
                    decoder_queued[u] = push(decoder_time[u], decoder_tile[u], decoder_queued[u], now, tile)
                else:
                    ready[u] = push(ready_time[u], ready_tile[u], ready[u], now, tile)
    return finish, channel_busy, unit_busy, decode_busy


@kernel
def _lanes(unit_of: IntArray, lanes: int, static: bool) -> tuple[IntArray, IntArray]:
    """Tiles in index order by the unit they are bound to (one common lane when they take any unit)."""
    tiles = len(unit_of)
    starts = np.zeros(lanes + 1, dtype=np.int64)
    for t in range(tiles):
        starts[(unit_of[t] if static else 0) + 1] += 1
    for lane in range(lanes):
        starts[lane + 1] += starts[lane]
    order = np.empty(tiles, dtype=np.int64)
    cursor = starts[:-1].copy()
    for t in range(tiles):
        lane = unit_of[t] if static else 0
        order[cursor[lane]] = t
        cursor[lane] += 1
    return starts, order
