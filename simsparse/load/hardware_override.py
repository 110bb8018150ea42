"""A machine with some fields changed: ``units=64``, ``memory.dram.bandwidth_bytes_per_s=1e12``.

A path is that of the machine's file, records of a list by their name. In a file a change comes before
validation and before energies are scaled to the technology, as if it were written there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from simsparse.errors import FileError, UsageError, nearest
from simsparse.hardware import HardwareModel
from simsparse.load.document import Document, Mistake
from simsparse.load.quoting import shown
from simsparse.load.yaml_tree import Location

Value = int | float | str | bool
Overrides = Mapping[str, Value]
SOURCE = {"source": "changed for this run", "status": "assumed"}


def override(hardware: HardwareModel, changes: Overrides) -> HardwareModel:
    """``hardware`` with fields changed by dotted path, and a name that says so.

    Unlike a change of the file, one of ``technology_nm`` leaves energies as they are.

    Raises
    ------
    FileError
        If a path leads nowhere, or the machine becomes impossible; one line for each mistake.

    >>> from simsparse.load.catalog import load_hardware
    >>> override(load_hardware("l4"), {"units": 128}).name
    'l4[units=128]'
    """
    from simsparse.load.document import validated
    from simsparse.load.hardware_checks import impossible
    from simsparse.load.hardware_yaml import hardware_adapter

    plain: dict[str, Any] = hardware_adapter().dump_python(hardware, mode="json")
    document = Document(path=f"hardware {hardware.name}", data=plain)
    changed = overridden(document, changes, sourced=False)
    changed.data["sources"] = {
        path: {"text": source["text"], "status": source["status"]}
        for path, source in plain["sources"].items()
    } | {path: {"text": SOURCE["source"], "status": SOURCE["status"]} for path in changes}
    return validated(changed, hardware_adapter(), also=impossible(changed.data))


def overridden(document: Document, changes: Overrides, *, sourced: bool = True) -> Document:
    """A machine's document with values changed; numbers get a source of their own where ``sourced``.

    Raises
    ------
    FileError
        If a path leads nowhere.
    """
    data = copy.deepcopy(document.data)
    mistakes: list[Mistake] = []
    for path, value in changes.items():
        parent, location, wrong = _walk(data, path)
        if wrong:
            mistakes.append((location, f"{path}: {wrong}"))
            continue
        step = location[-1]
        old = parent.get(step) if isinstance(parent, dict) else parent[step]
        if isinstance(old, dict) and "value" not in old and "table" not in old:
            known = ", ".join(f"{path}.{key}" for key in list(old)[:3])
            mistakes.append(
                (location, f"{path}: expected the path of one value, got a mapping (such as {known})")
            )
            continue
        parent[step] = _written(old, value) if sourced else value
    if mistakes:
        raise document.error(mistakes)
    if isinstance(data, dict) and isinstance(data.get("name"), str) and changes:
        data["name"] = f"{data['name']}[{','.join(f'{path}={text(v)}' for path, v in changes.items())}]"
    return document.with_data(data)


def text(value: Value) -> str:
    """A value as it is written in a name.

    >>> text(64), text(1e12), text("fp16"), text(True)
    ('64', '1e+12', 'fp16', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def explained(error: FileError, changes: Overrides) -> FileError:
    """A mistake of a changed machine, with the changes said first."""
    said = ", ".join(f"{path}={text(value)}" for path, value in changes.items())
    return FileError(f"set {said}: {line}" for line in error.mistakes)


def parse_change(words: str) -> tuple[str, tuple[Value, ...]]:
    """The path and the values of ``path=value,value``.

    Raises
    ------
    UsageError
        If it has another form.

    >>> parse_change("units=64,128")
    ('units', (64, 128))
    """
    from simsparse.load.yaml_tree import scalar

    path, equals, listed = words.partition("=")
    values = [scalar(part.strip()) for part in listed.split(",")]
    if not path.strip() or not equals or any(value is None or wrong for value, wrong in values):
        raise UsageError(
            f'set: expected PATH=VALUE,… such as units=64,128, got "{words}" (no spaces around =)'
        )
    return path.strip(), tuple(value for value, _ in values if value is not None)


def _walk(data: Any, path: str) -> tuple[Any, Location, str]:
    """The container that holds the last step of ``path``, where that is, and what is wrong on the way."""
    location: Location = ()
    here: Any = data
    *way, last = path.split(".")
    for step in way:
        index = _index(here, step)
        if index is None:
            return None, location, _unknown(here, step)
        location = (*location, index)
        here = here[index]
    index = _index(here, last)
    if index is None and not isinstance(here, dict):
        return None, location, _unknown(here, last)
    return here, (*location, last if index is None else index), ""


def _index(container: Any, step: str) -> str | int | None:
    if isinstance(container, dict):
        return step if step in container else None
    for index, item in enumerate(container if isinstance(container, list) else ()):
        if step == str(index) or (isinstance(item, dict) and item.get("name") == step):
            return index
    return None


def _unknown(container: Any, step: str) -> str:
    if isinstance(container, dict):
        known = list(container)
    else:
        items = container if isinstance(container, list) else []
        known = [str(item.get("name")) for item in items if isinstance(item, dict) and "name" in item]
    near = nearest(step, known)
    out = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"expected a field of the machine, got {shown(step)} ({out})"


def _written(old: Any, value: Value) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(old, dict) or number:
        return {"value": value, **SOURCE}
    return value
