"""Plans: what a machine has to do for one layer, tile by tile, with no time and no energy in it.

A plan is a struct of arrays over tiles. Tiles pass the stages fetch → decode → compute → drain of a machine
with ``units`` compute units and shared channels. Three kinds of tile exist:

unicast
    A tile runs on one unit: a given one, or the next with room. It is fetched into that unit's input buffer
    (``buffer_credits`` per unit; two are double buffering, one makes fetching serial with compute), decoded
    by the unit's decoder, computed, and drained through its output buffer (``output_credits`` per unit).
chain
    A GPU thread block: it takes a slot of a unit when it starts and keeps it to the end. Its slices are
    fetched (at most ``loads_in_flight`` at once) and computed in order on the unit's pipe; then the block
    drains.
multicast
    One activation is broadcast to all units in one cycle. Unit u needs ``work[work_row[t], u]`` cycles for
    tile t, at least ``minimum_busy_cycles``, and has a queue of ``queue_credits``. A broadcast waits until
    every queue has room and the tile's bytes have arrived. Bytes arrive in tile order, overlapped with all
    else, into a staging buffer of ``prefetch_credits``.

Tiles of a barrier group start only when all tiles of the groups before it are finished. Serial transfers
come before the first tile and overlap with nothing. The whole plan, they included, is executed ``repeat``
times, one after the other, and costs ``overhead_cycles`` once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

TICKS_PER_CYCLE = 1024
"""Engine time is an integer number of these; durations are rounded up to it once, here."""
ANY_UNIT = -1


class TileKind(IntEnum):
    """How tiles meet the compute units."""

    UNICAST = 0
    CHAIN = 1
    MULTICAST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A shared FIFO resource that moves bytes: DRAM, a link, a read or a write port."""

    name: str
    bytes_per_cycle: float
    latency_cycles: float = 0.0
    component: str = ""
    """What its bytes are counted and priced as; the name where empty. Two ports of one memory share it."""

    def __post_init__(self) -> None:
        if self.bytes_per_cycle <= 0 or self.latency_cycles < 0:
            raise ShapeError(f"channel {self.name}: expected bytes_per_cycle > 0 and latency_cycles >= 0")

    @property
    def priced_as(self) -> str:
        """The component its bytes are counted under."""
        return self.component or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A kind of traffic (weights, metadata, inputs, outputs) and the index of the channel it uses."""

    name: str
    channel: int


def _empty() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """The tiles of one layer. T tiles, S slices (S = T unless the kind is chain), F fetch and D drain
    streams.
    """

    kind: TileKind
    units: int
    channels: tuple[Channel, ...] = ()
    fetch_streams: tuple[Stream, ...] = ()
    drain_streams: tuple[Stream, ...] = ()
    fetch_bytes: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """(S, F)"""
    drain_bytes: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """(T, D)"""
    decode_cycles: FloatArray = field(default_factory=lambda: np.zeros(0))
    """(S,); unused by multicast"""
    compute_cycles: FloatArray = field(default_factory=lambda: np.zeros(0))
    """(S,); unused by multicast"""
    unit: IntArray = field(default_factory=_empty)
    """(T,) the unit of each tile, or ANY_UNIT; empty means ANY_UNIT for all"""
    barrier: IntArray = field(default_factory=_empty)
    """(T,) non-decreasing group numbers; empty means one group"""
    credits: IntArray = field(default_factory=_empty)
    """(T,) buffer or queue credits a tile takes; empty means one each"""
    buffer_credits: int = 2
    output_credits: int = 2
    slice_start: IntArray = field(default_factory=_empty)
    """(T + 1,) chain: the slices of tile t are [slice_start[t], slice_start[t+1])"""
    slots_per_unit: int = 1
    loads_in_flight: int = 2
    start_cycles: float = 0.0
    """chain: cycles a block spends before its first load"""
    work: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """multicast: (R, U) busy cycles of each unit"""
    work_row: IntArray = field(default_factory=_empty)
    """multicast: (T,) the row of ``work`` that tile t uses"""
    queue_credits: int = 1
    work_scale: IntArray = field(default_factory=_empty)
    """multicast: (T,) what the row of ``work`` is multiplied by for tile t; empty means one"""
    minimum_busy_cycles: int = 0
    issue_cycles: int = 1
    """multicast: cycles between two broadcasts; 0 where only queues and arrival limit them"""
    cycles_per_work: float = 1.0
    """multicast: machine cycles that a cycle of ``work`` and of issue takes; above one where units stall"""
    prefetch_credits: int = 0
    """multicast: credits of tiles that are fetched, or on their way, and not yet broadcast; 0 is unlimited"""
    serial_streams: tuple[Stream, ...] = ()
    serial_bytes: IntArray = field(default_factory=_empty)
    """(L,) bytes moved by each serial stream, one after the other, before any tile is admitted"""
    repeat: int = 1
    overhead_cycles: float = 0.0

    def __post_init__(self) -> None:
        if self.units < 1 or self.repeat < 0 or self.overhead_cycles < 0:
            raise ShapeError(
                f"plan: expected units >= 1, repeat >= 0, overhead >= 0, got {self.units}, {self.repeat}"
            )
        for stream in (*self.fetch_streams, *self.drain_streams, *self.serial_streams):
            if not 0 <= stream.channel < len(self.channels):
                raise ShapeError(f"plan: stream {stream.name}: expected a channel below {len(self.channels)}")
        if self.credits.size and not 1 <= int(self.credits.min()) <= int(self.credits.max()) <= self.room:
            raise ShapeError(
                f"plan: expected tiles of 1 to {self.room} credits,"
                f" got {int(self.credits.min())} to {int(self.credits.max())}"
            )
        if self.barrier.size and bool(np.any(np.diff(self.barrier) < 0)):
            raise ShapeError("plan: expected non-decreasing barrier groups")
        if self.kind == TileKind.CHAIN and self.decode_cycles.size:
            raise ShapeError("plan: expected no decode cycles in a chain (add them to its compute cycles)")
        if self.unit.size and (self.unit.max() >= self.units or len(np.unique(self.unit < 0)) > 1):
            raise ShapeError(f"plan: expected all tiles bound to a unit below {self.units}, or none bound")
        if self.kind == TileKind.MULTICAST:
            self._check_multicast()
        self._check_shapes()

    def _check_multicast(self) -> None:
        if self.cycles_per_work < 1.0:
            raise ShapeError(f"plan: expected cycles_per_work >= 1, got {self.cycles_per_work:g}")
        if self.drain_streams:
            raise ShapeError("plan: expected no drain streams in a multicast plan (use serial streams)")
        if self.work_scale.size and self.minimum_busy_cycles:
            raise ShapeError("plan: expected minimum_busy_cycles 0 beside work_scale (put it into work)")
        if self.credits.size and 0 < self.prefetch_credits < int(self.credits.max()):
            raise ShapeError(
                f"plan: expected prefetch_credits of at least one tile, {int(self.credits.max())},"
                f" got {self.prefetch_credits}"
            )

    def _check_shapes(self) -> None:
        tiles, slices = self.tiles, self.slices
        shapes = {
            "unit": (self.unit, (tiles,)),
            "barrier": (self.barrier, (tiles,)),
            "credits": (self.credits, (tiles,)),
            "fetch_bytes": (self.fetch_bytes, (slices, len(self.fetch_streams))),
            "drain_bytes": (self.drain_bytes, (tiles, len(self.drain_streams))),
            "decode_cycles": (self.decode_cycles, (slices,)),
            "compute_cycles": (self.compute_cycles, (slices,)),
            "work_scale": (self.work_scale, (tiles,)),
            "serial_bytes": (self.serial_bytes, (len(self.serial_streams),)),
        }
        for name, (array, expected) in shapes.items():
            if array.size and array.shape != expected:
                raise ShapeError(f"plan: {name}: expected shape {expected}, got {array.shape}")

    @property
    def tiles(self) -> int:
        """Number of tiles T."""
        if self.kind == TileKind.MULTICAST:
            return len(self.work_row)
        return len(self.slice_start) - 1 if self.kind == TileKind.CHAIN else len(self.compute_cycles)

    @property
    def slices(self) -> int:
        """Number of slices S."""
        return self.tiles if self.kind == TileKind.MULTICAST else len(self.compute_cycles)

    @property
    def work_ticks(self) -> int:
        """Ticks of one cycle of a multicast plan's work."""
        return int(ticks(np.array([self.cycles_per_work]))[0])

    @property
    def room(self) -> int:
        """Credits of one unit's buffer or queue."""
        return self.queue_credits if self.kind == TileKind.MULTICAST else self.buffer_credits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Durations:
    """A plan as integer ticks; both engines start from these durations, so they agree to the tick."""

    fetch: IntArray
    """(S, F) channel occupation"""
    drain: IntArray
    """(T, D)"""
    decode: IntArray
    """(S,)"""
    compute: IntArray
    """(S,)"""
    latency: IntArray
    """(C,)"""
    serial: IntArray
    """(L,)"""
    start: int
    overhead: int


