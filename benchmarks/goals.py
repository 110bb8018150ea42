"""The goals of the kernels, and which of them a measurement meets.

A floor holds in every cell, that is for every shape, sparsity and pattern it names; an aim is where the
prototypes say a machine can be brought. Goals against peers are judged on one thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from benchmarks.cases import Case
from simsparse.measure.timing import Timing

OURS = "ours"
MARKS = ("aim met", "floor met", "short", "not gated")
LONG_ENOUGH_S = 0.5e-3
"""Work on one thread from which two threads must pay."""

DENSE_GOALS = {0.5: (1.25, 2.0), 0.75: (1.9, 3.0), 0.9: (3.8, 5.7), 0.95: (5.9, 10.0), 0.98: (12.0, 23.0)}
"""Floor and aim over the best dense product, by sparsity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A floor and an aim: least values, or largest ones where ``unit`` is seconds."""

    title: str
    floor: float
    aim: float
    unit: str = "x"

    def mark(self, value: float) -> str:
        """``aim met``, ``floor met`` or ``short``."""
        sign = -1 if self.unit == "s" else 1
        if sign * value >= sign * self.aim:
            return "aim met"
        return "floor met" if sign * value >= sign * self.floor else "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal in one cell."""

    goal: Goal
    cell: str
    value: float
    trusted: bool = True
    """Whether the times behind it passed the gate."""

    @property
    def mark(self) -> str:
        """One of ``MARKS``; a value that is not trusted has no other mark than that."""
        return self.goal.mark(self.value) if self.trusted else "not gated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All times of one case on one number of threads; the keys of ``groups`` are those of ``times``."""

    case: Case
    threads: int
    nnz: int
    stored_bytes: float
    """Our packed weights."""
    kernel: str
    packing_s: float
    times: Mapping[str, Timing]
    groups: Mapping[str, str]
    wrong: tuple[str, ...] = field(default=())
    """Competitors whose product was not right, and which were not timed."""

    @property
    def time_s(self) -> float:
        """Our time; NaN where our product was wrong."""
        return self.times[OURS].time_s if OURS in self.times else math.nan

    @property
    def flops(self) -> float:
        """Operations on kept weights, an FMA counted as two."""
        return 2.0 * self.nnz * self.case.n

    @property
    def moved_bytes(self) -> float:
        """Stored weights, input and output, each once."""
        return self.stored_bytes + 4.0 * (self.case.x_elements + self.case.n * self.case.m)

    def best(self, group: str) -> str | None:
        """The fastest competitor of a group."""
        names = [name for name in self.times if self.groups[name] == group]
        return min(names, key=lambda name: self.times[name].time_s, default=None)

    def trusted(self, group: str = OURS) -> bool:
        """Whether our time and that of the best of a group passed the gate."""
        return all(name is None or self.times[name].gated for name in (self.best(OURS), self.best(group)))

    def ratio(self, group: str) -> float | None:
        """How many times the best of a group takes our time."""
        name = self.best(group)
        return None if name is None else self.times[name].time_s / self.time_s


def verdicts(result: Result, fma_flops: float) -> Iterator[Verdict]:
    """The goals that name this case; none for one on several threads, or where no peer of a goal ran."""
    if result.threads != 1:
        return
    case = result.case
    cell = f"{case.shape} {case.pattern} {case.sparsity:g}"
    for group, goal in _goals(case):
        value = result.flops / result.time_s / fma_flops if group == "fma" else result.ratio(group)
        if value is not None:
            yield Verdict(goal=goal, cell=cell, value=value, trusted=result.trusted(group))


