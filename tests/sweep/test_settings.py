"""Settings of a whole study: the width of single matrices, and the phase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simsparse
from simsparse.cli import run as command_line
from simsparse.errors import FileError
from simsparse.load.catalog import load_hardware, load_model
from simsparse.load.study_spec import StudySpec
from simsparse.load.study_yaml import load_study, study_schema
from simsparse.sweep.keys import Keys
from simsparse.sweep.points import Point, expand
from simsparse.sweep.run import open_study
from tests.sweep.small import study

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 48,
    "max_position_embeddings": 64,
}


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.smtx").write_text("2, 4, 3\n0 2 3\n0 3 1\n")
    (tmp_path / "decoder").mkdir()
    (tmp_path / "decoder" / "config.json").write_text(json.dumps(CONFIG))
    return str(request.param)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("w.smtx", {"columns": 32}),
        ("gemm:32,64,8", {"phase": "train"}),
        ("decoder", {"phase": "decode"}),
        ("decoder", {"phase": "prefill"}),
    ],
    indirect=["model"],
)
def test_every_point_is_a_simulation_with_them(
    model: str, settings: dict[str, object], tmp_path: Path
) -> None:
    lists = {"on": ["tpu-like"], "prune": ["unstructured:0.5:0.9:2"], "format": ["csr"], "crossover": True}
    found = study(models=model, folder=tmp_path / "study", **lists, **settings)
    assert len(found.grid) == 2
    for _, row in found.frame().iterrows():
        pattern = str(row["pattern"])
        alone = simsparse.simulate(model, on="tpu-like", prune=pattern, format="csr", **settings)  # type: ignore[arg-type]
        assert row["time_s"] == alone.totals.time_s
        assert row["energy_j"] == alone.totals.energy_j
        assert row["macs_dense"] == alone.totals.macs_dense
        for name, value in settings.items():
            assert row[name] == value
    again = study(models=model, folder=tmp_path / "study", **lists, **settings)
    assert again.frame().equals(found.frame())
    assert open_study(tmp_path / "study").points == found.points


def test_they_are_left_out_of_tables_and_keys_where_they_say_nothing() -> None:
    table = study(models=["gemm:64,64,32"], on=["eie"]).frame()
    assert not {"columns", "phase"} & set(table)
    point = {"models": ("gemm:8,8,8",), "on": ("eie",)}
    plain, train = (expand(StudySpec(**point, phase=phase)) for phase in ("inference", "train"))  # type: ignore[arg-type]
    first, second = plain.points[0], train.points[0]
    assert Keys(plain).key(first) != Keys(train).key(second)
    assert Point.from_dict(second.to_dict()) == second
    old = {name: value for name, value in first.to_dict().items() if name not in ("columns", "phase")}
    assert Point.from_dict(old) == first  # a study of before they were there


def test_a_study_file_and_flags_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.smtx").write_text("2, 4, 3\n0 2 3\n0 3 1\n")
    (tmp_path / "s.yaml").write_text(
        f"models: {tmp_path / 'w.smtx'}\non: tpu-like\nformat: csr\ncolumns: 32\nphase: train\n"
    )
    spec = load_study(tmp_path / "s.yaml")
    assert (spec.columns, spec.phase) == (32, "train")
    flags = ["--on", "tpu-like", "--format", "csr", "--columns", "32", "--phase", "train"]
    tables = []
    for place, what in (("a", [str(tmp_path / "w.smtx"), *flags]), ("b", [str(tmp_path / "s.yaml")])):
        assert command_line(["sweep", *what, "--folder", str(tmp_path / place), "--json"]) == 0
        tables.append(json.loads(capsys.readouterr().out)["points"])
    assert tables[0] == tables[1]
    assert tables[0][0]["phase"] == "train"
    assert command_line(["sweep", str(tmp_path / "s.yaml"), "--phase", "decode", "--columns", "3"]) == 2
    assert "a study file alone, got also --columns, --phase" in capsys.readouterr().err


def test_the_schema_knows_them() -> None:
    known = study_schema()["properties"]
    assert set(known["phase"]["enum"]) == {"inference", "train", "prefill", "decode"}
    assert {"type": "integer"} in known["columns"]["anyOf"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("phase: trian", r"s.yaml:3:8: phase: expected"),
        ("columns: 0", r"s.yaml:3:10: columns: expected a whole number >= 1, got 0"),
        ("columns: [1, 2]", r"s.yaml:3:10: columns"),
        ("phase: train\nmeasure: true", r"s.yaml:4:10: measure: expected no phase or columns beside it"),
    ],
)
def test_mistakes_are_told_with_their_place(lines: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"models: gemm:8,8,8\non: [eie]\n{lines}\n")
    with pytest.raises(FileError, match=said) as caught:
        load_study(tmp_path / "s.yaml")
    assert len(caught.value.mistakes) == 1


def test_mistakes_from_python() -> None:
    for wrong in ({"phase": "trian"}, {"columns": 0}, {"phase": "train", "measure": True}):
        with pytest.raises(FileError, match="expected"):
            study(**wrong)
    with pytest.raises(FileError, match="columns"):
        study(columns=5)  # these models are no single matrices


def test_what_is_loaded_is_what_the_words_say(tmp_path: Path) -> None:
    (tmp_path / "w.smtx").write_text("2, 4, 3\n0 2 3\n0 3 1\n")
    spec = StudySpec(models=(str(tmp_path / "w.smtx"),), on=("eie",), columns=7)
    grid = expand(spec)
    assert grid.workload(grid.points[0]).layers == grid.points[0].load().layers
    assert grid.points[0].load().layers == load_model(str(tmp_path / "w.smtx"), columns=7).layers
    assert grid.points[0].load().layers[0].n == 7
    assert load_hardware("eie").name == grid.points[0].hardware
