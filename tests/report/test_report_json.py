"""The JSON object, the table of layers and the schema say the same."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from run_example import cost, example_run

import simsparse
from simsparse.report import frame, run_to_dict, to_json
from simsparse.report.frame import write_csv
from simsparse.report.schema import run_schema

KEYS = {
    "schema_version",
    "model",
    "hardware",
    "pattern",
    "seed",
    "versions",
    "approximations",
    "unsupported",
    "baseline",
    "totals",
    "speedup",
    "energy_ratio",
    "memory_ratio",
    "verdict",
    "layers",
}
FIGURES = {
    "time_s",
    "cycles",
    "energy_j",
    "energy_by_component_j",
    "weight_bytes",
    "metadata_bytes",
    "peak_activation_bytes",
    "dram_bytes",
    "macs_dense",
    "macs_done",
    "average_power_w",
}
LAYER = {
    "name",
    "kind",
    "m",
    "k",
    "n",
    "weight_density",
    "activation_density",
    "format",
    "bound_by",
    "utilisation",
}


def test_the_object_has_the_promised_keys() -> None:
    data = run_to_dict(example_run())
    assert set(data) >= KEYS
    assert set(data["totals"]) >= FIGURES
    assert set(data["baseline"]) >= FIGURES
    for layer in data["layers"]:
        assert set(layer) >= (FIGURES | LAYER)


def test_the_text_is_the_object_to_the_last_digit() -> None:
    run = example_run(totals=cost(1 / 3, 0.1 + 0.2))
    assert json.loads(to_json(run)) == run_to_dict(run)
    assert to_json(run) == to_json(run)
    assert repr(1 / 3) in to_json(run)
    assert to_json(run).isascii()


def test_order_of_mappings_does_not_show() -> None:
    first = example_run(versions={"a": "1", "b": "2"})
    second = example_run(versions={"b": "2", "a": "1"})
    assert to_json(first) == to_json(second)


def test_an_infinite_ratio_is_null() -> None:
    data = json.loads(to_json(example_run(totals=cost(0.0, 0.0, stored=0))), parse_constant=pytest.fail)
    assert data["speedup"] is None
    assert data["memory_ratio"] is None


def test_totals_add_up() -> None:
    data = run_to_dict(example_run())
    for cost_of in (data["totals"], data["baseline"], *data["layers"]):
        assert sum(cost_of["energy_by_component_j"].values()) == pytest.approx(cost_of["energy_j"])
    assert data["totals"]["average_power_w"] == pytest.approx(
        data["totals"]["energy_j"] / data["totals"]["time_s"]
    )


def check(schema: dict[str, Any], data: Any, where: str = "run") -> None:
    """The few words of JSON Schema that our schema uses."""
    if "const" in schema:
        assert data == schema["const"], where
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": int,
        "null": type(None),
    }
    assert any(isinstance(data, types[kind]) for kind in kinds), where  # type: ignore[arg-type]
    if isinstance(data, int | float):
        assert schema.get("minimum", -1e300) <= data <= schema.get("maximum", 1e300), where
    if isinstance(data, list):
        for index, item in enumerate(data):
            check(schema["items"], item, f"{where}[{index}]")
    if isinstance(data, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", ())) <= set(data), where
        assert schema.get("additionalProperties") is not False or set(data) <= set(known), where
        for key, value in data.items():
            check(known.get(key) or schema["additionalProperties"], value, f"{where}.{key}")


def test_the_schema_fits_the_object() -> None:
    check(run_schema(), run_to_dict(example_run()))
    with pytest.raises(AssertionError):
        check(run_schema(), run_to_dict(example_run()) | {"extra": 1})


def test_the_frame_has_the_layers_with_their_baseline() -> None:
    run = example_run()
    table = frame(run)
    assert list(table["name"]) == [layer.name for layer in run.layers]
    assert (table["time_s"] * table["count"]).sum() == pytest.approx(7.6e-3)
    assert list(table["baseline_time_s"]) == [layer.time_s for layer in run.baseline_layers]
    assert (table["energy_dram_j"] + table["energy_mac_j"]).tolist() == pytest.approx(
        table["energy_j"].tolist()
    )
    assert table.attrs["hardware"] == "stc"


def test_csv_round_trips(tmp_path: Path) -> None:
    write_csv(example_run(), tmp_path / "layers.csv")
    again = pd.read_csv(tmp_path / "layers.csv", keep_default_na=False)
    assert again["time_s"].tolist() == frame(example_run())["time_s"].tolist()
    assert again["format"].tolist() == frame(example_run())["format"].tolist()


def test_frame_is_the_function_however_it_is_reached() -> None:
    assert simsparse.report.frame is frame
    import_module("simsparse.report.frame")
    assert simsparse.report.frame is frame
