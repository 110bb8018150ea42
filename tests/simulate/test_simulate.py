"""The door: whole models on whole machines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simsparse.errors import ShapeError, UnknownNameError, UnsupportedError, UsageError
from simsparse.ir import Layer, LayerKind, Workload, gemm_layer
from simsparse.load.catalog import names
from simsparse.report.json import run_to_dict, to_json
from simsparse.simulate import simulate, simulate_layer

MACHINES = names("hardware")
MODELS = names("workload")
LARGE = {"llama-2-7b-decode", "llama-2-7b-prefill", "vgg16", "gpt2", "alexnet", "vit-b-16", "bert-base"}


def _workload(**weights: np.ndarray) -> Workload:
    layers = tuple(gemm_layer(name, *array.shape, 8) for name, array in weights.items())
    return Workload(name="own", layers=layers, source="a test", weights=weights)


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_runs_a_network_and_names_what_it_cannot(name: str) -> None:
    run = simulate("resnet18", on=name, prune="unstructured:0.9")
    names_run = {layer.name for layer in run.layers} | {part.name for part in run.unsupported}
    assert len(names_run) == len(run.layers) + len(run.unsupported)
    assert all(part.reason for part in run.unsupported)
    assert run.totals.macs_dense == run.baseline.macs_dense > 0
    assert run.totals.time_s == pytest.approx(sum(layer.time_s * layer.count for layer in run.layers))
    assert run.totals.energy_j == pytest.approx(sum(layer.energy_j * layer.count for layer in run.layers))
    assert run.memory_ratio > 0
    assert run.bound_by


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in MODELS]
)
def test_every_workload_runs_on_a_gpu(model: str) -> None:
    pattern = None if model.startswith("llama") else "2:4"  # drawing their weights takes half a minute
    run = simulate(model, on="a100-80gb", prune=pattern)
    assert not run.unsupported
    assert run.speedup > 0.5
    assert run.totals.average_power_w <= 1.1 * (run.tdp_w or 0)


def test_the_same_inputs_give_the_same_bytes() -> None:
    options = {"on": "stc", "prune": "2:4", "activation_density": 0.5, "seed": 3}
    first, second = (to_json(simulate("mobilenet_v1", **options)) for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    assert json.loads(first)["seed"] == 3


def test_another_seed_draws_other_weights() -> None:
    runs = [simulate("gemm:1000,200,8", on="eie", prune="unstructured:0.5", seed=seed) for seed in (0, 1)]
    assert runs[0].totals.cycles != runs[1].totals.cycles


def test_zeros_of_the_model_are_its_pruning_and_their_pattern_is_found() -> None:
    weights = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    order = np.argsort(np.random.default_rng(1).random((64, 32, 4)), axis=2)
    pruned = np.where((order < 2).reshape(64, 128), weights, 0)
    run = simulate(_workload(fc=pruned), on="stc")
    assert run.pattern == "2:4"
    assert run.layers[0].format == "nm:2:4"
    assert run.layers[0].weight_density == 0.5
    assert any("detected" in note for note in run.approximations)


def test_weights_without_zeros_run_dense() -> None:
    run = simulate(_workload(fc=np.ones((64, 128), np.float32)), on="stc")
    assert run.pattern == "dense"
    assert run.speedup == run.energy_ratio == run.memory_ratio == 1.0


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("prune", ["unstructured:1", "unstructured:0", "dense"])
def test_fully_zero_and_fully_dense_layers_work(machine: str, prune: str) -> None:
    run = simulate("gemm:70,130,5", on=machine, prune=prune)
    done = run.totals.macs_done + run.totals.macs_gated + run.totals.macs_skipped
    assert done == 70 * 130 * 5
    if prune != "unstructured:1":
        assert run.speedup == 1.0


def test_weight_density_is_another_word_for_unstructured() -> None:
    assert run_to_dict(simulate("gemm:64,64,4", on="eie", weight_density=0.25)) == run_to_dict(
        simulate("gemm:64,64,4", on="eie", prune="unstructured:0.75")
    )


def test_a_format_that_cannot_hold_a_layer_falls_back_to_dense_and_says_so() -> None:
    run = simulate("gemm:64,64,64", on="stc", prune="unstructured:0.3", format="nm")
    assert run.layers[0].format == "dense"
    assert any(note.startswith("layers that nm cannot hold") for note in run.approximations)


def test_layers_without_a_product_bound_the_gain() -> None:
    norm = Layer(
        name="norm",
        kind=LayerKind.NORMALIZATION,
        input_elements=10**7,
        output_elements=10**7,
        operations=8 * 10**7,
    )
    alone = Workload(name="fc", layers=(gemm_layer("fc", 4096, 4096, 16),), source="a test")
    both = Workload(name="both", layers=(*alone.layers, norm), source="a test")
    gain = simulate(alone, on="tpu-like", prune="unstructured:0.9").speedup
    assert simulate(both, on="tpu-like", prune="unstructured:0.9").speedup < gain


def test_nothing_to_simulate_is_an_error_with_the_reason() -> None:
    scores = Layer(name="qk", kind=LayerKind.MATMUL, m=8, k=8, n=8, input_elements=128, output_elements=64)
    with pytest.raises(UnsupportedError, match=r"no layer can be simulated .both operands are activations"):
        simulate(Workload(name="attention", layers=(scores,), source="a test"), on="eie")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on": "a100"}, UnknownNameError, "did you mean .*a100-80gb"),
        ({"on": "eie", "format": "csrr"}, UnknownNameError, "did you mean csr"),
        ({"on": "eie", "format": "csr"}, UsageError, r"expected one that eie reads \(csc\), got \"csr\""),
        (
            {"on": "eie", "dtype": "fp32"},
            UsageError,
            r"expected one that eie computes in \(int4\), got \"fp32\"",
        ),
        ({"on": "eie", "weight_density": 1.5}, UsageError, r"weight-density: expected 0 to 1, got 1\.5"),
        (
            {"on": "eie", "activation_density": -1.0},
            UsageError,
            "activation-density: expected 0 to 1, got -1",
        ),
        ({"on": "eie", "prune": "2:4", "weight_density": 0.5}, UsageError, "expected no pattern beside it"),
        ({"on": "eie", "engine": "fast"}, UnknownNameError, 'engine: expected a known name, got "fast"'),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        simulate("gemm:8,8,8", **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_masks_must_be_boolean_matrices_of_the_layer() -> None:
    with pytest.raises(ShapeError, match="expected a two-dimensional boolean array, got float64"):
        simulate_layer("gemm:4,4,4", "eie", np.ones((4, 4)))
    with pytest.raises(ShapeError, match=r"expected shape \(4, 4\), got \(4, 5\)"):
        simulate_layer("gemm:4,4,4", "eie", np.ones((4, 5), dtype=np.bool_))


def test_published_activation_densities_come_with_their_profile() -> None:
    run = simulate("alexnet", on="eyeriss-v2-pe", allocation="scnn")
    conv3 = next(layer for layer in run.layers if layer.name == "conv3")
    assert conv3.activation_density == pytest.approx(0.527598, abs=1e-5)
    assert conv3.weight_density == pytest.approx(0.346133, abs=1e-5)
