"""The digits example: its gradients are gradients, and what it prints was measured."""

from __future__ import annotations

import csv
import importlib
import subprocess
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


def test_the_example_runs_as_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--quick", "--csv", str(tmp_path / "rows.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cnn on eie: accuracy against energy" in done.stdout
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 7 * 2 * 3  # networks, criteria, sparsities, machines
    accuracy = {(row["network"], row["criterion"], row["sparsity"]): float(row["accuracy"]) for row in rows}
    assert accuracy["cnn", "sparsegpt", "0.9"] > 0.5 > accuracy["cnn", "random", "0.95"]
