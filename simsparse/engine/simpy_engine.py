"""The reference engine: the machine told on SimPy, one process per tile, one bar of the timeline per stage.

The idea: a tile waits for room in a unit's buffer, asks the channels for its bytes, is decoded, computed,
and drained. A :class:`Desk` is a place where tiles queue for a resource. At any instant all tiles first say
what they want; then, at the end of the instant, each free desk serves its oldest request, the lowest index
first where two came together. That end-of-instant rule is what makes the result independent of the order in
which SimPy wakes processes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from simsparse.engine.compiled_engine import channel_bytes
from simsparse.engine.serial import serial_busy, serial_events, serial_ticks
from simsparse.engine.simpy_broadcast import BroadcastMachine
from simsparse.plan import ANY_UNIT, Plan, TileKind, durations
from simsparse.results import Event, Execution

Process = Generator[Any, Any, Any]
_AFTER_ALL_OTHERS: Any = 2  # SimPy priority below NORMAL: the end of the instant


def execute_simpy(plan: Plan) -> Execution:
    """Run ``plan`` on SimPy and record every bar; see :func:`simsparse.engine.execute`."""
    machine = BroadcastMachine(plan) if plan.kind == TileKind.MULTICAST else _TileMachine(plan)
    return machine.run()


class Instant:
    """Runs all desks once at the end of every instant in which something was asked for."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.desks: list[Callable[[], None]] = []
        self._pending = False

    def settle(self) -> None:
        """Have the desks serve at the end of the present instant."""
        if self._pending:
            return
        self._pending = True
        end = simpy.Event(self.env)
        end._ok, end._value = True, None
        end.callbacks.append(self._serve)
        self.env.schedule(end, priority=_AFTER_ALL_OTHERS)

    def _serve(self, _: simpy.Event) -> None:
        self._pending = False
        for desk in self.desks:
            desk()


class Desk:
    """A resource that serves one request at a time, oldest first; a request may have to wait for a
    condition.
    """

    def __init__(self, instant: Instant, may_start: Callable[[int], bool] = lambda _: True) -> None:
        self._instant, self._may_start = instant, may_start
        self._queue: list[Any] = []  # (asked at, rank, turn)
        self._free = True
        self.busy_ticks = 0
        instant.desks.append(self._serve)

    def serve(self, rank: int, length: int) -> Process:
        """Wait for one's turn, then be served for ``length`` ticks; returns when service began."""
        turn = simpy.Event(self._instant.env)
        heapq.heappush(self._queue, (int(self._instant.env.now), rank, turn))
        self._instant.settle()
        yield turn
        began = self._instant.env.now
        yield self._instant.env.timeout(length)
        self.busy_ticks += length
        self._free = True
        self._instant.settle()
        return began

    def _serve(self) -> None:
        if self._free and self._queue and self._may_start(self._queue[0][1]):
            self._free = False
            heapq.heappop(self._queue)[2].succeed()


