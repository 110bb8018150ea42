"""The summary of a run as Markdown tables, ready for a README."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.goals import MARKS, Result, Verdict, summarise
from benchmarks.packing import Packing
from simsparse.measure.host_limits import Limits

Row = Sequence[object]


def table(headings: Row, rows: Iterable[Row]) -> str:
    """Cells side by side.

    >>> print(table(("a", "b"), [(1, "x")]))
    | a | b |
    |---|---|
    | 1 | x |
    """
    ruled = [headings, ["---"] * len(headings)]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [*ruled, *rows]]
    return "\n".join(lines).replace("| --- ", "|---").replace("--- |", "---|")


def summary(
    results: Sequence[Result], every: Sequence[Verdict], limits: Limits, packings: Sequence[Packing]
) -> str:
    """Goals, speed by pattern and sparsity on one thread, formats, and the cells that are short."""
    parts = [
        goal_table(every),
        "Geometric mean (least) over shapes, one thread:",
        speed_table([result for result in results if result.threads == 1], limits),
    ]
    if packings:
        parts += ["From each format, packing in products of the packed weights:", packing_table(packings)]
    short = [
        f"- {v.goal.title}: {v.cell}: {v.value:.2f} of {v.goal.floor:g}" for v in every if v.mark == "short"
    ]
    if short:
        parts += ["Short of their floor:", "\n".join(short)]
    return "\n\n".join(parts)


def goal_table(every: Iterable[Verdict]) -> str:
    """Each goal over its cells."""
    rows = [
        (
            goal.title,
            f"{goal.floor:g}",
            f"{goal.aim:g}",
            f"{found.typical:.2f}",
            f"{found.worst.value:.2f}",
            *(found.marks[mark] for mark in MARKS),
        )
        for found in summarise(every)
        for goal in [found.goal]
    ]
    return table(("goal", "floor", "aim", "typical", "worst", *MARKS), rows)


def speed_table(results: Iterable[Result], limits: Limits) -> str:
    """One row per kind, pattern and sparsity: times over ours, and the share of the FMA peak."""
    cells: dict[tuple[str, str, float], list[Result]] = {}
    for result in results:
        case = result.case
        kind = case.kind if case.groups == 1 else "depthwise"
        cells.setdefault((kind, case.pattern, case.sparsity), []).append(result)
    rows = [
        (
            *key,
            ", ".join(dict.fromkeys(result.kernel for result in found)),
            *(ratios(found, group) for group in ("scipy", "sparse", "block", "dense")),
            _spread(result.flops / result.time_s / limits.fma_flops for result in found),
        )
        for key, found in cells.items()
    ]
    return table(
        ("kind", "pattern", "zeros", "kernel", "scipy", "MKL, torch CSR", "torch BSR", "best dense", "FMA"),
        rows,
    )


def ratios(results: Iterable[Result], group: str) -> str:
    """How many times longer the best of a group takes."""
    return _spread(ratio for result in results if (ratio := result.ratio(group)) is not None)


def packing_table(packings: Iterable[Packing]) -> str:
    """What each format becomes, and how long that takes."""
    rows = [
        (p.format, p.pattern, p.kernel, p.packed_from or "-", f"{p.products:.1f}", f"{p.product_s * 1e6:.0f}")
        for p in packings
    ]
    return table(("format", "pattern", "kernel", "converted from", "packing, products", "product, µs"), rows)


def _spread(values: Iterator[float] | Iterable[float]) -> str:
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return "-"
    typical = math.exp(sum(map(math.log, found)) / len(found))
    return f"{typical:.2f} ({min(found):.2f})"
