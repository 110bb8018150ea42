"""Our results beside published ones, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from rich.text import Text

from simsparse.report.plain import plain
from simsparse.units import percent, three_digits

if TYPE_CHECKING:
    from rich.console import Console


class Row(Protocol):
    """One comparison; ``error`` and ``tolerance`` are relative."""

    @property
    def target(self) -> str: ...
    @property
    def row(self) -> str: ...
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
    def ok(self) -> bool: ...
    @property
    def note(self) -> str: ...


def print_checks(console: Console, rows: Sequence[Row]) -> None:
    """Print the table and a closing line with the worst error of each target."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for head in ("target", "row", "ours", "published", "unit", "error", "tol.", ""):
        table.add_column(
            head,
            justify="right" if head in ("ours", "published", "error", "tol.") else "left",
            overflow="fold",
        )
    for row in rows:
        mark = Text("ok") if row.ok else Text("MISSED", style="bold red")
        numbers = (_number(row.ours), _number(row.published), plain(row.unit))
        errors = (f"{100 * row.error:+.1f}%", f"{100 * row.tolerance:.3g}%")
        table.add_row(*map(Text, (plain(row.target), plain(row.row), *numbers, *errors)), mark)
    console.print(table)
    for target, note in dict.fromkeys((row.target, row.note) for row in rows if row.note):
        console.print(Text(f"{plain(target)}: {plain(note)}", style="dim"))
    within = sum(row.ok for row in rows)
    worst = max((abs(row.error) for row in rows), default=0.0)
    console.print(
        Text(f"{within} of {len(rows)} within tolerance, largest error {percent(worst)}", style="bold")
    )


def _number(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}"
    return f"{value:.0f}" if value == int(value) else three_digits(value)
