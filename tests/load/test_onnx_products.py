"""Products read from ONNX files: their geometry and weights give what onnxruntime computes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import convolve, model, node, run, save

from simsparse.ir import Layer, LayerKind, Workload
from simsparse.load.onnx_import import load_onnx

RNG = np.random.default_rng(7)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def loaded(proto: Any) -> Workload:
    with tempfile.TemporaryDirectory() as folder:
        workload = load_onnx(save(Path(folder), proto))
        weights = {name: workload.weights[name] for name in workload.weights}
    assert not workload.unsupported
    return Workload(name="t", layers=workload.layers, source="t", batch=workload.batch, weights=weights)


def only_product(workload: Workload) -> Layer:
    (layer,) = [layer for layer in workload.layers if layer.kind.is_product]
    return layer


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Any, Any]:
    """A convolution over one or two axes, and its input."""
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    channels, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    dilations = [draw(st.integers(1, 2)) for _ in range(axes)]
    attributes: dict[str, Any] = {
        "strides": [draw(st.integers(1, 3)) for _ in range(axes)],
        "dilations": dilations,
        "group": groups,
    }
    padding = draw(st.sampled_from(["explicit", "SAME_UPPER", "SAME_LOWER", "VALID", "none"]))
    if padding == "explicit":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    elif padding != "none":
        attributes["auto_pad"] = padding
        if padding != "VALID":  # onnxruntime wants no dilation with these
            attributes["dilations"] = [1] * axes
    image = [draw(st.integers(5, 8)) for _ in range(axes)]
    x = normal(draw(st.integers(1, 2)), channels, *image)
    constants = {"w": normal(out, channels // groups, *kernel)}
    inputs = ["x", "w"]
    if draw(st.booleans()):
        constants["b"] = normal(out)
        inputs.append("b")
    return model([node("Conv", inputs, name="c", **attributes)], {"x": x.shape}, constants), x


@given(convolutions())
@settings(max_examples=60)
def test_convolution_is_what_onnxruntime_computes(case: tuple[Any, Any]) -> None:
    proto, x = case
    workload = loaded(proto)
    layer = only_product(workload)
    assert layer.kind is LayerKind.CONV
    assert layer.name == "c"
    (expected,) = run(proto.SerializeToString(), {"x": x})
    bias = [t for t in proto.graph.initializer if t.name == "b"]
    shift = np.frombuffer(bias[0].raw_data, np.float32) if bias else np.zeros(layer.m)
    got = convolve(layer, workload.weights["c"], x) + shift[:, None, None]
    assert layer.output_elements == expected.size
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Any, Any]:
    groups = draw(st.integers(1, 2))
    channels, out = groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    x = normal(1, channels, draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    attributes = {"strides": [draw(st.integers(1, 3)), 2], "group": groups}
    return model(
        [node("ConvTranspose", ["x", "w"], name="c", **attributes)],
        {"x": x.shape},
        {"w": normal(channels, out, *kernel)},
    ), x


@given(transposed())
@settings(max_examples=25)
def test_transposed_convolution_is_a_product_and_an_overlapping_sum(case: tuple[Any, Any]) -> None:
    proto, x = case
    (expected,) = run(proto.SerializeToString(), {"x": x})
    workload = loaded(proto)
    layer = only_product(workload)
    kernel = list(proto.graph.initializer[0].dims)[2:]
    stride = next(a.ints for a in proto.graph.node[0].attribute if a.name == "strides")
    _, channels, height, width = x.shape
    grouped = workload.weights["c"].reshape(layer.groups, -1, layer.k).astype(np.float64)
    columns = np.einsum("gmk,gkn->gmn", grouped, x.reshape(layer.groups, channels // layer.groups, -1))
    columns = columns.reshape(expected.shape[1], *kernel, height, width)
    got = np.zeros(expected.shape[1:])
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            got[:, i : i + height * stride[0] : stride[0], j : j + width * stride[1] : stride[1]][
                :, :height, :width
            ] += columns[:, i, j]
    np.testing.assert_allclose(got, expected[0], rtol=1e-4, atol=1e-4)


# kind, attributes, shape of x, shape of w, weights first, x as columns (k, n), result as (m, n)
MATRICES: list[tuple[str, dict[str, Any], tuple[int, ...], tuple[int, ...], bool, Any, Any]] = [
    ("Gemm", {}, (3, 4), (4, 5), False, lambda x: x.T, lambda y: y.T),
    ("Gemm", {"transB": 1}, (3, 4), (5, 4), False, lambda x: x.T, lambda y: y.T),
    ("Gemm", {"transA": 1}, (4, 3), (4, 5), False, lambda x: x, lambda y: y.T),
    ("Gemm", {"transB": 1, "alpha": 0.5}, (3, 4), (5, 4), False, lambda x: x.T, lambda y: y.T),
    ("Gemm", {}, (4, 3), (5, 4), True, lambda x: x, lambda y: y),
    ("Gemm", {"transA": 1, "transB": 1}, (3, 4), (4, 5), True, lambda x: x.T, lambda y: y),
    ("MatMul", {}, (3, 4), (4, 5), False, lambda x: x.T, lambda y: y.T),
    ("MatMul", {}, (2, 3, 4), (4, 5), False, lambda x: x.reshape(6, 4).T, lambda y: y.reshape(6, 5).T),
    ("MatMul", {}, (2, 3, 4), (1, 4, 5), False, lambda x: x.reshape(6, 4).T, lambda y: y.reshape(6, 5).T),
    ("MatMul", {}, (4,), (4, 5), False, lambda x: x[:, None], lambda y: y[:, None]),
    ("MatMul", {}, (3, 4), (4,), False, lambda x: x.T, lambda y: y[None]),
    ("MatMul", {}, (4, 3), (5, 4), True, lambda x: x, lambda y: y),
    (
        "MatMul",
        {},
        (2, 4, 3),
        (5, 4),
        True,
        lambda x: np.concatenate([*x], axis=1),
        lambda y: np.concatenate([*y], axis=1),
    ),
    ("MatMul", {}, (3, 4), (2, 4, 5), False, lambda x: x.T, lambda y: y.transpose(0, 2, 1).reshape(10, 3)),
    (
        "Einsum",
        {"equation": "bsi,oi->bso"},
        (2, 3, 4),
        (5, 4),
        False,
        lambda x: x.reshape(6, 4).T,
        lambda y: y.reshape(6, 5).T,
    ),
    (
        "Einsum",
        {"equation": "abi,bio->ao"},
        (3, 2, 4),
        (2, 4, 5),
        False,
        lambda x: x.reshape(3, 8).T,
        lambda y: y.T,
    ),
    ("Einsum", {"equation": "oi,is->os"}, (4, 3), (5, 4), True, lambda x: x, lambda y: y),
]


@pytest.mark.parametrize(("kind", "attributes", "x", "w", "first", "columns", "result"), MATRICES)
def test_matrix_products(
    kind: str,
    attributes: dict[str, Any],
    x: tuple[int, ...],
    w: tuple[int, ...],
    first: bool,
    columns: Any,
    result: Any,
) -> None:
    inputs = ["w", "x"] if first else ["x", "w"]
    proto = model([node(kind, inputs, name="p", **attributes)], {"x": x}, {"w": normal(*w)})
    values = normal(*x)
    (expected,) = run(proto.SerializeToString(), {"x": values})
    workload = loaded(proto)
    layer = only_product(workload)
    assert layer.kind is LayerKind.LINEAR
    weights = workload.weights["p"].astype(np.float64)
    assert weights.shape == (layer.m, layer.k)
    assert layer.n == columns(values).shape[1]
    assert layer.output_elements == expected.size
    np.testing.assert_allclose(weights @ columns(values), result(expected), rtol=1e-4, atol=1e-5)


def test_weights_of_their_own_for_each_batch_entry_are_groups() -> None:
    x, w = normal(3, 2, 4), normal(3, 4, 5)
    proto = model([node("MatMul", ["x", "w"], name="p")], {"x": x.shape}, {"w": w})
    workload = loaded(proto)
    layer = only_product(workload)
    assert (layer.groups, layer.m, layer.k, layer.n) == (3, 15, 4, 2)
    (expected,) = run(proto.SerializeToString(), {"x": x})
    grouped = workload.weights["p"].reshape(3, 5, 4)
    np.testing.assert_allclose(np.einsum("gmk,gnk->gnm", grouped, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [  # W is the right operand: m = columns, n = rows
        ((2, 3, 5, 4), (2, 3, 4, 6), (36, 4, 5, 6)),
        ((5, 4), (4, 6), (6, 4, 5, 1)),
        ((3, 5, 4), (4, 6), (6, 4, 15, 1)),
    ],
)
def test_product_of_two_activations(
    a: tuple[int, ...], b: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    proto = model([node("MatMul", ["a", "b"], name="p")], {"a": a, "b": b})
    layer = only_product(loaded(proto))
    assert layer.kind is LayerKind.MATMUL
    assert (layer.m, layer.k, layer.n, layer.groups) == expected
    (y,) = run(proto.SerializeToString(), {"a": normal(*a), "b": normal(*b)})
    assert layer.output_elements == y.size
    assert layer.macs == y.size * a[-1]


def test_einsum_of_two_activations_is_a_batched_product() -> None:
    shapes = {"a": (2, 5, 3, 4), "b": (2, 6, 3, 4)}
    layer = only_product(loaded(model([node("Einsum", ["a", "b"], equation="bqhd,bkhd->bhqk")], shapes)))
    assert (layer.m, layer.k, layer.n, layer.groups) == (36, 4, 5, 6)


@pytest.mark.parametrize("equation", ["ii,ij->ij", "...ij,jk->...ik", "aij->aji", "aij,ajk->"])
def test_other_einsums_are_listed(equation: str, tmp_path: Path) -> None:
    inputs = {"a": (2, 2, 2), "b": (2, 2, 2)}
    names = ["a", "b"][: equation.count(",") + 1]
    nodes = [node("Einsum", names, "e", equation=equation), node("MatMul", ["a", "b"])]
    workload = load_onnx(save(tmp_path, model(nodes, inputs, outputs=("y", "e"))))
    assert workload.unsupported
    assert "e" not in workload.weights


def test_einsum_may_sum_over_several_letters() -> None:
    layer = only_product(
        loaded(model([node("Einsum", ["a", "b"], equation="aij,ajk->ik")], {"a": (2, 3, 4), "b": (2, 4, 5)}))
    )
    assert (layer.m, layer.k, layer.n, layer.groups) == (5, 8, 3, 1)


def test_attention_operator_is_two_products_and_a_softmax() -> None:
    shapes = {"q": (2, 4, 5, 8), "k": (2, 2, 7, 8), "v": (2, 2, 7, 6)}
    workload = loaded(model([node("Attention", ["q", "k", "v"], name="a")], shapes, opset=23))
    assert [layer.name for layer in workload.layers] == ["a.scores", "a.softmax", "a.mix"]
    assert sum(layer.macs for layer in workload.layers) == 2 * 4 * 5 * 7 * (8 + 6)
    assert workload.layers[-1].output_elements == 2 * 4 * 5 * 6


def test_batch_norm_after_a_convolution_is_folded_and_elsewhere_priced() -> None:
    ones = np.ones(3, np.float32)
    constants = {"w": normal(3, 3, 1, 1), "s": ones, "z": ones * 0}
    nodes = [
        node("BatchNormalization", ["x", "s", "z", "z", "s"], "a", name="alone"),
        node("Conv", ["a", "w"], "c", name="conv"),
        node("BatchNormalization", ["c", "s", "z", "z", "s"], "y", name="after"),
    ]
    workload = loaded(model(nodes, {"x": (1, 3, 4, 4)}, constants))
    assert [layer.name for layer in workload.layers] == ["alone", "conv"]


def test_bias_added_after_a_product_is_no_layer_but_a_residual_is() -> None:
    constants = {"w": normal(4, 4), "b": normal(4)}
    nodes = [
        node("MatMul", ["x", "w"], "p", name="fc"),
        node("Add", ["b", "p"], "q", name="bias"),
        node("Add", ["q", "x"], "y", name="residual"),
    ]
    workload = loaded(model(nodes, {"x": (2, 3, 4)}, constants))
    assert [layer.name for layer in workload.layers] == ["fc", "residual"]
    twice = [*nodes[:2], node("Add", ["q", "p"], "y", name="residual")]  # p is read before its bias, too
    workload = loaded(model(twice, {"x": (2, 3, 4)}, constants))
    assert [layer.name for layer in workload.layers] == ["fc", "bias", "residual"]
