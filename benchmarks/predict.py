"""Predicted against measured times of our kernels, and what following the prediction costs.

    python benchmarks/predict.py [--cases 200] [--seed 0] [--threads 1] [--on host]
    python benchmarks/predict.py --csv FILE --start 0 --cases 50      # then --start 50 …: FILE adds up
    python benchmarks/predict.py --csv FILE --passes 0 [--on FILE]    # predict again, measure nothing

Random products, none of which the calibration has seen: shapes, widths, densities, patterns. Every kernel
that could run a case is timed in two passes apart in time (see ``simsparse/measure/timing.py``), and the
spread of the passes is printed beside the error as the noise floor. *Regret* is the time of the kernel that
the prediction chooses over that of the fastest, dense among them, where layers over 3 MB find nothing in the
caches; less than 5 % is a tie. Run ``simsparse calibrate`` first.

With ``--csv`` every timing is added to a file as it comes, and the figures are those of all timings in it for
the seed and the threads: long runs go in pieces, and the same piece once more is a further pass. On several
threads times are those of a clock on the wall, a window counts if no thread had to wait for a processor, and
the fastest tenth of the windows tells the time.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.predict_timings import HeldOut, append, combined, read
from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import HardwareModel
from simsparse.load.catalog import load_hardware
from simsparse.measure.calibrate_cases import COLD_FROM_BYTES, PATTERNS, ProductCase, make_mask
from simsparse.measure.calibrate_collect import states
from simsparse.measure.calibrate_fit import product_of
from simsparse.measure.calibrate_timing import Sample, block_rows, make_ready, time_case
from simsparse.measure.predict import Candidate, fastest, predict
from simsparse.measure.timing import HostClock, Timer, noise_floor

MOST_WEIGHTS = 24e6
MOST_MACS = 5e8
TIE = 1.05
GOALS = {1: (0.05, 0.18), 2: (0.08, 0.25)}
"""Median and 90th percentile of the error, by threads."""
REGRET_GOALS = (1.02, 1.25)
_WIDTHS = (8, 10, 8, 9, 8, 17, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kernel in one case, measured in all passes and predicted."""

    sample: Sample
    predicted_s: float
    place: int = 0

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted_s / self.sample.timing.time_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The kernels of one case in one state of the caches: what each took, and what was expected."""

    rows: Sequence[Row]

    @property
    def chosen(self) -> Row:
        """The one that the prediction takes."""
        name = fastest({row.sample.kernel: row.predicted_s for row in self.rows})
        return next(row for row in self.rows if row.sample.kernel == name)

    @property
    def best(self) -> Row:
        """The one that was fastest."""
        return min(self.rows, key=lambda row: row.sample.timing.time_s)

    @property
    def regret(self) -> float:
        """Time of the chosen one over that of the best; 1 where they tie."""
        ratio = self.chosen.sample.timing.time_s / self.best.sample.timing.time_s
        return ratio if ratio > TIE else 1.0


def random_cases(count: int, seed: int) -> Iterator[ProductCase]:
    """Sizes even on a logarithmic scale; a third of the widths are powers of two, a quarter one column."""
    generator = np.random.default_rng(seed)
    made = 0
    while made < count:
        pattern = PATTERNS[int(generator.choice(5, p=(0.45, 0.2, 0.1, 0.15, 0.1)))]
        n = _width(generator)
        step = 16 if n > 1 else 64
        m, k = (step * round(2 ** generator.uniform(6, 13) / step) for _ in range(2))
        if not (m and k) or m * k > MOST_WEIGHTS or m * k * n > MOST_MACS:
            continue
        made += 1
        density = 0.5 if pattern == "2:4" else float(generator.uniform(0.02, 0.9))
        yield ProductCase(m=m, k=k, n=n, pattern=pattern, density=density)


def _width(generator: np.random.Generator) -> int:
    kind = generator.random()
    if kind < 0.25:
        return 1
    if kind < 0.55:
        return int(2 ** generator.integers(1, 11))
    return int(2 ** generator.uniform(1, 10))


def measure_cases(
    timer: Timer, cases: Sequence[tuple[int, ProductCase]], seed: int, threads: int, passes: int
) -> Iterator[HeldOut]:
    """Warm times of every kernel, and cold ones where a case is large, pass by pass."""
    for turn in range(passes):
        for done, (place, case) in enumerate(cases):
            ready = make_ready(case, seed + place, threads)
            for sample in time_case(timer, ready, threads=threads, cold=states(case)):
                yield HeldOut(seed=seed, place=place, sample=sample)
            if done % 20 == 19:
                print(f"pass {turn + 1}: {done + 1} of {len(cases)} cases", file=sys.stderr, flush=True)


def predict_rows(machine: HardwareModel, found: Sequence[HeldOut]) -> tuple[list[Row], float]:
    """A prediction beside each timing, and microseconds per candidate once the zeros are counted."""
    weights: dict[tuple[int, int], WeightOperand] = {}
    for one in found:
        case, where = one.sample.case, (one.seed, one.place)
        if where not in weights:
            weights[where] = WeightOperand(case.m, case.k, make_mask(case, one.seed + one.place))
    asked = [
        Candidate(
            product=product_of(one.sample.case, one.sample.threads, cold=one.sample.cold),
            weights=weights[one.seed, one.place],
            kernel=one.sample.kernel,
            block_rows=block_rows(one.sample.case),
        )
        for one in found
    ]
    times = predict(machine, asked)
    taken_us = 1e6 * min(_seconds(machine, asked) for _ in range(5)) / len(asked)
    rows = [
        Row(sample=one.sample, predicted_s=taken, place=one.place)
        for one, taken in zip(found, times, strict=True)
    ]
    return rows, taken_us


def _seconds(machine: HardwareModel, asked: Sequence[Candidate]) -> float:
    start = time.perf_counter()
    predict(machine, asked)
    return time.perf_counter() - start


def choices(rows: Sequence[Row], *, cold_where_large: bool, dense: bool = True) -> list[Choice]:
    """Case by case the kernels to choose from."""
    found: dict[tuple[int, ProductCase], list[Row]] = {}
    for row in rows:
        case = row.sample.case
        cold = cold_where_large and case.dense_bytes > COLD_FROM_BYTES
        if row.sample.cold == cold and (dense or row.sample.kernel != "dense"):
            found.setdefault((row.place, case), []).append(row)
    return [Choice(rows=those) for those in found.values()]


def regrets(rows: Sequence[Row], *, cold_where_large: bool, dense: bool = True) -> list[float]:
    """Time of the chosen kernel over the fastest one's, case by case; 1 where they tie."""
    return [one.regret for one in choices(rows, cold_where_large=cold_where_large, dense=dense)]


