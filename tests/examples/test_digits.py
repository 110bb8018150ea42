"""The digits example: its gradients are gradients, and what it prints was measured."""

from __future__ import annotations

import csv
import html
import importlib
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "digits"
pytest.importorskip("sklearn", reason="scikit-learn brings the digits")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("network", "files"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("network")


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_gradients_are_what_small_changes_cost(module: Any, kind: str) -> None:
    network = module.make("n", getattr(module, kind), seed=0)
    for layer in network.layers:
        layer.weights, layer.bias = layer.weights.astype(np.float64), layer.bias.astype(np.float64)
    rng = np.random.default_rng(1)
    x = rng.random((5, 1, 8, 8) if kind == "CNN" else (5, 64))
    labels = rng.integers(0, 10, 5)

    def loss() -> float:
        logits, _ = module.forward(network, x)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return float(-np.log(shares[np.arange(5), labels] / shares.sum(axis=1)).mean())

    for layer, (found, _) in zip(network.layers, module.gradients(network, x, labels), strict=True):
        for place in ((0, 0), (3, 5), (9, layer.weights.shape[1] - 1)):
            value, step = layer.weights[place], 1e-6
            layer.weights[place] = value + step
            above = loss()
            layer.weights[place] = value - step
            below = loss()
            layer.weights[place] = value
            assert found[place] == pytest.approx((above - below) / (2 * step), rel=2e-3, abs=1e-7)


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_the_exported_file_computes_the_same(module: Any, kind: str, tmp_path: Path) -> None:
    network = module.make("n", getattr(module, kind), seed=0)
    importlib.import_module("files").write_onnx(network, tmp_path / "n.onnx")
    x = np.random.default_rng(1).random((5, 1, 8, 8) if kind == "CNN" else (5, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"pixels": x})
    np.testing.assert_allclose(module.forward(network, x)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("module")
def test_the_example_runs_as_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where scikit-learn and the kernels are loaded already."""
    monkeypatch.setattr(sys, "argv", [str(FOLDER), "--quick", "--csv", str(tmp_path / "rows.csv")])
    runpy.run_path(str(FOLDER), run_name="__main__")
    assert "cnn on eie: accuracy against energy" in capsys.readouterr().out
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 7 * 2 * 3  # networks, criteria, sparsities, machines
    _check_page((tmp_path / "rows.html").read_text("utf-8"), rows)
    accuracy = {(row["network"], row["criterion"], row["sparsity"]): float(row["accuracy"]) for row in rows}
    assert accuracy["cnn", "sparsegpt", "0.9"] > 0.5 > accuracy["cnn", "random", "0.95"]


def _check_page(page: str, rows: list[dict[str, str]]) -> None:
    """Two fronts for each network and machine, every point in them, and the table of all."""
    titles = [html.unescape(title) for title in re.findall(r"<h2[^>]*>(.*?)</h2>", page)]
    specs = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    groups = list(dict.fromkeys((row["network"], row["machine"]) for row in rows))
    assert len(groups) == 6
    for number, (network, machine) in enumerate(groups):
        own = [row for row in rows if (row["network"], row["machine"]) == (network, machine)]
        for word, cost in (("time", "time_s"), ("energy", "energy_j")):
            assert f"Accuracy and {word}: {network} on {machine}" in titles
            *series, ring = specs[f"accuracy-{number}-{word}"]["data"]
            assert [trace["name"] for trace in series] == list(dict.fromkeys(r["criterion"] for r in own))
            drawn = {point for trace in series for point in zip(trace["x"], trace["y"], strict=True)}
            asked = {(float(row[cost]), float(row["accuracy"])) for row in own}
            assert drawn == asked
            unbeaten = {
                (x, y) for x, y in asked if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in asked)
            }
            assert set(zip(ring["x"], ring["y"], strict=True)) == unbeaten
    assert f"{len(rows)} points" in page
