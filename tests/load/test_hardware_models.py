"""The contract of every bundled machine: it loads, is called like its file, and no number lacks a source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from simsparse.formats import make_format
from simsparse.load.catalog import data_folder, load_hardware, names
from simsparse.load.document import read_document
from simsparse.load.hardware_yaml import numbers
from simsparse.load.sourced import path_step

MACHINES = names("hardware")


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
    *parents, last = path.split(".")
    record = machine
    for part in parents:
        if isinstance(record, tuple):
            record = next(item for i, item in enumerate(record) if path_step(item, i) == part)
        else:
            record = record[part] if isinstance(record, Mapping) else getattr(record, part)
    return next(item.default for item in dataclasses.fields(record) if item.name == last)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MACHINES)
def test_every_listed_source_is_used(name: str) -> None:
    path = data_folder("hwmodels") / f"{name}.yaml"
    listed = read_document(path).data.get("sources", {})
    body = path.read_text(encoding="utf-8").split("\nclock_hz", 1)[1]
    assert [key for key in listed if key not in body] == []


@pytest.mark.parametrize("name", MACHINES)
def test_every_format_of_a_machine_can_be_made_with_its_parameters(name: str) -> None:
    for format_name, support in load_hardware(name).formats.items():
        made = dataclasses.replace(make_format(format_name), **support.parameters)  # type: ignore[type-var]
        assert made.name == format_name