def show(rows: Sequence[Row], threads: int, prediction_us: float) -> None:
    """Errors by kernel and region, noise beside them, the worst, regret, and the goals."""
    warm = [row for row in rows if not row.sample.cold]
    print(f"\n{threads} thread{'s' * (threads > 1)}: {len(warm)} warm timings")
    heads = ("timings", "median %", "p90 %", "worst %", "bias %", "noise: median %", "p90 %")
    print(f"{'':14}" + "".join(f"{head:>{width}}" for head, width in zip(heads, _WIDTHS, strict=True)))
    for kernel in dict.fromkeys(row.sample.kernel for row in warm):
        _line(kernel, [row for row in warm if row.sample.kernel == kernel])
    for name, inside in _REGIONS.items():
        _line(name, [row for row in warm if inside(row.sample.case)])
    _line("all", warm)
    _line("cold", [row for row in rows if row.sample.cold])
    gated = [row for row in warm if row.sample.timing.gated]
    spent = f"{prediction_us:.0f} us per prediction, all at once, zeros counted before"
    print(f"gated: {len(gated)} of {len(warm)}; {spent}")
    _worst(rows)
    _verdicts(rows, gated or warm, threads)


_REGIONS: dict[str, Callable[[ProductCase], bool]] = {
    "n = 1": lambda case: case.n == 1,
    "n = 2 to 16": lambda case: 2 <= case.n <= 16,
    "n = 17 to 63": lambda case: 17 <= case.n <= 63,
    "n >= 64": lambda case: case.n >= 64,
    "below 3 MB": lambda case: case.dense_bytes < 3e6,
    "3 to 12 MB": lambda case: 3e6 <= case.dense_bytes < 12e6,
    "from 12 MB": lambda case: case.dense_bytes >= 12e6,
}


