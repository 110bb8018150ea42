"""The measured half of a calibration: limits of this host and timings of the designed products.

All cases are timed once, then once more, in the same order: the passes lie half the time apart. Each burst
may be prolonged on a disturbed machine only as far as the time left allows for all those to come.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simsparse.measure.calibrate_cases import COLD_FROM_BYTES, ProductCase, designed_cases
from simsparse.measure.calibrate_convs import (
    ConvCase,
    ConvSample,
    conv_call,
    conv_cases,
    time_convs,
)
from simsparse.measure.calibrate_limits import HostCpu, HostLimits, better_host, host_cpu, measure_host
from simsparse.measure.calibrate_narrow import (
    NarrowCase,
    NarrowSample,
    narrow_calls,
    narrow_cases,
    time_narrow,
)
from simsparse.measure.calibrate_timing import ReadyCase, Sample, kernels_for, make_ready, time_case
from simsparse.measure.timing import Call, HostClock, Timer, combine
from simsparse.packed.dense import ONE_THREAD_MACS, ONE_THREAD_VECTOR_MACS

PASSES = 2
_THREAD_CASES = 8
_THREADS_S = 3.0
"""Time left for the cases on all threads."""
_EVICTED_CASES = 8
_EVICTED_S = 2.0
"""Time left for the cases that other layers ran before."""

_CONVS_S = 3.0
"""Time left for convolutions."""
_NARROW_S = 1.6
"""Time left for weights in bf16 and int8."""

Progress = Callable[[str, float], None]
"""Told what is being done and the share of the work that is behind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collected:
    """What was measured of a host; samples are one per pass, case, kernel and state of the caches."""

    cpu: HostCpu
    limits: HostLimits
    gate_s: float
    samples: Sequence[Sample]
    together: Sequence[Sample]
    """Timings on all threads; none where there is one."""
    evicted: Sequence[Sample]
    """Timings of some cases whose operands were no longer in the L2; each follows the same one warm."""
    convs: Sequence[ConvSample]
    narrow: Sequence[NarrowSample]
    """Timings of weights in bf16 and int8."""


def collect(*, budget_s: float, progress: Progress = lambda *_: None) -> Collected:
    """Measure for about ``budget_s`` seconds; the first pass is whole whatever it takes."""
    until = time.monotonic() + budget_s
    cpu = host_cpu()
    progress("limits of one core and of all", 0.0)
    timer = Timer(
        HostClock(), rounds=2, burst_s=_BURST_S, least_windows=5, patience_s=_LIMITS_PATIENCE_S, settle_s=0.5
    )
    limits = measure_host(timer, cpu.threads)
    threads_s = _THREADS_S if cpu.threads > 1 else 0.0
    convs = {case: conv_call(case) for case in conv_cases()}
    narrow = {case: narrow_calls(case) for case in narrow_cases()}
    until += _compile([*convs.values(), *(call for both in narrow.values() for call in both.values())])
    samples = list(
        _passes(timer, until - _LIMITS_S - _EVICTED_S - _CONVS_S - _NARROW_S - threads_s, progress)
    )
    timer.patience_s = _LIMITS_PATIENCE_S
    return Collected(
        cpu=cpu,
        limits=better_host(limits, measure_host(timer, cpu.threads)),
        gate_s=timer.gate.limit_s(),
        samples=samples,
        together=_together(timer, cpu.threads) if cpu.threads > 1 else (),
        evicted=_evicted(timer, cpu.cache_bytes[2]),
        convs=_convs(timer, convs),
        narrow=_narrow(timer, narrow),
    )


_LIMITS_S = 1.5
"""Time left for measuring the limits once more."""
_LIMITS_PATIENCE_S = _LIMITS_S / 40
"""A call of every kernel in two bursts is part of it."""
_BURST_S = 3e-3
_MOST_PATIENCE_S = 0.4
_SHARE = 2.0
"""A burst may wait for so many times its share of the time left: a spell that ends serves all that follow."""
_KEPT_BYTES = 400e6
"""Packed operands that the first pass keeps for the second."""


