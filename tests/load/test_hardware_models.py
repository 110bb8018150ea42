"""The contract of every bundled machine: it loads, it is called like its file, and no number lacks a source."""

from __future__ import annotations

import pytest

from simsparse.load.catalog import bundled_file, load_hardware, names
from simsparse.load.document import read_document
from simsparse.load.hardware_yaml import numbers

MACHINES = names("hardware")
UNSTATED_ZERO = ("latency_s", "launch_s", "static_w")


def test_there_are_machines_to_check() -> None:
    assert {"tensor-core", "eie", "tpu-like"} <= set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_a_bundled_machine(name: str) -> None:
    machine = load_hardware(name)
    assert machine.name == name
    assert machine.title
    assert machine.description
    assert machine.not_modelled
    values = dict(numbers(machine))
    assert set(machine.sources) <= set(values)
    for path, value in values.items():
        if path in machine.sources:
            assert len(machine.sources[path].text) >= 5, path
        else:
            assert not value or value == _default(machine, path), f"{path} = {value} has no source"


def _default(machine: object, path: str) -> object:
    """The declared default of the record that holds ``path``: an unstated number may only be that."""
    from dataclasses import fields

    *parents, last = path.split(".")
    record = machine
    for part in parents:
        record = next((item for item in record if item.name == part), None) if isinstance(record, tuple) else getattr(record, part)
    return next(item.default for item in fields(record) if item.name == last)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MACHINES)
def test_no_named_source_is_unused(name: str) -> None:
    file = bundled_file("hardware", name)
    assert file is not None
    texts = read_document(file).data.get("sources", {})
    used = {source.text for source in load_hardware(name).sources.values()}
    assert {key for key, text in texts.items() if text not in used} == set()
