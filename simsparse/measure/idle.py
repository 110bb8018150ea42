"""Waiting until the thread pools of a library have gone to sleep.

Worker threads go on looking for work for some milliseconds after a product (OpenBLAS's for about 20), and
take processors from whoever runs next.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_WINDOW_S = 0.025
"""The system counts the CPU time of a thread on another core only at its ticks, up to 10 ms apart."""
_BUSY = 0.2
"""CPU seconds per second from which on somebody is at work."""

Seconds = Callable[[], float]


def wait_until_idle(
    patience_s: float = 0.4,
    *,
    wall_s: Seconds = time.perf_counter,
    cpu_s: Seconds = time.process_time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sleep until the other threads of this process do next to nothing, but no longer than ``patience_s``."""
    deadline = wall_s() + patience_s
    while wall_s() < deadline:
        wall, cpu = wall_s(), cpu_s()
        sleep(_WINDOW_S)
        if cpu_s() - cpu < _BUSY * (wall_s() - wall):
            return