class _TileMachine:
    """Unicast tiles and chains."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.length = plan, durations(plan)
        self.before = serial_ticks(plan, self.length)
        self.env = simpy.Environment(initial_time=self.before)
        self.instant = Instant(self.env)
        self.chain = plan.kind == TileKind.CHAIN
        tiles, units = plan.tiles, plan.units
        self.barrier = plan.barrier if plan.barrier.size else np.zeros(tiles, dtype=np.int64)
        self.credits = plan.credits if plan.credits.size else np.ones(tiles, dtype=np.int64)
        self.unit_of = plan.unit if plan.unit.size else np.full(tiles, ANY_UNIT)
        self.room = [plan.slots_per_unit if self.chain else plan.buffer_credits] * units
        self.outputs = [plan.output_credits] * units
        self.placed = [ANY_UNIT] * tiles
        self.unfinished = np.bincount(self.barrier, minlength=1) if tiles else np.zeros(1, dtype=np.int64)
        self.entries = [simpy.Event(self.env) for _ in range(tiles)]
        lanes = range(units) if tiles and self.unit_of[0] >= 0 else (ANY_UNIT,)
        self.waiting = {lane: [t for t in range(tiles) if self.unit_of[t] == lane] for lane in lanes}
        self.instant.desks.append(self._admit)
        self.channels = [Desk(self.instant) for _ in plan.channels]
        self.decoders = [Desk(self.instant) for _ in range(units)]
        self.units = [Desk(self.instant, self._has_output_room) for _ in range(units)]
        self.finish = np.zeros(tiles, dtype=np.int64)
        self.events: list[Event] = serial_events(plan, self.length)

    def run(self) -> Execution:
        """Let every tile live its life."""
        for tile in range(self.plan.tiles):
            self.env.process(self._life(tile))
        self.instant.settle()
        self.env.run()
        return Execution(
            finish_ticks=self.finish,
            channel_busy_ticks=np.array([desk.busy_ticks for desk in self.channels], dtype=np.int64)
            + serial_busy(self.plan, self.length),
            channel_bytes=channel_bytes(self.plan),
            unit_busy_ticks=np.array([desk.busy_ticks for desk in self.units], dtype=np.int64),
            decode_busy_ticks=np.array([desk.busy_ticks for desk in self.decoders], dtype=np.int64),
            repeat=self.plan.repeat,
            overhead_ticks=self.length.overhead,
            serial_ticks=self.before,
            events=tuple(self.events),
        )

    def _life(self, tile: int) -> Process:
        yield self.entries[tile]
        unit = self.placed[tile]
        yield self.env.timeout(self.length.start)
        slices = self._slices(tile)
        in_flight = self.plan.loads_in_flight if self.chain else 1
        loads = {s: self.env.process(self._load(tile, s)) for s in slices[:in_flight]}
        for position, s in enumerate(slices):
            yield loads.pop(s)
            if self.length.decode[s]:
                yield from self._stage(
                    self.decoders[unit], f"decoder {unit}", "decode", tile, int(self.length.decode[s])
                )
            yield from self._stage(
                self.units[unit], f"unit {unit}", "compute", tile, int(self.length.compute[s])
            )
            if position + in_flight < len(slices):
                ahead = slices[position + in_flight]
                loads[ahead] = self.env.process(self._load(tile, ahead))
        if not self.chain:
            self._give_back(tile)
        yield from self._drain(tile, slices[-1])
        self.finish[tile] = self.env.now
        self.unfinished[self.barrier[tile]] -= 1
        if self.chain:
            self._give_back(tile)
        self.instant.settle()

    def _slices(self, tile: int) -> range:
        if self.chain:
            return range(int(self.plan.slice_start[tile]), int(self.plan.slice_start[tile + 1]))
        return range(tile, tile + 1)

    def _give_back(self, tile: int) -> None:
        self.room[self.placed[tile]] += int(self.credits[tile])
        self.instant.settle()

    def _load(self, tile: int, s: int) -> Process:
        ranks = s * (len(self.plan.fetch_streams) + len(self.plan.drain_streams))
        yield self._transfers(tile, "fetch", self.plan.fetch_streams, self.length.fetch[s], ranks)

    def _drain(self, tile: int, last_slice: int) -> Process:
        lengths = self.length.drain[tile]
        if not lengths.sum():
            return
        fetches = len(self.plan.fetch_streams)
        ranks = last_slice * (fetches + len(self.plan.drain_streams)) + fetches
        yield self._transfers(tile, "drain", self.plan.drain_streams, lengths, ranks)
        if not self.chain:
            self.outputs[self.placed[tile]] += 1

    def _transfers(self, tile: int, stage: str, streams: Any, lengths: Any, first_rank: int) -> simpy.Event:
        moves = [
            self.env.process(
                self._move(stream.channel, f"{stage} {stream.name}", tile, first_rank + i, int(lengths[i]))
            )
            for i, stream in enumerate(streams)
            if lengths[i]
        ]
        return self.env.all_of(moves)

    def _move(self, channel: int, stage: str, tile: int, rank: int, length: int) -> Process:
        began = yield from self.channels[channel].serve(rank, length)
        self.events.append(Event(self.plan.channels[channel].name, stage, tile, began, int(self.env.now)))
        yield self.env.timeout(int(self.length.latency[channel]))

    def _stage(self, desk: Desk, resource: str, stage: str, tile: int, length: int) -> Process:
        began = yield from desk.serve(tile, length)
        self.events.append(Event(resource, stage, tile, began, int(self.env.now)))

    def _has_output_room(self, tile: int) -> bool:
        if self.chain or not self.length.drain[tile].sum():
            return True
        if self.outputs[self.placed[tile]] == 0:
            return False
        self.outputs[self.placed[tile]] -= 1
        return True

    def _admit(self) -> None:
        open_groups = np.flatnonzero(self.unfinished)
        open_group = int(open_groups[0]) if open_groups.size else 0
        for lane, tiles in self.waiting.items():
            while tiles and self.barrier[tiles[0]] <= open_group:
                tile = tiles[0]
                unit = lane if lane >= 0 else int(np.argmax(self.room))
                if self.room[unit] < self.credits[tile]:
                    break
                self.room[unit] -= int(self.credits[tile])
                self.placed[tile] = unit
                tiles.pop(0)
                self.entries[tile].succeed()
