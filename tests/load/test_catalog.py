"""Bundled names, paths and inline text lead to the right loader."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hardware_example import EXAMPLE

from simsparse.errors import FileError, UnknownNameError, UsageError
from simsparse.load import catalog
from simsparse.load.catalog import data_folder, load_hardware, load_model, names
from simsparse.load.checking import check_file


def test_names_are_those_of_the_checkout() -> None:
    root = Path(__file__).parents[2]
    assert names("hardware") == sorted(path.stem for path in (root / "hwmodels").glob("*.yaml"))
    assert names("workload") == sorted(path.stem for path in (root / "workloads").glob("*.yaml"))
    assert data_folder("hwmodels") == (root / "hwmodels").resolve()


def test_models_by_name_and_inline() -> None:
    assert load_model("resnet18").name == "resnet18"
    assert load_model("gemm:8,16,32").macs == 8 * 16 * 32
    assert load_model("conv:3,8,16,16,3,3,1", batch=2).batch == 2


def test_a_bundled_machine_is_read_again_only_when_its_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.FOLDERS, "hardware", str(tmp_path))
    file = tmp_path / "mini.yaml"
    file.write_text(EXAMPLE, "utf-8")
    first, second = load_hardware("mini"), load_hardware("mini")
    assert first == second
    assert first.sources == second.sources
    assert first.energy_pj is not second.energy_pj  # who changes one changes only that one
    file.write_text(EXAMPLE.replace("clock_hz: {value: 1.0e9", "clock_hz: {value: 2.0e9"), "utf-8")
    os.utime(file, ns=(1, 1))
    assert load_hardware("mini").clock_hz == 2 * first.clock_hz


def test_files_by_ending(tmp_path: Path) -> None:
    path = tmp_path / "mini.yaml"
    path.write_text(EXAMPLE, "utf-8")
    assert load_hardware(path).name == "mini"
    assert check_file(path) == "hardware"
    workload = Path(str(data_folder("workloads"))) / "resnet18.yaml"
    assert load_model(workload).macs == load_model("resnet18").macs
    assert check_file(workload) == "workload"


@pytest.mark.parametrize("name", ["../hwmodels/eie", "/etc/passwd", "eie.yaml/..", "", "eie\x1b[31m\n"])
def test_a_name_cannot_walk_out_of_the_folder(name: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        load_hardware(name)
    assert str(raised.value).isprintable()


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r'got "resnet81" \(did you mean resnet18'):
        load_model("resnet81")
    with pytest.raises(UnknownNameError, match="did you mean tensor-core"):
        load_hardware("tensorcore")
    with pytest.raises(UnknownNameError, match="simsparse list workloads"):
        load_model("qqqqqqqq")


def test_overrides_out_of_place() -> None:
    with pytest.raises(UsageError, match="batch: expected a whole number >= 1, got 0"):
        load_model("resnet18", batch=0)
    with pytest.raises(UsageError, match="seq: expected a model with a sequence"):
        load_model("gemm:8,8,8", seq=3)


def test_check_refuses_what_is_neither(tmp_path: Path) -> None:
    neither = tmp_path / "n.yaml"
    neither.write_text("a: 1\n", "utf-8")
    with pytest.raises(FileError, match="expected a machine, a workload, a study or a plan, got none"):
        check_file(neither)
    with pytest.raises(FileError, match=r"expected a file that ends in \.yaml, \.onnx"):
        check_file(tmp_path / "x.txt")
