"""What a study answers: fronts, crossings, best formats, accuracies, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simsparse
from simsparse.errors import FileError, UsageError
from simsparse.sweep.crossover import LEAST, MOST, WIDTH, crossovers, next_points
from simsparse.sweep.pareto import front
from simsparse.sweep.points import Point
from tests.sweep.small import study


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=30))
def test_the_front_is_what_nothing_dominates(costs: list[tuple[int, int, int]]) -> None:
    def beaten(row: tuple[int, ...]) -> bool:
        return any(all(a <= b for a, b in zip(rival, row, strict=True)) and rival != row for rival in costs)

    assert front(costs) == [index for index, row in enumerate(costs) if not beaten(row)]


@given(
    truth=st.floats(0.0, 1.0),
    tried=st.lists(st.integers(1, 98).map(lambda n: n / 100), min_size=2, unique=True),
)
def test_bisection_finds_a_crossing_to_one_per_cent(truth: float, tried: list[float]) -> None:
    def speedup(point: Point) -> float:
        return 1.5 if float(point.pattern.split(":")[1]) >= truth else 0.5

    base = {"model": "m", "hardware": "h", "format": "csr", "dtype": "int8"}
    points = [Point(pattern=f"unstructured:{s:g}", **base) for s in tried]
    for _ in range(12):
        more = next_points((point, speedup(point)) for point in points)
        if not more:
            break
        points += more
    (found,) = crossovers((point, speedup(point)) for point in points)
    if found.sparsity is None:
        assert truth > MOST
    elif truth <= LEAST:
        assert found.sparsity == LEAST
    else:
        assert abs(found.sparsity - truth) <= WIDTH / 2 + 1e-3
    assert len(points) - len(tried) <= 8


def test_a_format_that_dips_pays_only_after_its_last_dip() -> None:
    base = {"model": "m", "hardware": "h", "format": "csr", "dtype": "int8"}
    values = {0.1: 1.1, 0.5: 0.9, 0.9: 1.2}
    (found,) = crossovers((Point(pattern=f"unstructured:{s}", **base), v) for s, v in values.items())
    assert (found.below, found.above) == (0.5, 0.9)


def test_no_crossing_for_auto_for_fixed_patterns_and_for_formats_that_hold_nothing() -> None:
    base = {"model": "m", "hardware": "h", "dtype": "int8"}
    given_ = [
        (Point(pattern=pattern, format=name, **base), speedup)
        for name, pattern, speedup in [
            ("auto", "unstructured:0.5", 1.0),
            ("auto", "unstructured:0.9", 2.0),
            ("nm", "2:4", 2.0),
            ("nm", "4:8", 2.0),
            ("vnm", "unstructured:0.5", 0.0),
            ("vnm", "unstructured:0.9", 0.0),
            ("csr", "unstructured:0.9", 2.0),
        ]
    ]
    assert crossovers(given_) == []
    assert next_points(given_) == []


def test_crossings_of_a_real_study_are_crossings() -> None:
    found = study(
        on="tpu-like",
        format="csr",
        models="gemm:256,256,16",
        prune=["unstructured:0.2", "unstructured:0.95"],
        crossover=True,
    )
    (row,) = found.crossovers().to_dict("records")
    assert row["above"] - row["below"] <= WIDTH
    for side, faster in (("below", False), ("above", True)):
        run = simsparse.simulate(
            "gemm:256,256,16", on="tpu-like", format="csr", prune=f"unstructured:{row[side]:g}"
        )
        assert (run.speedup >= 1) is faster
    assert set(found.frame()["pattern"]) == {"unstructured:0.2", "unstructured:0.95"}
    assert len(found.frame(crossovers=True)) > 2


def test_best_formats_are_the_fastest() -> None:
    found = study(format="all", on="tpu-like")
    layers = found.layers()
    best = found.best_formats()
    assert len(best) == 8
    for row in best.to_dict("records"):
        same = layers[(layers["asked_model"] == row["model"]) & (layers["asked_pattern"] == row["pattern"])]
        assert row["time_s"] == same["time_s"].min()


def test_pareto_is_per_model_and_has_the_fastest() -> None:
    found = study()
    kept = found.pareto()
    table = found.frame()
    for model, members in table.groupby("model"):
        assert members["time_s"].idxmin() in kept.index
        assert members["energy_j"].idxmin() in kept.index
        assert (kept["model"] == model).any()
    only = found.pareto(["time_s"])
    assert (only["time_s"].to_numpy() == only.groupby("model")["time_s"].transform("min").to_numpy()).all()
    with pytest.raises(UsageError, match="did you mean time_s"):
        found.pareto(["tme_s"])


def test_accuracy_joins_by_the_columns_it_has(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("pattern,accuracy\nunstructured:0.50,0.76\n2:4,0.75\n")
    found = study(accuracy=csv)
    table = found.frame()
    assert set(table[table["pattern"] == "2:4"]["accuracy"]) == {0.75}
    assert table[table["pattern"] == "unstructured:0.9"]["accuracy"].isna().all()
    assert "unstructured:0.5" in set(found.pareto()["pattern"]), "the most accurate is on the front"
    best = found.pareto(["accuracy"])
    assert set(best["pattern"]) == {"unstructured:0.5"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pattern,acc\n2:4,1\n", "expected columns such as model,pattern,accuracy"),
        ("patern,accuracy\n2:4,1\n", "did you mean pattern"),
        ("pattern,accuracy\n2:4\n", ":2:1: expected 2 cells"),
        ("pattern,accuracy\n2:4,high\n", "expected a number"),
        ("pattern,accuracy\n3:4,0.5\n", "nothing in the study is so"),
        ("pattern,accuracy\n2:4,0.5\n2:4,0.6\n", "twice"),
        ("pattern,accuracy\nx,0.5\n", "expected a pattern"),
        ("", "got nothing"),
    ],
)
def test_wrong_accuracies(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match=said):
        study(accuracy=tmp_path / "a.csv")


def test_exports_hold_the_frame(tmp_path: Path) -> None:
    found = study()
    found.to_csv(tmp_path / "s.csv")
    found.to_parquet(tmp_path / "s.parquet")
    for back in (pd.read_csv(tmp_path / "s.csv"), pd.read_parquet(tmp_path / "s.parquet")):
        assert np.array_equal(back["time_s"], found.frame()["time_s"])
        assert list(back["pattern"]) == list(found.frame()["pattern"])


def test_a_notebook_gets_escaped_html() -> None:
    import dataclasses

    from simsparse.load.catalog import load_model

    evil = dataclasses.replace(load_model("gemm:8,8,8"), name="<script>alert(1)</script>")
    text = study(models=[evil])._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
