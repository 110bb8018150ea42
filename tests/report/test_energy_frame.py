"""Every joule of a run, with count, price and source."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from run_example import example_run

from simsparse.errors import FileError, UnsupportedError, UsageError
from simsparse.load.catalog import load_hardware, names
from simsparse.report import energy
from simsparse.report.energy import COLUMNS, write_energy
from simsparse.report.figures.energy_groups import grouped_j
from simsparse.results import Run
from simsparse.simulate import simulate


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate("alexnet", on="stc", prune="2:4")


@pytest.mark.parametrize("machine", names("hardware"))
def test_the_joules_add_up_and_every_price_is_the_machines(machine: str) -> None:
    try:
        result = simulate("gemm:96,128,64", on=machine, prune="2:4")
    except UnsupportedError as error:
        pytest.skip(str(error))
    table, hardware = energy(result), load_hardware(machine)
    assert math.fsum(table["joules"]) == pytest.approx(result.totals.energy_j, rel=1e-12)
    assert (table["count"] * table["pj_per_action"] * 1e-12).tolist() == pytest.approx(
        table["joules"].tolist()
    )
    by_component = table.groupby("component")["joules"].sum()
    assert by_component.to_dict() == pytest.approx(dict(result.totals.energy_by_component_j))
    for row in table[table["component"] != "static"].itertuples():
        assert row.pj_per_action == hardware.energy_pj[row.component][row.action]
        assert row.source == hardware.sources[f"energy_pj.{row.component}.{row.action}"].text
    for layer in result.layers:
        groups = grouped_j(layer, result.machine)
        assert sum(groups.values()) == pytest.approx(layer.energy_j * layer.count, rel=1e-12)


def test_layers_add_up(run: Run) -> None:
    table = energy(run)
    assert list(table.columns) == list(COLUMNS)
    for layer in run.layers:
        own = table[table["layer"] == layer.name]
        assert own["joules"].sum() == pytest.approx(layer.energy_j * layer.count, rel=1e-12)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_files_keep_every_digit(ending: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / f"energy.{ending}"
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    write_energy(run, file)
    if ending == "json":
        again = pd.DataFrame(json.loads(file.read_text()))
    else:
        again = pd.read_parquet(file) if ending == "parquet" else pd.read_csv(file)
    assert again["joules"].tolist() == energy(run)["joules"].tolist()
    assert again["layer"].tolist() == energy(run)["layer"].tolist()


def test_mistakes(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        FileError, match=r"expected a name ending in \.csv, \.json, \.parquet, got energy\.xls"
    ):
        write_energy(run, tmp_path / "energy.xls")
    with pytest.raises(FileError, match="expected a writable file"):
        write_energy(run, tmp_path / "none" / "energy.json")
    with pytest.raises(UsageError, match="expected a run that knows its machine"):
        energy(example_run())
