"""A machine from its YAML file: sources taken apart, energy tables looked up, everything checked at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from simsparse.errors import FileError, SimsparseError, nearest
from simsparse.hardware import HardwareModel
from simsparse.load.document import Document, Mistake, read_document, validated
from simsparse.load.energy_tables import EnergyTable, energy_table, table_names
from simsparse.load.hardware_checks import impossible
from simsparse.load.hardware_override import Overrides, explained, overridden
from simsparse.load.quoting import shown
from simsparse.load.sourced import Priced, path_step, take_sources
from simsparse.load.yaml_tree import Location

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def load_hardware_file(path: str | Path | Traversable, overrides: Overrides | None = None) -> HardwareModel:
    """The machine that a YAML file describes, with some of its values changed by dotted path.

    Every number carries its source, ``{value: 8.0e8, source: eie-isca16, status: verified}``; ``source`` is
    a key of the file's ``sources:`` or free text. Entries of ``energy_pj`` may instead refer to a table,
    ``{table: accelergy-45nm, entry: mac-int8, times: 2}``, scaled to the machine's technology, or to an
    Accelergy ERT in the machine's own folder, ``{table: ert.yaml, entry: pe.mac.compute}``, taken as it is.

    Raises
    ------
    FileError
        With every mistake of the file: shape, unknown keys, missing sources, impossible values.
    """
    document = read_document(path)
    if not isinstance(document.data, dict):
        got = shown(document.data)
        raise document.error(
            [((), f"expected a mapping, got {got} (simsparse show --template accelerator prints one)")]
        )
    if not overrides:
        return _hardware(document, path)
    try:
        return _hardware(overridden(document, overrides), path)
    except FileError as error:
        raise explained(error, overrides) from None


def _hardware(document: Document, path: str | Path | Traversable) -> HardwareModel:
    texts, wrong = _source_texts(document.data.get("sources"))
    body = {key: value for key, value in document.data.items() if key != "sources"}
    technology_nm = _plain_number(body.get("technology_nm"))
    taken = take_sources(body, texts, lambda at, entry: _priced(at, entry, technology_nm, path))
    plain = document.with_data(taken.data, taken.moved)
    sources = {name: {"text": source.text, "status": source.status} for name, source in taken.sources.items()}
    mistakes = [*wrong, *taken.mistakes, *impossible(taken.data)]
    full = {**taken.data, "sources": sources}
    return validated(plain, hardware_adapter(), full, also=mistakes, unknown=taken.unknown)


@cache
def hardware_adapter() -> TypeAdapter[HardwareModel]:
    """The validator of the plain form, built once."""
    from pydantic import TypeAdapter

    return TypeAdapter(HardwareModel)


def numbers(model: object, path: str = "") -> Iterator[tuple[str, float | tuple[float, ...]]]:
    """Every number of a machine with its dotted path, in the order of the fields; lists of numbers as one.

    Numbers that are left at their default are included; they have no source.
    """
    if isinstance(model, bool):
        return
    if isinstance(model, int | float) or _is_numbers(model):
        yield path, model
    elif isinstance(model, Mapping):
        for key, value in model.items():
            yield from numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(model, tuple):
        for index, value in enumerate(model):
            yield from numbers(value, f"{path}.{path_step(value, index)}")
    elif is_dataclass(model):
        for item in fields(model):
            if item.name != "sources":
                yield from numbers(getattr(model, item.name), f"{path}.{item.name}" if path else item.name)


def _is_numbers(value: object) -> TypeGuard[tuple[float, ...]]:
    return isinstance(value, tuple) and bool(value) and all(isinstance(item, int | float) for item in value)


def _source_texts(data: Any) -> tuple[dict[str, str], list[Mistake]]:
    if data is None:
        return {}, []
    if not isinstance(data, dict):
        return {}, [
            (("sources",), f"expected a mapping of keys to texts, got {shown(data)} (write key: text)")
        ]
    wrong: list[Mistake] = [
        (("sources", key), f"expected the source as text, got {shown(text)} (write key: text)")
        for key, text in data.items()
        if not isinstance(text, str) or not text.strip()
    ]
    return {key: str(text) for key, text in data.items()}, wrong


def _plain_number(data: Any) -> float | None:
    value = data.get("value") if isinstance(data, dict) else data
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _priced(
    location: Location, entry: Mapping[str, Any], technology_nm: float | None, path: str | Path | Traversable
) -> Priced:
    if location[:1] != ("energy_pj",):
        return [
            (location, "expected a number with its source, got a table entry (tables hold energies only)")
        ]
    name, key, times = entry.get("table"), entry.get("entry"), entry.get("times", 1.0)
    table = _table(name, path)
    if isinstance(table, str):
        return [((*location, "table"), table)]
    if not isinstance(key, str) or key not in table.entries:
        return [((*location, "entry"), _unknown(key, list(table.entries)))]
    if not isinstance(times, int | float) or isinstance(times, bool) or times <= 0:
        return [((*location, "times"), f"expected a number > 0, got {shown(times)} (leave it out for once)")]
    if technology_nm is None and table.scale:
        return [(location, "expected technology_nm to scale to, got nothing (add technology_nm)")]
    try:
        return table.priced(key, technology_nm=technology_nm or 0.0, times=times)
    except SimsparseError as error:
        return [(("technology_nm",), f"{error} (write the energies as numbers)")]


def _table(name: Any, path: str | Path | Traversable) -> EnergyTable | str:
    """A bundled table, or one in the machine's folder; or what is wrong with it."""
    if isinstance(name, str) and name in table_names():
        return energy_table(name)
    if isinstance(name, str) and name.lower().endswith((".yaml", ".yml")):
        from simsparse.load.files.accelergy_ert import ert_beside

        try:
            return ert_beside(name, Path(str(path)))
        except FileError as error:
            return f"expected an Accelergy table, got: {error.mistakes[0]}"
    return _unknown(name, table_names())


def _unknown(name: Any, known: list[str]) -> str:
    near = nearest(name, known) if isinstance(name, str) else []
    out = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
    return f"expected a known name, got {shown(name)} ({out})"
