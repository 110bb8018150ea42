"""Streams of a core: waiting for a cache, and the part that comes from DRAM.

A stream of a footprint F costs its bytes at the measured sequential rate of F, weighted by what the kernel
really waits for. Beyond the usable L3 the share ``1 − L3 / F`` of it comes from DRAM instead, and all of what
is touched for the first time: those bytes cross the shared channel, and where one core alone is slower than
its share of that channel it waits for the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from simsparse.errors import UnsupportedError
from simsparse.hardware import CpuRowsParameters, HardwareModel
from simsparse.hardware.cpu import CoreMemory, Pair
from simsparse.plan import FloatArray

_NO_LIMIT = 1e30


@dataclass(frozen=True, slots=True)
class Traffic:
    """Per piece of work: cycles waited, bytes from DRAM, and bytes that passed the L2 and the L3."""

    cycles: FloatArray
    dram: FloatArray
    l2: FloatArray
    l3: FloatArray

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.cycles + other.cycles, self.dram + other.dram, self.l2 + other.l2, self.l3 + other.l3
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Bytes that each piece of work moves, ``size``; arrays (P,) or one number for all pieces."""

    size: FloatArray
    weights: Pair
    """Which part of the caches' and of the DRAM's time is waited for."""
    footprint: FloatArray
    """Bytes per core that the stream is part of."""
    shared: FloatArray
    """Bytes per L3."""
    written: bool = False
    unique: FloatArray | float = 1.0
    """Share of the bytes from beyond the L3 that no neighbour on the same L3 has fetched."""
    cold: FloatArray | float = 0.0
    """Share that is touched for the first time and not in a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory as ``threads`` threads of one layer see it."""

    costs: CoreMemory
    threads: int
    shared_bytes_per_cycle: float
    """What all cores together sustain from DRAM."""

    @property
    def sharers(self) -> int:
        """Threads that share one L3."""
        return min(self.threads, self.costs.l3_sharers)

    @property
    def channel_cycles_per_byte(self) -> float:
        """Cycles of the DRAM channel that a byte of each of the threads takes."""
        return self.threads / self.shared_bytes_per_cycle

    def streams(self, *asked: Stream) -> list[Traffic]:
        """What each of the streams takes; all at once, since arrays are short and calls are what costs."""
        table = np.empty((8, len(asked), len(asked[0].size)))
        for place, one in enumerate(asked):
            usable = self.costs.l3_written_bytes if one.written else self.costs.l3_usable_bytes
            given = (one.size, one.footprint, one.shared, one.unique, one.cold, usable, *one.weights)
            for row, values in zip(table, given, strict=True):
                row[place] = values
        size, footprint, shared, unique, cold, usable_bytes, in_cache, in_dram = table
        missing = np.maximum(0.0, 1.0 - usable_bytes / np.maximum(shared, 1.0))
        dram = size * (cold + (1.0 - cold) * missing) * unique
        alone = dram * (in_dram / self.costs.dram_bytes_per_cycle - self.channel_cycles_per_byte)
        cached = in_cache * (size - dram) * self.cycles_per_byte(footprint)
        cycles = cached + np.maximum(0.0, alone)
        l3 = size * (footprint > self.costs.l2_bytes)
        return [Traffic(*rows) for rows in zip(cycles, dram, size, l3, strict=True)]

    def refill_cycles(self, own_bytes: FloatArray, evicted: FloatArray) -> FloatArray:
        """What bringing operands back costs, where other layers have evicted them from the L2."""
        costs = self.costs
        return evicted * costs.refill_cycles_per_byte * np.minimum(own_bytes, costs.l2_bytes)

    def cycles_per_byte(self, footprint: FloatArray) -> FloatArray:
        """Sequential reads of a footprint, interpolated over its logarithm; constant beyond the points."""
        points, cycles = _curve(self.costs.footprint_bytes, self.costs.read_bytes_per_cycle)
        return np.interp(np.log(np.maximum(footprint, 1.0)), points, cycles)


@cache
def _curve(sizes: tuple[float, ...], rates: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """Logarithms of the footprints, and cycles per byte."""
    return np.log(sizes), 1.0 / np.array(rates)


def cpu_of(hardware: HardwareModel) -> CpuRowsParameters:
    """The machine's CPU parameters."""
    found = hardware.dataflow
    if not isinstance(found, CpuRowsParameters):
        raise UnsupportedError(f"{hardware.name}: expected cpu-rows parameters, got {found.family}")
    return found


def dram_rate(hardware: HardwareModel) -> float:
    """Bytes per cycle that all cores together sustain from DRAM."""
    rate = hardware.bytes_per_cycle("dram")
    return rate * cpu_of(hardware).memory.dram_efficiency if rate else _NO_LIMIT


def memory_of(hardware: HardwareModel, threads: int) -> Memory:
    """The memory of a machine with so many threads at work."""
    return Memory(costs=cpu_of(hardware).memory, threads=threads, shared_bytes_per_cycle=dram_rate(hardware))


def tile_hits(capacity: float, tile_bytes: FloatArray, used: FloatArray, overlap: FloatArray) -> FloatArray:
    """Share of loads from the packed tile that hit the L1.

    ``used`` is the share of the tile's lines that one row uses, ``overlap`` the share of them that the row
    before used. A tile within the L1 always hits. A larger one hits while a line's stack distance is below
    the capacity: always the same lines (dense sweeps) evict each other, random sparse rows find ``capacity /
    tile``.
    """
    room = np.atleast_1d(capacity / np.asarray(tile_bytes, dtype=np.float64))
    if room.min(initial=1.0) >= 1.0:
        return np.ones(np.broadcast_shapes(room.shape, np.shape(used)))
    share = np.clip(used, 1e-6, 1 - 1e-9)
    ratios = np.array([[0.8], [0.9], [1.0], [1.1], [1.2]])  # the capacity is not sharp
    there = np.minimum(room * ratios, 1 - 1e-9)
    gone = np.log1p(-share)
    base = 1 - np.exp(gone * np.floor(np.log1p(-there) / gone)).mean(axis=0)
    repeated = np.clip((overlap - share) / (1 - share), 0, 1)
    crowded = np.where(share > 0.5 * room, np.clip(2 * (1 - share / room), 0, 1), 1.0)
    return np.where(room >= 1, 1.0, base + (1 - base) * repeated * crowded)


def unpredicted(surprises: FloatArray, capacity: float) -> FloatArray:
    """Loop exits that the branch predictor misses: a few are memorised when a layer repeats, many not."""
    return surprises * np.clip(2 * (surprises / capacity - 1), 0, 1)
