"""Predicted against measured times of our kernels, and what following the prediction costs.

    python benchmarks/predict.py [--cases 200] [--seed 0] [--threads 1 2] [--on host] [--csv FILE]

Random products, none of which the calibration has seen: shapes, widths, densities, patterns. Every kernel
that could run a case is timed in two passes apart in time (see ``simsparse/measure/timing.py``), and the
spread of the passes is printed beside the error as the noise floor. *Regret* is the time of the kernel that
the prediction chooses over that of the fastest, dense among them, where layers over 3 MB find nothing in the
caches; less than 5 % is a tie. Run ``simsparse calibrate`` first.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from simsparse.dataflows.task import WeightOperand
from simsparse.hardware import HardwareModel
from simsparse.load.catalog import load_hardware
from simsparse.measure.calibrate_cases import COLD_FROM_BYTES, PATTERNS, ProductCase, make_mask
from simsparse.measure.calibrate_fit import product_of
from simsparse.measure.calibrate_timing import Sample, block_rows, make_ready, time_case
from simsparse.measure.predict import Candidate, fastest, predict
from simsparse.measure.timing import HostClock, Timer, combine, noise_floor

MOST_WEIGHTS = 24e6
MOST_MACS = 5e8
TIE = 1.05
GOALS = {1: (0.05, 0.18), 2: (0.08, 0.25)}
"""Median and 90th percentile of the error, by threads."""
REGRET_GOALS = (1.02, 1.25)
_WIDTHS = (8, 10, 8, 9, 17, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kernel in one case, measured in all passes and predicted."""

    sample: Sample
    predicted_s: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted_s / self.sample.timing.time_s - 1


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
    timer: Timer, cases: Sequence[ProductCase], seed: int, threads: int, passes: int
) -> list[Sample]:
    """Warm times of every kernel, and cold ones where a case is large; the fastest gated pass of each."""
    seen: dict[tuple[int, str, bool], list[Sample]] = {}
    for turn in range(passes):
        for place, case in enumerate(cases):
            cold = (False, True) if case.dense_bytes > COLD_FROM_BYTES else (False,)
            ready = make_ready(case, seed + place, threads)
            for sample in time_case(timer, ready, threads=threads, cold=cold):
                seen.setdefault((place, sample.kernel, sample.cold), []).append(sample)
            if place % 20 == 19:
                print(f"pass {turn + 1}: {place + 1} of {len(cases)} cases", file=sys.stderr, flush=True)
    return [replace(those[0], timing=combine([sample.timing for sample in those])) for those in seen.values()]


def predict_rows(
    machine: HardwareModel, samples: Sequence[Sample], cases: Sequence[ProductCase], seed: int
) -> tuple[list[Row], float]:
    """A prediction beside each sample, and microseconds per candidate once the zeros are counted."""
    weights = {
        id(case): WeightOperand(case.m, case.k, make_mask(case, seed + place))
        for place, case in enumerate(cases)
    }
    asked = [
        Candidate(
            product=product_of(sample.case, sample.threads, cold=sample.cold),
            weights=weights[id(sample.case)],
            kernel=sample.kernel,
            block_rows=block_rows(sample.case),
        )
        for sample in samples
    ]
    predict(machine, asked)
    start = time.perf_counter()
    times = predict(machine, asked)
    taken_us = 1e6 * (time.perf_counter() - start) / len(asked)
    rows = [Row(sample=sample, predicted_s=taken) for sample, taken in zip(samples, times, strict=True)]
    return rows, taken_us


def regrets(rows: Sequence[Row], *, cold_where_large: bool, dense: bool = True) -> list[float]:
    """Time of the chosen kernel over the fastest one's, case by case; 1 where they tie."""
    found = []
    for case in {id(row.sample.case): row.sample.case for row in rows}.values():
        cold = cold_where_large and case.dense_bytes > COLD_FROM_BYTES
        those = [
            row
            for row in rows
            if row.sample.case is case and row.sample.cold == cold and (dense or row.sample.kernel != "dense")
        ]
        measured = {row.sample.kernel: row.sample.timing.time_s for row in those}
        chosen = fastest({row.sample.kernel: row.predicted_s for row in those})
        ratio = measured[chosen] / min(measured.values())
        found.append(ratio if ratio > TIE else 1.0)
    return found


def show(rows: Sequence[Row], threads: int, prediction_us: float) -> None:
    """Errors by kernel, noise beside them, regret, and the goals."""
    warm = [row for row in rows if not row.sample.cold]
    print(f"\n{threads} thread{'s' * (threads > 1)}: {len(warm)} warm timings")
    heads = zip(("timings", "median %", "p90 %", "worst %", "noise: median %", "p90 %"), _WIDTHS, strict=True)
    print("".join([f"{'kernel':14}", *(f"{head:>{width}}" for head, width in heads)]))
    kernels = dict.fromkeys(row.sample.kernel for row in warm)
    for name in (*kernels, "all", "cold"):
        those = [row for row in rows if row.sample.cold] if name == "cold" else [
            row for row in warm if name in ("all", row.sample.kernel)
        ]  # fmt: skip
        if not those:
            continue
        errors = np.abs([row.error for row in those])
        noise = noise_floor([row.sample.timing for row in those])
        print(
            f"{name:14}{len(those):8}{100 * np.median(errors):10.1f}{100 * np.quantile(errors, 0.9):8.1f}"
            f"{100 * errors.max():9.0f}{100 * noise.median_spread:17.1f}{100 * noise.p90_spread:7.1f}"
        )
    gated = [row for row in warm if row.sample.timing.gated]
    print(f"gated: {len(gated)} of {len(warm)}; {prediction_us:.0f} us per prediction, zeros counted before")
    _verdicts(rows, gated or warm, threads)


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


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Every timing with its prediction."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("case", "kernel", "threads", "cold", "gated", "measured_s", "predicted_s", "spread"))
        for row in rows:
            s = row.sample
            writer.writerow(
                (
                    *(s.case.label, s.kernel, s.threads, s.cold, s.timing.gated),
                    *(s.timing.time_s, row.predicted_s, s.timing.spread),
                )
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--on", default="host", help="a calibrated host, or its file")
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args(arguments)
    machine = load_hardware(asked.on)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    timer = Timer(HostClock(), rounds=2, burst_s=8e-3, least_windows=3)
    every = []
    for threads in asked.threads:
        cases = list(random_cases(asked.cases, asked.seed))
        samples = measure_cases(timer, cases, asked.seed, threads, asked.passes)
        rows, prediction_us = predict_rows(machine, samples, cases, asked.seed)
        show(rows, threads, prediction_us)
        every += rows
    if asked.csv:
        write_csv(asked.csv, every)


if __name__ == "__main__":
    main()
