"""Our results beside published ones, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from rich.text import Text

from simsparse.report.lists import print_items
from simsparse.report.plain import plain
from simsparse.units import percent

if TYPE_CHECKING:
    from rich.console import Console


class Row(Protocol):
    """One comparison; ``error`` is ours ÷ published − 1 where ``relative``, else a difference."""

    @property
    def target(self) -> str: ...
    @property
    def row(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def ours(self) -> float: ...
    @property
    def published(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def error(self) -> float: ...
    @property
    def tolerance(self) -> float: ...
    @property
    def relative(self) -> bool: ...
    @property
    def ok(self) -> bool: ...
    @property
    def kind(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def known_short(self) -> str: ...


def print_checks(console: Console, rows: Sequence[Row]) -> None:
    """Print one table per target with its sources, and a closing line."""
    for target in dict.fromkeys(row.target for row in rows):
        _print_target(console, target, [row for row in rows if row.target == target])
    within = sum(row.ok for row in rows)
    worst = max((abs(row.error) for row in rows if row.relative), default=0.0)
    text = f"{within} of {len(rows)} rows within tolerance, largest relative error {percent(worst)}"
    console.print(Text(text, style="bold"))


def _print_target(console: Console, target: str, rows: Sequence[Row]) -> None:
    kinds = ", ".join(dict.fromkeys(plain(row.kind) for row in rows))
    console.print(Text(f"{plain(target)} ({kinds})", style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    right = ("ours", "published", "error", "allowed")
    for head in ("row", "quantity", "ours", "published", "unit", "error", "allowed", ""):
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        words = (
            plain(row.row),
            plain(row.quantity),
            number(row.ours),
            number(row.published),
            plain(row.unit),
        )
        missed = "MISSED, known" if row.known_short else "MISSED"
        mark = Text("ok") if row.ok else Text(missed, style="bold red")
        table.add_row(*map(Text, (*words, _error(row, row.error, "+"), _error(row, row.tolerance, ""))), mark)
    console.print(table)
    remarks = dict.fromkeys(text for row in rows for text in (row.source, row.note, row.known_short) if text)
    print_items(console, [("  -", text) for text in remarks])
    console.print()


def _error(row: Row, value: float, sign: str) -> str:
    return f"{100 * value:{sign}.1f}%" if row.relative else f"{value:{sign}.3g}"


def number(value: float) -> str:
    """A figure with four significant digits, more where it is a large whole one.

    >>> number(12.0), number(1234567.2), number(0.12345), number(3.14159)
    ('12', '1234567', '0.1235', '3.142')
    """
    whole = value == int(value) or 1e3 <= abs(value) < 1e9
    return f"{value:.0f}" if whole else f"{value:.4g}"
