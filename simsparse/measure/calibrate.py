"""Measuring this host once: limits, timings of designed products, and the constants that explain them.

The timings come in passes apart in time, and each keeps its fastest pass. How far the passes lie apart is how
little it counts in the fit, and one that no gate let through only says that the truth is not longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from simsparse.dataflows.cpu_dense import DenseWork
from simsparse.dataflows.cpu_tiles import Tiles
from simsparse.dataflows.cpu_work import layer_cycles
from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.measure.calibrate_cases import ProductCase, designed_cases, make_mask
from simsparse.measure.calibrate_collect import Collected, Progress, collect, combined
from simsparse.measure.calibrate_convs import with_convs
from simsparse.measure.calibrate_file import host_memory, machine_text
from simsparse.measure.calibrate_fit import Measured, Scale, by_kernel, case_work, fit_machine
from simsparse.measure.calibrate_limits import HostCpu, HostLimits
from simsparse.measure.calibrate_narrow import with_narrow
from simsparse.measure.calibrate_timing import Sample
from simsparse.measure.fit_priors import prior_parameters
from simsparse.measure.timing import Noise, noise_floor
from simsparse.plan import FloatArray

_FIT_S = 5.0
"""Time left for the fit."""
_LEAST_GATED = 0.8
"""Share of timings that should have passed the gate."""
SPREAD_WARNING = 0.1
"""Median spread of the passes from which a calibration should be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A calibrated host: its file's text, what was measured, and how well the model meets it."""

    text: str
    cpu: HostCpu
    limits: HostLimits
    parameters: CpuRowsParameters
    noise: Noise
    timings: int
    median_error: float
    p90_error: float
    gate_s: float
    warnings: tuple[str, ...]


def calibrate(*, budget_s: float = 50.0, progress: Progress = lambda *_: None) -> Calibration:
    """Measure this host in about ``budget_s`` seconds and fit the CPU model to it."""
    collected = collect(budget_s=budget_s - _FIT_S, progress=progress)
    progress("fit", 0.95)
    return fitted(collected)


def fitted(collected: Collected) -> Calibration:
    """The CPU model that meets what was measured best."""
    cpu, limits = collected.cpu, collected.limits
    every = combined(collected.samples)
    operand = operands()
    start, scale = model_before(cpu, limits)
    measured = by_kernel(start, every, operand)
    parameters = fit_machine(start, scale, measured)
    if collected.together:
        wide, narrow = (
            by_kernel(parameters, [one for one in collected.together if (one.case.n > 1) == several], operand)
            for several in (True, False)
        )
        parameters = _with_threads(parameters, scale, [*wide.values(), *narrow.values()])
    parameters = _with_refill(parameters, scale, collected.evicted, operand)
    parameters = with_convs(parameters, scale, collected.convs)
    parameters = with_narrow(parameters, scale, collected.narrow)
    noise = noise_floor([sample.timing for sample in every])
    errors = _errors(measured, parameters, scale)
    return Calibration(
        text=machine_text(cpu, limits, parameters, _sources(cpu, collected.gate_s, len(errors))),
        cpu=cpu,
        limits=limits,
        parameters=parameters,
        noise=noise,
        timings=len(errors),
        median_error=float(np.median(errors)),
        p90_error=float(np.quantile(errors, 0.9)),
        gate_s=collected.gate_s,
        warnings=tuple(_warnings(noise)),
    )


def _errors(measured: Mapping[str, Measured], machine: CpuRowsParameters, scale: Scale) -> FloatArray:
    """Of the timings that were not disturbed, of all where there is none."""
    errors = np.concatenate(
        [np.log(one.predicted_s(machine, scale) / one.time_s) for one in measured.values()]
    )
    gated = np.array([sample.timing.gated for one in measured.values() for sample in one.samples])
    counted: FloatArray = np.abs(errors[gated] if gated.any() else errors)
    return counted


def _sources(cpu: HostCpu, gate_s: float, timings: int) -> Mapping[str, str]:
    on = f"simsparse calibrate on {cpu.model}, {date.today().isoformat()}"
    return {
        "calibrate": f"measured by {on}; gate at {1e6 * gate_s:.2f} us",
        "calibrate-fit": f"fitted to {timings} timings by {on}",
        "operating-system": f"as the operating system tells it, {on}",
    }


