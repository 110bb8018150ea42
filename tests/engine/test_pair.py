"""Law 4: the two engines agree tile by tile, on random plans."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsparse.engine import execute
from simsparse.errors import ShapeError
from simsparse.plan import Channel, Plan, Stream, TileKind, durations

SMALL = st.integers(0, 40)


def _assert_same(plan: Plan) -> None:
    ours, reference = execute(plan, engine="compiled"), execute(plan, engine="simpy")
    np.testing.assert_array_equal(ours.finish_ticks, reference.finish_ticks)
    np.testing.assert_array_equal(ours.channel_busy_ticks, reference.channel_busy_ticks)
    np.testing.assert_array_equal(ours.channel_bytes, reference.channel_bytes)
    np.testing.assert_array_equal(ours.unit_busy_ticks, reference.unit_busy_ticks)
    np.testing.assert_array_equal(ours.decode_busy_ticks, reference.decode_busy_ticks)
    assert ours.total_ticks == reference.total_ticks


@st.composite
def _channels(draw: st.DrawFn) -> tuple[Channel, ...]:
    rates = draw(st.lists(st.sampled_from([0.5, 1.0, 3.0, 7.3]), min_size=1, max_size=3))
    return tuple(
        Channel(name=f"c{i}", bytes_per_cycle=rate, latency_cycles=draw(st.sampled_from([0.0, 2.0, 5.5])))
        for i, rate in enumerate(rates)
    )


def _streams(draw: st.DrawFn, channels: int, most: int) -> tuple[Stream, ...]:
    used = draw(st.lists(st.integers(0, channels - 1), max_size=most))
    return tuple(Stream(name=f"s{i}", channel=channel) for i, channel in enumerate(used))


def _matrix(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    values = draw(st.lists(SMALL, min_size=rows * columns, max_size=rows * columns))
    return np.array(values, dtype=np.int64).reshape(rows, columns)


@st.composite
def tile_plans(draw: st.DrawFn) -> Plan:
    tiles, units = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    chain = draw(st.booleans())
    channels = draw(_channels())
    fetch, drain = _streams(draw, len(channels), 3), _streams(draw, len(channels), 2)
    lengths = (
        np.array(draw(st.lists(st.integers(1, 4), min_size=tiles, max_size=tiles)))
        if chain
        else np.ones(tiles)
    )
    slices = int(lengths.sum())
    room = draw(st.integers(1, 3))
    static = draw(st.booleans())
    column = lambda n: _matrix(draw, n, 1)[:, 0]  # noqa: E731
    return Plan(
        kind=TileKind.CHAIN if chain else TileKind.UNICAST,
        units=units,
        channels=channels,
        fetch_streams=fetch,
        drain_streams=drain,
        fetch_bytes=_matrix(draw, slices, len(fetch)),
        drain_bytes=_matrix(draw, tiles, len(drain)),
        decode_cycles=np.zeros(0) if chain else column(slices) * 0.5,
        compute_cycles=column(slices) * 0.75,
        unit=column(tiles) % units if static else np.zeros(0, dtype=np.int64),
        barrier=np.cumsum(column(tiles) > 33),
        credits=np.zeros(0, dtype=np.int64) if chain else 1 + column(tiles) % room,
        buffer_credits=room,
        output_credits=draw(st.integers(1, 2)),
        slots_per_unit=room,
        loads_in_flight=draw(st.integers(1, 3)),
        start_cycles=draw(st.sampled_from([0.0, 3.0])) if chain else 0.0,
        slice_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        if chain
        else np.zeros(0, dtype=np.int64),
        repeat=draw(st.integers(1, 3)),
        overhead_cycles=draw(st.sampled_from([0.0, 10.0])),
        serial_streams=(serial := _streams(draw, len(channels), 2)),
        serial_bytes=column(len(serial)),
    )


@st.composite
def broadcast_plans(draw: st.DrawFn) -> Plan:
    tiles, units, rows = draw(st.integers(1, 20)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    depth = draw(st.integers(1, 4))
    channels = draw(_channels())
    fetch, serial = _streams(draw, len(channels), 3), _streams(draw, len(channels), 2)
    scaled = draw(st.booleans())
    column = lambda n: _matrix(draw, n, 1)[:, 0]  # noqa: E731
    return Plan(
        kind=TileKind.MULTICAST,
        units=units,
        channels=channels,
        fetch_streams=fetch,
        fetch_bytes=_matrix(draw, tiles, len(fetch)),
        serial_streams=serial,
        serial_bytes=column(len(serial)),
        work=_matrix(draw, rows, units) % 9,
        work_row=column(tiles) % rows,
        work_scale=column(tiles) % 4 if scaled else np.zeros(0, dtype=np.int64),
        barrier=np.cumsum(column(tiles) > 33),
        credits=1 + column(tiles) % depth,
        queue_credits=depth,
        minimum_busy_cycles=0 if scaled else draw(st.integers(0, 1)),
        issue_cycles=draw(st.integers(0, 2)),
        prefetch_credits=draw(st.sampled_from([0, depth, depth + 3])),
        cycles_per_work=draw(st.sampled_from([1.0, 1.0, 1.37])),
        repeat=draw(st.integers(1, 2)),
    )


@given(tile_plans())
def test_engines_agree_on_tiles_and_chains(plan: Plan) -> None:
    _assert_same(plan)


@given(broadcast_plans())
def test_engines_agree_on_broadcasts(plan: Plan) -> None:
    _assert_same(plan)


@given(tile_plans())
def test_time_lies_between_the_busiest_resource_and_the_sum_of_all_stages(plan: Plan) -> None:
    ran = execute(plan)
    length = durations(plan)
    busiest = max(*ran.channel_busy_ticks, *ran.unit_busy_ticks, *ran.decode_busy_ticks)
    moves = sum(np.count_nonzero(stage) for stage in (length.fetch, length.drain, length.serial))
    longest_latency = int(length.latency.max(initial=0))
    stages = sum(
        int(stage.sum())
        for stage in (length.fetch, length.drain, length.decode, length.compute, length.serial)
    )
    assert busiest <= ran.makespan_ticks <= stages + moves * longest_latency + plan.tiles * length.start
    assert ran.total_ticks == ran.makespan_ticks * plan.repeat + length.overhead


@given(broadcast_plans())
def test_broadcast_lies_between_its_busiest_resource_and_the_sum_of_all_stages(plan: Plan) -> None:
    ran, length = execute(plan), durations(plan)
    scale = plan.work_scale if plan.work_scale.size else np.ones(plan.tiles, dtype=np.int64)
    work = np.maximum(plan.work, plan.minimum_busy_cycles)[plan.work_row] * scale[:, None]
    assert int(work.sum(axis=0).max()) * plan.work_ticks == int(ran.unit_busy_ticks.max())
    assert ran.makespan_ticks >= max(*ran.unit_busy_ticks, *ran.channel_busy_ticks)
    moved = length.fetch.sum() + length.serial.sum()
    moves = np.count_nonzero(length.fetch) + np.count_nonzero(length.serial)
    waits = moved + moves * length.latency.max() + plan.tiles * (1 + plan.issue_cycles) * plan.work_ticks
    assert ran.makespan_ticks <= int(work.max(axis=1).sum()) * plan.work_ticks + waits


@given(broadcast_plans(), st.integers(1, 40))
def test_serial_bytes_shift_every_tile_and_overlap_with_nothing(plan: Plan, size: int) -> None:
    stream = (Stream(name="spill", channel=0),)
    without = dataclasses.replace(plan, serial_streams=(), serial_bytes=np.zeros(0, dtype=np.int64))
    spilled = dataclasses.replace(plan, serial_streams=stream, serial_bytes=np.array([size]))
    first, second, length = execute(without), execute(spilled), durations(spilled)
    shift = int(length.serial[0] + length.latency[0])
    np.testing.assert_array_equal(second.finish_ticks, first.finish_ticks + shift)
    assert second.channel_busy_ticks[0] == first.channel_busy_ticks[0] + length.serial[0]
    assert second.channel_bytes[0] == first.channel_bytes[0] + size


def test_a_plan_without_tiles_still_takes_its_serial_transfers() -> None:
    plan = Plan(
        kind=TileKind.UNICAST,
        units=1,
        channels=(Channel(name="dram", bytes_per_cycle=2.0, latency_cycles=1.0),),
        serial_streams=(Stream(name="spill", channel=0),),
        serial_bytes=np.array([10]),
        repeat=3,
    )
    assert execute(plan).total_cycles == execute(plan, engine="simpy").total_cycles == 3 * (5 + 1)


def _weights_over_dram(staging: int, bytes_per_tile: int = 4) -> Plan:
    """Ten tiles of 8 cycles on two units, each fetched in ``bytes_per_tile`` cycles."""
    return Plan(
        kind=TileKind.MULTICAST,
        units=2,
        channels=(Channel(name="dram", bytes_per_cycle=1.0),),
        fetch_streams=(Stream(name="weights", channel=0),),
        fetch_bytes=np.full((10, 1), bytes_per_tile, dtype=np.int64),
        work=np.full((1, 2), 2, dtype=np.int64),
        work_row=np.zeros(10, dtype=np.int64),
        work_scale=np.full(10, 4, dtype=np.int64),
        queue_credits=2,
        prefetch_credits=staging,
        issue_cycles=0,
    )


def test_fetching_overlaps_with_multicast_compute_and_bounds_it() -> None:
    assert execute(_weights_over_dram(0)).total_cycles == 4 + 10 * 8
    assert execute(_weights_over_dram(1)).total_cycles == 4 + 10 * 8
    assert execute(_weights_over_dram(0, bytes_per_tile=20)).total_cycles == 10 * 20 + 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minimum_busy_cycles": 1}, "minimum_busy_cycles 0 beside work_scale"),
        ({"credits": np.full(10, 2), "prefetch_credits": 1}, "prefetch_credits of at least one tile, 2"),
        ({"credits": np.zeros(10, dtype=np.int64)}, "1 to 2 credits, got 0 to 0"),
        ({"drain_streams": (Stream(name="outputs", channel=0),)}, "no drain streams"),
        ({"serial_streams": (Stream(name="spill", channel=1),)}, "spill: expected a channel below 1"),
    ],
)
def test_impossible_multicast_plans_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        dataclasses.replace(_weights_over_dram(0), **change)


def test_double_buffering_hides_the_fetch_and_one_credit_does_not() -> None:
    def cycles(room: int) -> float:
        plan = Plan(
            kind=TileKind.UNICAST,
            units=1,
            channels=(Channel(name="dram", bytes_per_cycle=1.0),),
            fetch_streams=(Stream(name="weights", channel=0),),
            fetch_bytes=np.full((10, 1), 8, dtype=np.int64),
            compute_cycles=np.full(10, 8.0),
            buffer_credits=room,
        )
        return execute(plan).total_cycles

    assert cycles(2) == 8 + 10 * 8
    assert cycles(1) == 10 * (8 + 8)
