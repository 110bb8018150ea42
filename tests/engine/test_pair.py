"""Law 4: the two engines agree tile by tile, on random plans."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simsparse.engine import execute
from simsparse.plan import TICKS_PER_CYCLE, Channel, Plan, Stream, TileKind, durations

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
    )


@st.composite
def broadcast_plans(draw: st.DrawFn) -> Plan:
    tiles, units, rows = draw(st.integers(1, 20)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    depth = draw(st.integers(1, 4))
    return Plan(
        kind=TileKind.MULTICAST,
        units=units,
        work=_matrix(draw, rows, units) % 9,
        work_row=_matrix(draw, tiles, 1)[:, 0] % rows,
        barrier=np.cumsum(_matrix(draw, tiles, 1)[:, 0] > 33),
        credits=1 + _matrix(draw, tiles, 1)[:, 0] % depth,
        queue_credits=depth,
        minimum_busy_cycles=draw(st.integers(0, 1)),
        issue_cycles=draw(st.integers(1, 2)),
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
    moves = np.count_nonzero(length.fetch) + np.count_nonzero(length.drain)
    longest_latency = int(length.latency.max(initial=0))
    stages = length.fetch.sum() + length.drain.sum() + length.decode.sum() + length.compute.sum()
    assert busiest <= ran.makespan_ticks <= stages + moves * longest_latency + plan.tiles * length.start
    assert ran.total_ticks == ran.makespan_ticks * plan.repeat + length.overhead


@given(broadcast_plans())
def test_broadcast_is_no_faster_than_its_busiest_unit(plan: Plan) -> None:
    ran = execute(plan)
    work = np.maximum(plan.work, plan.minimum_busy_cycles)[plan.work_row]
    assert int(work.sum(axis=0).max()) * TICKS_PER_CYCLE == int(ran.unit_busy_ticks.max())
    assert ran.makespan_ticks >= int(ran.unit_busy_ticks.max())
    assert (
        ran.makespan_ticks <= (int(work.max(axis=1).sum()) + plan.tiles * plan.issue_cycles) * TICKS_PER_CYCLE
    )


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