def _passes(timer: Timer, until: float, progress: Progress) -> Iterator[Sample]:
    cases = list(enumerate(designed_cases()))
    work = [_bursts(case) for _, case in cases]
    ahead = PASSES * sum(work)
    kept: dict[int, ReadyCase] = {}
    room = _KEPT_BYTES
    for turn in range(PASSES):
        for place, (seed, case) in enumerate(cases):
            left = until - time.monotonic()
            if turn and left < 0:
                return
            done = (turn + place / len(cases)) / PASSES
            progress(f"pass {turn + 1}: {case.label}", 0.08 + 0.87 * done)
            timer.patience_s = min(_MOST_PATIENCE_S, max(_BURST_S, _SHARE * left / ahead))
            ahead -= work[place]
            ready = kept.pop(seed, None) or make_ready(case, seed)
            if not turn:
                until += _compile(ready.calls.values())
            size = 4 * case.dense_bytes  # the operands packed for some kernels
            if not turn and size < room:
                kept[seed], room = ready, room - size
            yield from time_case(timer, ready, cold=states(case))


def _compile(calls: Iterable[Call]) -> float:
    """Call everything once; seconds that this took, of which compiling is not part of the budget."""
    start = time.monotonic()
    for call in calls:
        call()
    taken = time.monotonic() - start
    return taken if taken > _COMPILED_S else 0.0


_COMPILED_S = 0.3
"""No product of the designed ones runs as long, compiling one takes longer."""


def _bursts(case: ProductCase) -> int:
    return 2 * len(kernels_for(case)) * len(states(case))


def states(case: ProductCase) -> tuple[bool, ...]:
    """Warm only, or also with nothing in the caches where a case is large."""
    return (False, True) if case.dense_bytes > COLD_FROM_BYTES else (False,)


def _together(timer: Timer, threads: int) -> list[Sample]:
    """Small products, of several columns those that all kernels share out: what starting and joining adds."""
    timer.patience_s = _THREADS_S / (7 * _THREAD_CASES)
    sized = sorted((case.m * case.k * case.n, seed, case) for seed, case in enumerate(designed_cases()))
    wide = [one for one in sized if one[2].n > 8 and one[0] > ONE_THREAD_MACS][:_THREAD_CASES]
    narrow = [one for one in sized if one[2].n == 1]
    shared = [one for one in narrow if one[0] > ONE_THREAD_VECTOR_MACS]
    few = _THREAD_CASES // 2
    kinds = (
        (("csr", "grouped", "dense"), wide),
        (("gemv-csr", "gemv-bitmask"), narrow[:few]),
        (("dense",), shared[:few]),
    )
    samples: list[Sample] = []
    for kernels, those in kinds:
        for _, seed, case in those:
            ready = make_ready(case, seed, threads)
            calls = {name: ready.calls[name] for name in kernels}
            samples += time_case(timer, replace(ready, calls=calls), threads=threads)
    return samples


def _evicted(timer: Timer, l2_bytes: int) -> list[Sample]:
    """Products of about the size of the L2, warm and after other things went through it."""
    timer.patience_s = _EVICTED_S / (8 * _EVICTED_CASES)
    fitting = (pair for pair in enumerate(designed_cases()) if 0.3 < pair[1].dense_bytes / l2_bytes < 6)
    samples: list[Sample] = []
    for seed, case in itertools.islice((pair for pair in fitting if pair[1].n > 8), _EVICTED_CASES):
        ready = make_ready(case, seed)
        calls = {name: ready.calls[name] for name in ("csr", "dense")}
        warm, gone = timer.measure(calls), timer.measure(calls, evicted=True)
        for name in calls:
            for timing in (warm[name], gone[name]):
                samples.append(Sample(case=case, kernel=name, threads=1, cold=False, timing=timing))
    return samples


def _convs(timer: Timer, calls: Mapping[ConvCase, Call]) -> list[ConvSample]:
    """Convolutions, which no product is like."""
    timer.patience_s = _CONVS_S / (2 * len(calls))
    return time_convs(timer, calls)


def _narrow(timer: Timer, calls: Mapping[NarrowCase, Mapping[str, Call]]) -> list[NarrowSample]:
    """Weights in bf16 and int8."""
    timer.patience_s = _NARROW_S / (4 * len(calls))
    return time_narrow(timer, calls)


def combined(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per case, kernel and state of the caches."""
    found: dict[tuple[ProductCase, str, bool], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.case, sample.kernel, sample.cold), []).append(sample)
    return [
        replace(those[0], timing=combine([sample.timing for sample in those])) for those in found.values()
    ]
