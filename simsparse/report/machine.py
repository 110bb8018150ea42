"""A machine in a terminal: every number with its unit, its status and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from simsparse.hardware import HardwareModel, Source
from simsparse.load.facts import path_unit
from simsparse.load.hardware_yaml import numbers
from simsparse.load.wording import number
from simsparse.report.lists import print_items, print_list
from simsparse.report.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

_UNVERIFIED = ("memory", "assumed")


def print_machine(console: Console, machine: HardwareModel) -> None:
    """Print a machine; sources are numbered below the table, unverified numbers are marked."""
    console.print(Text(f"{plain(machine.name)}: {plain(machine.title)}", style="bold"))
    console.print(Text(plain(machine.description)))
    formats = ", ".join(f"{plain(name)} ({support.role})" for name, support in machine.formats.items())
    words = {
        "kind": str(machine.kind),
        "dataflow": machine.dataflow.family,
        "default dtype": machine.default_dtype,
        "formats": formats,
    }
    for word, value in words.items():
        console.print(Text(f"{word}: {plain(value)}"))
    console.print()
    notes = _footnotes(machine.sources)
    console.print(_table(machine, notes))
    console.print()
    print_items(console, [(f"[{mark}]", text) for text, mark in notes.items()])
    console.print(Text(_summary(machine), style="bold"))
    print_list(console, "Not modelled", machine.not_modelled)


def machine_to_dict(machine: HardwareModel) -> dict[str, Any]:
    """A machine as plain data: its words, and each number with unit, source and status."""
    rows = {}
    for path, value in numbers(machine):
        source = machine.sources.get(path)
        rows[path] = {
            "value": list(value) if isinstance(value, tuple) else value,
            "unit": path_unit(path),
            "source": source.text if source else None,
            "status": source.status if source else "default",
        }
    return {
        "name": machine.name,
        "title": machine.title,
        "kind": str(machine.kind),
        "description": machine.description,
        "dataflow": machine.dataflow.family,
        "default_dtype": machine.default_dtype,
        "formats": {name: support.role for name, support in machine.formats.items()},
        "numbers": rows,
        "not_modelled": list(machine.not_modelled),
    }


def _footnotes(sources: Mapping[str, Source]) -> dict[str, int]:
    texts = dict.fromkeys(source.text for source in sources.values())
    return {text: index for index, text in enumerate(texts, start=1)}


def _table(machine: HardwareModel, notes: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("number", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("unit", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("source", justify="right")
    for path, value in numbers(machine):
        source = machine.sources.get(path)
        shown = ", ".join(map(number, value)) if isinstance(value, tuple) else number(value)
        cells = (plain(path), shown, path_unit(path))
        mark = f"[{notes[source.text]}]" if source else ""
        table.add_row(*map(Text, cells), _status(source), Text(mark))
    return table


def _status(source: Source | None) -> Text:
    if source is None:
        return Text("default", style="dim")
    if source.status in _UNVERIFIED:
        return Text(f"{source.status}, UNVERIFIED", style="bold yellow")
    return Text(source.status)


def _summary(machine: HardwareModel) -> str:
    total = len(machine.sources)
    loose = sum(source.status in _UNVERIFIED for source in machine.sources.values())
    if not loose:
        return f"All {total} numbers were read in a source, follow from such numbers, or were fitted."
    return f"{loose} of {total} numbers are UNVERIFIED: quoted from memory or assumed."
