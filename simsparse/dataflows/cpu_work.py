"""What one layer makes each core do: pieces of work, and what they cost.

A kernel's work is a record of arrays with one entry per *piece*: what one thread repeats ``count`` times (a
panel of columns, mostly). Its costs are arrays too, so one formula serves a thread, the threads of a layer,
and all layers of a network or a calibration at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np

from simsparse.dataflows.cpu_memory import Memory, Traffic
from simsparse.hardware import CpuRowsParameters
from simsparse.plan import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a convolution's window sees of an image, as tiles of X are filled from it."""

    taps: int
    pieces: int
    """Runs of neighbouring inputs in a row of X."""
    plane: int
    """Inputs of one channel."""
    overlap: int
    """Inputs of one channel that panels of columns below each other share."""
    gathered: bool
    """Whether inputs are found one by one: they do not lie at one and the same distance from outputs."""

    def fresh(self, columns: float, existing: float) -> float:
        """Share of a panel's inputs that no other tap has brought to the L1 already."""
        seen = columns * self.taps
        return min(1.0, min(existing * seen + self.overlap, self.plane) / seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``Y[m, n] = W[m, k] · X[k, n]`` as a core meets it; a grouped layer has ``groups`` of them."""

    m: int
    k: int
    n: int
    groups: int = 1
    value_bytes: float = 4.0
    inputs: int = 0
    """Input elements that exist; fewer than groups · k · n where windows overlap."""
    window: Window | None = None
    """None for a matrix, and for a convolution that is one."""
    strided: bool = False
    """Whether a convolution skips columns between its outputs."""
    rearranged: tuple[int, int] = (0, 0)
    """Floats read and written to take the stride out of images before they are multiplied."""
    threads: int = 1
    cold_weights: bool = False
    """Whether no cache holds the weights when the layer starts."""
    cold_activations: bool = False
    """Whether no cache holds inputs and outputs either."""
    evicted: bool = False
    """Whether other layers ran since the last turn, so that the L2 holds none of the operands."""

    @property
    def existing(self) -> float:
        """Share of X that is read from memory: overlapping windows find the rest in a cache."""
        elements = self.groups * self.k * self.n
        return min(1.0, self.inputs / elements) if self.inputs else 1.0

    @property
    def input_bytes(self) -> float:
        """Bytes of the inputs in memory."""
        return self.groups * self.k * self.n * self.existing * self.value_bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cost:
    """Per piece: cycles of its thread, bytes from and to DRAM; and what comes before any thread starts."""

    cycles: FloatArray
    fetch: FloatArray
    drain: FloatArray
    l2: FloatArray
    l3: FloatArray
    serial: FloatArray
    """Cycles of launching, of all threads, on the first piece of a layer."""

    @classmethod
    def of(cls, core: FloatArray, read: Traffic, written: Traffic, serial: FloatArray) -> Cost:
        """Everything is additive: the streams hardly overlap with the arithmetic of one core."""
        return cls(
            cycles=core + read.cycles + written.cycles,
            fetch=read.dram,
            drain=written.dram,
            l2=read.l2 + written.l2,
            l3=read.l3 + written.l3,
            serial=serial,
        )


def overlapped(core: FloatArray, read: Traffic, memory: Memory, exposed: FloatArray | float) -> FloatArray:
    """Cycles beside the channel's where a stream runs ahead of its arithmetic: the longer, and a part of the
    shorter.
    """
    channel = read.dram * memory.channel_cycles_per_byte
    stream = read.cycles + channel
    hidden = np.maximum(0.0, 1 - exposed) * np.minimum(core, stream)
    left: FloatArray = core + read.cycles - np.minimum(hidden, core + read.cycles)
    return left


class Work(Protocol):
    """Pieces of one kernel."""

    @property
    def layer(self) -> IntArray:
        """(P,) which layer a piece belongs to, ascending from 0."""

    @property
    def thread(self) -> IntArray:
        """(P,) which thread does it."""

    @property
    def count(self) -> FloatArray:
        """(P,) how often."""

    def cost(self, machine: CpuRowsParameters, memory: Memory) -> Cost:
        """What one repetition of each piece costs."""


AnyWork = TypeVar("AnyWork", bound=Any)


def join(works: list[AnyWork]) -> AnyWork:
    """The works of several layers on the same kernel and number of threads as one."""
    if len(works) == 1:
        return works[0]
    first = works[0]
    joined = {
        field.name: np.concatenate([getattr(work, field.name) for work in works])
        for field in fields(first)
        if field.name != "layer"
    }
    layers = np.repeat(np.arange(len(works)), [len(work.layer) for work in works])
    return type(first)(layer=layers, **joined)  # type: ignore[no-any-return]


def layer_cycles(work: Work, machine: CpuRowsParameters, memory: Memory) -> FloatArray:
    """Cycles of each layer: launching, then the slowest thread, whose DRAM traffic meets that of the others.

    On one thread this is what the event-driven plan takes; on more, threads wait for the channel by turns.
    """
    cost = work.cost(machine, memory)
    channel = (cost.fetch + cost.drain) * memory.channel_cycles_per_byte
    taken = work.count * (cost.cycles + channel)
    layers = int(work.layer[-1]) + 1
    if memory.threads == 1:
        return np.bincount(work.layer, taken + cost.serial, layers).astype(np.float64)
    slot = work.layer * memory.threads + work.thread
    threads = np.bincount(slot, taken, layers * memory.threads).reshape(layers, -1)
    slowest: FloatArray = threads.max(axis=1) + np.bincount(work.layer, cost.serial, layers)
    return slowest
