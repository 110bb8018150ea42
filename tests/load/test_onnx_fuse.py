"""Composed functions are found by their ingredients, and shape arithmetic is evaluated as ONNX says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import model, node, save

from simsparse.ir import LayerKind
from simsparse.load.onnx_fold import MAX_VALUES, fold
from simsparse.load.onnx_import import load_onnx

SHAPE = (2, 3, 8)
CONSTANTS = {
    "w": np.ones((8, 8), np.float32),
    "root2": np.float32(1.41421),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "two": np.float32(2),
    "three": np.float32(3),
    "six": np.float32(6),
    "zero": np.float32(0),
    "c": np.float32(0.044715),
    "d": np.float32(0.79788),
    "eps": np.float32(1e-5),
    "last": np.array([-1]),
    "gamma": np.ones(8, np.float32),
    "beta": np.zeros(8, np.float32),
}


def chain(*steps: str) -> list[Any]:
    """Operators from a text such as ``s = Sigmoid x``; ReduceMean is over the last axis."""
    nodes = []
    for step in steps:
        made, _, rest = step.partition(" = ")
        kind, *inputs = rest.split()
        inputs += ["last"] if kind == "ReduceMean" else []
        nodes.append(node(kind, inputs, made, name=made))
    return nodes


SILU = chain("s = Sigmoid x", "t = Mul x s")
ACTIVATION, NORM = LayerKind.ACTIVATION, LayerKind.NORMALIZATION
KNOWN = {
    "silu": (SILU, ACTIVATION, 5),
    "gelu": (
        chain("a = Div x root2", "b = Erf a", "e = Add b one", "f = Mul x e", "t = Mul f half"),
        ACTIVATION,
        8,
    ),
    "gelu, halved first": (
        chain("h = Mul x half", "a = Div x root2", "b = Erf a", "e = Add one b", "t = Mul h e"),
        ACTIVATION,
        8,
    ),
    "gelu, tanh": (
        chain("h = Mul half x", "p = Pow x three", "q = Mul p c", "r = Add x q", "u = Mul r d")
        + chain("v = Tanh u", "z = Add v one", "t = Mul h z"),
        ACTIVATION,
        8,
    ),
    "hard swish": (
        chain("a = Add x three", "b = Clip a zero six", "m = Mul x b", "t = Div m six"),
        ACTIVATION,
        5,
    ),
    "mish": (chain("a = Softplus x", "b = Tanh a", "t = Mul x b"), LayerKind.ELEMENTWISE, 6),
    "layer norm": (
        chain("m = ReduceMean x", "s = Sub x m", "p = Pow s two", "v = ReduceMean p", "e = Add v eps")
        + chain("r = Sqrt e", "n = Div s r", "g = Mul n gamma", "t = Add g beta"),
        NORM,
        7,
    ),
    "rms norm": (
        chain("p = Pow x two", "m = ReduceMean p", "e = Add m eps", "r = Sqrt e", "i = Reciprocal r")
        + chain("n = Mul x i", "t = Mul gamma n"),
        NORM,
        4,
    ),
}


def layers_of(nodes: list[Any], folder: Path, outputs: tuple[str, ...] = ("y",)) -> list[Any]:
    around = [
        node("MatMul", ["input", "w"], "x", name="before"),
        *nodes,
        node("MatMul", ["t", "w"], name="after"),
    ]
    proto = model(around, {"input": SHAPE}, CONSTANTS, outputs=outputs)
    workload = load_onnx(save(folder, proto))
    assert workload.unsupported == ()
    return [layer for layer in workload.layers if layer.name not in ("before", "after")]


@pytest.mark.parametrize("name", KNOWN)
def test_known_functions_are_one_layer(name: str, tmp_path: Path) -> None:
    nodes, kind, operations = KNOWN[name]
    (layer,) = layers_of(nodes, tmp_path)
    assert (layer.name, layer.kind) == ("t", kind)
    assert layer.operations == operations * 48
    assert layer.input_elements == layer.output_elements == 48


def test_a_tensor_inside_that_is_needed_elsewhere_keeps_the_operators_apart(tmp_path: Path) -> None:
    assert len(layers_of(SILU, tmp_path)) == 1
    assert len(layers_of(SILU, tmp_path, outputs=("y", "s"))) == 2


@pytest.mark.parametrize(
    "steps",
    [
        ("a = Relu x", "t = Mul x a"),
        ("a = Sigmoid x", "b = Sigmoid a", "t = Mul x b"),
        ("a = Sigmoid x", "t = Add x a"),
        ("a = Tanh x", "t = Mul a half"),
    ],
)
def test_others_stay_as_they_are(steps: tuple[str, ...], tmp_path: Path) -> None:
    assert len(layers_of(chain(*steps), tmp_path)) == len(steps)


def test_two_in_a_row_stay_two(tmp_path: Path) -> None:
    nodes = chain("s = Sigmoid x", "u = Mul x s", "v = Sigmoid u", "t = Mul u v")
    assert [layer.name for layer in layers_of(nodes, tmp_path)] == ["u", "t"]


SMALL = st.lists(st.integers(-6, 6), min_size=1, max_size=4).map(lambda v: np.array(v, np.int64))
PAIRS = ("Add", "Sub", "Mul", "Div", "Equal", "Greater", "Less", "Min", "Max")


@given(st.sampled_from(PAIRS), SMALL, SMALL)
@settings(max_examples=60)
def test_arithmetic_is_that_of_onnx(kind: str, a: Any, b: Any) -> None:
    b = np.resize(b, a.shape) if len(b) > 1 else b
    if kind == "Div":
        b = np.where(b == 0, 1, b)
    check(node(kind, ["a", "b"]), {"a": a, "b": b})


OTHERS: list[tuple[Any, dict[str, Any]]] = [
    (node("Concat", ["a", "b"], axis=0), {"a": np.array([1, 2]), "b": np.array([3])}),
    (node("Gather", ["a", "b"], axis=0), {"a": np.array([5, 6, 7]), "b": np.array(-1)}),
    (
        node("Slice", ["a", "b", "c", "", "d"]),
        {"a": np.arange(9), "b": np.array([-1]), "c": np.array([-20]), "d": np.array([-2])},
    ),
    (
        node("Slice", ["a", "b", "c", "d"]),
        {"a": np.arange(12).reshape(3, 4), "b": np.array([1]), "c": np.array([99]), "d": np.array([1])},
    ),
    (
        node("Where", ["a", "b", "c"]),
        {"a": np.array([True, False]), "b": np.array([1, 2]), "c": np.array([3])},
    ),
    (node("Unsqueeze", ["a", "b"]), {"a": np.array([4, 5]), "b": np.array([0, 2])}),
    (node("Squeeze", ["a"]), {"a": np.array([[4]])}),
    (node("Reshape", ["a", "b"]), {"a": np.arange(6).reshape(2, 3), "b": np.array([0, -1, 1])}),
    (node("Expand", ["a", "b"]), {"a": np.array([[1], [2]]), "b": np.array([2, 1, 3])}),
    (node("Range", ["a", "b", "c"]), {"a": np.array(2), "b": np.array(11), "c": np.array(3)}),
    (node("ConstantOfShape", ["a"], value=numpy_helper.from_array(np.array([7]))), {"a": np.array([2, 2])}),
    (node("ConstantOfShape", ["a"]), {"a": np.array([3])}),
    (node("Cast", ["a"], to=TensorProto.INT32), {"a": np.array([1.5, -2.5])}),
    (node("ReduceProd", ["a", "b"], keepdims=0), {"a": np.arange(1, 7).reshape(2, 3), "b": np.array([1])}),
    (node("ReduceSum", ["a"]), {"a": np.arange(6).reshape(2, 3)}),
    (node("Transpose", ["a"]), {"a": np.arange(6).reshape(2, 3)}),
    (node("Not", ["a"]), {"a": np.array([True, False])}),
    (node("Floor", ["a"]), {"a": np.array([1.5, -1.5], np.float32)}),
]


@pytest.mark.parametrize(("operator", "values"), OTHERS)
def test_other_shape_arithmetic_is_that_of_onnx(operator: Any, values: dict[str, Any]) -> None:
    check(operator, values)


def check(operator: Any, values: dict[str, Any]) -> None:
    (expected,) = ReferenceEvaluator(model([operator], {}, values)).run(None, {})
    got = fold(operator, [values.get(name) for name in operator.input])
    assert got is not None
    assert got.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        (node("ConstantOfShape", ["a"]), [np.array([2**40])]),
        (node("Expand", ["a", "b"]), [np.array([1]), np.array([2**20, 2**20])]),
        (node("Range", ["a", "b", "c"]), [np.array(0), np.array(2**60), np.array(1)]),
        (node("Range", ["a", "b", "c"]), [np.array(0), np.array(5), np.array(0)]),
        (node("Add", ["a", "b"]), [np.ones((MAX_VALUES, 1)), np.ones((1, MAX_VALUES))]),
        (node("Div", ["a", "b"]), [np.array([1]), np.array([0])]),
        (node("Reshape", ["a", "b"]), [np.array([1]), np.array([5])]),
        (node("Gather", ["a", "b"]), [np.array([1]), np.array([5])]),
        (node("Concat", ["a", "b"]), [np.array([1]), np.array([5])]),
        (node("Expand", ["a", "b"]), [np.array([1]), np.ones(64, np.int64)]),
        (node("MatMul", ["a", "b"]), [np.ones((2, 2)), np.ones((2, 2))]),
    ],
)
def test_what_is_too_large_or_wrong_stays_unknown(operator: Any, values: list[Any]) -> None:
    assert fold(operator, values) is None
