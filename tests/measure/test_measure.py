"""``measure``: what it reports adds up, stops when asked to, and says what is wrong in one line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from threadpoolctl import threadpool_info

import simsparse
from simsparse.cli import run as command
from simsparse.errors import UsageError
from simsparse.measure import baseline
from simsparse.measure.baseline import Feeds, OnnxRuntime
from simsparse.measure.measure import measure
from simsparse.measure.measure_energy import find_meter
from simsparse.measure.network import load_network
from simsparse.packed.dense import blas_threads
from tests.measure.networks import draw, write_model

make = helper.make_node


@pytest.fixture
def small(tmp_path: Path) -> Path:
    nodes = [
        make("Conv", ["x", "w1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        make("Relu", ["a"], ["r"]),
        make("Conv", ["r", "w2"], ["b"], name="second"),
        make("GlobalAveragePool", ["b"], ["p"]),
        make("Flatten", ["p"], ["f"]),
        make("Gemm", ["f", "w3"], ["y"], name="last"),
    ]
    constants = {"w1": draw((16, 4, 3, 3)), "w2": draw((32, 16, 1, 1)), "w3": draw((32, 10))}
    return write_model(tmp_path / "small.onnx", nodes, {"x": ("batch", 4, 12, 12)}, ["y"], constants)


def test_a_measurement_adds_up(small: Path) -> None:
    found = measure(small, prune="unstructured:0.9", skip=["last"], repeat=3, batch=2)
    assert found.runs == 3
    assert found.batch == 2
    assert found.dense_name.startswith("onnxruntime")
    assert found.time_s is not None
    assert found.dense_s is not None
    assert found.speedup == found.dense_s / found.time_s
    assert sum(layer.time_s for layer in found.layers) <= 3 * found.time_s
    layers = {layer.name: layer for layer in found.layers}
    assert (layers["first"].m, layers["first"].k, layers["first"].n) == (16, 36, 2 * 144)
    assert layers["first"].weight_density in (pytest.approx(0.1, abs=0.02), 1.0)
    assert layers["last"].weight_density == 1.0
    assert layers["second"].activation_density < 0.9  # what ReLU left
    for layer in found.layers:
        assert layer.format != "dense" or layer.weight_density == 1.0
        assert layer.flops == 2 * round(layer.weight_density * layer.m * layer.k) * layer.n
    assert {layer.kind for layer in found.layers} <= {"Conv", "GlobalAveragePool", "Gemm", "Layout"}


@pytest.mark.parametrize("model", ["gemm:24,32,16", "conv:8,12,9,9,3,3,2"])
def test_inline_layers_by_name_of_the_package(model: str) -> None:
    found = simsparse.measure(model, prune="2:4", format="nm", repeat=1)
    (layer,) = [layer for layer in found.layers if layer.m]
    assert layer.layer == model.partition(":")[0]
    assert layer.weight_density == 0.5
    assert layer.format == "nm"


def test_a_format_that_cannot_hold_the_zeros_runs_dense_and_says_so(small: Path) -> None:
    found = measure(small, prune="unstructured:0.5", format="nm", repeat=1)
    assert {layer.format for layer in found.layers if layer.m} == {"dense"}
    assert any("nm cannot hold it" in note for note in found.notes)


def test_prediction_stands_beside_the_measurement(small: Path) -> None:
    found = measure(small, prune="unstructured:0.9", repeat=1, on="epyc-9654")
    first = next(layer for layer in found.layers if layer.name == "first")
    assert found.host == "epyc-9654"
    assert first.predicted_s is not None
    assert first.prediction_error == first.predicted_s / first.time_s - 1
    assert first.peak_share is not None
    assert first.peak_share > 0


def test_without_onnxruntime_the_baseline_is_our_own(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise ImportError

    monkeypatch.setattr(baseline, "OnnxRuntime", missing)
    found = measure(small, prune="unstructured:0.9", repeat=2)
    assert found.dense_name.startswith("simsparse")
    assert all(layer.dense_s for layer in found.layers if layer.m)
    assert any("onnxruntime is not installed" in note for note in found.notes)


@pytest.mark.parametrize(("threads", "waits"), [(1, 0), (2, 6)])
def test_runs_on_several_threads_begin_with_awake_threads_and_no_others(
    small: Path, monkeypatch: pytest.MonkeyPatch, threads: int, waits: int
) -> None:
    """Pools of BLAS and of the dense library spin on after a run, and would take processors from the next."""
    measure(small, prune="unstructured:0.9", threads=threads, repeat=1)  # every library is loaded then
    happened: list[str] = []
    run = OnnxRuntime.run

    def dense(self: OnnxRuntime, feeds: Feeds) -> None:
        pools = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        happened.append(f"dense beside {pools}")
        run(self, feeds)

    # the name of the module is also that of the function
    monkeypatch.setattr(sys.modules[measure.__module__], "wait_until_idle", lambda: happened.append("wait"))
    monkeypatch.setattr(OnnxRuntime, "run", dense)
    found = measure(small, prune="unstructured:0.9", threads=threads, repeat=3)
    assert (found.threads, found.runs) == (threads, 3)
    assert happened.count("wait") == waits
    one = f"dense beside {{{blas_threads(threads)}}}"
    assert set(happened) - {"wait"} == {one}
    turn = ["wait", "wait", one, one] if threads == 2 else [one]
    assert happened[-3 * len(turn) :] == 3 * turn


def test_profiled_times_are_added_up_by_layer(small: Path) -> None:
    network = load_network(small, batch=1)
    names = ["first_nchwc", "r", "second", "elsewhere"]
    runs = [[9.0, 9.0, 9.0, 9.0], [1.0, 2.0, 4.0, 8.0], [3.0, 2.0, 4.0, 8.0], [2.0, 2.0, 4.0, 8.0]]
    events: list[dict[str, Any]] = [{"cat": "Session", "name": "first_kernel_time", "dur": 1.0}]
    for times in runs:
        pairs = zip(names, times, strict=True)
        events += [{"cat": "Node", "name": f"{name}_kernel_time", "dur": time_us} for name, time_us in pairs]
    found = baseline.times_by_layer(events, network, skip=1)
    assert found == {"first": pytest.approx(4e-6), "second": pytest.approx(4e-6)}


def _stop_at(number: int) -> Callable[..., None]:
    calls = iter(range(10_000))

    def run(self: Any, feeds: Any) -> None:
        self._session.run(None, dict(feeds))
        if next(calls) == number:
            raise KeyboardInterrupt

    return run


@pytest.mark.parametrize(("at", "runs"), [(5, 2), (2, 0), (1, 0), (0, 0)])
def test_an_interrupt_leaves_valid_json(
    small: Path,
    at: int,
    runs: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(baseline.OnnxRuntime, "run", _stop_at(at))
    assert command(["measure", str(small), "--json", "--batch", "1"]) == 130
    data = json.loads(capsys.readouterr().out)
    assert data["interrupted"] is True
    assert data["runs"] == runs
    assert bool(data["layers"]) == (runs > 0)


def densities_in(capture: Path) -> dict[str, float]:
    with np.load(capture) as arrays:
        return {
            key.removesuffix("/density"): float(arrays[key]) for key in arrays if key.endswith("/density")
        }


def test_the_command_writes_json_csv_and_capture(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, capture = tmp_path / "t.csv", tmp_path / "a.npz"
    arguments = ["measure", str(small), "--prune", "unstructured:0.8", "--repeat", "1", "--batch", "1"]
    assert command([*arguments, "--json", "--csv", str(table), "--capture", str(capture)]) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out)
    assert printed.err == ""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [layer["name"] for layer in data["layers"]]
    densities = densities_in(capture)
    seen = {layer["layer"]: layer["activation_density"] for layer in data["layers"] if layer["m"]}
    assert densities == seen
    assert command(arguments) == 0
    assert "the speed of onnxruntime" in capsys.readouterr().out


def test_a_capture_of_real_inputs_prunes_by_wanda_and_sets_densities(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_network(small, batch=1)
    feeds = {
        name: np.abs(np.random.default_rng(0).standard_normal(network.graph.shapes[name])).astype(np.float32)
        for name in network.input_names
    }
    np.savez(tmp_path / "x.npz", **feeds)
    seen = str(tmp_path / "seen.npz")
    options = ["--repeat", "1", "--batch", "1", "--inputs", str(tmp_path / "x.npz"), "--grams"]
    assert command(["measure", str(small), *options, "--capture", seen]) == 0
    first = next(iter(densities_in(Path(seen)).values()))
    assert first == 1.0  # no input is zero
    for criterion in ("wanda", "sparsegpt"):
        pruned = ["--prune", "unstructured:0.5", "--criterion", criterion, "--calibration", seen]
        assert command(["measure", str(small), "--repeat", "1", "--batch", "1", *pruned]) == 0
        assert command(["simulate", str(small), "--on", "eie", "--activations", seen, *pruned]) == 0
    capsys.readouterr()
    np.savez(tmp_path / "bad.npz", **{name: array[..., :1] for name, array in feeds.items()})
    bad = ["measure", str(small), "--batch", "1", "--inputs", str(tmp_path / "bad.npz")]
    assert command(bad) == 2
    assert "expected shape" in capsys.readouterr().err


def test_a_pruned_layer_without_a_kernel_is_named(tmp_path: Path) -> None:
    weights = {"w": draw((4, 3, 2, 2)), "v": draw((3, 3, 1, 1))}
    nodes = [
        make("ConvTranspose", ["x", "w"], ["h"], name="up", strides=[2, 2]),
        make("Conv", ["h", "v"], ["y"], name="mix"),
    ]
    path = write_model(tmp_path / "up.onnx", nodes, {"x": (1, 4, 5, 5)}, ["y"], weights)
    found = measure(str(path), prune="unstructured:0.5", repeat=1)
    assert "ran dense, with zeros for what was removed, for want of a sparse kernel: up" in found.notes


def test_a_plan_sets_the_format_of_each_layer(small: Path, tmp_path: Path) -> None:
    layers = [layer.name for layer in simsparse.load_model(str(small)).layers if layer.kind.has_weights]
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"prune: unstructured:0.8\nformats:\n  {json.dumps(layers[0])}: dense\n")
    found = measure(str(small), plan=plan, format="csr", repeat=1, batch=1)
    formats = {layer.layer: layer.format for layer in found.layers if layer.m}
    assert formats[layers[0]] == "dense"
    assert set(formats.values()) == {"dense", "csr"}
    assert found.pattern == "unstructured:0.8"


def test_mistakes_are_one_line_and_unknown_operators_exit_3(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    model = onnx.load(small)
    model.graph.node.append(make("Frobnicate", ["y"], ["z"], domain="acme"))
    model.graph.output[0].name = "z"
    model.opset_import.add(domain="acme", version=1)
    onnx.save(model, tmp_path / "odd.onnx")
    for arguments, code, words in (
        ([str(tmp_path / "odd.onnx")], 3, "Frobnicate"),
        (["weights.safetensors"], 2, "expected a bundled name, .yaml, .onnx"),
        ([str(small), "--threads", "0"], 2, "threads"),
        ([str(small), "--on", "nowhere"], 2, "nowhere"),
        ([str(small), "--format", "cssr"], 2, "csr"),
        ([str(small), "--csv", str(tmp_path / "no" / "t.csv")], 2, "folder"),
    ):
        assert command(["measure", *arguments, "--repeat", "1"]) == code, arguments
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("error: ")
        assert words in error


def test_energy_counters_wrap(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None
    for number, value in enumerate(("999000", "5000000")):
        package = tmp_path / f"intel-rapl:{number}"
        (package / "energy_uj").parent.mkdir()
        (package / "energy_uj").write_text(value)
        (package / "max_energy_range_uj").write_text("1000000")
    part = tmp_path / "intel-rapl:0:0"
    part.mkdir()
    meter = find_meter(tmp_path)
    assert meter is not None
    before = meter.read_uj()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1000")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("5500000")
    assert meter.joules(before, meter.read_uj()) == pytest.approx((1000 - 999000 + 1000000 + 500000) * 1e-6)


def test_numbers_out_of_range_are_refused(small: Path) -> None:
    with pytest.raises(UsageError, match="repeat"):
        measure(small, repeat=0)
