"""Waiting for thread pools to go to sleep."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from simsparse.formats import encode
from simsparse.measure.idle import wait_until_idle
from simsparse.packed import prepare


class Machine:
    """Somebody is busy until a point in time; the system counts their time only every 10 ms."""

    def __init__(self, busy_until: float) -> None:
        self.now, self.busy_until = 0.0, busy_until

    def wall_s(self) -> float:
        return self.now

    def cpu_s(self) -> float:
        return math.floor(min(self.now, self.busy_until) / 0.01) * 0.01

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self) -> float:
        wait_until_idle(wall_s=self.wall_s, cpu_s=self.cpu_s, sleep=self.sleep)
        return self.now


@pytest.mark.parametrize("busy_until", [0.001, 0.03, 0.1])
def test_waits_until_nobody_is_busy(busy_until: float) -> None:
    assert busy_until <= Machine(busy_until).wait() < busy_until + 0.06


def test_does_not_wait_for_ever() -> None:
    assert Machine(math.inf).wait() == pytest.approx(0.4, abs=0.03)


def test_a_thread_at_work_is_seen() -> None:
    """On the system's own clocks."""
    ends = time.perf_counter() + 0.2

    def work() -> None:
        values = np.zeros(1 << 16)
        while time.perf_counter() < ends:
            values += 1.0  # without the interpreter's lock, as library threads are

    worker = threading.Thread(target=work)
    worker.start()
    wait_until_idle()
    seen = time.perf_counter()
    worker.join()
    assert seen >= ends


def test_own_pool_goes_to_sleep() -> None:
    packed = prepare(encode(np.ones((256, 256), np.float32), "dense"), 128, threads=2, kernel="dense")
    packed.multiply(np.ones((256, 128), np.float32))
    started = time.perf_counter()
    wait_until_idle(patience_s=10.0)
    assert time.perf_counter() - started < 9.0
