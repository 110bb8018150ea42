"""Pruning patterns: which shape the zeros of a weight matrix may take.

A pattern is a frozen value with a string form that round-trips, and there is one parser. The number at the
end of the string is the *sparsity*, the share removed, as people type it; in code it is kept as ``density``'s
complement only at this boundary.

========================  =====================================================================
``dense``                 nothing is removed
``unstructured:0.9``      single weights, 90 % removed
``2:4``                   N:M, at most 2 kept in each group of 4 along k
``v64:2:8``               V:N:M, 64 rows share the 4 columns kept of each 8; 2 of those 4 per row
``block:4x1:0.8``         blocks of 4 rows (output channels) by 1 column along k
``channel:0.5``           input channels (columns of W, with all their kernel positions)
``filter:0.5``            output channels (rows of W)
``head:0.25``             attention heads
========================  =====================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from simsparse.errors import PatternError, nearest


def _check_sparsity(value: float, text: str) -> None:
    if not 0.0 <= value <= 1.0:
        raise PatternError(
            f"pattern {text}: expected a sparsity from 0 to 1, got {value:g} (0.9 removes 90 %)"
        )


def _check_positive(what: str, value: int, text: str) -> None:
    if value < 1:
        raise PatternError(f"pattern {text}: expected {what} >= 1, got {value}")


@dataclass(frozen=True, slots=True)
class Dense:
    """Nothing is removed."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class Unstructured:
    """Single weights anywhere; ``sparsity`` is the share removed."""

    sparsity: float

    def __post_init__(self) -> None:
        _check_sparsity(self.sparsity, str(self))

    def __str__(self) -> str:
        return f"unstructured:{self.sparsity:g}"


@dataclass(frozen=True, slots=True)
class NM:
    """At most ``keep`` weights in each group of ``group`` consecutive ones along k."""

    keep: int
    group: int

    def __post_init__(self) -> None:
        _check_positive("a group size", self.group, str(self))
        if not 0 <= self.keep <= self.group:
            raise PatternError(
                f"pattern {self}: expected 0 <= N <= M, got N={self.keep}, M={self.group} (2:4 keeps 2 of 4)"
            )

    @property
    def sparsity(self) -> float:
        """Share removed."""
        return 1.0 - self.keep / self.group

    def __str__(self) -> str:
        return f"{self.keep}:{self.group}"


@dataclass(frozen=True, slots=True)
class VNM:
    """V:N:M: ``rows`` rows share the ``COLUMNS`` columns kept in each group of ``group``; N:4 inside them.

    Source: Castro et al., VENOM, SC 2023: four columns are kept in each group so that the rest is N:4.
    """

    COLUMNS: ClassVar[int] = 4

    rows: int
    keep: int
    group: int

    def __post_init__(self) -> None:
        _check_positive("V", self.rows, str(self))
        if self.group < self.COLUMNS or not 1 <= self.keep <= self.COLUMNS:
            raise PatternError(
                f"pattern {self}: expected 1 <= N <= {self.COLUMNS} and M >= {self.COLUMNS},"
                f" got N={self.keep}, M={self.group}"
            )

    @property
    def sparsity(self) -> float:
        """Share removed."""
        return 1.0 - self.keep / self.group

    def __str__(self) -> str:
        return f"v{self.rows}:{self.keep}:{self.group}"


@dataclass(frozen=True, slots=True)
class Block:
    """Blocks of ``rows`` output channels by ``columns`` positions along k; ``sparsity`` is the share
    removed.
    """

    rows: int
    columns: int
    sparsity: float

    def __post_init__(self) -> None:
        _check_positive("block rows", self.rows, str(self))
        _check_positive("block columns", self.columns, str(self))
        _check_sparsity(self.sparsity, str(self))

    def __str__(self) -> str:
        return f"block:{self.rows}x{self.columns}:{self.sparsity:g}"


@dataclass(frozen=True, slots=True)
class Channel:
    """Whole input channels: columns of W with all their kernel positions."""

    sparsity: float

    def __post_init__(self) -> None:
        _check_sparsity(self.sparsity, str(self))

    def __str__(self) -> str:
        return f"channel:{self.sparsity:g}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Whole output channels: rows of W."""

    sparsity: float

    def __post_init__(self) -> None:
        _check_sparsity(self.sparsity, str(self))

    def __str__(self) -> str:
        return f"filter:{self.sparsity:g}"


@dataclass(frozen=True, slots=True)
class Head:
    """Whole attention heads."""

    sparsity: float

    def __post_init__(self) -> None:
        _check_sparsity(self.sparsity, str(self))

    def __str__(self) -> str:
        return f"head:{self.sparsity:g}"


Pattern = Dense | Unstructured | NM | VNM | Block | Channel | Filter | Head

_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)"
_RULES: tuple[tuple[re.Pattern[str], Callable[..., Pattern]], ...] = (
    (re.compile(r"dense"), Dense),
    (re.compile(rf"unstructured:{_NUMBER}"), lambda s: Unstructured(float(s))),
    (re.compile(r"(\d+):(\d+)"), lambda n, m: NM(int(n), int(m))),
    (re.compile(r"v(\d+):(\d+):(\d+)"), lambda v, n, m: VNM(int(v), int(n), int(m))),
    (re.compile(rf"block:(\d+)x(\d+):{_NUMBER}"), lambda r, c, s: Block(int(r), int(c), float(s))),
    (re.compile(rf"channel:{_NUMBER}"), lambda s: Channel(float(s))),
    (re.compile(rf"filter:{_NUMBER}"), lambda s: Filter(float(s))),
    (re.compile(rf"head:{_NUMBER}"), lambda s: Head(float(s))),
)
FORMS = (
    "dense",
    "unstructured:0.9",
    "2:4",
    "v64:2:8",
    "block:4x1:0.8",
    "channel:0.5",
    "filter:0.5",
    "head:0.25",
)


def parse_pattern(text: str) -> Pattern:
    """The pattern that ``text`` names; ``str()`` of it gives an equal text back.

    Raises
    ------
    PatternError
        If the text is no pattern, or a number in it is out of range.

    >>> parse_pattern("2:4")
    NM(keep=2, group=4)
    >>> str(parse_pattern("block:4x1:0.8"))
    'block:4x1:0.8'
    """
    stripped = text.strip().lower()
    for rule, make in _RULES:
        match = rule.fullmatch(stripped)
        if match:
            return make(*match.groups())
    head = stripped.split(":")[0]
    near = nearest(head, [form.split(":")[0] for form in FORMS])
    example = next((form for form in FORMS if near and form.split(":")[0] == near[0]), None)
    way_out = f"write {example}" if example else f"one of {', '.join(FORMS)}"
    raise PatternError(
        f'pattern: expected a pattern such as 2:4 or unstructured:0.9, got "{text}" ({way_out})'
    )
