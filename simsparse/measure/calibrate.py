"""Measuring this host once: limits, timings of designed products, and the constants that explain them.

The timings come in passes apart in time, and each keeps its fastest pass; those that no gate let through are
left out where enough others remain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import CpuRowsParameters
from simsparse.measure.calibrate_cases import (
    COLD_FROM_BYTES,
    ProductCase,
    designed_cases,
    make_mask,
)
from simsparse.measure.calibrate_file import host_memory, machine_text
from simsparse.measure.calibrate_fit import Measured, Scale, by_kernel, fit_machine
from simsparse.measure.calibrate_limits import HostCpu, HostLimits, host_cpu, measure_host
from simsparse.measure.calibrate_timing import Sample, make_ready, time_case
from simsparse.measure.fit_priors import prior_parameters
from simsparse.measure.timing import HostClock, Noise, Timer, combine, noise_floor

_THREAD_CASES = 8
_FIT_S = 6.0
"""Time left for the fit."""
_LEAST_GATED = 0.6
"""Share of timings that must have passed the gate for the others to be left out."""
SPREAD_WARNING = 0.1
"""Median spread of the passes from which a calibration should be repeated."""

Progress = Callable[[str, float], None]
"""Told what is being done and the share of the work that is behind."""


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


def calibrate(
    *, budget_s: float = 55.0, passes: int = 2, progress: Progress = lambda *_: None
) -> Calibration:
    """Measure this host in about ``budget_s`` seconds and fit the CPU model to it."""
    started = time.monotonic()
    cpu = host_cpu()
    progress("limits of one core and of all", 0.0)
    limits = measure_host(cpu.threads)
    timer = Timer(HostClock(), rounds=2, burst_s=8e-3, least_windows=3)
    samples = _measure(timer, passes, started + budget_s - _FIT_S, progress)
    fits = _combined(samples)
    kept = _trusted(fits)
    progress("fit", 0.95)
    parameters, measured, scale = _fitted(cpu, limits, kept)
    if cpu.threads > 1:
        parameters = _with_threads(parameters, scale, _thread_samples(timer, cpu.threads))
    errors = np.abs(
        np.concatenate([np.log(one.predicted_s(parameters, scale) / one.time_s) for one in measured.values()])
    )
    noise = noise_floor([sample.timing for sample in fits])
    return Calibration(
        text=machine_text(cpu, limits, parameters, _sources(cpu, timer.gate.limit_s(), len(kept))),
        cpu=cpu,
        limits=limits,
        parameters=parameters,
        noise=noise,
        timings=len(kept),
        median_error=float(np.median(errors)),
        p90_error=float(np.quantile(errors, 0.9)),
        gate_s=timer.gate.limit_s(),
        warnings=tuple(_warnings(noise)),
    )


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


def _measure(timer: Timer, passes: int, until: float, progress: Progress) -> list[Sample]:
    """Passes over the designed cases, every other backwards, as time allows; the first is whole."""
    cases = list(enumerate(designed_cases()))
    samples: list[Sample] = []
    for turn in range(passes):
        for place, (seed, case) in enumerate(cases[:: 1 - 2 * (turn % 2)]):
            if turn and time.monotonic() > until:
                return samples
            progress(f"pass {turn + 1}: {case.label}", 0.05 + 0.9 * (turn + place / len(cases)) / passes)
            cold = (False, True) if case.dense_bytes > COLD_FROM_BYTES else (False,)
            samples += time_case(timer, make_ready(case, seed), cold=cold)
    return samples


def _combined(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per case, kernel and state of the caches."""
    found: dict[tuple[ProductCase, str, bool], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.case, sample.kernel, sample.cold), []).append(sample)
    return [
        replace(those[0], timing=combine([sample.timing for sample in those])) for those in found.values()
    ]


def _trusted(samples: list[Sample]) -> list[Sample]:
    gated = [sample for sample in samples if sample.timing.gated]
    return gated if len(gated) >= _LEAST_GATED * len(samples) else samples


def _fitted(
    cpu: HostCpu, limits: HostLimits, samples: Sequence[Sample]
) -> tuple[CpuRowsParameters, dict[str, Measured], Scale]:
    launch = {kernel: seconds * limits.clock_hz for kernel, seconds in limits.launch_s.items()}
    start = prior_parameters(cpu.isa, host_memory(cpu, limits), launch)  # type: ignore[arg-type]
    scale = Scale(
        clock_hz=limits.clock_hz,
        dram_bytes_per_s=max(limits.every.dram_bytes_per_s, 1.2 * limits.one.dram_bytes_per_s),
    )
    measured = by_kernel(start, samples, _operands())
    return fit_machine(start, scale, measured), measured, scale


def _operands() -> Callable[[ProductCase], WeightOperand]:
    seeds = {case: seed for seed, case in enumerate(designed_cases())}
    return lambda case: WeightOperand(case.m, case.k, make_mask(case, seeds[case]))


def _thread_samples(timer: Timer, threads: int) -> list[Sample]:
    """Small products on all threads: what starting and joining them adds."""
    cases = [pair for pair in enumerate(designed_cases()) if pair[1].n > 8][:_THREAD_CASES]
    samples: list[Sample] = []
    for seed, case in cases:
        samples += time_case(timer, make_ready(case, seed, threads), threads=threads)
    return [sample for sample in samples if sample.kernel != "dense"]


def _with_threads(machine: CpuRowsParameters, scale: Scale, samples: Sequence[Sample]) -> CpuRowsParameters:
    """The cycles per further thread that small products miss, as the median over them."""
    threads = samples[0].threads
    bare = replace(machine, thread_launch_cycles=0.0)
    missing = [
        (one.time_s - one.predicted_s(bare, scale)) * scale.clock_hz / (threads - 1)
        for one in by_kernel(machine, samples, _operands()).values()
    ]
    return replace(machine, thread_launch_cycles=max(0.0, float(np.median(np.concatenate(missing)))))
