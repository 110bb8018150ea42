"""``simsparse sweep`` and ``simsparse recommend`` as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simsparse.cli import run
from simsparse.load.plan_yaml import load_plan

ARGUMENTS = ["gemm:64,64,32", "--on", "eie,tpu-like", "--prune", "unstructured:0.5:0.9:2,2:4"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(*more: str) -> int:
    return run(["sweep", *ARGUMENTS, "--jobs", "1", *more])


def test_the_answer_and_where_it_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--format", "csc,bitmask") == 0
    out, err = capsys.readouterr()
    assert out.startswith("9 points.\nLargest speed-up: ")
    assert "Pareto front" in out
    assert "Pays from which sparsity on" in out
    assert "eie does not read bitmask (3 points)" in out
    assert out.rstrip().endswith("Kept in study")
    assert err == "9 points, about 1 s in one process\n"


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert sweep("--json", "--csv", "s.csv", "--no-crossover") == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["points"]) == len(pd.read_csv(tmp_path / "s.csv")) == 6
    assert set(data["pareto"]) <= set(range(6))
    assert data["missing"] == 0


def test_a_page_beside_the_answer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert sweep("--html", "s.html", "--folder", "mine") == 0
    page = (tmp_path / "s.html").read_text()
    assert "<h1>Study mine</h1>" in page
    capsys.readouterr()
    assert run(["report", "mine", "--html", "again.html"]) == 0
    assert (tmp_path / "again.html").read_text() == page
    assert sweep("--html", "none/s.html") == 2
    assert "expected a folder to write to" in capsys.readouterr().err


def test_a_dry_run_computes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert sweep("--dry-run") == 0
    assert capsys.readouterr().out == "6 points, about 1 s in one process\n"
    assert list(tmp_path.iterdir()) == []
    assert sweep("--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 6


def test_a_study_file_is_kept_beside_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.yaml").write_text("models: gemm:64,64,32\non: eie\nprune: [2:4, unstructured:0.9]\n")
    assert run(["sweep", "my.yaml", "--jobs", "1"]) == 0
    assert (tmp_path / "my.study" / "study.sqlite").exists()
    capsys.readouterr()
    assert run(["sweep", "my.yaml", "--on", "eie"]) == 2
    assert "study file alone, got also --on" in capsys.readouterr().err


def test_all_unknown_names_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "resnet5", "--on", "eye", "--prune", "x", "--format", "cssr"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--batch", "two"], "--batch: expected a whole number"),
        (["--set", "units"], "PATH=VALUE"),
        (["--jobs", "0"], "jobs: expected a whole number >= 1"),
        (["--executor", "slurm"], "dask://host:port"),
        (["--csv", "no/where.csv"], "expected a folder to write to"),
        (["--format", "bsr", "--dtype", "int4"], "expected at least one point"),
    ],
)
def test_wrong_usage(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ARGUMENTS if "--jobs" in more else [*ARGUMENTS, "--jobs", "1"]
    assert run(["sweep", *arguments, *more]) == 2
    assert said in capsys.readouterr().err


def test_another_study_in_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--no-crossover") == 0
    assert sweep("--no-crossover", "--seed", "1") == 2
    assert "add --resume" in capsys.readouterr().err
    assert sweep("--no-crossover", "--seed", "1", "--resume") == 0


def test_exit_codes_tell_how_many_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--prune", "head:0.5", "--no-crossover") == 4
    out, err = capsys.readouterr()
    assert "Failed:" in out
    assert "2 of 8 failed" in err
    assert (
        run(["sweep", "gemm:8,8,8", "--on", "eie", "--prune", "head:0.5", "--jobs", "1", "--folder", "f"])
        == 3
    )
    assert "got none of 1" in capsys.readouterr().err


def test_recommend_writes_a_plan_that_simulate_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["recommend", "gemm:256,256,16", "--on", "tpu-like", "--plan", "p.yaml"]) == 0
    out = capsys.readouterr().out
    assert "pays from" in out
    assert out.rstrip().endswith("--plan p.yaml")
    assert load_plan(tmp_path / "p.yaml").prune == "unstructured:0.9"
    assert run(["simulate", "gemm:256,256,16", "--on", "tpu-like", "--plan", "p.yaml"]) == 0
    assert "unstructured:0.9" in capsys.readouterr().out


def test_recommend_as_json_and_its_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["recommend", "gemm:256,256,16", "--on", "tpu-like", "--no-crossover", "--json"]
    assert run([*base, "--require", "speedup>=99"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["layers"][0]["format"]
    assert err.startswith("error: --require")


def test_recommend_and_explain_take_the_width_of_a_matrix(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "w.smtx").write_text("2, 4, 3\n0 2 3\n0 3 1\n")
    for command in ("recommend", "explain"):
        assert run([command, "w.smtx", "--on", "eie", "--columns", "32", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        if command == "recommend":
            assert [layer["n"] for layer in data["layers"]] == [32]
        assert run([command, "gemm:8,8,8", "--on", "eie", "--prune", "2:4", "--columns", "32"]) == 2
        assert "columns" in capsys.readouterr().err


def test_recommend_and_explain_know_what_was_captured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    inputs = np.random.default_rng(0).standard_normal((64, 30)).astype(np.float32)
    np.savez(tmp_path / "c.npz", **{"gemm/inputs": inputs, "gemm/density": np.array([0.25])})
    base = ["gemm:64,64,8", "--on", "eie", "--prune", "unstructured:0.5", "--json"]
    for command in ("recommend", "explain"):
        assert run([command, *base, "--criterion", "wanda"]) == 2
        assert "wanda" in capsys.readouterr().err
        known = ["--criterion", "wanda", "--calibration", "c.npz", "--activations", "c.npz"]
        assert run([command, *base]) == 0
        blind = json.loads(capsys.readouterr().out)
        assert run([command, *base, *known]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found != blind
        if command == "recommend":
            assert run(["simulate", *base, *known]) == 0
            simulated = json.loads(capsys.readouterr().out)
            assert found["layers"][0]["time_s"] == simulated["layers"][0]["time_s"]


def test_recommend_searches_within_a_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base = ["recommend", "gemm:256,256,16", "--on", "a100-80gb", "--plan", "p.yaml"]
    assert run([*base, "--search", "5", "--budget", "stored_bytes<=60000"]) == 0
    assert "kept magnitude" in capsys.readouterr().err
    assert load_plan(tmp_path / "p.yaml").patterns
    for more, code in (
        (["--search", "5"], 2),
        (["--budget", "speed<=1", "--search", "1"], 2),
        (["--budget", "time_s<=1e-12", "--search", "1"], 4),
    ):
        assert run([*base, *more]) == code
