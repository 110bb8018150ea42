"""The page without a browser: self-contained, escaped, its figures valid, its numbers those of the run."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from typing import Any

import pandas as pd
import pytest
from run_example import example_measurement, example_run, layer

from simsparse.explanation import PlanBook, explain_run
from simsparse.load.catalog import load_hardware, names
from simsparse.report.figures import run_figures
from simsparse.report.figures.energy_groups import GROUPS, group_of
from simsparse.report.figures.measured import measured_scatter
from simsparse.report.figures.storage import DENSITIES, envelope, footprints
from simsparse.report.notebook import explanation_html
from simsparse.report.page import html
from simsparse.report.page_measured import measurement_html
from simsparse.report.page_study import study_html
from simsparse.results import Run
from simsparse.simulate import simulate

LIMIT_BYTES = 6_000_000


@pytest.fixture(scope="module")
def run() -> Run:
    hardware, book = load_hardware("a100-80gb"), PlanBook()
    found = simulate("resnet18", on=hardware, prune="2:4", observe=book)
    return dataclasses.replace(found, explanation=explain_run(found, book, hardware))


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return html(run)


def specs(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_is_one_file_that_may_load_nothing(page: str) -> None:
    assert len(page.encode()) < LIMIT_BYTES
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    text = policy[1].replace("&#39;", "'")
    assert text.startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text
    assert len(scripts) == 2
    head = page[: page.index('<script type="application/json"')]
    assert not re.search(r'(src|href)="(?!#|data:)', head)


def test_figures_are_valid_and_described(run: Run, page: str) -> None:
    from plotly import graph_objects

    drawn = specs(page)
    assert list(drawn) == [
        "waterfall",
        "time-layers",
        "energy-total",
        "energy-layers",
        "roofline",
        "imbalance",
        "storage",
    ]
    for name, spec in drawn.items():
        text = json.dumps(spec)
        assert "NaN" not in text
        graph_objects.Figure(json.loads(re.sub(r'"@[a-z0-9]+"', '"#123456"', text)))
        assert f'data-figure="{name}"' in page
    for figure in run_figures(run):
        assert figure.caption
        assert len(figure.alternative) > 20


def test_figures_show_the_runs_numbers(run: Run, page: str) -> None:
    drawn = specs(page)
    bars = drawn["energy-total"]["data"]
    assert sum(bar["x"][1] for bar in bars) == pytest.approx(run.totals.energy_j)
    assert sum(bar["x"][0] for bar in bars) == pytest.approx(run.baseline.energy_j)
    time_s = sum(sum(bar["y"]) for bar in drawn["time-layers"]["data"] if bar["type"] == "bar")
    assert time_s == pytest.approx(run.totals.time_s, rel=2e-3)  # layers below a thousandth are left out
    steps = drawn["waterfall"]["data"][0]
    assert run.explanation is not None
    assert steps["base"][0] + steps["x"][0] == pytest.approx(run.explanation.ideal_speedup)
    assert steps["base"][-1] + steps["x"][-1] == pytest.approx(run.speedup)


@pytest.mark.parametrize("machine", names("hardware"))
def test_every_machine_has_a_page(machine: str) -> None:
    run = simulate("gemm:96,128,64", on=machine, prune="2:4")
    for figure in run_figures(run):
        assert figure.spec is None or figure.spec["data"]
    assert run.machine is not None


HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7*7 }}'


def test_names_from_files_are_text_everywhere() -> None:
    hostile = example_run(
        model=HOSTILE,
        layers=(layer(HOSTILE), layer("=cmd()")),
        baseline_layers=(layer(HOSTILE), layer("=cmd()")),
    )
    page = html(hostile)
    assert page.count("<script") == 3  # plotly's source has "<script" in no other form
    assert "<img" not in page[: page.index('<script type="application/json"')]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "49" not in re.sub(r"[\d.]{3,}", "", page[page.index("<h1>") : page.index("</h1>")])
    drawn = json.dumps(specs(page))
    assert "<script" not in drawn
    assert "<img" not in drawn
    shown = example_run(layers=(layer(HOSTILE),))._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown


def test_a_run_without_machine_or_layers_has_a_page() -> None:
    assert "Not simulated" in html(example_run())
    assert "<h1>" in html(example_run(layers=(), baseline_layers=(), unsupported=()))


def test_measured_layers_stand_beside_predictions(run: Run) -> None:
    table = pd.DataFrame(
        {"layer": ["a", "b", "c"], "predicted_s": [1e-3, None, 3e-3], "measured_s": [2e-3, 1.0, 3e-3]}
    )
    figure = measured_scatter(table)
    assert figure.caption.startswith("2 layers on this host: median error 50.0 %, largest 50.0 %")
    assert 'data-figure="measured"' in html(run, measured=table)


def test_energy_groups_cover_every_action_of_every_machine() -> None:
    for name in names("hardware"):
        for component, actions in load_hardware(name).energy_pj.items():
            for action in actions:
                assert group_of(component, action) in GROUPS
    assert group_of("mac", "gated") == "MACs"


def test_the_smallest_format_is_found_between_samples() -> None:
    curves = footprints(64, 256, 16, {}, 0)
    spans = envelope(curves)
    assert spans[0] == ("dense", pytest.approx(15 / 16, rel=0.02), 1.0)  # a bitmap costs one of 16 bits
    assert [low for _, low, _ in spans[:-1]] == [high for _, _, high in spans[1:]]
    assert spans[-1][1] == DENSITIES[0]


def test_a_study_has_a_page() -> None:
    rows = [
        {
            "model": "net<b>",
            "hardware": machine,
            "pattern": pattern,
            "format": name,
            "dtype": "int8",
            "status": "ok",
            "speedup": speed,
            "energy_ratio": speed / 2,
            "time_s": 1e-3 / speed,
            "energy_j": 1e-3,
            "stored_bytes": 1000,
        }
        for machine, base in (("stc", 1.5), ("eie", 0.5))
        for pattern, step in (("2:4", 1.0), ("unstructured:0.9", 2.0))
        for name, speed in (("csr", base * step), ("nm", base))
    ]
    failed = {**rows[0], "status": "failed", "error": "no <i>such</i> format", "speedup": float("nan")}
    points = pd.DataFrame([*rows, failed])
    crossovers = pd.DataFrame(
        {
            "model": ["net"],
            "hardware": ["stc"],
            "format": ["csr"],
            "sparsity": [0.61],
            "below": [0.6],
            "above": [0.62],
        }
    )
    page = study_html(points, points.iloc[[1]], crossovers, title="Study <x>", missing=2)
    assert list(specs(page)) == ["machines", "pareto-0", "map-0", "map-1"]
    assert "8 points, 1 that cannot be simulated, 2 not computed yet. 4 are faster" in page
    assert "net<b>" not in page
    assert "no &lt;i&gt;such&lt;/i&gt; format" in page
    assert ">61.0 %<" in page
    assert "Study &lt;x&gt;" in page
    empty = study_html(points.iloc[:0], points.iloc[:0], crossovers.iloc[:0], title="none")
    assert "0 points." in empty


def test_notebook_forms(run: Run) -> None:
    shown = run._repr_html_()
    assert shown.startswith("<p><b>resnet18 on a100-80gb")
    assert f"and {len(run.layers) - 12} layers that take less" in shown
    assert run.explanation is not None
    assert explanation_html(run.explanation) == run.explanation._repr_html_()
    assert "fixed overheads" in run.explanation._repr_html_()
    hostile = dataclasses.replace(run.explanation, model=HOSTILE, pattern=HOSTILE)._repr_html_()
    assert "<script" not in hostile
    assert "<img" not in hostile


def test_a_measurement_has_a_page_with_its_numbers() -> None:
    page = measurement_html(example_measurement())
    drawn = specs(page)
    assert list(drawn) == ["time-layers", "measured"]
    bars = [trace for trace in drawn["time-layers"]["data"] if trace["type"] == "bar"]
    assert [bar["name"] for bar in bars] == ["sparse product", "other operator"]
    assert sum(sum(bar["y"]) for bar in bars) == pytest.approx(3e-6)
    assert drawn["measured"]["data"][1]["x"] == [2e-6]
    assert 'data-figure-of="Speed-up" data-value="2.0"' in page
    for value in (2e-6, 3e-6, 2.5e-6, 1e-6):
        assert f'data-value="{value!r}"' in page
    assert "<li>a note</li>" in page


def test_a_measurement_without_prediction_or_runs_has_a_page() -> None:
    (product, other) = example_measurement().layers
    alone = dataclasses.replace(product, predicted_s=None, dense_s=None)
    page = measurement_html(example_measurement(layers=(alone, other), predicted_s=None, host=""))
    assert list(specs(page)) == ["time-layers"]
    stopped = example_measurement(
        layers=(), time_s=None, spread=None, dense_s=None, dense_spread=None, runs=0, interrupted=True
    )
    assert "interrupted before the first run ended" in measurement_html(stopped)


def test_names_in_a_measurement_are_text() -> None:
    (product, other) = example_measurement().layers
    hostile = dataclasses.replace(product, name=HOSTILE, kernel=HOSTILE, format=HOSTILE)
    page = measurement_html(
        example_measurement(model=HOSTILE, host=HOSTILE, layers=(hostile, other), notes=(HOSTILE,))
    )
    policy, head = page[: page.index("</head>")], page[: page.index('<script type="application/json"')]
    assert 'Content-Security-Policy" content="default-src &#39;none&#39;' in policy
    assert page.count("<script") == 3
    assert "<img" not in head
    assert not re.search(r'(src|href)="(?!#|data:)', head)
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in head
    drawn = json.dumps(specs(page))
    assert "<script" not in drawn
    assert "<img" not in drawn
