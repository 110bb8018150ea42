"""Streams of a core: waiting for a cache, and the part that comes from DRAM.

A stream of a footprint F costs its bytes at the measured sequential rate of F, weighted by what the kernel
really waits for. Beyond the usable L3 the share ``1 − L3 / F`` of it comes from DRAM instead: those bytes
cross the shared channel, and where one core alone is slower than its share of that channel it waits for the
difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simsparse.dataflows.task import LayerTask
from simsparse.errors import UnsupportedError
from simsparse.hardware import CpuRowsParameters
from simsparse.hardware.cpu import CoreMemory, Pair
from simsparse.plan import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Per thread: cycles waited, bytes from DRAM, and bytes that passed the L2 and the L3."""

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
    l2_bytes: float

    @property
    def sharers(self) -> int:
        """Threads that share one L3."""
        return min(self.threads, self.costs.l3_sharers)

    def stream(
        self,
        size: ArrayLike,
        weights: Pair,
        *,
        footprint: ArrayLike,
        shared: ArrayLike,
        written: bool = False,
        unique: float = 1.0,
        cold: float = 0.0,
    ) -> Traffic:
        """Move ``size`` bytes that are part of a ``footprint`` per core and of ``shared`` bytes per L3.

        ``unique`` is the share of the bytes from beyond the L3 that no neighbour on the same L3 has fetched,
        ``cold`` the share that is touched for the first time and not in the L3 for sure.
        """
        moved, own = np.asarray(size, dtype=np.float64), np.asarray(footprint, dtype=np.float64)
        in_cache, in_dram = weights
        usable = self.costs.l3_written_bytes if written else self.costs.l3_usable_bytes
        missing = np.maximum(0.0, 1.0 - usable / np.maximum(np.asarray(shared, dtype=np.float64), 1.0))
        dram = moved * (cold + (1 - cold) * missing) * unique
        alone = in_dram * dram / self.costs.dram_bytes_per_cycle
        channel = dram * self.threads / self.shared_bytes_per_cycle
        return Traffic(
            cycles=in_cache * moved * self.cycles_per_byte(own) + np.maximum(0.0, alone - channel),
            dram=dram,
            l2=np.broadcast_to(moved, np.broadcast(moved, own).shape).astype(np.float64),
            l3=moved * (own > self.l2_bytes),
        )

    def cycles_per_byte(self, footprint: FloatArray) -> FloatArray:
        """Sequential reads of a footprint, interpolated over its logarithm; constant beyond the points."""
        points = np.log(np.asarray(self.costs.footprint_bytes))
        rates = np.asarray(self.costs.read_bytes_per_cycle)
        return np.interp(np.log(np.maximum(footprint, 1.0)), points, 1.0 / rates)


def weights_are_cold(task: LayerTask) -> bool:
    """Whether the weights come from DRAM when the layer starts; smaller ones stay in the L3 between calls.

    The dense size decides for every format: what else the network holds is not known here.
    """
    layer = task.layer
    dense = layer.m * layer.k * task.value_bits / 8
    return layer.kind.has_weights and dense > parameters(task).memory.cold_above_bytes


def parameters(task: LayerTask) -> CpuRowsParameters:
    """The machine's CPU parameters."""
    found = task.hardware.dataflow
    if not isinstance(found, CpuRowsParameters):
        raise UnsupportedError(f"{task.hardware.name}: expected cpu-rows parameters, got {found.family}")
    return found


def dram_rate(task: LayerTask) -> float:
    """Bytes per cycle that all cores together sustain from DRAM."""
    rate = task.hardware.bytes_per_cycle("dram")
    return rate * parameters(task).memory.dram_efficiency if rate else 1e30


def memory_of(task: LayerTask, threads: int) -> Memory:
    """The memory of the task's machine with so many threads at work."""
    return Memory(
        costs=parameters(task).memory,
        threads=threads,
        shared_bytes_per_cycle=dram_rate(task),
        l2_bytes=(task.hardware.level("l2").capacity_bytes or float("inf")) / task.hardware.units,
    )


def tile_hits(capacity: float, tile_bytes: float, used: FloatArray, overlap: FloatArray) -> FloatArray:
    """Share of loads from the packed tile that hit the L1.

    ``used`` is the share of the tile's lines that one row uses, ``overlap`` the share of them that the row
    before used. A tile within the L1 always hits. A larger one hits while a line's stack distance is below
    the capacity: always the same lines (dense sweeps) evict each other, random sparse rows find ``capacity /
    tile``.
    """
    room = capacity / tile_bytes
    if room >= 1:
        return np.ones_like(used)
    share = np.clip(used, 1e-6, 1 - 1e-9)
    base = np.zeros_like(share)
    ratios = (0.8, 0.9, 1.0, 1.1, 1.2)  # the capacity is not sharp
    for ratio in ratios:
        there = min(room * ratio, 1 - 1e-9)
        reuse = np.floor(np.log1p(-there) / np.log1p(-share))
        base += (1 - (1 - share) ** reuse) / len(ratios)
    repeated = np.clip((overlap - share) / (1 - share), 0, 1)
    crowded = np.where(share / room > 0.5, np.clip(2 * (1 - share / room), 0, 1), 1.0)
    return base + (1 - base) * repeated * crowded


def unpredicted(surprises: FloatArray, capacity: float) -> FloatArray:
    """Loop exits that the branch predictor misses: a few are memorised when a layer repeats, many not."""
    return surprises * np.clip(2 * (surprises / capacity - 1), 0, 1)
