"""Shared tables of energy per action (``hwmodels/tables``) and their scaling to a technology node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources.abc import Traversable

from simsparse.errors import FileError
from simsparse.hardware import Source, SourceStatus
from simsparse.load.catalog import data_folder, yaml_names
from simsparse.load.document import Document, Mistake, read_document, validated
from simsparse.technology import energy_scale


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEntry:
    """pJ of one action; ``source`` is a key of the table's ``sources`` or free text."""

    value: float
    unit: str
    status: SourceStatus
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTable:
    """Energies at one node; ``scale`` false where they do not follow the node, as those of DRAM."""

    name: str
    title: str
    technology_nm: float | None = None
    scale: bool
    sources: Mapping[str, str] = field(default_factory=dict)
    entries: Mapping[str, EnergyEntry]

    def priced(self, entry: str, *, technology_nm: float, times: float = 1.0) -> tuple[float, Source]:
        """pJ of ``times`` actions at a node, and where the number comes from.

        Raises
        ------
        UsageError
            If a node lies outside the range of the scaling equations.
        """
        found = self.entries[entry]
        text = f"{self.sources.get(found.source, found.source)} [{self.name}/{entry}]"
        value, status = found.value, found.status
        changed = False
        if self.scale and self.technology_nm is not None and self.technology_nm != technology_nm:
            factor = energy_scale(self.technology_nm, technology_nm)
            value *= factor
            text += f", scaled {self.technology_nm:g}→{technology_nm:g} nm ×{factor:.2g}"
            changed = True
        if times != 1.0:
            value *= times
            text += f", ×{times:g}"
            changed = True
        return value, Source(text=text, status="derived" if changed and status == "verified" else status)


def table_names() -> list[str]:
    """Names of the bundled tables."""
    return yaml_names(_folder())


@cache
def energy_table(name: str) -> EnergyTable:
    """A bundled table.

    Raises
    ------
    FileError
        If the file has mistakes.
    """
    from pydantic import TypeAdapter

    document = read_document(_folder() / f"{name}.yaml")
    table = validated(document, TypeAdapter(EnergyTable))
    _check(document, table)
    return table


def _check(document: Document, table: EnergyTable) -> None:
    wrong: list[Mistake] = [
        (("entries", name, "value"), f"expected pJ >= 0, got {entry.value:g} (change value)")
        for name, entry in table.entries.items()
        if entry.value < 0
    ]
    if table.scale and table.technology_nm is None:
        wrong.append(
            (("scale",), "expected technology_nm beside it, got nothing (add technology_nm, or scale: false)")
        )
    if wrong:
        raise document.error(wrong)


def _folder() -> Traversable:
    folder = data_folder("hwmodels") / "tables"
    if not folder.is_dir():
        raise FileError(
            [f"{folder}: expected the energy tables, got no such folder (install simsparse again)"]
        )
    return folder
