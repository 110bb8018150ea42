"""What this host is: its CPU and caches, its clock, its FMA and read rates, and what a call costs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simsparse.kernels.host_loops import CLOCK_STEPS, clock_loop
from simsparse.kernels.simd import chosen_isa
from simsparse.measure.calibrate_cases import ProductCase
from simsparse.measure.calibrate_timing import make_ready
from simsparse.measure.host_limits import Limits, best_limits, measure_limits
from simsparse.measure.timing import Timer

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_FOOTPRINTS = tuple(2**power for power in range(14, 27))
_MACS_PER_CYCLE = (4, 8, 16, 32)
"""fp32 multiply-adds per cycle of the cores that there are."""
_CURVE_FROM, _CURVE_TO_L3 = 2**15, 0.4
"""Footprints of the read curve: from the L1 to a part of the L3; beyond, DRAM is a share of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCpu:
    """What the operating system tells."""

    model: str
    isa: str
    threads: int
    memory_bytes: int
    cache_bytes: Mapping[int, int]
    """By level, of one core or one group of cores."""
    l3_sharers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """What was measured of one core, and of all of them."""

    clock_hz: float
    macs_per_cycle: int
    one: Limits
    every: Limits
    launch_s: Mapping[str, float]
    """A call of each kernel on a tiny product."""


def host_cpu() -> HostCpu:
    """This host's CPU; sizes of caches that the system does not tell are typical ones."""
    found = {1: 32 * 2**10, 2: 512 * 2**10, 3: 8 * 2**20}
    sharers = 1
    for folder in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size, shared = (
                (folder / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        if kind != "Instruction" and size[-1:] in _UNITS:
            found[int(level)] = int(size[:-1]) * _UNITS[size[-1]]
            sharers = _count(shared) if level == "3" else sharers
    return HostCpu(
        model=_cpu_model(),
        isa=chosen_isa(),
        threads=_threads(),
        memory_bytes=_memory_bytes(),
        cache_bytes=found,
        l3_sharers=max(1, min(sharers, _threads())),
    )


def _count(listed: str) -> int:
    """How many CPUs a list such as ``0-3,8`` names.

    >>> _count("0-3,8")
    5
    """
    ends = [part.split("-") for part in listed.split(",") if part]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _threads() -> int:
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def measure_host(timer: Timer, threads: int, *, repeats: int = 12) -> HostLimits:
    """Clock, FMA rate, read rates by footprint and launch costs, on one thread and on ``threads``."""
    one = measure_limits(1, _FOOTPRINTS, repeats=repeats, work_s=1e-3)
    every = one
    if threads > 1:
        every = measure_limits(threads, _FOOTPRINTS[-2:], repeats=repeats, work_s=2e-3)
    clock_hz, macs = _clock(one)
    return HostLimits(
        clock_hz=clock_hz, macs_per_cycle=macs, one=one, every=every, launch_s=launch_times(timer)
    )


def better_host(first: HostLimits, second: HostLimits) -> HostLimits:
    """The better of two measurements apart in time, value by value."""
    one, every = best_limits(first.one, second.one), best_limits(first.every, second.every)
    launch = {name: min(taken, first.launch_s.get(name, taken)) for name, taken in second.launch_s.items()}
    launch = dict(first.launch_s) | launch
    clock_hz, macs = _clock(one)
    return HostLimits(clock_hz=clock_hz, macs_per_cycle=macs, one=one, every=every, launch_s=launch)


def _clock(one: Limits) -> tuple[float, int]:
    """The clock from the FMA rate, with the FMAs per cycle that a chain of single cycles is nearest to."""
    per_cycle = one.fma_flops / 2 / _clock_hz()
    macs = min(_MACS_PER_CYCLE, key=lambda known: abs(np.log(known / per_cycle)))
    return one.fma_flops / 2 / macs, macs


def _clock_hz(turns: int = 100_000) -> float:
    clock_loop(1)
    best = min(_seconds(lambda: clock_loop(turns)) for _ in range(40))
    return turns * CLOCK_STEPS / best


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def launch_times(timer: Timer) -> dict[str, float]:
    """Seconds of each kernel on a product so small that the call is all; one dense column is gemv-dense."""
    found: dict[str, float] = {}
    for n in (1, 16):
        for pattern in ("2:4", "16x1"):
            ready = make_ready(ProductCase(m=16, k=16, n=n, pattern=pattern, density=0.5), 0)
            for kernel, timing in timer.measure(ready.calls).items():
                name = "gemv-dense" if kernel == "dense" and n == 1 else kernel
                found[name] = min(found.get(name, timing.time_s), timing.time_s)
    return found


def read_curve(limits: Limits, l3_bytes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Footprints and bytes per second of reads that a cache serves, never rising with the footprint."""
    points = [
        (float(size), rate)
        for size, rate in zip(limits.footprint_bytes, limits.read_bytes_per_s, strict=True)
        if _CURVE_FROM <= size <= max(2 * _CURVE_FROM, _CURVE_TO_L3 * l3_bytes)
    ]
    sizes, rates = zip(*points, strict=True)
    falling = np.maximum.accumulate(rates[::-1])[::-1]
    return tuple(sizes), tuple(float(rate) for rate in falling)
