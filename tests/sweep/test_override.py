"""Fields of a machine changed by path: found, checked, named."""

from __future__ import annotations

import pytest

from simsparse.errors import FileError, UsageError
from simsparse.load.catalog import load_hardware
from simsparse.load.hardware_override import override, parse_change
from simsparse.load.hardware_yaml import numbers


@pytest.mark.parametrize("name", ["eie", "a100-80gb", "epyc-9654", "tpu-like"])
def test_every_number_can_be_set_to_itself(name: str) -> None:
    machine = load_hardware(name)
    changes = {path: value for path, value in numbers(machine) if not isinstance(value, tuple)}
    changed = override(machine, changes)
    assert dict(numbers(changed)) == dict(numbers(machine))


@pytest.mark.parametrize("name", ["eie", "dstc", "eyeriss-v1", "h100", "epyc-9654", "tpu-like"])
def test_no_change_is_the_same_machine(name: str) -> None:
    assert override(load_hardware(name), {}) == load_hardware(name)


def test_a_change_of_the_file_and_of_the_value_agree() -> None:
    changes = {"units": 96, "memory.dram.bandwidth_bytes_per_s": 1e12, "launch_s": 2e-6}
    from_file = load_hardware("a100-80gb", changes)
    assert from_file == override(load_hardware("a100-80gb"), changes)
    assert from_file.sources["units"].status == "assumed"


def test_technology_rescales_tabulated_energies() -> None:
    machine, smaller = load_hardware("tpu-like"), load_hardware("tpu-like", {"technology_nm": 7.0})
    assert machine.energy_pj != smaller.energy_pj


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("units", 0, "expected a number > 0"),
        ("unitss", 8, "did you mean units"),
        ("memory.drm.latency_s", 1.0, "did you mean dram"),
        ("energy_pj.mac", 1.0, "one value, got a mapping"),
        ("clock_hz", "fast", "expected a number in Hz"),
    ],
)
def test_impossible_changes_are_refused_by_name(path: str, value: float, said: str) -> None:
    for change in (
        lambda: load_hardware("a100-80gb", {path: value}),
        lambda: override(load_hardware("a100-80gb"), {path: value}),
    ):
        with pytest.raises(FileError, match=said):
            change()


@pytest.mark.parametrize("words", ["units", "units=", "=3", "units=1,,2", "units=.inf"])
def test_changes_that_cannot_be_read(words: str) -> None:
    with pytest.raises(UsageError, match="PATH=VALUE"):
        parse_change(words)
