"""Conditions on a result, ``speedup>=1.3``: an answer for a build server is an exit code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsparse.errors import RequirementError, UsageError, nearest

if TYPE_CHECKING:
    from simsparse.results import Run

_FIGURES: dict[str, Callable[[Run], float]] = {
    "speedup": lambda run: run.speedup,
    "energy_ratio": lambda run: run.energy_ratio,
    "memory_ratio": lambda run: run.memory_ratio,
    "time_s": lambda run: run.totals.time_s,
    "energy_j": lambda run: run.totals.energy_j,
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A figure of a run, a comparison and a bound."""

    figure: str
    comparison: str
    bound: float

    def missed(self, run: Run) -> str | None:
        """What was missed in words; None if the requirement holds."""
        value = _FIGURES[self.figure](run)
        if _COMPARE[self.comparison](value, self.bound):
            return None
        return f"expected {self.figure} {self.comparison} {self.bound:g}, got {value:.6g}"


def parse_requirement(text: str) -> Requirement:
    """The requirement that ``text`` states.

    Raises
    ------
    UsageError
        If it cannot be read.

    >>> parse_requirement("speedup>=1.3")
    Requirement(figure='speedup', comparison='>=', bound=1.3)
    """
    match = _FORM.fullmatch(text)
    try:
        figure, comparison, bound = (match[1], match[2], float(match[3])) if match else ("", "", 0.0)
    except ValueError:
        figure = ""
    if not figure:
        raise UsageError(
            f'--require: expected a condition such as speedup>=1.3, got "{text}" (quote it in a shell)'
        )
    if figure not in _FIGURES:
        near = nearest(figure, _FIGURES)
        out = f"did you mean {near[0]}?" if near else f"known: {', '.join(_FIGURES)}"
        raise UsageError(f'--require: expected a known figure, got "{figure}" ({out})')
    return Requirement(figure, comparison, bound)


def check_requirements(run: Run, requirements: Sequence[Requirement]) -> None:
    """Raise if any requirement was missed.

    Raises
    ------
    RequirementError
        With all that were missed on one line.
    """
    missed = [text for requirement in requirements if (text := requirement.missed(run))]
    if missed:
        raise RequirementError(f"--require: {'; '.join(missed)} (the result is printed above)")