def _goals(case: Case) -> Iterator[tuple[str, Goal]]:
    """What a case is compared with, and the goal."""
    sparsity, uneven = case.sparsity, case.pattern in ("random", "skewed")
    if case.kind == "spmm" and uneven:
        half = sparsity <= 0.75
        yield "scipy", Goal(title=f"SpMM vs scipy CSR, {_part(half)}", floor=3.0 if half else 2.0, aim=5.0)
        title = f"SpMM vs best of MKL and torch CSR, {_part(half)}"
        yield "sparse", Goal(title=title, floor=3.0 if half else 1.8, aim=4.3)
        if sparsity in DENSE_GOALS:
            floor, aim = DENSE_GOALS[sparsity]
            yield "dense", Goal(title=f"SpMM vs best dense, {sparsity:g}", floor=floor, aim=aim)
    elif case.kind == "spmm" and case.pattern == "2:4":
        yield "dense", Goal(title="2:4 SpMM vs best dense", floor=1.5, aim=1.9)
    elif case.kind == "spmm":
        yield "fma", Goal(title="4x1 block SpMM, share of FMA peak", floor=0.75, aim=0.95, unit="share")
    elif case.conv is not None:
        if case.conv.kernel_height == 3 and case.groups == 1 and sparsity == 0.9:
            yield "dense", Goal(title="3x3 convolution vs best dense, 0.9", floor=3.0, aim=4.5)
    elif case.kind == "gemv" and case.pattern == "2:4":
        yield "dense", Goal(title="2:4 GEMV vs best dense, 0.5", floor=1.35, aim=1.7)
    elif case.kind == "gemv" and uneven and sparsity == 0.5:
        yield "dense", Goal(title="bitmask GEMV vs best dense, 0.5", floor=1.3, aim=1.7)
    elif case.kind == "gemv" and uneven and sparsity >= 0.9:
        yield "sparse", Goal(title="CSR GEMV vs best of MKL and torch CSR, from 0.9", floor=1.0, aim=1.3)


def _part(half: bool) -> str:
    return "0.5 and 0.75" if half else "from 0.9"


def thread_verdicts(results: Iterable[Result]) -> Iterator[Verdict]:
    """What two threads gain over one, where there is work enough."""
    every = {(result.case, result.threads): result for result in results}
    goal = Goal(title="two threads over one, more than 0.5 ms of work", floor=1.6, aim=1.9)
    for (case, threads), result in every.items():
        one = every.get((case, 1))
        if threads == 2 and one is not None and one.time_s > LONG_ENOUGH_S:
            cell = f"{case.shape} {case.pattern} {case.sparsity:g}"
            trusted = one.trusted() and result.trusted()
            yield Verdict(goal=goal, cell=cell, value=one.time_s / result.time_s, trusted=trusted)


def start_up_verdicts(import_s: float, help_s: float, compile_s: float) -> Iterator[Verdict]:
    """What a person waits for before anything runs."""
    yield Verdict(goal=Goal(title="import", floor=0.5, aim=0.2, unit="s"), cell="import", value=import_s)
    yield Verdict(goal=Goal(title="--help", floor=0.5, aim=0.2, unit="s"), cell="--help", value=help_s)
    goal = Goal(title="cold compile of what one product needs", floor=15.0, aim=5.0, unit="s")
    yield Verdict(goal=goal, cell="compile", value=compile_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One goal over all its cells."""

    goal: Goal
    cells: int
    typical: float
    """Geometric mean."""
    worst: Verdict
    marks: Mapping[str, int]


def summarise(every: Iterable[Verdict]) -> list[Summary]:
    """Goals in the order of their first cell."""
    listed = list(every)
    order = list(dict.fromkeys(verdict.goal for verdict in listed))
    grouped = groupby(sorted(listed, key=lambda v: order.index(v.goal)), key=lambda v: v.goal)
    return [_summary(goal, list(cells)) for goal, cells in grouped]


def _summary(goal: Goal, cells: list[Verdict]) -> Summary:
    sign = -1 if goal.unit == "s" else 1
    marks = [verdict.mark for verdict in cells]
    return Summary(
        goal=goal,
        cells=len(cells),
        typical=math.exp(sum(math.log(verdict.value) for verdict in cells) / len(cells)),
        worst=min(cells, key=lambda verdict: sign * verdict.value),
        marks={mark: marks.count(mark) for mark in MARKS},
    )
