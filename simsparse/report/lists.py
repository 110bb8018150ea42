"""Lists in a terminal, with long items folded under their own text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from simsparse.report.plain import plain

if TYPE_CHECKING:
    from rich.console import Console


def print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    """A titled list after an empty line, or nothing."""
    if lines:
        console.print()
        console.print(Text(f"{title}:", style="bold"))
        print_items(console, [("  -", line) for line in lines])


def print_items(console: Console, items: Iterable[tuple[str, str]]) -> None:
    """Marks and texts in two columns."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for mark, text in items:
        table.add_row(Text(mark), Text(plain(text)))
    console.print(table)
