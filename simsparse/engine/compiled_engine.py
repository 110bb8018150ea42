"""The compiled engine: a plan's arrays handed to the Numba loops of :mod:`simsparse.kernels`."""

from __future__ import annotations

import numpy as np

from simsparse.engine.serial import channel_indices, serial_busy, serial_ticks
from simsparse.kernels.broadcast import run_broadcast
from simsparse.kernels.event_loop import run_tiles
from simsparse.plan import (
    ANY_UNIT,
    IntArray,
    Plan,
    TileKind,
    durations,
)
from simsparse.results import Execution


def execute_compiled(plan: Plan) -> Execution:
    """Run ``plan`` in compiled loops; see :func:`simsparse.engine.execute`."""
    return _broadcast(plan) if plan.kind == TileKind.MULTICAST else _tiles(plan)


def _tiles(plan: Plan) -> Execution:
    length = durations(plan)
    tiles = plan.tiles
    chain = plan.kind == TileKind.CHAIN
    finish, channel_busy, unit_busy, decode_busy = run_tiles(
        plan.slice_start if chain else np.arange(tiles + 1, dtype=np.int64),
        _filled(plan.unit, tiles, ANY_UNIT),
        _filled(plan.barrier, tiles, 0),
        _filled(plan.credits, tiles, 1),
        length.fetch,
        channel_indices(plan.fetch_streams),
        length.drain,
        channel_indices(plan.drain_streams),
        length.decode,
        length.compute,
        length.latency,
        plan.units,
        plan.slots_per_unit if chain else plan.buffer_credits,
        plan.output_credits,
        plan.loads_in_flight if chain else 1,
        length.start,
        chain,
    )
    before = serial_ticks(plan, length)
    return Execution(
        finish_ticks=finish + before,
        channel_busy_ticks=channel_busy + serial_busy(plan, length),
        channel_bytes=channel_bytes(plan),
        unit_busy_ticks=unit_busy,
        decode_busy_ticks=decode_busy,
        repeat=plan.repeat,
        overhead_ticks=length.overhead,
        serial_ticks=before,
    )


def _broadcast(plan: Plan) -> Execution:
    length = durations(plan)
    tiles = plan.tiles
    work = np.ascontiguousarray(np.maximum(plan.work, plan.minimum_busy_cycles), dtype=np.int32)
    finish, busy, channel_busy = run_broadcast(
        work,
        plan.work_row,
        plan.work_scale,
        _filled(plan.barrier, tiles, 0),
        _filled(plan.credits, tiles, 1),
        plan.queue_credits,
        plan.issue_cycles,
        length.fetch,
        channel_indices(plan.fetch_streams),
        length.latency,
        plan.prefetch_credits,
        plan.work_ticks,
    )
    before = serial_ticks(plan, length)
    return Execution(
        finish_ticks=finish * plan.work_ticks + before,
        channel_busy_ticks=channel_busy + serial_busy(plan, length),
        channel_bytes=channel_bytes(plan),
        unit_busy_ticks=busy * plan.work_ticks,
        decode_busy_ticks=np.zeros(plan.units, dtype=np.int64),
        repeat=plan.repeat,
        overhead_ticks=length.overhead,
        serial_ticks=before,
    )


def channel_bytes(plan: Plan) -> IntArray:
    """(C,) bytes that one repetition of the plan moves over each channel."""
    moved = np.zeros(len(plan.channels), dtype=np.int64)
    for streams, size in ((plan.fetch_streams, plan.fetch_bytes), (plan.drain_streams, plan.drain_bytes)):
        if size.size:
            np.add.at(moved, channel_indices(streams), size.sum(axis=0))
    if plan.serial_bytes.size:
        np.add.at(moved, channel_indices(plan.serial_streams), plan.serial_bytes)
    return moved


def _filled(array: IntArray, count: int, value: int) -> IntArray:
    return array if array.size else np.full(count, value, dtype=np.int64)
