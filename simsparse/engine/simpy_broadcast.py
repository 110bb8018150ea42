"""Multicast tiles on SimPy: the readable twin of :mod:`simsparse.kernels.broadcast`.

The idea: a fetcher asks for tile after tile as long as the staging buffer has room; channels deliver in
order; a broadcaster hands each arrived tile to all units at once when every queue has room; each unit works
off its queue.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from simsparse.engine.compiled_engine import channel_bytes
from simsparse.engine.serial import serial_busy, serial_events, serial_ticks
from simsparse.plan import Durations, Plan, durations
from simsparse.results import Event, Execution

Process = Generator[Any, Any, Any]


class BroadcastMachine:
    """Multicast tiles: bytes that arrive in order, one broadcaster, and units that work through their bounded
    queues.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.length: Durations = durations(plan)
        self.tick = plan.work_ticks
        self.before = serial_ticks(plan, self.length)
        self.env = simpy.Environment(initial_time=self.before)
        tiles, units = plan.tiles, plan.work.shape[1]
        self.barrier = plan.barrier if plan.barrier.size else np.zeros(tiles, dtype=np.int64)
        self.credits = plan.credits if plan.credits.size else np.ones(tiles, dtype=np.int64)
        self.scale = plan.work_scale if plan.work_scale.size else np.ones(tiles, dtype=np.int64)
        self.work = np.maximum(plan.work, plan.minimum_busy_cycles)
        self.queues = [simpy.Store(self.env) for _ in range(units)]
        self.room = [
            simpy.Container(self.env, plan.queue_credits, init=plan.queue_credits) for _ in range(units)
        ]
        staging = plan.prefetch_credits or int(self.credits.sum()) + 1
        self.staging = simpy.Container(self.env, staging, init=staging)
        self.lanes = [simpy.Store(self.env) for _ in plan.channels]
        self.missing = np.count_nonzero(self.length.fetch, axis=1)  # transfers a tile still waits for
        self.arrived = [simpy.Event(self.env) for _ in range(tiles)]
        self.done = [simpy.Event(self.env) for _ in range(tiles)]
        self.left = np.full(tiles, units)
        self.finish = np.zeros(tiles, dtype=np.int64)
        self.busy = np.zeros(units, dtype=np.int64)
        self.channel_busy = serial_busy(plan, self.length)
        self.events: list[Event] = serial_events(plan, self.length)

    def run(self) -> Execution:
        """Broadcast all tiles and wait until the units have worked them off."""
        self.env.process(self._fetcher())
        self.env.process(self._broadcaster())
        for channel in range(len(self.lanes)):
            self.env.process(self._channel(channel))
        for unit in range(len(self.queues)):
            self.env.process(self._unit(unit))
        self.env.run()
        return Execution(
            finish_ticks=self.finish,
            channel_busy_ticks=self.channel_busy,
            channel_bytes=channel_bytes(self.plan),
            unit_busy_ticks=self.busy,
            decode_busy_ticks=np.zeros(self.plan.units, dtype=np.int64),
            repeat=self.plan.repeat,
            overhead_ticks=self.length.overhead,
            serial_ticks=self.before,
            events=tuple(self.events),
        )

    def _fetcher(self) -> Process:
        for tile in range(self.plan.tiles):
            yield self.staging.get(int(self.credits[tile]))
            if not self.missing[tile]:
                self.arrived[tile].succeed()
            for stream, length in zip(self.plan.fetch_streams, self.length.fetch[tile], strict=True):
                if length:
                    self.lanes[stream.channel].put((tile, stream.name, int(length)))

    def _channel(self, channel: int) -> Process:
        while True:
            tile, name, length = yield self.lanes[channel].get()
            began = int(self.env.now)
            yield self.env.timeout(length)
            self.channel_busy[channel] += length
            resource = self.plan.channels[channel].name
            self.events.append(Event(resource, f"fetch {name}", tile, began, int(self.env.now)))
            self.env.process(self._arrive(channel, tile))

    def _arrive(self, channel: int, tile: int) -> Process:
        yield self.env.timeout(int(self.length.latency[channel]))
        self.missing[tile] -= 1
        if not self.missing[tile]:
            self.arrived[tile].succeed()

    def _broadcaster(self) -> Process:
        for tile in range(self.plan.tiles):
            yield self.arrived[tile]
            yield self.env.timeout((self.before - int(self.env.now)) % self.tick)  # a whole cycle
            if tile and self.barrier[tile] != self.barrier[tile - 1]:
                yield self.done[tile - 1]
            for room in self.room:
                taken = room.get(int(self.credits[tile]))
                if not taken.triggered:  # else no wake-up: 64 units would cost 64 per tile
                    yield taken
            self.staging.put(int(self.credits[tile]))
            for queue in self.queues:
                queue.put(tile)
            yield self.env.timeout(self.plan.issue_cycles * self.tick)

    def _unit(self, unit: int) -> Process:
        while True:
            tile = yield self.queues[unit].get()
            self.room[unit].put(int(self.credits[tile]))
            cycles = int(self.work[self.plan.work_row[tile], unit]) * int(self.scale[tile])
            began = int(self.env.now)
            if cycles:
                yield self.env.timeout(cycles * self.tick)
                self.busy[unit] += cycles * self.tick
                self.events.append(Event(f"unit {unit}", "compute", tile, began, int(self.env.now)))
            self.left[tile] -= 1
            if self.left[tile] == 0:
                self.finish[tile] = self.env.now
                self.done[tile].succeed()
