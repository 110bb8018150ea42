"""Times that can be trusted on a machine shared with others.

Programs run at full speed or 1.25 to 2 times slower when a neighbour uses the same core, switching every few
milliseconds or every few tenths of a second, and no counter of the operating system sees it. So a 5 µs loop
of L1 loads runs before and after each timing window; a window waits until the first is fast, and counts only
if both were within 8 % of that probe's own fast quantile. Competitors take turns in bursts inside one
process. Calls over 150 µs are timed in CPU time of the process, which leaves out what other processes took
(and would show work that a competitor hands to other threads); shorter ones, and everything on more than one
thread, in wall time, and such a window does not count if a thread of ours had to wait for a processor
meanwhile. On several threads the probe runs on all of them, which also wakes them, as the layer before does
in a network; beside threads of another library it would be in their way, and runs on one core. Probes before
and after say little of the time between, and no time is below that of an undisturbed window: so the lower
quartile of the windows counts, and on several threads the fastest tenth of four times as many, as all cores
are left alone to the end of hardly one long window in ten. A case is measured in two passes apart in time:
the fastest that the gate let through counts, and how far these lie apart is the noise floor.

The cache state is part of a time: *warm* means the same call came right before, *evicted* that a buffer twice
the size of the L2 was read in between, *cold* one twice the size of the last cache.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from simsparse.kernels.host_loops import sum_window, window_buffer
from simsparse.kernels.spmm_threads import threads_at_most
from simsparse.measure.idle import wait_until_idle
from simsparse.packed.host import host_caches
from simsparse.packed.threads import on_threads

TOLERANCE, TOLERANCE_TOGETHER = 1.08, 1.15
"""A window counts if its probes took at most this times the probe's fast quantile; starting a probe on
several cores varies by a microsecond or two."""
FAST_QUANTILE = 0.02
CPU_CLOCK_FROM_S = 150e-6
"""Calls at least this long are timed in CPU time."""
PROBE_BYTES = 8192
SHORT_WINDOW_S = 50e-6
"""Short calls are repeated to fill a window of this length."""
WAITED_SHARE = 0.02
"""A window in wall time counts if our threads waited for a processor at most this part of it."""
QUANTILE, QUANTILE_TOGETHER = 0.25, 0.1
"""Which of the windows that count is the time."""
_MORE_TOGETHER = 4
"""Times the windows that a burst on several cores goes on for."""
_LONGER_TOGETHER = 4
"""A probe on several cores takes so many times as long: starting it is then a small part."""
LEAST_KEPT = 3
"""Fewer kept windows than this, and a time is marked as not gated."""

Call = Callable[[], object]


class Clock(Protocol):
    """What the timer needs of a machine."""

    def wall_s(self) -> float:
        """Seconds on a clock that never stops."""

    def cpu_s(self) -> float:
        """CPU seconds of all threads of this process."""

    def waited_s(self) -> float:
        """Seconds that threads of this process could have run and had no processor."""

    def probe(self, cores: int = 1) -> None:
        """Run the gate's loop, on several cores at once if asked to."""

    def flush(self) -> None:
        """Read so much that no cache holds what was there before."""

    def evict(self) -> None:
        """Read so much that the caches of one core do not hold it."""

    def sleep(self, seconds: float) -> None:
        """Let others run."""


