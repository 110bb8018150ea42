"""A run read back is the run; anything else is refused on one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_example import example_run

from simsparse.errors import FileError
from simsparse.explanation import PlanBook, explain_run
from simsparse.load.catalog import load_hardware
from simsparse.report import read_run, to_json
from simsparse.report.read import read_measured
from simsparse.results import Run
from simsparse.simulate import simulate


@pytest.fixture(scope="module")
def text() -> str:
    """A real run with its machine and an explanation."""
    import dataclasses

    hardware, book = load_hardware("a100-80gb"), PlanBook()
    run = simulate("gemm:256,256,256", on=hardware, prune="2:4", observe=book)
    return to_json(dataclasses.replace(run, explanation=explain_run(run, book, hardware)))


def test_a_run_survives_its_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    again = read_run(file)
    assert to_json(again) == text
    assert again.machine is not None
    assert again.explanation is not None
    assert again.layers[0].unit_load


def test_every_field_survives(tmp_path: Path) -> None:
    run = simulate("alexnet", on="stc", prune="2:4")
    (tmp_path / "run.json").write_text(to_json(run))
    assert read_run(tmp_path / "run.json") == run


@pytest.mark.parametrize("length", [0, 1, 100, 2000, -1])
def test_a_truncated_file(text: str, length: int, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text[:length])
    with pytest.raises(FileError, match=r"run\.json:\d+:\d+: expected JSON, got: .*\(cut off\?") as caught:
        read_run(tmp_path / "run.json")
    assert len(caught.value.mistakes) == 1


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return change


EDITS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        _edit(lambda d: d.update(schema_version=99)),
        r"schema_version: expected 2, got 99 \(update simsparse\)",
    ),
    (_edit(lambda d: d.update(schema_version="2")), 'schema_version: expected 2, got "2"'),
    (_edit(lambda d: d.update(extra=1)), "extra: expected no such key, got 1"),
    (_edit(lambda d: d.pop("speedup")), "speedup: expected a value, got nothing"),
    (_edit(lambda d: d.update(speedup=9.0)), "speedup: expected .* which the other figures give, got 9.0"),
    (_edit(lambda d: d.update(verdict="great")), 'verdict: expected .*, got "great"'),
    (_edit(lambda d: d["totals"].update(time_s=-1)), "totals.time_s: expected a number from 0"),
    (_edit(lambda d: d["totals"].update(macs_done="1")), 'totals.macs_done: expected integer, got "1"'),
    (
        _edit(lambda d: d["totals"].update(dram_bytes=1)),
        "totals.dram_bytes: expected .* the sum over layers, got 1",
    ),
    (_edit(lambda d: d["layers"][0].update(kind="magic")), r"layers\[0\].kind: expected a kind of layer"),
    (_edit(lambda d: d["layers"][0].update(utilisation=True)), r"layers\[0\].utilisation: expected number"),
    (_edit(lambda d: d["layers"].append(3)), r"layers\[1\]: expected object, got 3"),
    (
        _edit(lambda d: d["machine"]["numbers"]["clock_hz"].update(value=None)),
        "clock_hz.value: expected number or",
    ),
]


@pytest.mark.parametrize(("change", "said"), EDITS)
def test_an_edited_file(
    change: Callable[[dict[str, Any]], object], said: str, text: str, tmp_path: Path
) -> None:
    data = json.loads(text)
    change(data)
    (tmp_path / "run.json").write_text(json.dumps(data))
    with pytest.raises(FileError, match=said) as caught:
        read_run(tmp_path / "run.json")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="expected a run to read, got: No such file"):
        read_run(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="expected JSON in UTF-8"):
        read_run(tmp_path / "x.json")
    for data in ("[]", "3", "{}", "null", "[" * 100_000, '{"schema_version": NaN}'):
        (tmp_path / "x.json").write_text(data)
        with pytest.raises(FileError) as caught:
            read_run(tmp_path / "x.json")
        assert len(caught.value.mistakes) == 1


def test_a_run_made_by_hand_has_no_machine() -> None:
    run: Run = example_run()
    data = json.loads(to_json(run))
    assert data["machine"] is None
    assert data["explanation"] is None


def test_a_measurement(tmp_path: Path) -> None:
    layers = [
        {"name": "a", "predicted_s": None, "time_s": 1.0},
        {"name": "b", "predicted_s": 2.0, "time_s": 1.5},
    ]
    (tmp_path / "m.json").write_text(json.dumps({"layers": layers}))
    table = read_measured(tmp_path / "m.json")
    assert table["measured_s"].tolist() == [1.0, 1.5]
    assert table["predicted_s"].isna().tolist() == [True, False]
    (tmp_path / "m.json").write_text('{"layers": [{"name": "a"}]}')
    with pytest.raises(FileError, match="expected a measurement"):
        read_measured(tmp_path / "m.json")
