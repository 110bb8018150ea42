"""Real executions of a study's models: after the pool, alone, once, and beside the simulated figures."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from simsparse.measure import measure as measure_module
from simsparse.report.page_study import study_html
from simsparse.report.study import print_study, study_to_dict
from simsparse.sweep import open_study
from simsparse.sweep.study import Study
from tests.sweep.small import study

LISTS: dict[str, Any] = {
    "models": ["gemm:16,16,4"],
    "prune": ["unstructured:0.5", "unstructured:0.9"],
    "format": ["csc"],
    "measure": True,
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was measured, with the processes that were alive meanwhile; two runs are enough."""
    real, made = measure_module.measure, []

    def watched(model: str, **options: Any) -> Any:
        made.append({"model": model, **options, "alive": multiprocessing.active_children()})
        return real(model, repeat=2, **options)

    monkeypatch.setattr(measure_module, "measure", watched)
    return made


def test_models_run_alone_after_the_pool(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []

    def notice(finished: int, total: int, _: int) -> None:
        done.append((finished, total))
        assert not calls, "a model ran before the last point was simulated"

    found = study(**LISTS, executor="processes", jobs=2, folder=tmp_path, notice=notice)
    assert done[-1] == (4, 4)
    assert [call["prune"] for call in calls] == ["unstructured:0.5", "unstructured:0.9"]
    assert [call["alive"] for call in calls] == [[], []]
    assert [words["pattern"] for words in found.measured] == ["unstructured:0.5", "unstructured:0.9"]
    assert all(words["time_s"] > 0 and words["dense_s"] > 0 for words in found.measured)
    assert open_study(tmp_path).measured == found.measured


def test_what_was_measured_is_not_measured_again(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    first = study(**LISTS, folder=tmp_path)
    again = study(**{**LISTS, "prune": [*LISTS["prune"], "2:4"]}, folder=tmp_path, resume=True)
    assert [call["prune"] for call in calls] == [*LISTS["prune"], "2:4"]
    assert again.measured[:2] == first.measured


def test_figures_stand_beside_the_simulated_ones(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    found = study(**LISTS, skip=["gemm"])
    table = found.frame()
    by_pattern = {words["pattern"]: words for words in found.measured}
    assert len(table) == 4, "two machines share a measurement"
    assert [call["skip"] for call in calls] == [("gemm",)] * 2
    for row in table.to_dict("records"):
        words = by_pattern[row["pattern"]]
        assert row["measured_time_s"] == words["time_s"]
        assert row["measured_speedup"] == words["dense_s"] / words["time_s"]
    found.to_csv(tmp_path / "s.csv")
    assert pd.read_csv(tmp_path / "s.csv")["measured_dense_s"].tolist() == table["measured_dense_s"].tolist()
    assert study_to_dict(found)["measured"] == [dict(words) for words in found.measured]
    assert "Measured on this host" in shown(found)
    page = study_html(table, found.pareto(), found.crossovers(), title="t")
    assert f'data-value="{by_pattern["unstructured:0.9"]["time_s"]!r}"' in page


def test_a_model_that_cannot_run_here_says_why(tmp_path: Path) -> None:
    (tmp_path / "w.smtx").write_text("2, 2, 2\n0 1 2\n0 1\n")
    model = str(tmp_path / "w.smtx")
    found = study(**{**LISTS, "models": [model], "prune": [], "on": "eie"})
    (words,) = found.measured
    assert words["error"].startswith("measure: expected a bundled name")
    assert found.frame()["measured_time_s"].isna().all()
    assert "Not measured" in shown(found)
    assert "measured_time_s" not in study(**{**LISTS, "measure": False}).frame()


def shown(found: Study) -> str:
    stream = io.StringIO()
    print_study(Console(file=stream, width=100, markup=False, highlight=False), found)
    return stream.getvalue()
