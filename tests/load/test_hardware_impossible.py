# ruff: noqa: E501
"""Impossible machines: every number of every family at zero, negative or absurd, and parts that do not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from simsparse.errors import FileError, UnsupportedError
from simsparse.load.catalog import data_folder, load_hardware, names
from simsparse.load.hardware_checks import _ZERO_FINE
from simsparse.load.hardware_families import NEEDS
from simsparse.load.hardware_yaml import load_hardware_file
from simsparse.simulate import simulate

NUMBER = re.compile(r"([\w-]+): \{value: (\[[^\]]*\]|[-+0-9.eE]+)")
MODELS = ("gemm:24,32,9", "conv:8,12,9,3,3,1")
FREE = {"launch_s", "latency_s", "static_w"}
"""May be zero everywhere, beside energies and what a CPU's step costs."""
FREE_HERE = {"run_bits", "keep", "group", *_ZERO_FINE}


class Number(NamedTuple):
    """A number of a file, or a list of them."""

    key: str
    path: tuple[str, ...]
    value: str
    start: int


def one_of_each_family() -> list[str]:
    families: dict[str, str] = {}
    for name in names("hardware"):
        families.setdefault(load_hardware(name).dataflow.family, name)
    assert set(families) == set(NEEDS)
    return sorted({**families, "gpu-tiles": "rtx-3090"}.values())  # it has every kernel


def text_of(name: str) -> str:
    return (data_folder("hwmodels") / f"{name}.yaml").read_text(encoding="utf-8")


def numbers(text: str) -> list[Number]:
    """Every number of a machine with the keys above it."""
    found, above, at = [], {}, 0
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" -"))
        if key := re.match(r"[\s-]*([\w-]+):", line):
            above = {depth: name for depth, name in above.items() if depth < indent} | {indent: key[1]}
        for item in NUMBER.finditer(line):
            found.append(Number(item[1], tuple(above.values()), item[2], at + item.start(2)))
        at += len(line)
    return found


def put(text: str, chosen: Iterable[Number], number: str) -> str:
    """The text with each chosen number, or all of its list, replaced."""
    for item in sorted(chosen, key=lambda item: -item.start):
        new = f"[{', '.join([number] * (item.value.count(',') + 1))}]" if item.value[0] == "[" else number
        text = text[: item.start] + new + text[item.start + len(item.value) :]
    return text


def places(text: str, tmp_path: Path) -> set[tuple[int, int]]:
    """(line, column) of each mistake."""
    file = tmp_path / "m.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        load_hardware_file(file)
    except FileError as error:
        found = [re.match(r".*?m\.yaml:(\d+):(\d+): .*expected", line) for line in error.mistakes]
        return {(int(match[1]), int(match[2])) for match in found if match}
    return set()


def unnoticed(name: str, number: str, tmp_path: Path) -> list[Number]:
    """Numbers of a machine that are not refused at their place when all of them are ``number``."""
    text = put(text_of(name), numbers(text_of(name)), number)
    refused = places(text, tmp_path)
    missed = []
    for item in numbers(text):
        line, column = text.count("\n", 0, item.start) + 1, item.start - text.rfind("\n", 0, item.start)
        if not {(line, column + step) for step in range(len(item.value))} & refused:
            missed.append(item)
    return missed


@pytest.mark.parametrize("name", names("hardware"))
def test_every_number_is_refused_below_zero_and_where_it_is_absurd(name: str, tmp_path: Path) -> None:
    assert len(numbers(text_of(name))) >= 11
    assert unnoticed(name, "-1", tmp_path) == []
    assert unnoticed(name, "1000000000000000000000", tmp_path) == []


@pytest.mark.parametrize("name", names("hardware"))
def test_only_costs_may_be_nothing(name: str, tmp_path: Path) -> None:
    cpu = load_hardware(name).kind == "cpu"
    for item in unnoticed(name, "0", tmp_path):
        costs = (
            cpu
            and item.path[0] == "dataflow"
            and (item.path[1] != "memory" or "cold_" in item.key or "refill" in item.key)
        )
        assert item.path[0] == "energy_pj" or item.key in FREE | FREE_HERE or costs, item


def tried(text: str, what: object, tmp_path: Path) -> bool:
    """Whether a machine was refused, at a place; else it runs, in a time that is possible."""
    file = tmp_path / "m.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        machine = load_hardware_file(file)
    except FileError as error:
        assert re.search(r"m\.yaml:(?!1:)\d+:\d+: (\S+: )+expected", str(error)), f"{what}: {error}"  # noqa: PT017
        return True
    for model in MODELS:
        try:
            run = simulate(model, on=machine, prune="unstructured:0.5")
        except UnsupportedError:
            continue
        assert 0 <= run.totals.time_s < 1e6, what
        assert math.isfinite(run.totals.energy_j), what
    return False


