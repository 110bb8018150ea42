# ruff: noqa: E501
"""Impossible machines: every number of every family at zero, negative or absurd, and parts that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simsparse.errors import FileError, UnsupportedError
from simsparse.load.catalog import data_folder, load_hardware, names
from simsparse.load.hardware_families import NEEDS
from simsparse.load.hardware_yaml import load_hardware_file
from simsparse.simulate import simulate

NUMBER = re.compile(r"([\w-]+): \{value: (\[[^\]]*\]|[-+0-9.eE]+)")
MODELS = ("gemm:24,32,9", "conv:8,12,9,3,3,1")


def one_of_each_family() -> list[str]:
    families: dict[str, str] = {}
    for name in names("hardware"):
        family = load_hardware(name).dataflow.family
        if family in NEEDS:
            families.setdefault(family, name)
    families["gpu-tiles"] = "rtx-3090"  # it has every kernel
    return sorted(families.values())


def text_of(name: str) -> str:
    return (data_folder("hwmodels") / f"{name}.yaml").read_text(encoding="utf-8")


def mutations(text: str) -> Iterator[tuple[str, str]]:
    """(key and value, changed file), each key of the file once."""
    seen = set()
    for found in NUMBER.finditer(text, text.index("\nclock_hz")):
        key, value = found[1], found[2]
        if key in seen:
            continue
        seen.add(key)
        sizes = value.count(",") + 1
        for number in ("0", "-1", "1000000000000000000000"):
            changed = f"[{', '.join([number] * sizes)}]" if value.startswith("[") else number
            yield f"{key}={changed}", text[: found.start(2)] + changed + text[found.end(2) :]
        if value.startswith("["):
            yield f"{key}=[]", text[: found.start(2)] + "[]" + text[found.end(2) :]


@pytest.mark.parametrize("name", one_of_each_family())
def test_a_changed_number_is_refused_at_its_place_or_runs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    refused = 0
    for what, text in mutations(text_of(name)):
        file.write_text(text, encoding="utf-8")
        try:
            machine = load_hardware_file(file)
        except FileError as error:
            assert re.search(r"m\.yaml:(?!1:)\d+:\d+: (\S+: )+expected", str(error)), f"{what}: {error}"  # noqa: PT017
            refused += 1
            continue
        for model in MODELS:
            try:
                run = simulate(model, on=machine, prune="unstructured:0.5")
            except UnsupportedError:
                continue
            assert 0 <= run.totals.time_s < 1e6, what
    assert refused > 8


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
        ("sigma", "family: flexible-tree", "family: flexible-trees", "expected one of systolic, tensor-core"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_named(name: str, old: str, new: str, said: str, tmp_path: Path) -> None:
    text = changed(name, old, new, tmp_path)
    assert said in text
    assert re.search(r"m\.yaml:(?!1:)\d+:\d+: ", text)
