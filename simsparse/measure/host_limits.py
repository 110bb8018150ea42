"""What this machine can do at most: fused multiply-adds from registers, and reads by footprint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from simsparse.kernels.host_loops import FMA_SUMS, LANES, fma_loop, sum_window, window_buffer

FOOTPRINTS = tuple(2**power for power in range(14, 28))
"""16 KiB to 128 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Measured limits of ``threads`` threads together."""

    threads: int
    fma_flops: float
    """fp32 operations per second, an FMA counted as two."""
    footprint_bytes: tuple[int, ...]
    """Per thread, each reading a buffer of its own."""
    read_bytes_per_s: tuple[float, ...]

    @property
    def dram_bytes_per_s(self) -> float:
        """The rate of the largest footprint."""
        return self.read_bytes_per_s[-1]

    def read_rate(self, footprint_bytes: float) -> float:
        """Bytes per second of sequential reads of a footprint split evenly over the threads."""
        share = footprint_bytes / self.threads
        return float(np.interp(np.log(share), np.log(self.footprint_bytes), self.read_bytes_per_s))


def measure_limits(
    threads: int, footprints: Sequence[int] = FOOTPRINTS, *, repeats: int = 30, work_s: float = 3e-3
) -> Limits:
    """Best of ``repeats`` short runs of each loop: a limit is what the machine does when left alone."""
    turns = round(work_s * 500e6)  # a turn takes six cycles on a core that starts two FMAs in each
    per_turn = 2 * FMA_SUMS * LANES * threads
    factor, addend = np.float32(0.999), np.float32(1e-3)
    jobs = [lambda: fma_loop(turns, factor, addend)] * threads
    with ThreadPoolExecutor(threads) as pool:
        flops = turns * per_turn / _best_s(pool, jobs, 2 * repeats)
        rates = [_read_rate(pool, threads, size, repeats, work_s) for size in footprints]
    return Limits(
        threads=threads, fma_flops=flops, footprint_bytes=tuple(footprints), read_bytes_per_s=tuple(rates)
    )


def best_limits(one: Limits, other: Limits) -> Limits:
    """The better of two measurements, value by value."""
    rates = map(max, one.read_bytes_per_s, other.read_bytes_per_s)
    return replace(one, fma_flops=max(one.fma_flops, other.fma_flops), read_bytes_per_s=tuple(rates))


def _read_rate(pool: ThreadPoolExecutor, threads: int, size: int, repeats: int, work_s: float) -> float:
    turns = max(1, round(work_s * 30e9 / size))
    buffers = [window_buffer(size) for _ in range(threads)]
    jobs = [lambda buffer=buffer: sum_window(buffer, size // 8, turns) for buffer in buffers]
    return threads * size * turns / _best_s(pool, jobs, repeats)


def _best_s(pool: ThreadPoolExecutor, jobs: Sequence[Callable[[], object]], repeats: int) -> float:
    def timed(job: Callable[[], object]) -> tuple[float, float]:
        start = time.perf_counter()
        job()
        return start, time.perf_counter()

    for job in jobs:
        job()
    best = float("inf")
    for _ in range(repeats):
        spans = list(pool.map(timed, jobs))
        best = min(best, max(end for _, end in spans) - min(start for start, _ in spans))
    return best