@pytest.mark.parametrize("name", one_of_each_family())
def test_costs_of_nothing_do_no_harm(name: str, tmp_path: Path) -> None:
    keys = {(item.path, item.key) for item in unnoticed(name, "0", tmp_path)}
    text = text_of(name)
    free = [
        item for item in numbers(text) if (item.path, item.key) in keys and item.key not in ("keep", "group")
    ]
    assert not tried(put(text, free, "0"), name, tmp_path)


@pytest.mark.parametrize("name", one_of_each_family())
def test_the_least_of_a_size_is_refused_or_runs(name: str, tmp_path: Path) -> None:
    text = text_of(name)
    sizes = {
        item.key: item
        for item in numbers(text)
        if item.path[0] in ("units", "memory", "dataflow") and "." not in item.value
    }
    chosen = sorted(sizes.values())
    step = max(1, len(chosen) // 12)  # a GPU has a hundred
    for item in chosen[::step]:
        tried(put(text, [item], "1"), item, tmp_path)


@pytest.mark.parametrize("name", one_of_each_family())
def test_empty_lists_are_refused_or_run(name: str, tmp_path: Path) -> None:
    text = text_of(name)
    lists = {item.key: item for item in numbers(text) if item.value[0] == "["}
    for item in sorted(lists.values())[:6]:
        tried(text[: item.start] + "[]" + text[item.start + len(item.value) :], item, tmp_path)


def changed(name: str, old: str, new: str, tmp_path: Path) -> str:
    text = text_of(name)
    assert text.count(old) >= 1
    file = tmp_path / "m.yaml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FileError) as raised:
        load_hardware_file(file)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("sparten", "cluster: {value: 32", "cluster: {value: 33", "expected a divisor of units = 1024, got 33"),
        ("scnn", "value: [8, 8]", "value: [8, 9]", "expected rows x columns = 64 units, got 8 x 9"),
        ("scnn", "- name: dram", "- name: dramm", "expected a level called dram for a cartesian machine"),
        ("eie", "role: skip", "role: gate", "expected store, as a broadcast-csc machine gates nothing, got gate"),
        ("tpu-like", "csr:\n    role: store", "csr:\n    role: skip", "a systolic machine skips nothing, got skip"),
        ("tpu-like", "value: 25165824", "value: 100", "expected at least 512 bytes, a row of inputs and one of"),
        ("tpu-like", "int8: {value: 65536", "int8: {value: 65537", "expected at most rows x columns = 65536"),
        ("tensor-core", "capacity_bytes: {value: 262144", "capacity_bytes: {value: 9", "one k_step of a panel"),
        ("v100", "  csr:\n    role: skip", "  nm:\n    role: skip", "expected a kernel for it under dataflow.structured"),
        ("rtx-3090", "rate_factor: {value: 2", "rate_factor: {value: 3", "expected at most group / keep = 2, got 3"),
        ("rtx-3090", "shape: {value: [128, 256, 64]", "shape: {value: [1024, 1024, 64]", "the L1 of an SM"),
        ("rtx-3090", "heights: {value: [2, 4, 8]", "heights: {value: [2, 4]", "expected one for each of 2 heights"),
        ("eie", "banks: {value: 64", "banks: {value: 32", "expected one per PE, 64, got 32"),
        ("eie", "run_bits: {value: 4, source: eie}\nepilogue", "runs: {value: 4, source: eie}\nepilogue", "got \"runs\""),
        ("eie", "  csc:\n", "  cscc:\n", "expected a storage format, got \"cscc\""),
        ("stc", "keep: {value: 2", "keep: {value: 9", "expected at most group = 4, got 9"),
        ("scnn", "accumulator_banks: {value: 32", "accumulator_banks: {value: 33", "what the hash tells apart, 32, got 33"),
        ("eyeriss-v2-pe", "row_tile: {value: 16", "row_tile: {value: 33", "expected at most psum_entries, 32, got 33"),
        ("rtx-3090", "keep: {value: 2", "keep: {value: 0", "dataflow.structured.keep: expected a number > 0"),
        ("epyc-9654", "l1_bytes: {value: 32768", "l1_bytes: {value: 9", "expected at least 16 bytes, a vector, got 9"),
        ("epyc-9654", "value: [32768, 65536", "value: [262144, 65536", "expected ascending sizes, got 262144, 65536"),
        ("epyc-9654", "dram_efficiency: {value: 0.8", "dram_efficiency: {value: 1.8", "expected a number <= 1, got 1.8"),
        ("epyc-9654", "branch_capacity: {value: 23300", "branch_capacity: {value: 0", "expected a number > 0, got 0"),
        ("epyc-9654", "- name: dram", "- name: dramm", "expected a level called dram for a cpu-rows machine"),
        ("sigma", "family: flexible-tree", "family: flexible-trees", "expected one of systolic, tensor-core"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_named(name: str, old: str, new: str, said: str, tmp_path: Path) -> None:
    text = changed(name, old, new, tmp_path)
    assert said in text
    assert re.search(r"m\.yaml:(?!1:)\d+:\d+: ", text)