def _line(name: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    errors = np.array([row.error for row in rows])
    size = np.abs(errors)
    noise = noise_floor([row.sample.timing for row in rows])
    print(
        f"{name:14}{len(rows):8}{100 * np.median(size):10.1f}{100 * np.quantile(size, 0.9):8.1f}"
        f"{100 * size.max():9.0f}{100 * np.median(errors):+8.1f}"
        f"{100 * noise.median_spread:17.1f}{100 * noise.p90_spread:7.1f}"
    )


def _worst(rows: Sequence[Row], count: int = 5) -> None:
    """The choices that cost most, and the largest errors."""
    found = sorted(choices(rows, cold_where_large=True), key=lambda one: -one.regret)
    print("worst choices: (microseconds measured / predicted, spread of the passes)")
    for choice in [one for one in found if one.regret > 1][:count]:
        kernels = sorted(choice.rows, key=lambda row: row.sample.timing.time_s)
        times = ", ".join(("*" if row is choice.chosen else "") + _times(row) for row in kernels)
        print(f"  {choice.regret:.2f}  {_where(choice.rows[0])}: {times}")
    print("largest errors:")
    for row in sorted(rows, key=lambda row: -abs(math.log1p(row.error)))[: 2 * count]:
        print(f"  {100 * row.error:+5.0f} %  {_where(row)}: {_times(row)}")


def _where(row: Row) -> str:
    return f"{row.place} {row.sample.case.label}{' cold' if row.sample.cold else ''}"


def _times(row: Row) -> str:
    timing = row.sample.timing
    spread = "" if timing.spread is None else f", {100 * timing.spread:.0f} %"
    return f"{row.sample.kernel} {1e6 * timing.time_s:.0f} / {1e6 * row.predicted_s:.0f}{spread}"


def _verdicts(rows: Sequence[Row], gated: Sequence[Row], threads: int) -> None:
    errors = np.abs([row.error for row in gated])
    regret = regrets(rows, cold_where_large=True)
    sparse = regrets(rows, cold_where_large=True, dense=False)
    warm = regrets(rows, cold_where_large=False)
    median_goal, p90_goal = GOALS.get(threads, GOALS[2])
    told = (
        ("median error of gated timings", float(np.median(errors)), median_goal, "{:.1%}"),
        ("90th percentile", float(np.quantile(errors, 0.9)), p90_goal, "{:.1%}"),
        ("regret, geometric mean", _geomean(regret), REGRET_GOALS[0], "{:.3f}"),
        ("regret, worst", max(regret), REGRET_GOALS[1], "{:.3f}"),
    )
    for name, value, goal, form in told:
        mark = "ok  " if value <= goal else "MISS"
        print(f"{mark} {name}: {form.format(value)} (goal {form.format(goal)})")
    print(
        f"     sparse kernels only: {_geomean(sparse):.3f}, worst {max(sparse):.3f};"
        f" large layers warm: {_geomean(warm):.3f}, worst {max(warm):.3f};"
        f" ties or right: {100 * np.mean(np.array(regret) <= 1):.0f} %"
    )


def _geomean(values: Sequence[float]) -> float:
    return math.exp(float(np.mean(np.log(values))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200, help="how many (default 200)")
    parser.add_argument(
        "--start", type=int, default=0, help="how many of the seed's cases to leave out first"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=2, help="0 measures nothing")
    parser.add_argument("--on", default="host", help="a calibrated host, or its file")
    parser.add_argument("--csv", type=Path, help="timings of this and earlier runs")
    asked = parser.parse_args(arguments)
    machine = load_hardware(asked.on)
    if asked.threads > machine.units:
        parser.error(f"--threads: expected at most the {machine.units} that {machine.name} was calibrated on")
    found: list[HeldOut] = []
    if asked.passes:
        patience_s = 0.5 if asked.threads == 1 else 0.3  # a wait for all cores at once may be in vain
        timer = Timer(
            HostClock(), rounds=2, burst_s=4e-3, least_windows=5, patience_s=patience_s, settle_s=0.5
        )
        cases = list(enumerate(random_cases(asked.start + asked.cases, asked.seed)))[asked.start :]
        for one in measure_cases(timer, cases, asked.seed, asked.threads, asked.passes):
            found.append(one)
            if asked.csv:
                append(asked.csv, [one])
    if asked.csv:
        found = [
            one for one in read(asked.csv) if (one.seed, one.sample.threads) == (asked.seed, asked.threads)
        ]
    rows, prediction_us = predict_rows(machine, combined(found))
    show(rows, asked.threads, prediction_us)


if __name__ == "__main__":
    main()
