"""Times that can be trusted on a machine shared with others.

Loads run at full speed or 1.25 to 1.4 times slower, switching every few milliseconds, when a neighbour uses
the same core, and no counter of the operating system sees it. So a 5 µs loop of L1 loads runs before and
after each timing window, and the window counts only if both were within 8 % of that probe's own fast
quantile. Competitors take turns in bursts inside one process. Calls over 150 µs are timed in CPU time of the
process, which leaves out what other processes took (and would show work that a competitor hands to other
threads); shorter ones, and everything on more than one thread, in wall time, and such a window does not count
if a thread of ours had to wait for a processor meanwhile. A case is measured in two
passes apart in time: each gives a median, the smaller one counts, and how far they lie apart is the noise
floor.

The cache state is part of a time: *warm* means the same call came right before, *cold* that a buffer twice
the size of the last cache was read in between.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np

from simsparse.kernels.host_loops import sum_window, window_buffer

TOLERANCE = 1.08
"""A window counts if its probes took at most this times the probe's fast quantile."""
FAST_QUANTILE = 0.02
CPU_CLOCK_FROM_S = 150e-6
"""Calls at least this long are timed in CPU time."""
PROBE_BYTES = 8192
SHORT_WINDOW_S = 50e-6
"""Short calls are repeated to fill a window of this length."""
WAIT_S = 1e-3
"""How long to wait for a fast probe before a window, or the length of one call if that is longer."""
WAITED_SHARE = 0.02
"""A window in wall time counts if our threads waited for a processor at most this part of it."""
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

    def probe(self) -> None:
        """Run the gate's loop."""

    def flush(self) -> None:
        """Read so much that no cache holds what was there before."""

    def sleep(self, seconds: float) -> None:
        """Let others run."""