class HostClock:
    """The machine at hand."""

    def __init__(self, probe_s: float = 5e-6) -> None:
        self._values = window_buffer(PROBE_BYTES)
        self._together: dict[int, tuple[object, ...]] = {}
        self._turns = 64
        self._far = window_buffer(2 * last_cache_bytes())
        self._own_bytes = 2 * host_caches().l2_bytes
        sum_window(self._values, PROBE_BYTES // 8, 1)
        best = min(self._one_probe() for _ in range(200))
        self._turns = max(1, round(self._turns * probe_s / best))

    def _one_probe(self) -> float:
        start = time.perf_counter()
        self.probe()
        return time.perf_counter() - start

    def wall_s(self) -> float:
        return time.perf_counter()

    def cpu_s(self) -> float:
        return time.process_time()

    def waited_s(self) -> float:
        waited_ns = 0
        for status in Path("/proc/self/task").glob("*/schedstat"):  # none where there is no Linux
            with contextlib.suppress(OSError):  # a thread that ended meanwhile
                waited_ns += int(status.read_bytes().split()[1])
        return waited_ns * 1e-9

    def probe(self, cores: int = 1) -> None:
        cores = min(cores, threads_at_most())
        if cores == 1:
            sum_window(self._values, PROBE_BYTES // 8, self._turns)
            return
        from simsparse.kernels.host_threads import sum_windows

        if cores not in self._together:
            values = np.stack([self._values] * cores)
            turns = _LONGER_TOGETHER * self._turns
            self._together[cores] = (values, PROBE_BYTES // 8, turns, np.zeros(cores, np.int64))
        on_threads(cores, lambda: sum_windows, self._together[cores])

    def flush(self) -> None:
        sum_window(self._far, 2 * last_cache_bytes() // 8, 1)

    def evict(self) -> None:
        sum_window(self._far, min(self._own_bytes, 2 * last_cache_bytes()) // 8, 1)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def last_cache_bytes() -> int:
    """Size of the largest cache of this machine; 32 MiB where the system does not tell."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [text.read_text().strip() for text in sizes]
    return max((int(size[:-1]) * units[size[-1]] for size in found), default=32 * 2**20)


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds per call, the slower of the probes before and after, and the share spent without processor."""

    time_s: float
    gate_s: float
    waited_share: float = 0.0

    def counts(self, limit_s: float) -> bool:
        """Whether nothing disturbed it."""
        return self.gate_s <= limit_s and self.waited_share <= WAITED_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One competitor's time in one case."""

    time_s: float
    """Lower quartile of the windows that counted, of several threads the tenth; of passes, the smallest."""
    least_s: float
    """The fastest window that counted."""
    windows: int
    kept: int
    gated: bool
    """Whether enough windows counted; without, the time is that of the fastest quarter of them all."""
    spread: float | None = None
    """Second fastest over fastest gated pass, minus one; of all where none was gated; absent with one."""


_NEWS = 500
"""Probes after which to look for the fast quantile again."""


class Gate:
    """Remembers how long probes on some cores took, and says what is fast."""

    def __init__(self, clock: Clock, cores: int = 1, memory: int = 20_000) -> None:
        self._clock, self.cores = clock, cores
        self._seen: deque[float] = deque(maxlen=memory)
        self._limit_s, self._new = math.inf, 0

    def probe_s(self) -> float:
        """Run one probe."""
        start = self._clock.wall_s()
        self._clock.probe(self.cores)
        return self._clock.wall_s() - start

    def settle(self, settle_s: float) -> None:
        """Learn what is fast, in probes spread over a time."""
        for _ in range(50):
            self.remember(*(self.probe_s() for _ in range(20)))
            self._clock.sleep(settle_s / 50)

    def remember(self, *probes_s: float) -> None:
        """Count probes in. Those of a wait stay out: a slow spell would soon outnumber what was fast."""
        self._seen.extend(probes_s)
        self._new += len(probes_s)

    def limit_s(self) -> float:
        """The longest a probe may take for its window to count."""
        if self._new > min(_NEWS, 0.05 * len(self._seen)):
            ordered = sorted(self._seen)
            tolerance = TOLERANCE if self.cores == 1 else TOLERANCE_TOGETHER
            self._limit_s = tolerance * ordered[int(FAST_QUANTILE * (len(ordered) - 1))]
            self._new = 0
        return self._limit_s


class Timer:
    """Times competitors side by side.

    A burst lasts ``burst_s`` or until ``least_windows`` count (on several threads four times as many),
    whichever is later, but no longer than ``patience_s`` (by default six times ``burst_s``), which may be
    changed as time runs out.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rounds: int = 3,
        burst_s: float = 0.03,
        least_windows: int = 5,
        patience_s: float | None = None,
        settle_s: float = 0.1,
    ) -> None:
        self.clock = clock
        self._gates: dict[int, Gate] = {}
        self._settle_s = settle_s
        self.rounds = rounds
        self.burst_s = burst_s
        self.least_windows = least_windows
        self.patience_s = 6 * burst_s if patience_s is None else patience_s
        self.gate = self._gate_of(1)

    def measure(
        self,
        calls: Mapping[str, Call],
        *,
        threads: int = 1,
        cold: bool = False,
        evicted: bool = False,
        foreign: Collection[str] = (),
    ) -> dict[str, Timing]:
        """One pass over competitors: each gets ``rounds`` bursts, in turn.

        Those named in ``foreign`` run on threads of another library than Numba's: each burst then waits until
        the pool of the one before has gone to sleep.
        """
        before = self.clock.flush if cold else self.clock.evict if evicted else None
        seen: dict[str, list[Window]] = {name: [] for name in calls}
        gates = {name: self._gate_of(1 if name in foreign else threads) for name in calls}
        for _ in range(self.rounds):
            for name, call in calls.items():
                if threads > 1 and foreign:
                    clock = self.clock
                    wait_until_idle(wall_s=clock.wall_s, cpu_s=clock.cpu_s, sleep=clock.sleep)
                seen[name] += self._burst(call, gates[name], threads, before)
        part = QUANTILE if threads == 1 else QUANTILE_TOGETHER
        return {name: judge(windows, gates[name].limit_s(), part) for name, windows in seen.items()}

    def _gate_of(self, cores: int) -> Gate:
        if cores not in self._gates:
            self._gates[cores] = Gate(self.clock, cores)
            self._gates[cores].settle(self._settle_s)
        return self._gates[cores]

    def _burst(self, call: Call, gate: Gate, threads: int, before: Call | None) -> list[Window]:
        """Windows of one competitor for the length of a burst, or longer if few of them count."""
        per_call = min(self._time(call, 1, self.clock.wall_s, before) for _ in range(1 if before else 2))
        by_cpu = threads == 1 and per_call >= CPU_CLOCK_FROM_S
        count = 1 if before or per_call >= SHORT_WINDOW_S else math.ceil(SHORT_WINDOW_S / max(per_call, 1e-7))
        clock = self.clock.cpu_s if by_cpu else self.clock.wall_s
        limit = gate.limit_s()
        enough = self.least_windows * (1 if threads == 1 else _MORE_TOGETHER)
        windows: list[Window] = []
        start, kept = self.clock.wall_s(), 0
        deadline = start + self.patience_s
        while True:
            window = self._window(call, count, clock, before, gate, deadline)
            windows.append(window)
            kept += window.counts(limit)
            now = self.clock.wall_s()
            if now >= deadline or (kept >= enough and now >= start + self.burst_s):
                return windows

    def _wait(self, gate: Gate, deadline_s: float) -> float:
        """Probe until one is fast: a window that cannot count need not be run."""
        gate.probe_s()  # brings the probe's own values back into L1
        taken, limit_s = gate.probe_s(), gate.limit_s()
        while taken > limit_s and self.clock.wall_s() < deadline_s:
            taken = gate.probe_s()
        return taken

    def _window(
        self,
        call: Call,
        count: int,
        clock: Callable[[], float],
        before: Call | None,
        gate: Gate,
        deadline_s: float,
    ) -> Window:
        by_wall = clock == self.clock.wall_s
        probed = self._wait(gate, deadline_s)
        if before:
            before()
        waited = self.clock.waited_s() if by_wall else 0.0
        if by_wall and not before:
            call()  # reading the counters has pushed a short call's program out of the L1
        if probed <= gate.limit_s():  # else there is no time left to wait again
            probed = self._wait(gate, deadline_s)
        taken = self._time(call, count, clock, None)
        gate.probe_s()
        after = gate.probe_s()
        gate.remember(probed, after)
        waited = self.clock.waited_s() - waited if by_wall else 0.0
        return Window(taken, max(probed, after), waited / max(taken * count, 1e-9))

    def _time(self, call: Call, count: int, clock: Callable[[], float], before: Call | None) -> float:
        if before:
            before()
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count


def judge(windows: Sequence[Window], limit_s: float, part: float = QUANTILE) -> Timing:
    """The quantile ``part`` of the windows that nothing disturbed, or of the fastest quarter of all."""
    kept = [window.time_s for window in windows if window.counts(limit_s)]
    gated = len(kept) >= LEAST_KEPT
    fastest = sorted(window.time_s for window in windows)[: max(1, len(windows) // 4)]
    used = kept if gated else fastest
    time_s = float(np.quantile(used, part))
    return Timing(time_s=time_s, least_s=min(used), windows=len(windows), kept=len(kept), gated=gated)


def combine(passes: Sequence[Timing]) -> Timing:
    """One time from passes apart in time: the fastest that was gated, else the fastest."""
    trusted = [timing for timing in passes if timing.gated] or list(passes)
    times = sorted(timing.time_s for timing in trusted)
    return Timing(
        time_s=min(timing.time_s for timing in trusted),
        least_s=min(timing.least_s for timing in trusted),
        windows=sum(timing.windows for timing in passes),
        kept=sum(timing.kept for timing in passes),
        gated=any(timing.gated for timing in passes),
        spread=times[1] / times[0] - 1 if len(times) > 1 else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How far the same case lies apart from pass to pass, and how many windows the gate let through."""

    timings: int
    median_spread: float
    p90_spread: float
    kept_share: float
    not_gated: int


def noise_floor(timings: Iterable[Timing]) -> Noise:
    """The noise of a whole run; NaN where nothing was measured twice."""
    every = list(timings)
    spreads = [timing.spread for timing in every if timing.spread is not None] or [math.nan]
    windows = sum(timing.windows for timing in every)
    return Noise(
        timings=len(every),
        median_spread=float(np.quantile(spreads, 0.5)),
        p90_spread=float(np.quantile(spreads, 0.9)),
        kept_share=sum(timing.kept for timing in every) / windows if windows else math.nan,
        not_gated=sum(not timing.gated for timing in every),
    )
