"""Our sparse products beside what people use today, on this machine.

    python benchmarks/kernels.py [--quick] [--threads 1 2] [--kinds conv …] [--cold] [--markdown] [--csv FILE]

Compares with scipy, MKL, torch (CSR, BSR, dense, convolution), NumPy and onnxruntime; those that are not
installed are named and left out (``pip install 'simsparse[bench]'`` brings them). Every product is checked
against float64 before it is timed; the packing of X and im2col are counted. Prints, for each case, how many
times longer the others take, and our shares of the measured FMA peak and of the read bandwidth at the case's
footprint; then every goal with its marks, what each storage format is packed to, and the noise floor. See
``simsparse/measure/timing.py`` for how times are taken.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the folder above holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import markdown, ours
from benchmarks.cases import Case, Operands, grid, make_operands
from benchmarks.dense_peers import Product
from benchmarks.goals import (
    MARKS,
    OURS,
    Result,
    Verdict,
    start_up_verdicts,
    summarise,
    thread_verdicts,
    verdicts,
)
from benchmarks.packing import Packing, packings
from benchmarks.peers import PEERS, Peer, limit_threads, missing
from simsparse.measure.host_limits import FOOTPRINTS, Limits, best_limits, measure_limits
from simsparse.measure.idle import wait_until_idle
from simsparse.measure.timing import HostClock, Timer, Timing, combine, noise_floor

KINDS = ("spmm", "narrow", "gemv", "conv")
COLD_FROM_BYTES = 3e6
"""With ``--cold``, layers of more dense bytes than this find nothing in the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    quick: bool
    threads: tuple[int, ...]
    cold: bool
    passes: int
    kinds: tuple[str, ...]
    markdown: bool
    csv: Path | None

    def cold_case(self, case: Case) -> bool:
        """Whether caches are emptied before each call of this case."""
        return self.cold and case.dense_bytes > COLD_FROM_BYTES


def measure_case(
    case: Case, operands: Operands, threads: int, peers: Sequence[Peer], timer: Timer, cold: bool
) -> Result:
    """One pass over everyone who takes part in a case, and computes it correctly."""
    mine = ours.build(operands, threads)
    products: dict[str, Product] = {OURS: mine.product}
    groups = {OURS: OURS}
    for peer in peers:
        if not peer.takes_part(case):
            continue
        products[peer.name] = peer.build(operands, threads)
        groups[peer.name] = peer.group
    wrong = tuple(name for name, product in products.items() if not _correct(operands, product))
    calls = {name: product.call for name, product in products.items() if name not in wrong}
    return Result(
        case=case,
        threads=threads,
        nnz=operands.nnz,
        stored_bytes=mine.stored_bytes,
        kernel=mine.kernel,
        packing_s=mine.packing_s,
        times=timer.measure(calls, threads=threads, cold=cold, foreign=calls.keys() - {OURS}),
        groups=groups,
        wrong=wrong,
    )


def _correct(operands: Operands, product: Product) -> bool:
    product.call()
    return operands.correct(product.result())


def merge(passes: Sequence[Result]) -> Result:
    """One result from the passes over a case."""
    names = [name for name in passes[0].times if all(name in result.times for result in passes)]
    times = {name: combine([result.times[name] for result in passes]) for name in names}
    return replace(
        passes[0], times=times, wrong=tuple({name: None for result in passes for name in result.wrong})
    )


