"""``simsparse explain``, ``simsparse report``, ``--html`` and ``--trace`` as a person types them."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from simsparse.cli import run
from simsparse.report.read import mistakes
from simsparse.report.schema import explanation_schema

CALL = ["gemm:64,256,128", "--on", "stc", "--prune", "2:4"]


def test_explain_in_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["explain", *CALL]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert "ideal, 1 / density" in out
    assert "actual" in out


def test_explain_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *CALL, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert list(mistakes(explanation_schema(), data)) == []
    product = data["ideal_speedup"] * math.prod(term["factor"] for term in data["terms"])
    assert product == pytest.approx(data["speedup"], rel=1e-9)


def test_explain_needs_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "gemm:8,8,8", "--on", "stc"]) == 2
    assert capsys.readouterr().err.startswith("error: explain: expected a model with zeros")


def test_a_run_goes_to_files_and_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, timeline, source = tmp_path / "a.html", tmp_path / "t.json.gz", tmp_path / "run.json"
    assert run(["simulate", *CALL, "--json", "--html", str(page), "--trace", str(timeline)]) == 0
    captured = capsys.readouterr()
    source.write_text(captured.out)
    assert "events of at most" in captured.err
    assert json.loads(gzip.decompress(timeline.read_bytes()))["otherData"]["hardware"] == "stc"
    again, energy, layers = tmp_path / "b.html", tmp_path / "energy.csv", tmp_path / "layers.csv"
    assert (
        run(["report", str(source), "--html", str(again), "--energy", str(energy), "--csv", str(layers)]) == 0
    )
    assert again.read_text() == page.read_text()
    total = json.loads(source.read_text())["totals"]["energy_j"]
    assert pd.read_csv(energy)["joules"].sum() == pytest.approx(total)
    assert len(pd.read_csv(layers)) == 1
    capsys.readouterr()
    assert run(["report", str(source)]) == 0
    assert capsys.readouterr().out.startswith("gemm:64,256,128 on stc")


def test_a_measurement_goes_to_a_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "m.html"
    call = ["measure", "gemm:16,16,4", "--prune", "unstructured:0.9", "--repeat", "2", "--on", "epyc-9654"]
    assert run([*call, "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert f'data-value="{found["time_s"]!r}"' in text
    assert 'data-figure="measured"' in text
    assert run(["measure", "gemm:8,8,8", "--html", str(tmp_path / "none" / "m.html")]) == 2
    assert "expected a folder to write to" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--html", "--trace", "--csv"])
def test_a_folder_that_is_not_there(option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["simulate", *CALL, option, str(tmp_path / "none" / "x.html")]) == 2
    assert "expected a folder to write to" in capsys.readouterr().err


def test_a_file_that_is_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema_version": 2, "model"')
    assert run(["report", str(tmp_path / "run.json"), "--html", str(tmp_path / "x.html")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


def test_the_published_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "explanation"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "simsparse explanation"