class HostClock:
    """The machine at hand."""

    def __init__(self, probe_s: float = 5e-6) -> None:
        self._values = window_buffer(PROBE_BYTES)
        self._turns = 64
        self._far = window_buffer(2 * last_cache_bytes())
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

    def probe(self) -> None:
        sum_window(self._values, PROBE_BYTES // 8, self._turns)

    def flush(self) -> None:
        sum_window(self._far, 2 * last_cache_bytes() // 8, 1)

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
    """Median of the windows that counted; of several passes, the smallest median."""
    least_s: float
    """The fastest window that counted."""
    windows: int
    kept: int
    gated: bool
    """Whether enough windows counted; without, the time is the median of the fastest quarter of them all."""
    spread: float | None = None
    """Slowest over fastest pass, minus one; absent with one pass."""


class Gate:
    """Remembers how long probes took, and says what is fast."""

    def __init__(self, clock: Clock, memory: int = 20_000) -> None:
        self._clock = clock
        self._seen: deque[float] = deque(maxlen=memory)

    def probe_s(self) -> float:
        """Run one probe."""
        start = self._clock.wall_s()
        self._clock.probe()
        return self._clock.wall_s() - start

    def remember(self, *probes_s: float) -> None:
        """Count probes in. Those of a wait stay out: a slow spell would soon outnumber what was fast."""
        self._seen.extend(probes_s)

    def limit_s(self) -> float:
        """The longest a probe may take for its window to count."""
        ordered = sorted(self._seen)
        return TOLERANCE * ordered[int(FAST_QUANTILE * (len(ordered) - 1))]


class Timer:
    """Times competitors side by side."""

    def __init__(
        self, clock: Clock, *, rounds: int = 3, burst_s: float = 0.03, least_windows: int = 5
    ) -> None:
        self.clock = clock
        self.gate = Gate(clock)
        self.rounds = rounds
        self.burst_s = burst_s
        self.least_windows = least_windows
        for _ in range(50):
            self.gate.remember(*(self.gate.probe_s() for _ in range(20)))
            clock.sleep(2e-3)

    def measure(
        self, calls: Mapping[str, Call], *, threads: int = 1, cold: bool = False
    ) -> dict[str, Timing]:
        """One pass over competitors: each gets ``rounds`` bursts, in turn."""
        seen: dict[str, list[Window]] = {name: [] for name in calls}
        for _ in range(self.rounds):
            for name, call in calls.items():
                if threads > 1:
                    self.settle()
                seen[name] += self._burst(call, threads, cold)
        limit = self.gate.limit_s()
        return {name: judge(windows, limit) for name, windows in seen.items()}

    def settle(self, patience_s: float = 0.4) -> None:
        """Wait until the thread pools of the last competitor stop spinning."""
        deadline = self.clock.wall_s() + patience_s
        while self.clock.wall_s() < deadline:
            wall, cpu = self.clock.wall_s(), self.clock.cpu_s()
            self.clock.sleep(0.002)
            if self.clock.cpu_s() - cpu < 0.2 * (self.clock.wall_s() - wall):
                return

    def _burst(self, call: Call, threads: int, cold: bool) -> list[Window]:
        """Windows of one competitor for the length of a burst, up to six of them if few windows count."""
        per_call = min(self._time(call, 1, self.clock.wall_s, cold) for _ in range(2))
        by_cpu = threads == 1 and per_call >= CPU_CLOCK_FROM_S
        count = 1 if cold or per_call >= SHORT_WINDOW_S else math.ceil(SHORT_WINDOW_S / max(per_call, 1e-7))
        clock = self.clock.cpu_s if by_cpu else self.clock.wall_s
        limit = self.gate.limit_s()
        windows: list[Window] = []
        start, kept = self.clock.wall_s(), 0
        while True:
            window = self._window(call, count, clock, cold, limit, per_call)
            windows.append(window)
            kept += window.counts(limit)
            taken = self.clock.wall_s() - start
            if taken >= self.burst_s * (1 if kept >= self.least_windows else 3 if kept >= LEAST_KEPT else 6):
                return windows

    def _wait(self, limit_s: float, patience_s: float) -> float:
        """Probe until one is fast, for a while: a window that cannot count need not be run."""
        self.clock.probe()  # brings the probe's own values back into L1
        deadline = self.clock.wall_s() + patience_s
        taken = self.gate.probe_s()
        while taken > limit_s and self.clock.wall_s() < deadline:
            taken = self.gate.probe_s()
        return taken

    def _window(
        self,
        call: Call,
        count: int,
        clock: Callable[[], float],
        cold: bool,
        limit_s: float,
        patience_s: float,
    ) -> Window:
        if cold:
            self.clock.flush()
        by_wall = clock == self.clock.wall_s
        waited = self.clock.waited_s() if by_wall else 0.0
        if by_wall and not cold:
            call()  # reading the counters has pushed a short call's program out of the L1
        before = self._wait(limit_s, max(WAIT_S, patience_s))
        taken = self._time(call, count, clock, False)
        self.clock.probe()
        after = self.gate.probe_s()
        self.gate.remember(before, after)
        waited = self.clock.waited_s() - waited if by_wall else 0.0
        return Window(taken, max(before, after), waited / max(taken * count, 1e-9))

    def _time(self, call: Call, count: int, clock: Callable[[], float], cold: bool) -> float:
        if cold:
            self.clock.flush()
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count


def judge(windows: Sequence[Window], limit_s: float) -> Timing:
    """The median of the windows that nothing disturbed."""
    kept = [window.time_s for window in windows if window.counts(limit_s)]
    gated = len(kept) >= LEAST_KEPT
    fastest = sorted(window.time_s for window in windows)[: max(1, len(windows) // 4)]
    used = kept if gated else fastest
    return Timing(time_s=median(used), least_s=min(used), windows=len(windows), kept=len(kept), gated=gated)


def combine(passes: Sequence[Timing]) -> Timing:
    """One time from passes apart in time: the fastest that was gated, else the fastest."""
    trusted = [timing for timing in passes if timing.gated] or list(passes)
    times = [timing.time_s for timing in passes]
    return Timing(
        time_s=min(timing.time_s for timing in trusted),
        least_s=min(timing.least_s for timing in trusted),
        windows=sum(timing.windows for timing in passes),
        kept=sum(timing.kept for timing in passes),
        gated=any(timing.gated for timing in passes),
        spread=max(times) / min(times) - 1 if len(times) > 1 else None,
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
