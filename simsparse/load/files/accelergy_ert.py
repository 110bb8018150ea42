"""An energy reference table of Accelergy as a table of energies: ``entry: COMPONENT.ACTION``.

Energies are pJ per action at the node the table was made for; they are never scaled. Arguments that tell
several entries of one action apart stand behind it: ``buffer.read(address_delta=1,data_delta=0)``.

Source: https://accelergy.mit.edu, output files ERT.yaml of versions 0.2 to 0.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsparse.load.document import Document, Mistake, read_document
from simsparse.load.energy_tables import EnergyEntry, EnergyTable
from simsparse.load.folder import file_beside
from simsparse.load.onnx_text import clean
from simsparse.load.quoting import shown
from simsparse.load.yaml_tree import Location

MAX_PJ = 1e15
_RANGE = re.compile(r"\[[0-9]+\.\.[0-9]+\]")
_ALWAYS_THE_SAME = ("global_cycle_seconds", "action_latency_cycles")
Found = tuple[Location, str, str, Any, Any]
"""Place, component, action, arguments and energy."""


def is_ert(document: Document) -> bool:
    """Whether a YAML is an energy reference table."""
    return isinstance(document.data, dict) and isinstance(document.data.get("ERT"), dict)


def ert_beside(name: str, owner: Path) -> EnergyTable:
    """The table that the hardware file ``owner`` names, relative to its own folder.

    Raises
    ------
    FileError
        If the table is not in that folder, or has mistakes.
    """
    out = "write its path relative to the machine's file"
    path = file_beside(name, owner, "energy_pj", what="an energy table", owner="machine", way_out=out)
    return load_ert(path)


def load_ert(path: str | Path) -> EnergyTable:
    """The energies of an ``ERT.yaml``.

    Raises
    ------
    FileError
        With every mistake of the file.
    """
    document = read_document(path)
    if not is_ert(document):
        raise document.error([((), "expected an energy reference table, got no ERT: (Accelergy writes one)")])
    mistakes: list[Mistake] = []
    found = list(_actions(document.data["ERT"].get("tables"), mistakes))
    counts: dict[tuple[str, str], int] = {}
    for _, component, action, _, _ in found:
        counts[component, action] = counts.get((component, action), 0) + 1
    entries: dict[str, EnergyEntry] = {}
    for at, component, action, arguments, energy in found:
        name = f"{component}.{action}"
        name += _arguments(arguments) if counts[component, action] > 1 else ""
        if isinstance(energy, bool) or not isinstance(energy, int | float) or not 0 <= energy <= MAX_PJ:
            mistakes.append((at, f"{name}: expected an energy from 0 to {MAX_PJ:g} pJ, got {shown(energy)}"))
        elif name in entries:
            mistakes.append((at, f"{name}: expected each action once, got it again"))
        else:
            source = f"Accelergy, {clean(Path(path).name)}"
            entries[name] = EnergyEntry(value=float(energy), unit="pJ", status="derived", source=source)
    if mistakes or not entries:
        raise document.error(mistakes or [(("ERT", "tables"), "expected energies, got none")])
    name = clean(Path(path).name)
    return EnergyTable(name=name, title=f"Accelergy table {name}", scale=False, entries=entries)


def _actions(tables: Any, mistakes: list[Mistake]) -> Iterator[Found]:
    """All actions of a table, in the spelling of versions 0.2 (mappings) and later (lists of names)."""
    at: Location = ("ERT", "tables")
    for place, component, actions in _named(tables, at, "actions", mistakes):
        for where, action, entry in _named(actions, place, None, mistakes):
            for item in entry if isinstance(entry, list) else [entry]:
                if isinstance(item, dict):
                    short = clean(_RANGE.sub("", component))
                    yield where, short, clean(action), item.get("arguments"), item.get("energy")
                else:
                    mistakes.append((where, f"expected an energy, got {shown(item)}"))


def _named(
    data: Any, at: Location, inner: str | None, mistakes: list[Mistake]
) -> Iterator[tuple[Location, str, Any]]:
    if isinstance(data, dict):
        yield from (((*at, name), name, item) for name, item in data.items())
    elif isinstance(data, list):
        for index, item in enumerate(data):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                mistakes.append(((*at, index), f"expected an entry with a name, got {shown(item)}"))
            elif inner is None:
                yield (*at, index), item["name"], item
            else:
                yield (*at, index, inner), item["name"], item.get(inner)
    else:
        mistakes.append((at, f"expected a list or a mapping, got {shown(data)}"))


def _arguments(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return ""
    told = [f"{key}={value}" for key, value in sorted(arguments.items()) if key not in _ALWAYS_THE_SAME]
    return clean(f"({','.join(told)})") if told else ""