def ticks(cycles: FloatArray) -> IntArray:
    """Cycles as whole ticks, rounded up."""
    return np.ceil(cycles * TICKS_PER_CYCLE - 1e-6).astype(np.int64)


def durations(plan: Plan) -> Durations:
    """Every duration of ``plan`` in ticks; missing arrays become zeros of the right shape."""

    def transfer(size: IntArray, count: int, streams: tuple[Stream, ...]) -> IntArray:
        if not size.size:
            return np.zeros((count, len(streams)), dtype=np.int64)
        rate = np.array([plan.channels[stream.channel].bytes_per_cycle for stream in streams])
        return ticks(size / rate)

    def cycles(values: FloatArray) -> IntArray:
        return ticks(values) if values.size else np.zeros(plan.slices, dtype=np.int64)

    return Durations(
        fetch=transfer(plan.fetch_bytes, plan.slices, plan.fetch_streams),
        drain=transfer(plan.drain_bytes, plan.tiles, plan.drain_streams),
        decode=cycles(plan.decode_cycles),
        compute=cycles(plan.compute_cycles),
        latency=ticks(np.array([channel.latency_cycles for channel in plan.channels], dtype=np.float64)),
        serial=transfer(plan.serial_bytes[None, :], 1, plan.serial_streams)[0],
        start=int(ticks(np.array([plan.start_cycles]))[0]),
        overhead=int(ticks(np.array([plan.overhead_cycles]))[0]),
    )
