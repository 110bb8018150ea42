"""The training step: shapes and masks against NumPy's own gradients, multiply-adds in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simsparse
from simsparse.errors import UnknownNameError, UsageError
from simsparse.ir import ConvShape, Layer, LayerKind, Workload, conv_layer, gemm_layer
from simsparse.load.catalog import load_model
from simsparse.pattern import NM, Block, Unstructured
from simsparse.pruning.prune import prune
from simsparse.pruning.training import training_bytes, training_step


def conv(groups: int) -> Layer:
    shape = ConvShape(
        batch=2,
        in_channels=4,
        in_height=6,
        in_width=6,
        kernel_height=3,
        kernel_width=3,
        out_height=4,
        out_width=4,
    )
    return conv_layer("conv", shape, 8, groups=groups)


def relu(size: int) -> Layer:
    return Layer(
        name="relu", kind=LayerKind.ACTIVATION, input_elements=size, output_elements=size, operations=size
    )


def attention() -> Layer:
    return Layer(
        name="scores", kind=LayerKind.MATMUL, m=12, k=5, n=4, groups=3, input_elements=120, output_elements=48
    )


def of(*layers: Layer) -> Workload:
    return Workload(name="w", layers=layers, source="a test")


@given(m=st.integers(1, 6), k=st.integers(1, 6), n=st.integers(1, 5), groups=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_products_compute_the_gradients(m: int, k: int, n: int, groups: int) -> None:
    layer = gemm_layer("b", m * groups, k, n, groups=groups)
    pruned = prune(of(gemm_layer("a", 2, 2, 1), layer), Unstructured(0.5))
    step = training_step(pruned)
    by_name = {each.name: each for each in step.workload.layers}
    rng = np.random.default_rng(0)
    weights, mask = rng.standard_normal((m * groups, k)), pruned.mask(layer)
    x, dy = rng.standard_normal((groups, k, n)), rng.standard_normal((groups, m, n))
    kept = np.where(mask, weights, 0).reshape(groups, m, k)
    dx_layer, transposed = by_name["b:dx"], step.mask(by_name["b:dx"])
    assert (dx_layer.m, dx_layer.k, dx_layer.n, dx_layer.groups) == (groups * k, m, n, groups)
    operand = np.zeros((groups * k, m))
    operand[:] = np.concatenate([w.T for w in weights.reshape(groups, m, k)])
    assert transposed is not None
    masked = np.where(transposed, operand, 0).reshape(groups, k, m)
    np.testing.assert_allclose(masked @ dy, np.einsum("gmk,gmn->gkn", kept, dy))
    dw = by_name["b:dw"]
    assert (dw.m, dw.k, dw.n, dw.groups) == (m * groups, n, k, groups)
    assert (dy @ x.transpose(0, 2, 1)).reshape(m * groups, k).shape == weights.shape


@pytest.mark.parametrize("groups", [1, 2])
def test_a_step_takes_three_times_the_multiply_adds_but_the_first_input_gradient(groups: int) -> None:
    layers = (conv(groups), relu(256), gemm_layer("fc", 3, 128, 2), attention())
    inference = of(*layers)
    step = training_step(prune(inference, Unstructured(0.5))).workload
    assert step.macs == 3 * inference.macs - layers[0].macs
    names = [layer.name for layer in step.layers]
    assert names[4:] == [
        "scores:dx2", "scores:dx", "fc:dx", "fc:dw", "relu:dx", "conv:dw", "conv:update", "fc:update",
    ]  # fmt: skip


def test_attention_gradients_have_the_shapes_of_their_operands() -> None:
    step = training_step(prune(of(gemm_layer("a", 2, 2, 1), attention()), Unstructured(0.5)))
    left, right = (next(la for la in step.workload.layers if la.name == f"scores:{x}") for x in ("dx", "dx2"))
    assert (left.m, left.k, left.n) == (12, 4, 5)  # dA (4, 5) of three heads
    assert (right.m, right.k, right.n) == (15, 4, 4)  # dB (5, 4)
    assert left.output_elements == 12 * 5
    assert right.output_elements == 3 * 5 * 4


def test_patterns_turn_with_the_weights() -> None:
    layer = gemm_layer("b", 8, 8, 1)
    for pattern, turned in (
        (Unstructured(0.5), Unstructured(0.5)),
        (Block(4, 1, 0.5), Block(1, 4, 0.5)),
        (NM(2, 4), Unstructured(0.5)),
    ):
        step = training_step(prune(of(gemm_layer("a", 2, 2, 1), layer), pattern))
        dx = next(la for la in step.workload.layers if la.name == "b:dx")
        assert step.pattern_of(dx) == turned
        assert step.pattern_of(layer) == pattern


def test_densities_of_inputs_and_gradients_go_where_they_belong() -> None:
    pruned = prune(of(gemm_layer("a", 4, 4, 8), gemm_layer("b", 64, 32, 40)), Unstructured(0.5))
    step = training_step(replace(pruned, activations={"b": 0.25}), gradient_density={"b": 0.5})
    by_name = {layer.name: layer for layer in step.workload.layers}
    found = {name: step.activation_density(by_name[name]) for name in ("b", "b:dx", "b:dw", "a", "a:dw")}
    assert found == {"b": 0.25, "b:dx": 0.5, "b:dw": 0.25, "a": None, "a:dw": None}
    mask = step.mask(by_name["b:dw"])
    assert mask is not None
    assert mask.mean() == pytest.approx(0.5, abs=0.05)
    assert step.mask(by_name["a:dw"]) is None


def test_optimizers_move_their_state() -> None:
    workload = of(gemm_layer("a", 10, 10, 4))
    moved = {}
    for name in ("sgd", "momentum", "adam"):
        step = training_step(prune(workload, Unstructured(0.5)), optimizer=name)
        update = step.workload.layers[-1]
        moved[name] = update.input_elements, update.output_elements
    assert moved == {"sgd": (200, 100), "momentum": (300, 200), "adam": (400, 300)}
    held = training_bytes(workload, 32)
    assert held == {"weights": 400, "gradients": 400, "optimizer state": 800, "activations kept": 160}


def test_a_training_step_is_simulated_from_end_to_end() -> None:
    options = {"on": "tpu-like", "prune": "unstructured:0.9", "format": "bitmask"}
    inference = simsparse.simulate("resnet18", **options)
    training = simsparse.simulate("resnet18", phase="train", optimizer="sgd", **options)
    assert 2.5 < training.totals.macs_dense / inference.totals.macs_dense < 3.0
    assert training.totals.time_s > 2 * inference.totals.time_s
    assert training.speedup < inference.speedup  # weight gradients stay dense
    assert any("training memory" in note for note in training.approximations)
    assert len(load_model("resnet18").layers) < len(training.layers)


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(UnknownNameError, match="optimizer"):
        simsparse.simulate("gemm:4,4,4", on="tpu-like", phase="train", optimizer="adan")
    with pytest.raises(UnknownNameError, match="phase"):
        simsparse.simulate("gemm:4,4,4", on="tpu-like", phase="training")
    with pytest.raises(UsageError, match="gradient-density: expected 0 to 1, got 2"):
        simsparse.simulate("gemm:4,4,4", on="tpu-like", phase="train", gradient_density=2)
    with pytest.raises(UsageError, match="expected densities or masks of layers of gemm"):
        simsparse.simulate("gemm:4,4,4", on="tpu-like", activations={"other": 0.5})
    with pytest.raises(UsageError, match=r"layer .gemm.: expected a density of 0 to 1, got 1\.5"):
        simsparse.simulate("gemm:4,4,4", on="tpu-like", activations={"gemm": 1.5})
