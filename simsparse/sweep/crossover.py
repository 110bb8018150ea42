"""The sparsity from which on it pays: bisection between the points of a study, in rounds.

For each model, machine, format and kind of pattern, speed-ups by sparsity are sorted; the crossing lies
between the largest sparsity that does not pay and the next larger one. Each round asks for the middle of each
such bracket until it is at most two per cent wide, so that its middle is exact to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from simsparse.pattern import Block, Channel, Dense, Filter, Head, Pattern, Unstructured, parse_pattern
from simsparse.sweep.points import Point, with_pattern

WIDTH = 0.02
LEAST, MOST = 0.01, 0.99
"""Sparsities between which a crossing is looked for."""
_NUMBER = re.compile(r"[^:]+$")
Scaled = Unstructured | Block | Channel | Filter | Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """From which sparsity on a format is at least as fast as dense on a machine."""

    model: str
    hardware: str
    format: str
    dtype: str
    family: str
    """The pattern without its number, such as ``unstructured`` or ``block:4x1``."""
    point: Point
    """One of the points, for everything else they have in common."""
    below: float | None
    """The largest sparsity tried that does not pay; None where all pay."""
    above: float | None
    """The smallest sparsity tried from which on all pay; None where the largest does not."""

    @property
    def sparsity(self) -> float | None:
        """Where it starts to pay; None if it never does up to the largest sparsity tried."""
        if self.above is None:
            return None
        return self.above if self.below is None else (self.below + self.above) / 2

    @property
    def open(self) -> float | None:
        """The next sparsity to try; None when the crossing is known well enough."""
        if self.below is None:
            return None if self.above is None or self.above <= LEAST else LEAST
        if self.above is None:
            return None if self.below >= MOST else MOST
        middle = round((self.below + self.above) / 2, 4)
        return middle if self.above - self.below > WIDTH else None


def family(pattern: Pattern) -> tuple[str, float] | None:
    """A pattern's kind and its sparsity; None where it has none to vary.

    >>> family(parse_pattern("block:4x1:0.9")), family(parse_pattern("2:4"))
    (('block:4x1', 0.9), None)
    """
    if isinstance(pattern, Dense) or not isinstance(pattern, Unstructured | Block | Channel | Filter | Head):
        return None
    return _NUMBER.sub("", str(pattern))[:-1], pattern.sparsity


def crossovers(speedups: Iterable[tuple[Point, float]]) -> list[Crossover]:
    """Crossings of every group with at least two sparsities, or one that was asked for by a bisection.

    The format ``auto`` has none: it falls back to dense and never loses.
    """
    return [_crossover(group) for group in _groups(speedups) if len(group) > 1 and _used(group)]


def next_points(speedups: Iterable[tuple[Point, float]]) -> list[Point]:
    """The points of the next round; empty when every crossing is known."""
    found = crossovers(speedups)
    return [
        with_pattern(one.point, str(parse_pattern(f"{one.family}:{one.open:g}")))
        for one in found
        if one.open is not None
    ]


Group = Mapping[float, tuple[Point, float]]


def _groups(speedups: Iterable[tuple[Point, float]]) -> Iterator[Group]:
    groups: dict[Point, dict[float, tuple[Point, float]]] = {}
    for point, speedup in speedups:
        found = None if point.format in ("auto", "dense") else family(parse_pattern(point.pattern))
        if found is not None:
            name, sparsity = found
            groups.setdefault(with_pattern(point, name), {})[sparsity] = (point, speedup)
    yield from groups.values()


def _used(group: Group) -> bool:
    """Whether any layer at any sparsity could be stored in the format, which is told by a speed-up of 0."""
    return any(speedup for _, speedup in group.values())


def _crossover(group: Group) -> Crossover:
    below = above = None
    for sparsity in sorted(group):
        if group[sparsity][1] < 1.0:
            below, above = sparsity, None
        elif above is None:
            above = sparsity
    point = next(iter(group.values()))[0]
    found = family(parse_pattern(point.pattern))
    return Crossover(
        model=point.model,
        hardware=point.hardware,
        format=point.format,
        dtype=point.dtype,
        family=found[0] if found else "",
        point=point,
        below=below,
        above=above,
    )
