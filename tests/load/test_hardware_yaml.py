"""Machines from YAML: sources taken apart, tables looked up, impossible machines refused with their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hardware_example import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st

from simsparse.errors import FileError
from simsparse.hardware import HardwareModel, Source
from simsparse.load.energy_tables import energy_table, table_names
from simsparse.load.hardware_yaml import load_hardware_file, numbers
from simsparse.technology import energy_scale


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(home: Path, text: str) -> HardwareModel:
    (home / "m.yaml").write_text(text, "utf-8")
    return load_hardware_file("m.yaml")


def refused(home: Path, old: str, new: str) -> tuple[str, ...]:
    assert EXAMPLE.count(old) == 1
    with pytest.raises(FileError) as raised:
        load(home, EXAMPLE.replace(old, new))
    return raised.value.mistakes


def test_the_example_loads_with_plain_numbers_and_their_sources(home: Path) -> None:
    machine = load(home, EXAMPLE)
    assert machine.clock_hz == 1e9
    assert machine.dataflow.tile_n == (64, 128)  # type: ignore[union-attr]
    assert machine.formats["nm"].parameters == {"keep": 2, "group": 4}
    assert machine.sources["clock_hz"] == Source(text="Someone, A machine, 2020")
    assert machine.sources["units"].status == "derived"
    assert machine.sources["dataflow.tile_n"].status == "assumed"
    assert machine.sources["memory.dram.bandwidth_bytes_per_s"] == Source(
        text="read off a figure", status="memory"
    )
    assert "formats.nm.parameters.keep" in machine.sources


def test_every_stated_number_has_its_source_under_its_path(home: Path) -> None:
    machine = load(home, EXAMPLE)
    unstated = {path for path, _ in numbers(machine)} - set(machine.sources)
    assert set(machine.sources) <= {path for path, _ in numbers(machine)}
    assert unstated == {"memory.dram.latency_s", "memory.smem.latency_s", "launch_s", "static_w"}


def test_table_entries_are_scaled_to_the_machines_node(home: Path) -> None:
    entry = energy_table("accelergy-45nm").entries["mac-int8"]
    plain = load(home, EXAMPLE)
    assert plain.energy_pj["mac"]["int8"] == entry.value
    assert plain.sources["energy_pj.mac.int8"].status == "verified"
    text = EXAMPLE.replace("value: 45", "value: 28").replace("mac-int8}", "mac-int8, times: 2}")
    scaled = load(home, text)
    assert scaled.energy_pj["mac"]["int8"] == pytest.approx(2 * entry.value * energy_scale(45, 28))
    source = scaled.sources["energy_pj.mac.int8"]
    assert source.status == "derived"
    assert "[accelergy-45nm/mac-int8], scaled 45→28 nm ×" in source.text
    assert source.text.endswith(", ×2")


def test_dram_does_not_follow_the_node(home: Path) -> None:
    machine = load(home, EXAMPLE.replace("value: 45", "value: 7"))
    assert machine.energy_pj["dram"]["byte"] == 64.0
    assert machine.sources["energy_pj.dram.byte"].status == "verified"


def test_a_number_from_memory_stays_unverified_after_scaling(home: Path) -> None:
    text = EXAMPLE.replace("accelergy-45nm", "jouppi-7nm")
    assert load(home, text).sources["energy_pj.mac.int8"].status == "memory"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{value: 1.0e9, source: paper}",
            "1.0e9",
            "m.yaml:6:11: clock_hz: expected a number with its source, got 1000000000.0 "
            "(write {value: 1.0e9, source: …})",
        ),
        (
            "{value: 1.0e9, source: paper}",
            '"1 GHz"',
            'm.yaml:6:11: clock_hz: expected a number in Hz, got "1 GHz" (write 1.0e9)',
        ),
        (
            "value: 1.0e9",
            'value: "1 GHz"',
            'm.yaml:6:19: clock_hz: expected a number in Hz, got "1 GHz" (write 1.0e9)',
        ),
        (
            "value: 1.0e9",
            "value: 0",
            "m.yaml:6:19: clock_hz: expected a number > 0 in Hz, got 0 (change clock_hz)",
        ),
        (
            "value: 3.2e10",
            "value: 0.0",
            "m.yaml:14:36: memory[0].bandwidth_bytes_per_s: expected a number > 0 in bytes per second, got 0 "
            "(leave it out where nothing limits)",
        ),
        (
            "value: 16",
            "value: -16",
            "m.yaml:20:19: dataflow.k_step: expected a number > 0, got -16 (change k_step)",
        ),
        (
            "default_dtype: int8",
            "default_dtype: fp16",
            'm.yaml:11:16: default_dtype: expected one of int8, got "fp16" (write int8)',
        ),
        (
            "  int8: {value: 1024, source: paper}",
            "  int9: {value: 1024, source: paper}",
            "m.yaml:10:17: macs_per_cycle.int9: expected one of fp32, fp16, bf16, int16, int8, fp8, int4,"
            ' got "int9" (did you mean int8, int4, int16?)',
        ),
        (
            "  mac: {int8: {table: accelergy-45nm, entry: mac-int8}}\n",
            "",
            "m.yaml:27:3: energy_pj: expected pJ per multiply-add, got no mac (add mac: with one "
            "entry per dtype)",
        ),
        (
            "mac: {int8: {",
            "mac: {fp16: {",
            "m.yaml:27:8: energy_pj.mac: expected pJ per multiply-add in int8, got nothing (add int8: …)",
        ),
        (
            "entry: lpddr4",
            "entry: lpdr4",
            'm.yaml:28:37: energy_pj.dram.byte.entry: expected a known name, got "lpdr4" (did you '
            "mean lpddr4",
        ),
        (
            "table: dram",
            "table: drams",
            'm.yaml:28:24: energy_pj.dram.byte.table: expected a known name, got "drams" (did you '
            "mean dram?)",
        ),
        (
            "{value: 45, source: paper}",
            "{table: dram, entry: lpddr4}",
            "m.yaml:7:16: technology_nm: expected a number with its source, got a table entry "
            "(tables hold energies only)",
        ),
        (
            "value: 45",
            "value: 180",
            "m.yaml:7:24: technology_nm: technology: expected a node from 7 to 130 nm, got 180",
        ),
        (
            "  k_step: {value: 16, source: paper}",
            "  k_step: {value: 16, source: papr}",
            'm.yaml:20:31: dataflow.k_step.source: expected a key of sources:, got "papr" (did you '
            "mean paper?)",
        ),
        (
            "  k_step: {value: 16, source: paper}",
            "  k_step: {value: 16}",
            "m.yaml:20:19: dataflow.k_step.source: expected the number's source, got nothing (write "
            "{value: …, source: …})",
        ),
        (
            "status: assumed",
            "status: asumed",
            "m.yaml:19:53: dataflow.tile_n.status: expected one of verified, memory, derived, "
            "fitted, assumed, "
            'got "asumed" (did you mean assumed?)',
        ),
        (
            "status: assumed",
            "stats: assumed",
            'm.yaml:19:45: dataflow.tile_n.stats: expected a known key, got "stats" (did you mean status?)',
        ),
        (
            "{value: [64, 128], source: paper, status: assumed}",
            "[64, 128]",
            "m.yaml:19:11: dataflow.tile_n: expected a list with its source, got a bare list "
            "(write {value: [64, 128], source: …})",
        ),
        (
            "[64, 128]",
            "[64, x]",
            'm.yaml:19:24: dataflow.tile_n[1]: expected a whole number, got "x" (write a plain '
            "number such as 64)",
        ),
        (
            "family: tensor-core",
            "family: tensor-cores",
            "m.yaml:17:11: dataflow.family: expected one of systolic, tensor-core",
        ),
        (
            "  - name: dram\n",
            "  - nam: dram\n",
            'm.yaml:13:5: memory[0].nam: expected a known key, got "nam" (did you mean name?)',
        ),
        (
            "role: store",
            "role: keep",
            'm.yaml:24:17: formats.dense.role: expected one of skip, gate, store, unpack, got "keep"',
        ),
        ("title: A small machine\n", "", "m.yaml:1:1: title: expected a value, got nothing (add title: …)"),
        (
            '{paper: "Someone, A machine, 2020"}',
            "[a]",
            "m.yaml:5:10: sources: expected a mapping of keys to texts, got a list",
        ),
    ],
)
def test_mistakes_of_a_machine(home: Path, old: str, new: str, expected: str) -> None:
    found = refused(home, old, new)
    assert any(line.startswith(expected) for line in found), found


def test_all_mistakes_at_once(home: Path) -> None:
    text = (
        EXAMPLE.replace("value: 1.0e9", "value: 0")
        .replace("role: store", "rle: store")
        .replace("value: 3.2e10", "value: x")
    )
    with pytest.raises(FileError) as raised:
        load(home, text)
    assert [line.split(":")[1] for line in raised.value.mistakes] == ["6", "14", "24", "24"]


def test_two_levels_of_one_name_and_no_level(home: Path) -> None:
    again = refused(home, "dataflow:\n", "  - {name: dram}\ndataflow:\n")
    assert again == ('m.yaml:16:12: memory[2].name: expected each level once, got "dram" again (rename one)',)
    level = EXAMPLE[EXAMPLE.index("  - name: dram") : EXAMPLE.index("dataflow:")]
    none = refused(home, f"memory:\n{level}", "memory: []\n")
    assert none[0].startswith("m.yaml:12:9: memory: expected at least one level, got an empty list")


def test_no_mapping_at_all(home: Path) -> None:
    with pytest.raises(FileError, match="expected a mapping, got a list"):
        load(home, "- 1\n")


@pytest.mark.parametrize("name", table_names())
def test_tables_are_complete_and_honest(name: str) -> None:
    table = energy_table(name)
    assert table.name == name
    assert table.entries
    for entry in table.entries.values():
        assert entry.value >= 0
        assert entry.unit.startswith("pJ per ")
        assert " " in table.sources.get(entry.source, entry.source)
        assert entry.status in ("verified", "memory", "derived")
        if "from memory" in entry.source:
            assert entry.status == "memory"


def test_tables_hold_the_published_numbers() -> None:
    spots = {
        ("accelergy-45nm", "mac-int8"): 0.5608,
        ("accelergy-45nm", "glb-sram-16384x256-read"): 140.09584,
        ("horowitz-45nm", "fp32-mul"): 3.7,
        ("horowitz-45nm", "mac-int8"): 0.3,
        ("jouppi-7nm", "mac-bf16"): 0.59,
        ("dram", "hbm2"): 31.2,
        ("eyeriss-v2-pe", "weight-spad-metadata-read"): 0.88442,
    }
    assert {key: energy_table(key[0]).entries[key[1]].value for key in spots} == pytest.approx(spots)


@given(
    at=st.integers(0, len(EXAMPLE)),
    removed=st.integers(0, 30),
    put=st.sampled_from(
        ["", "x", "\n", ": ", "-1", "[", "{a: 1}", "null", "1e999", '"', "  ", "'\\x1b'", "true"]
    ),
)
def test_a_damaged_file_loads_or_is_refused_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, at: int, removed: int, put: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text(EXAMPLE[:at] + put + EXAMPLE[at + removed :], "utf-8")
    mistakes: tuple[str, ...] = ()
    try:
        assert load_hardware_file(path).clock_hz > 0
    except FileError as error:
        mistakes = error.mistakes
    for line in mistakes:
        assert line.isprintable()
        assert re.search(r"damaged\.yaml:\d+:\d+: ", line)
