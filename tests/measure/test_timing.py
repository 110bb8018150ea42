"""The gated timer on a clock that the test moves."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from simsparse.measure.timing import LEAST_KEPT, HostClock, Timer, Timing, Window, combine, judge, noise_floor

FAST_S, SLOW_S = 5e-6, 7e-6


class FakeClock:
    """Time passes only in probes, sleeps and calls; ``slow`` says when probes (and calls) are slow."""

    def __init__(self, slow: Callable[[float], bool] = lambda _: False) -> None:
        self.now = self.cpu = self.waited = 0.0
        self.slow = slow
        self.flushes = self.evictions = 0

    def wall_s(self) -> float:
        return self.now

    def cpu_s(self) -> float:
        return self.cpu

    def waited_s(self) -> float:
        return self.waited

    def probe(self, cores: int = 1) -> None:  # noqa: ARG002
        self.run(SLOW_S if self.slow(self.now) else FAST_S)

    def flush(self) -> None:
        self.flushes += 1
        self.run(5e-3)

    def evict(self) -> None:
        self.evictions += 1
        self.run(1e-4)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, seconds: float, waiting_s: float = 0.0) -> None:
        """Work for some seconds, after waiting for a processor."""
        self.now += seconds + waiting_s
        self.cpu += seconds
        self.waited += waiting_s

    def call(self, seconds: float) -> Callable[[], None]:
        """A competitor that takes 1.4 times as long while the neighbour is busy."""
        return lambda: self.run(seconds * (1.4 if self.slow(self.now) else 1.0))


def one(clock: FakeClock, call: Callable[[], object], **options: object) -> Timing:
    return Timer(clock).measure({"it": call}, **options)["it"]  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [1e-6, 40e-6, 149e-6, 151e-6, 5e-3, 0.2])
def test_a_quiet_machine_gives_the_true_time(seconds: float) -> None:
    timing = one(clock := FakeClock(), clock.call(seconds))
    assert timing.gated
    assert timing.kept == timing.windows >= LEAST_KEPT
    assert timing.time_s == pytest.approx(seconds, rel=1e-6)
    assert timing.least_s == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize("busy_share", [0.3, 0.7])
def test_a_neighbour_that_comes_and_goes_does_not_show(busy_share: float) -> None:
    clock = FakeClock(lambda now: now * 500 % 1 < busy_share)  # turns of 2 ms
    timing = one(clock, clock.call(200e-6))
    assert timing.gated
    assert timing.kept < timing.windows
    assert timing.time_s == pytest.approx(200e-6, rel=1e-6)


def test_a_neighbour_that_stays_is_reported() -> None:
    clock = FakeClock()
    timer = Timer(clock)
    clock.slow = lambda _: True
    timing = timer.measure({"it": clock.call(200e-6)})["it"]
    assert not timing.gated
    assert timing.kept == 0
    assert timing.time_s == pytest.approx(280e-6, rel=1e-6)


def test_long_calls_leave_out_waiting_for_the_processor() -> None:
    clock = FakeClock()
    timing = one(clock, lambda: clock.run(1e-3, waiting_s=3e-3))
    assert timing.gated
    assert timing.time_s == pytest.approx(1e-3)


@pytest.mark.parametrize(("threads", "seconds"), [(1, 20e-6), (2, 20e-6), (2, 2e-3)])
def test_windows_in_wall_time_do_not_count_when_threads_waited(threads: int, seconds: float) -> None:
    clock = FakeClock()
    turn = iter(range(10**9))
    timing = one(
        clock,
        lambda: clock.run(seconds, waiting_s=seconds if next(turn) // 4 % 2 else 0.0),
        threads=threads,
    )
    assert timing.gated
    assert timing.kept < timing.windows
    assert timing.time_s == pytest.approx(seconds)


def test_competitors_take_turns_in_bursts() -> None:
    clock = FakeClock()
    order: list[str] = []

    def record(name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            order.append(name)
            clock.run(seconds)

        return call

    timings = Timer(clock, rounds=3).measure({"a": record("a", 1e-3), "b": record("b", 4e-3)})
    changes = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert changes == ["a", "b"] * 3
    assert timings["a"].time_s == pytest.approx(1e-3)
    assert timings["b"].time_s == pytest.approx(4e-3)


def test_cold_flushes_before_every_call_and_does_not_time_it() -> None:
    clock = FakeClock()
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.run(20e-6)

    timing = one(clock, call, cold=True)
    assert clock.flushes == calls
    assert timing.time_s == pytest.approx(20e-6, rel=1e-6)


def test_evicted_goes_through_one_cores_caches_before_every_call() -> None:
    clock = FakeClock()
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.run(20e-6)

    timing = one(clock, call, evicted=True)
    assert (clock.flushes, clock.evictions) == (0, calls)
    assert timing.time_s == pytest.approx(20e-6, rel=1e-6)


def test_judge_takes_the_lower_quartile_of_what_counts() -> None:
    good = [Window(t, FAST_S) for t in (3.0, 1.0, 9.0, 2.0, 8.0)]
    bad = [Window(0.1, SLOW_S), Window(0.2, FAST_S, waited_share=0.5)]
    timing = judge([*good, *bad], FAST_S * 1.08)
    assert (timing.time_s, timing.least_s, timing.windows, timing.kept) == (2.0, 1.0, 7, 5)
    assert timing.gated


def test_judge_without_enough_windows_takes_the_fastest_quarter_and_says_so() -> None:
    windows = [Window(float(t), SLOW_S) for t in range(1, 9)] + [Window(50.0, FAST_S)]
    timing = judge(windows, FAST_S * 1.08)
    assert (timing.time_s, timing.kept, timing.gated) == (1.25, 1, False)


def timing_of(time_s: float, *, gated: bool = True) -> Timing:
    return Timing(time_s=time_s, least_s=time_s, windows=10, kept=8 if gated else 1, gated=gated)


def test_passes_combine_to_the_fastest_that_was_gated() -> None:
    both = combine([timing_of(1.0), timing_of(1.2)])
    assert (both.time_s, both.windows, both.kept, both.gated) == (1.0, 20, 16, True)
    assert both.spread == pytest.approx(0.2)
    assert combine([timing_of(1.0, gated=False), timing_of(1.2)]).time_s == 1.2
    assert not combine([timing_of(1.0, gated=False)] * 2).gated
    assert combine([timing_of(1.0)]).spread is None


def test_noise_floor_counts_everything() -> None:
    noise = noise_floor(
        [combine([timing_of(1.0), timing_of(slow)]) for slow in (1.0, 1.1, 1.3)]
        + [combine([timing_of(1.0, gated=False)] * 2)]
    )
    assert (noise.timings, noise.not_gated) == (4, 1)
    assert noise.median_spread == pytest.approx(0.05)
    assert noise.kept_share == pytest.approx((3 * 16 + 2) / 80)
    assert math.isnan(noise_floor([timing_of(1.0)]).median_spread)


@pytest.mark.parametrize(("foreign", "cores"), [((), {2}), (("it",), {1})])
def test_the_probe_runs_on_all_cores_unless_the_threads_are_another_librarys(
    foreign: tuple[str, ...], cores: set[int]
) -> None:
    clock = FakeClock()
    probed: set[int] = set()
    timer = Timer(clock)
    probe = clock.probe
    clock.probe = lambda cores=1: (probed.add(cores), probe())[1]  # type: ignore[method-assign]
    timing = timer.measure({"it": clock.call(1e-3)}, threads=2, foreign=foreign)["it"]
    assert probed == cores
    assert timing.gated
    assert timing.time_s == pytest.approx(1e-3)


def test_a_slow_second_core_stops_windows_on_two_threads_only() -> None:
    clock = FakeClock()
    timer = Timer(clock)
    timer.measure({"it": clock.call(1e-3)}, threads=2)  # learns what is fast
    probe = clock.probe
    clock.probe = lambda cores=1: clock.run(SLOW_S) if cores == 2 else probe()  # type: ignore[method-assign]
    assert timer.measure({"it": clock.call(1e-3)})["it"].gated
    assert not timer.measure({"it": clock.call(1e-3)}, threads=2)["it"].gated


def test_two_threads_take_their_time_from_the_few_windows_left_alone() -> None:
    clock, calls = FakeClock(), 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.run(1e-3 if calls % 6 == 0 else 1.5e-3)  # a neighbour between the probes

    timer = Timer(clock)
    assert timer.measure({"it": call}, threads=2)["it"].time_s == pytest.approx(1e-3, rel=1e-6)
    assert timer.measure({"it": call})["it"].time_s == pytest.approx(1.5e-3, rel=1e-6)


def test_the_host_probes_several_cores() -> None:
    clock = HostClock()
    clock.probe(2)
    start = clock.wall_s()
    clock.probe(2)
    assert clock.wall_s() > start