def _warnings(noise: Noise) -> Iterator[str]:
    if noise.median_spread > SPREAD_WARNING:
        yield (
            f"timings of the same product lie {100 * noise.median_spread:.0f} % apart (median):"
            " calibrate again when this host is idle"
        )
    if noise.not_gated > (1 - _LEAST_GATED) * noise.timings:
        yield (
            f"{noise.not_gated} of {noise.timings} timings were disturbed throughout:"
            " calibrate again when this host is idle"
        )


def model_before(cpu: HostCpu, limits: HostLimits) -> tuple[CpuRowsParameters, Scale]:
    """The model before the fit."""
    launch = {kernel: seconds * limits.clock_hz for kernel, seconds in limits.launch_s.items()}
    start = prior_parameters(cpu.isa, host_memory(cpu, limits), launch)  # type: ignore[arg-type]
    dram = max(limits.every.dram_bytes_per_s, 1.2 * limits.one.dram_bytes_per_s)
    return start, Scale(clock_hz=limits.clock_hz, dram_bytes_per_s=dram)


def operands() -> Callable[[ProductCase], WeightOperand]:
    """The weights of the designed cases, each made once."""
    seeds = {case: seed for seed, case in enumerate(designed_cases())}
    made: dict[ProductCase, WeightOperand] = {}

    def operand(case: ProductCase) -> WeightOperand:
        if case not in made:
            made[case] = WeightOperand(case.m, case.k, make_mask(case, seeds[case]))
        return made[case]

    return operand


def _with_threads(
    machine: CpuRowsParameters, scale: Scale, measured: Sequence[Measured]
) -> CpuRowsParameters:
    """The cycles per further thread that small products miss: the medians of those not disturbed."""
    bare = _launching(machine, 0.0, 0.0, 0.0)
    kinds = (
        [one for one in measured if isinstance(one.work, Tiles)],
        [one for one in measured if not isinstance(one.work, Tiles | DenseWork)],
        [one for one in measured if isinstance(one.work, DenseWork)],
    )
    before = (
        machine.thread_launch_cycles,
        machine.vector_thread_launch_cycles,
        machine.dense.thread_launch_cycles,
    )
    found = (_missing(bare, scale, those) for those in kinds)
    return _launching(machine, *(old if new is None else new for old, new in zip(before, found, strict=True)))


def _launching(machine: CpuRowsParameters, tiled: float, vector: float, blas: float) -> CpuRowsParameters:
    dense = replace(machine.dense, thread_launch_cycles=blas)
    return replace(machine, thread_launch_cycles=tiled, vector_thread_launch_cycles=vector, dense=dense)


def _missing(machine: CpuRowsParameters, scale: Scale, measured: Sequence[Measured]) -> float | None:
    """Cycles per further thread that the model lacks, if any timing was not disturbed."""
    found = [
        (time_s - expected_s) * scale.clock_hz / (sample.threads - 1)
        for one in measured
        for sample, time_s, expected_s in zip(
            one.samples, one.time_s, one.predicted_s(machine, scale), strict=True
        )
        if sample.timing.gated
    ]
    return max(0.0, float(np.median(found))) if found else None


def _with_refill(
    machine: CpuRowsParameters,
    scale: Scale,
    samples: Sequence[Sample],
    operand: Callable[[ProductCase], WeightOperand],
) -> CpuRowsParameters:
    """The cycles per byte that products take longer when their operands have left the L2: the median."""
    found = []
    for warm, gone in zip(samples[::2], samples[1::2], strict=True):
        if warm.timing.gated and gone.timing.gated:
            work = case_work(machine, warm.case, operand(warm.case), warm.kernel, evicted=True)
            without, with_one = (
                float(layer_cycles(work, one, scale.memory(one, 1))[0])
                for one in (_refilling(machine, 0.0), _refilling(machine, 1.0))
            )
            longer = (gone.timing.time_s - warm.timing.time_s) * scale.clock_hz
            found.append(longer / (with_one - without))
    return _refilling(machine, max(0.0, float(np.median(found)))) if found else machine


def _refilling(machine: CpuRowsParameters, cycles_per_byte: float) -> CpuRowsParameters:
    return replace(machine, memory=replace(machine.memory, refill_cycles_per_byte=cycles_per_byte))
