"""Each command end to end: what it prints where, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from simsparse import __version__
from simsparse.cli import run as command
from simsparse.load.catalog import data_folder, load_hardware, names

Captured = pytest.CaptureFixture[str]
GEMM = ["simulate", "gemm:64,64,64", "--on", "stc"]


def test_simulate_says_the_verdict_first(capsys: Captured) -> None:
    assert command([*GEMM, "--prune", "2:4"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("gemm:64,64,64 on stc (int8, batch 1), 2:4: ")
    assert not err


def test_json_is_one_object_and_the_same_each_time(capsys: Captured) -> None:
    texts = []
    for _ in range(2):
        assert command([*GEMM, "--prune", "unstructured:0.5", "--seed", "3", "--json"]) == 0
        out, err = capsys.readouterr()
        assert not err
        texts.append(out)
    data = json.loads(texts[0])
    assert texts[0] == texts[1]
    assert (data["model"], data["hardware"], data["seed"]) == ("gemm:64,64,64", "stc", 3)


def test_csv_beside_the_table(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "layers.csv"
    assert command([*GEMM, "--csv", str(path)]) == 0
    assert pd.read_csv(path)["m"].tolist() == [64]
    assert command([*GEMM, "--csv", str(tmp_path / "absent" / "x.csv")]) == 2
    assert "expected a folder to write to" in capsys.readouterr().err
    assert command([*GEMM, "--csv", str(tmp_path)]) == 2


def test_a_machine_file_and_the_template_it_starts_from(tmp_path: Path, capsys: Captured) -> None:
    assert command(["show", "--template", "accelerator"]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out, "utf-8")
    assert load_hardware(path).name == "my-accelerator"
    assert command(["check", str(path)]) == 0
    assert command(["simulate", "gemm:8,8,8", "--on", str(path)]) == 0


def test_requirements(capsys: Captured) -> None:
    good = ["--require", "speedup>=0.1", "--require", "time_s<1"]
    assert command([*GEMM, "--prune", "2:4", *good]) == 0
    capsys.readouterr()
    assert command([*GEMM, "--prune", "2:4", "--require", "speedup>=100", "--json"]) == 4
    out, err = capsys.readouterr()
    json.loads(out)
    assert err.startswith("error: --require: expected speedup >= 100, got ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 0, ""),
        (["simulat"], 2, 'Unknown command "simulat"'),
        (["simulate"], 2, "MODEL"),
        (["simulate", "resnet18"], 2, "--on"),
        ([*GEMM, "--dtype", "int9"], 2, 'Invalid value "int9" for --dtype'),
        ([*GEMM, "--batch", "two"], 2, "--batch"),
        ([*GEMM, "--nonsense"], 2, "--nonsense"),
        ([*GEMM, "--prune", "3:x"], 2, "pattern: expected a pattern such as 2:4"),
        ([*GEMM, "--format", "cssr"], 2, "format"),
        ([*GEMM, "--require", "fast"], 2, '--require: expected a condition such as speedup>=1.3, got "fast"'),
        (
            [*GEMM, "--require", "speedp>=1"],
            2,
            'expected a known figure, got "speedp" (did you mean speedup?)',
        ),
        ([*GEMM, "--require", "speedup>=1.2.3"], 2, "--require: expected a condition"),
        (["simulate", "resnet5", "--on", "stc"], 2, "did you mean resnet50"),
        (
            ["simulate", "gemm:8,8,8", "--on", "stcc"],
            2,
            'hardware: expected a known name, got "stcc" (did you mean stc',
        ),
        (["simulate", "absent.yaml", "--on", "stc"], 2, "absent.yaml: expected a readable file"),
        (["simulate", "absent.onnx", "--on", "stc"], 2, "absent.onnx"),
        (["show"], 2, "show: expected a name, got nothing"),
        (["show", "resnet5"], 2, "did you mean resnet50"),
        (["list", "cats"], 2, 'Invalid value "cats"'),
        (["check"], 2, "requires an argument"),
        (["validate", "eia"], 2, 'target: expected a known name, got "eia" (did you mean eie?)'),
        (["export", "gemm:8,8,8", "x.onnx"], 2, "model: expected a known name"),
        (["export", "a.onnx", "x.onnx"], 2, "it is ONNX already"),
    ],
)
def test_mistakes_are_one_line_on_stderr(
    arguments: list[str], code: int, expected: str, capsys: Captured
) -> None:
    assert command(arguments) == code
    out, err = capsys.readouterr()
    assert expected in err
    assert err.count("\n") == (1 if code else 0)
    assert "Traceback" not in err
    assert not (code and out)


def test_check_tells_every_mistake_of_every_file(tmp_path: Path, capsys: Captured) -> None:
    good = str(Path(str(data_folder("hwmodels"))) / "stc.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("clock_hz: 1\nname: [x]\n", "utf-8")
    assert command(["check", good, str(bad), str(tmp_path / "absent.yaml")]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("stc.yaml: ok (hardware)\n")
    assert f"{bad}:1:11: clock_hz: expected a number with its source, got 1" in err
    assert f"{bad}:2:7: name: expected text, got a list" in err
    assert "absent.yaml: expected a readable file" in err


def test_check_knows_studies_and_plans(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text("models: 'gemm:8,8,8'\non: eie\nprune: [2:4]\n", "utf-8")
    Path("plan.yaml").write_text("model: resnet18\nformats: {conv1: csr}\n", "utf-8")
    assert command(["check", "study.yaml", "plan.yaml"]) == 0
    assert capsys.readouterr().out == "study.yaml: ok (study)\nplan.yaml: ok (plan)\n"
    Path("study.yaml").write_text("models: resnet5\non: [eie, eye]\nfrmat: all\nseed: two\n", "utf-8")
    Path("plan.yaml").write_text("formats: {conv1: cssr}\nprune: x\nseed: y\nmore: 1\n", "utf-8")
    assert command(["check", "study.yaml", "plan.yaml"]) == 2
    places = [line.split(" expected")[0] for line in capsys.readouterr().err.splitlines()]
    assert places == [
        "error: study.yaml:1:9: models[0]: model:",
        "error: study.yaml:2:11: on[1]: hardware:",
        "error: study.yaml:3:1: frmat:",
        "error: study.yaml:4:7: seed[0]:",
        "error: plan.yaml:1:18: formats.conv1: format:",
        "error: plan.yaml:2:8: prune: pattern:",
        "error: plan.yaml:3:7: seed:",
        "error: plan.yaml:4:1: more:",
    ]


def test_the_schema_of_a_study_takes_one_value_for_a_list(capsys: Captured) -> None:
    assert command(["schema", "study"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["additionalProperties"] is False
    assert {"type": "string"} in known["properties"]["on"]["anyOf"]
    assert {"type": "integer"} in known["properties"]["seed"]["anyOf"]
    rules = known["properties"]["exclude"]["anyOf"]
    assert rules[1] == rules[0]["items"]


@pytest.mark.parametrize(
    "kind",
    [
        "hardware",
        "workloads",
        "formats",
        "patterns",
        "profiles",
        "criteria",
        "allocations",
        "targets",
        "dtypes",
    ],
)
def test_list_every_kind(kind: str, capsys: Captured) -> None:
    assert command(["list", kind, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries
    assert all(set(entry) == {"name", "about"} and entry["about"] for entry in entries)
    assert command(["list", kind]) == 0
    text = capsys.readouterr().out
    assert all(entry["name"] in text for entry in entries)


def test_listed_names_are_the_bundled_ones(capsys: Captured) -> None:
    command(["list", "hardware", "--json"])
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == names("hardware")


def test_show_machine_and_model(capsys: Captured) -> None:
    assert command(["show", "stc"]) == 0
    assert "UNVERIFIED" in capsys.readouterr().out
    assert command(["show", "resnet18", "--batch", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == 2
    assert command(["show", "gemm:8,8,8"]) == 0
    assert "512" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["hardware", "workload", "study", "plan", "run"])
def test_schemas_are_json(kind: str, capsys: Captured) -> None:
    assert command(["schema", kind]) == 0
    assert "properties" in capsys.readouterr().out


def test_validate_one_target(capsys: Captured) -> None:
    assert command(["validate", "eyeriss-v2-pe", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["ok"] and row["target"] == "eyeriss-v2-pe" for row in rows)


def test_a_missed_target_is_exit_code_4(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    import simsparse.validation
    from simsparse.validation import Check

    missed = Check(
        target="t",
        row="r",
        quantity="q",
        ours=2,
        published=1,
        unit="s",
        tolerance=0.1,
        kind="hardware",
        source="s",
    )
    monkeypatch.setattr(simsparse.validation, "validate", lambda _: [missed])
    assert command(["validate"]) == 4
    out, err = capsys.readouterr()
    assert "MISSED" in out
    assert err == "error: validate: expected all rows within tolerance, got 1 of 1 outside (first: t r q)\n"


def test_export_writes_a_model_that_comes_back_with_its_zeros(tmp_path: Path, capsys: Captured) -> None:
    model = tmp_path / "tiny.yaml"
    model.write_text(
        "name: tiny\nsource: a test\ninputs: {x: [1, 16]}\nlayers:\n"
        "  - {op: linear, name: fc1, out_features: 32}\n  - {op: relu}\n"
        "  - {op: linear, name: fc2, out_features: 8}\n",
        "utf-8",
    )
    output = tmp_path / "tiny.onnx"
    assert command(["export", str(model), str(output), "--prune", "2:4", "--seed", "5"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert command(["check", str(output)]) == 0
    capsys.readouterr()
    assert command(["simulate", str(output), "--on", "stc", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [layer["weight_density"] for layer in data["layers"] if layer["kind"] == "linear"] == [0.5, 0.5]


def test_doctor_finds_this_installation_whole(capsys: Captured) -> None:
    assert command(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for word in ("simsparse", "numba", "bundled files", "simulation", "kernel cache"):
        assert word in out


def test_doctor_says_what_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from simsparse.cli import doctor

    def broken() -> str:
        raise OSError("no\nfiles")

    monkeypatch.setattr(doctor, "_bundled", broken)
    assert command(["doctor"]) == 2
    out, err = capsys.readouterr()
    assert "FAIL bundled files: OSError: no files" in out
    assert err == "error: doctor: expected a whole installation, got bundled files (see above)\n"


def test_version_and_help(capsys: Captured) -> None:
    assert command(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert command(["-h"]) == 0
    text = capsys.readouterr().out
    assert all(
        name in text
        for name in ("simulate", "validate", "list", "show", "check", "schema", "export", "doctor")
    )
    assert command(["simulate", "-h"]) == 0
    text = capsys.readouterr().out
    for option in (
        "--on",
        "--prune",
        "--weight-density",
        "--require",
        "--json",
        "--csv",
        "--all-layers",
        "--engine",
    ):
        assert option in text
    assert "--empty" not in text
    assert "--no-" not in text
