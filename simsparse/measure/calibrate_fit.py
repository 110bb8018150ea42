"""From timings to the constants of the CPU model, all kernels together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simsparse.dataflows.cpu_memory import Memory
from simsparse.dataflows.cpu_rows import make_work
from simsparse.dataflows.cpu_work import Product, Work, join, layer_cycles
from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.measure.calibrate_cases import ProductCase
from simsparse.measure.calibrate_timing import Sample, block_rows
from simsparse.measure.fit import SCATTER, Constant, fit
from simsparse.measure.fit_priors import BY_KERNEL, MEMORY, PARTS
from simsparse.measure.timing import Timing
from simsparse.plan import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What turns cycles into seconds, and the DRAM rate of all cores together."""

    clock_hz: float
    dram_bytes_per_s: float

    def memory(self, machine: CpuRowsParameters, threads: int) -> Memory:
        """The memory with so many threads at work."""
        shared = self.dram_bytes_per_s / self.clock_hz
        return Memory(costs=machine.memory, threads=threads, shared_bytes_per_cycle=shared)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Timings of one kernel: their work as one, and what they took."""

    kernel: str
    work: Work
    time_s: FloatArray
    samples: Sequence[Sample]

    def predicted_s(self, machine: CpuRowsParameters, scale: Scale) -> FloatArray:
        """(timings,) seconds that the model expects."""
        memory = scale.memory(machine, self.samples[0].threads)
        return layer_cycles(self.work, machine, memory) / scale.clock_hz


def product_of(case: ProductCase, threads: int, *, cold: bool, evicted: bool = False) -> Product:
    """The case as the model takes it."""
    return Product(
        m=case.m,
        k=case.k,
        n=case.n,
        threads=threads,
        cold_weights=cold,
        cold_activations=cold,
        evicted=evicted,
    )


def case_work(
    machine: CpuRowsParameters,
    case: ProductCase,
    weights: WeightOperand,
    kernel: str,
    *,
    threads: int = 1,
    cold: bool = False,
    evicted: bool = False,
) -> Work:
    """What a kernel does in a case."""
    return make_work(
        kernel,
        machine,
        product_of(case, threads, cold=cold, evicted=evicted),
        weights,
        keep=2,
        block_rows=block_rows(case),
    )


def by_kernel(
    machine: CpuRowsParameters,
    samples: Sequence[Sample],
    operand: Callable[[ProductCase], WeightOperand],
) -> dict[str, Measured]:
    """Timings sorted by kernel, in the order given; ``operand`` has a case's weights."""
    found: dict[str, Measured] = {}
    for kernel in dict.fromkeys(sample.kernel for sample in samples):
        those = [sample for sample in samples if sample.kernel == kernel]
        works = [
            case_work(machine, s.case, operand(s.case), kernel, threads=s.threads, cold=s.cold) for s in those
        ]
        times = np.array([sample.timing.time_s for sample in those])
        found[kernel] = Measured(kernel=kernel, work=join(works), time_s=times, samples=those)
    return found


def fit_machine(start: CpuRowsParameters, scale: Scale, measured: dict[str, Measured]) -> CpuRowsParameters:
    """All constants, starting from their priors; the kernels share those of the memory."""
    constants = [*MEMORY]
    for kernel in measured:
        constants += [constant for constant in BY_KERNEL[kernel] if constant not in constants]
    known: dict[str, tuple[object, FloatArray]] = {}

    def one(kernel: str, machine: CpuRowsParameters) -> FloatArray:
        """Most steps of a fit change one constant, which few kernels know."""
        parts = (machine.memory, *(getattr(machine, name) for name in PARTS[kernel]))
        if kernel not in known or known[kernel][0] != parts:
            known[kernel] = parts, measured[kernel].predicted_s(machine, scale)
        return known[kernel][1]

    def predict(machine: CpuRowsParameters) -> FloatArray:
        return np.concatenate([one(kernel, machine) for kernel in measured])

    times = np.concatenate([one.time_s for one in measured.values()])
    timings = [sample.timing for one in measured.values() for sample in one.samples]
    disturbed = np.array([not timing.gated for timing in timings])
    return _tidy(fit(start, constants, predict, times, scatter(timings), disturbed).parameters)


def fit_works(
    machine: CpuRowsParameters,
    constants: Sequence[Constant],
    scale: Scale,
    works: Sequence[Work],
    timings: Sequence[Timing],
) -> CpuRowsParameters:
    """The constants with which the layers of ``works`` meet timings on one thread, in that order, best."""

    def predict(tried: CpuRowsParameters) -> FloatArray:
        memory = scale.memory(tried, 1)
        return np.concatenate([layer_cycles(work, tried, memory) for work in works]) / scale.clock_hz

    times = np.array([timing.time_s for timing in timings])
    disturbed = np.array([not timing.gated for timing in timings])
    return fit(machine, constants, predict, times, scatter(timings), disturbed).parameters


def scatter(timings: Sequence[Timing]) -> FloatArray:
    """How far each timing may lie from a good model, as a logarithm: more where its own passes lie apart.

    One that was passed once is taken to be as noisy as most.
    """
    known = [math.log1p(timing.spread) for timing in timings if timing.spread is not None]
    usual = float(np.median(known)) if known else _UNKNOWN
    own = np.array([usual if t.spread is None else math.log1p(t.spread) for t in timings])
    noise: FloatArray = np.hypot(SCATTER, _OF_SPREAD * own)
    return noise


_OF_SPREAD = 0.5
"""The faster pass is nearer to the truth than the slower one."""
_UNKNOWN = 0.1


def _tidy(machine: CpuRowsParameters) -> CpuRowsParameters:
    """Blocks of eight rows lie between those of sixteen and four, which are timed."""
    tall, _, low = machine.block_vector.block
    middle = float(np.sqrt(tall * low))
    return replace(machine, block_vector=replace(machine.block_vector, block=(tall, middle, low)))
