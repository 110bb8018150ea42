"""Accuracy against cost in a study's page: which points are drawn, and that names are only text."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simsparse.report.figures.accuracy import accuracy_fronts, best_at_cost
from simsparse.report.page_study import study_html

HOSTILE = "<img src=x onerror=alert(1)>"


def points(**changes: object) -> pd.DataFrame:
    rows = [
        {
            "model": "net",
            "hardware": machine,
            "pattern": "2:4",
            "format": "auto",
            "criterion": criterion,
            "status": "ok",
            "time_s": time_s,
            "energy_j": 1e-9 / time_s,
            "stored_bytes": 8.0,
            "speedup": 1.5,
            "energy_ratio": 1.2,
            "accuracy": accuracy,
        }
        for machine in ("eie", "scnn")
        for criterion, time_s, accuracy in (
            ("magnitude", 1e-6, 0.5),
            ("wanda", 1e-3, 0.9),
            ("wanda", 2e-3, 0.8),
        )
    ]
    return pd.DataFrame(rows).assign(**changes)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
@settings(deadline=None, max_examples=60)
def test_the_front_is_what_nothing_beats(costs: list[tuple[int, int]]) -> None:
    best = best_at_cost(pd.DataFrame(costs, columns=["time_s", "accuracy"]), "time_s")
    expected = {(x, y) for x, y in costs if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in costs)}
    found = list(best[["time_s", "accuracy"]].itertuples(index=False, name=None))
    assert set(found) == expected
    assert found == sorted(set(found))


def test_two_figures_for_each_machine_and_a_colour_for_each_criterion() -> None:
    figures = accuracy_fronts(points())
    assert [figure.title for figure in figures] == [
        f"Accuracy and {word}: net on {machine}" for machine in ("eie", "scnn") for word in ("time", "energy")
    ]
    spec = figures[0].spec
    assert spec is not None
    assert [(trace["name"], len(trace["x"])) for trace in spec["data"]] == [
        ("magnitude", 1),
        ("wanda", 2),
        ("on the front", 2),
    ]
    assert spec["layout"]["xaxis"]["type"] == "log"
    assert "0.90 with 2:4 by wanda for 1.00 ms" in figures[0].caption
    assert len({trace["marker"]["color"] for trace in spec["data"]}) == 3


def test_an_axis_of_close_values_has_them_inside() -> None:
    (time_s, _) = accuracy_fronts(points(time_s=3e-6, hardware="eie"))
    assert time_s.spec is not None
    low, high = time_s.spec["layout"]["xaxis"]["range"]
    assert low < 3e-6 < high


def test_one_criterion_shows_formats_and_many_share_a_colour() -> None:
    table = pd.concat([points(criterion="wanda", format=f"f{i}", hardware="eie") for i in range(9)])
    spec = accuracy_fronts(table)[0].spec
    assert spec is not None
    assert [trace["name"] for trace in spec["data"]] == [
        *(f"f{i}" for i in range(7)),
        "others",
        "on the front",
    ]
    assert sum(len(trace["x"]) for trace in spec["data"][:-1]) == len(table)


@pytest.mark.parametrize("table", [points().drop(columns="accuracy"), points(accuracy=float("nan"))])
def test_nothing_is_drawn_without_accuracies(table: pd.DataFrame) -> None:
    assert accuracy_fronts(table) == []


@pytest.mark.parametrize("field", ["model", "hardware", "criterion", "format", "pattern"])
def test_names_are_only_text(field: str) -> None:
    table = points(**{field: HOSTILE})
    page = study_html(table, table, pd.DataFrame(), title="t")
    assert "<img" not in page
    assert "onerror" in page