def measure(options: Options, peers: Sequence[Peer]) -> list[Result]:
    """All passes over the grid."""
    timer = Timer(HostClock(), burst_s=0.01 if options.quick else 0.02, rounds=2 if options.quick else 3)
    cases = [case for case in grid(quick=options.quick) if case.kind in options.kinds]
    seen: dict[tuple[Case, int], list[Result]] = {}
    for turn in range(options.passes):
        for position, case in enumerate(cases):
            operands = make_operands(case)
            for threads in options.threads:
                limit_threads(threads)
                wait_until_idle()
                taking_part = [peer for peer in peers if threads == 1 or peer.threaded]
                result = measure_case(case, operands, threads, taking_part, timer, options.cold_case(case))
                seen.setdefault((case, threads), []).append(result)
            if sys.stderr.isatty() or position + 1 in (len(cases) // 2, len(cases)):
                end = "\r" if sys.stderr.isatty() else "\n"
                print(f"pass {turn + 1}: {position + 1} of {len(cases)} cases", end=end, file=sys.stderr)
    return [merge(results) for results in seen.values()]


HEADINGS = (
    f"{'shape':>15} {'pattern':>7} {'zeros':>5} {'T':>2} {'our kernel':<22} {'time':>9} {'GF/s':>6}"
    f" {'scipy':>6} {'MKL/torch CSR':>17} {'torch BSR':>9} {'best dense':>19} {'FMA':>5} {'read':>5}"
)


def line(result: Result, limits: Limits, cold: bool) -> str:
    """One row of the table."""
    case, time_s = result.case, result.time_s
    rate = limits.dram_bytes_per_s if cold else limits.read_rate(result.moved_bytes)
    trusted = " " if result.trusted() else "?"
    return (
        f"{case.shape:>15} {case.pattern:>7} {case.sparsity:5.2f} {result.threads:>2} {result.kernel:<22}"
        f" {time_s * 1e6:7.0f}us{trusted}{result.flops / time_s / 1e9:6.1f}"
        f" {_ratio(result, 'scipy'):>6} {_ratio(result, 'sparse', named=True):>17}"
        f" {_ratio(result, 'block'):>9} {_ratio(result, 'dense', named=True):>19}"
        f" {result.flops / time_s / limits.fma_flops:5.0%} {result.moved_bytes / time_s / rate:5.0%}"
    )


def _ratio(result: Result, group: str, *, named: bool = False) -> str:
    name, value = result.best(group), result.ratio(group)
    if name is None or value is None:
        return "-"
    text = f"{value:.2f}x" if result.times[name].gated else f"{value:.2f}?"
    return f"{text} {name}" if named else text


def print_limits(every: Iterable[Limits]) -> None:
    """What the machine can do."""
    for limits in every:
        rates = zip(limits.footprint_bytes, limits.read_bytes_per_s, strict=True)
        curve = "  ".join(f"{size // 1024}K {rate / 1e9:.0f}" for size, rate in rates)
        print(
            f"{limits.threads} thread(s): FMA {limits.fma_flops / 1e9:.0f} GF/s; read, GB/s by footprint: "
            f"{curve}"
        )


def print_goals(every: Iterable[Verdict]) -> None:
    """Each goal over its cells, then the cells that are short."""
    listed = list(every)
    print(f"\n{'goal':<52} {'floor':>6} {'aim':>6} {'typical':>8} {'worst':>7}  cells: {' / '.join(MARKS)}")
    for summary in summarise(listed):
        goal, marks = summary.goal, summary.marks
        print(
            f"{goal.title:<52} {goal.floor:>6g} {goal.aim:>6g} {summary.typical:>8.2f}"
            f" {summary.worst.value:>7.2f}  {' / '.join(str(marks[mark]) for mark in MARKS)}"
        )
    for verdict in listed:
        if verdict.mark == "short":
            print(
                f"short: {verdict.goal.title}: {verdict.cell}: {verdict.value:.2f} of {verdict.goal.floor:g}"
            )


def print_noise(times: Iterable[Timing], passes: int) -> None:
    """How far to trust all this."""
    noise = noise_floor(times)
    apart = (
        f"{passes} passes apart by {noise.median_spread:.1%} (median) and {noise.p90_spread:.1%}"
        " (90th percentile)"
        if passes > 1
        else "one pass, so it is not known"
    )
    print(
        f"\nnoise floor: {noise.timings} times, {apart}; the gate kept {noise.kept_share:.0%} of the windows;"
        f" {noise.not_gated} times had too few of them"
    )


def print_packings(every: Sequence[Packing]) -> None:
    """What each format is packed to, and how many products that takes."""
    if every:
        print(
            f"\n{'format':>8} {'pattern':>10} {'kernel':>8} {'converted from':>14} {'packing, products':>17}"
        )
    for p in every:
        print(f"{p.format:>8} {p.pattern:>10} {p.kernel:>8} {p.packed_from or '-':>14} {p.products:>17.1f}")


def write_csv(path: Path, results: Iterable[Result], limits: dict[int, Limits], options: Options) -> None:
    """One row per case, number of threads and competitor."""
    rows = [row for result in results for row in _rows(result, limits[result.threads], options)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(result: Result, limits: Limits, options: Options) -> Iterable[dict[str, object]]:
    case = result.case
    marks = "; ".join(f"{v.goal.title}: {v.mark}" for v in verdicts(result, limits.fma_flops))
    for name, timing in result.times.items():
        yield {
            "m": case.m,
            "k": case.k,
            "n": case.n,
            "pattern": case.pattern,
            "sparsity": case.sparsity,
            "threads": result.threads,
            "cache": "cold" if options.cold_case(case) else "warm",
            "competitor": name,
            "group": result.groups[name],
            "kernel": result.kernel if name == OURS else "",
            "time_s": timing.time_s,
            "least_s": timing.least_s,
            "spread": timing.spread,
            "windows": timing.windows,
            "kept": timing.kept,
            "gated": timing.gated,
            "times_ours": timing.time_s / result.time_s,
            "fma_share": result.flops / timing.time_s / limits.fma_flops if name == OURS else "",
            "packing_s": result.packing_s if name == OURS else "",
            "goals": marks if name == OURS else "",
        }


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cases, one thread, one pass: < 1 minute")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads (1 and 2)")
    parser.add_argument(
        "--cold", action="store_true", help="empty the caches before each call of a layer > 3 MB"
    )
    parser.add_argument("--passes", type=int, help="passes over the grid, apart in time (2; quick 1)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="part of the grid")
    parser.add_argument("--markdown", action="store_true", help="print the summary as Markdown tables too")
    parser.add_argument("--csv", type=Path, help="write every time here")
    given = parser.parse_args(arguments)
    usual = (1,) if given.quick else tuple(range(1, min(2, os.cpu_count() or 1) + 1))
    return Options(
        quick=given.quick,
        threads=tuple(given.threads or usual),
        cold=given.cold,
        passes=given.passes or (1 if given.quick else 2),
        kinds=tuple(given.kinds or KINDS),
        markdown=given.markdown,
        csv=given.csv,
    )


def main() -> None:
    """Measure and print everything."""
    options = parse()
    peers = [peer for peer in PEERS if missing(peer) is None]
    for peer in PEERS:
        if (message := missing(peer)) is not None:
            print(message)
    footprints, repeats = (FOOTPRINTS[::4], 10) if options.quick else (FOOTPRINTS, 30)
    before = [measure_limits(threads, footprints, repeats=repeats) for threads in options.threads]
    results = measure(options, peers)
    after = [measure_limits(threads, footprints, repeats=repeats) for threads in options.threads]
    limits = {a.threads: best_limits(a, b) for a, b in zip(before, after, strict=True)}
    print(f"{platform.machine()}, {os.cpu_count()} CPUs; caches {'cold' if options.cold else 'warm'}")
    print_limits(limits.values())
    print(
        "\nratios: how many times longer the other takes; FMA, read: our share of the measured limits;"
        " ?: too few windows passed the gate"
    )
    print(HEADINGS)
    for result in results:
        print(line(result, limits[result.threads], options.cold_case(result.case)))
        for name in result.wrong:
            print(f"wrong result, not timed: {name}")
    every: list[Verdict] = []
    if 1 in limits:
        every += [verdict for result in results for verdict in verdicts(result, limits[1].fma_flops)]
    start_up = [] if options.quick else start_up_verdicts(*ours.start_up_s())
    every += [*thread_verdicts(results), *start_up]
    print_goals(every)
    packed = [] if options.quick else list(packings())
    print_packings(packed)
    print_noise([timing for result in results for timing in result.times.values()], options.passes)
    if options.markdown:
        print(f"\n{markdown.summary(results, every, limits[min(limits)], packed)}")
    if options.csv:
        write_csv(options.csv, results, limits, options)


if __name__ == "__main__":
    main()
