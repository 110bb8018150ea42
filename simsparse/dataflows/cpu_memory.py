"""Streams of a core: waiting for a cache, and the part that comes from DRAM.

A stream of a footprint F costs its bytes at the measured sequential rate of F, weighted by what the kernel
really waits for. Beyond the usable L3 the share ``1 − L3 / F`` of it comes from DRAM instead, and all of what
is touched for the first time: those bytes cross the shared channel, and where one core alone is slower than
its share of that channel it waits for the difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simsparse.errors import UnsupportedError
from simsparse.hardware import CpuRowsParameters, HardwareModel
from simsparse.hardware.cpu import CoreMemory, Pair
from simsparse.plan import FloatArray

_NO_LIMIT = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Per piece of work: cycles waited, bytes from DRAM, and bytes that passed the L2 and the L3."""

    cycles: FloatArray
    dram: FloatArray
    l2: FloatArray
    l3: FloatArray

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            cycles=self.cycles + other.cycles,
            dram=self.dram + other.dram,
            l2=self.l2 + other.l2,
            l3=self.l3 + other.l3,
        )


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

    def stream(
        self,
        size: FloatArray,
        weights: Pair,
        *,
        footprint: FloatArray,
        shared: FloatArray,
        written: bool = False,
        unique: FloatArray | float = 1.0,
        cold: FloatArray | float = 0.0,
    ) -> Traffic:
        """Move ``size`` bytes that are part of a ``footprint`` per core and of ``shared`` bytes per L3.

        ``unique`` is the share of the bytes from beyond the L3 that no neighbour on the same L3 has fetched,
        ``cold`` the share that is touched for the first time and not in a cache.
        """
        in_cache, in_dram = weights
        usable = self.costs.l3_written_bytes if written else self.costs.l3_usable_bytes
        missing = np.maximum(0.0, 1.0 - usable / np.maximum(shared, 1.0))
        dram = size * (cold + (1.0 - cold) * missing) * unique
        alone = dram * (in_dram / self.costs.dram_bytes_per_cycle - self.channel_cycles_per_byte)
        return Traffic(
            cycles=in_cache * (size - dram) * self.cycles_per_byte(footprint) + np.maximum(0.0, alone),
            dram=dram,
            l2=size,
            l3=size * (footprint > self.costs.l2_bytes),
        )

    def cycles_per_byte(self, footprint: FloatArray) -> FloatArray:
        """Sequential reads of a footprint, interpolated over its logarithm; constant beyond the points."""
        points = np.log(self.costs.footprint_bytes)
        rates = 1.0 / np.array(self.costs.read_bytes_per_cycle)
        return np.interp(np.log(np.maximum(footprint, 1.0)), points, rates)


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
