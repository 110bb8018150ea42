"""Where the speed-up went, as bars in a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from simsparse.report.plain import plain
from simsparse.results import Explanation, Term
from simsparse.units import ratio, three_digits

if TYPE_CHECKING:
    from rich.console import Console

NAME_WIDTH = 26
FACTOR_WIDTH = 7
NEXT_TO_NOTHING = 0.005


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Bars from the ideal speed-up down to the actual one, on one logarithmic scale; causes that matter
    come with what would remove them.
    """
    where = f"{plain(explanation.model)} on {plain(explanation.hardware)}, {plain(explanation.pattern)}"
    ideal, actual = ratio(explanation.ideal_speedup), ratio(explanation.speedup)
    console.print(Text(f"{where}: {ideal} would be ideal, {actual} is reached.", style="bold"))
    console.print()
    width = max(10, min(console.width, 100) - NAME_WIDTH - FACTOR_WIDTH - 10)
    levels = list(running(explanation))
    low, high = _span(explanation)

    def column(value: float) -> int:
        return round(width * (math.log(value) - low) / (high - low))

    _bar(console, "ideal, 1 / density", "", column(1.0), column(explanation.ideal_speedup), ideal, "bold")
    quiet = []
    for term, before, after in levels:
        if abs(term.factor - 1) < NEXT_TO_NOTHING:
            quiet.append(term.name)
            continue
        style = "red" if term.factor < 1 else "green"
        _bar(
            console,
            term.name,
            f"x{three_digits(term.factor)}",
            column(before),
            column(after),
            ratio(after),
            style,
        )
        if term.remedy:
            for line in textwrap.wrap(plain(term.remedy), max(30, min(console.width, 100) - 4)):
                console.print(Text(f"    {line}", style="dim"))
    _bar(console, "actual", "", column(1.0), column(explanation.speedup), actual, "bold")
    if quiet:
        console.print()
        console.print(Text(f"Without effect here: {', '.join(quiet)}.", style="dim"))


def running(explanation: Explanation) -> Iterator[tuple[Term, float, float]]:
    """Each term with the speed-up before and after it."""
    level = explanation.ideal_speedup
    for term in explanation.terms:
        yield term, level, level * term.factor
        level *= term.factor


def _span(explanation: Explanation) -> tuple[float, float]:
    levels = [1.0, explanation.ideal_speedup, *(after for _, _, after in running(explanation))]
    low, high = math.log(min(levels)), math.log(max(levels))
    return low, max(high, low + 1e-9)


def _bar(console: Console, name: str, factor: str, start: int, end: int, label: str, style: str) -> None:
    left, right = sorted((start, end))
    bar = " " * left + "█" * max(1, right - left)
    line = Text(f"{name:<{NAME_WIDTH}}{factor:>{FACTOR_WIDTH}}  ")
    line.append(bar, style=style)
    line.append(f" {label}")
    console.print(line, soft_wrap=True)
