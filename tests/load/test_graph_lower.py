"""Lowering: the products do the multiplications of the operation they stand for, and nothing is dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from numpy.typing import NDArray

from simsparse.ir import Layer, LayerKind, Workload
from simsparse.load.graph import Attributes, Graph, Node, Op, Shape, TensorSpec, make_graph
from simsparse.load.lower import OPERATIONS_PER_ELEMENT, lower
from simsparse.load.shape_rules import make_node

SMALL = st.integers(1, 4)
VIEWS = {Op.FLATTEN, Op.RESHAPE, Op.SPLIT_HEADS, Op.MERGE_HEADS, Op.LEARNED}


def graph_of(
    inputs: dict[str, Shape], *steps: tuple[str, Op, tuple[str, ...], Attributes], count: int = 1
) -> Graph:
    shapes = dict(inputs)
    nodes: list[Node] = []
    for name, op, sources, attributes in steps:
        nodes.append(make_node(name, op, sources, shapes, attributes, count=count))
        shapes[name] = nodes[-1].shape
    return make_graph(
        "test",
        source="a test",
        inputs={key: TensorSpec(shape=shape) for key, shape in inputs.items()},
        nodes=tuple(nodes),
        outputs=(nodes[-1].output,),
    )


def only(workload: Workload) -> Layer:
    (layer,) = workload.layers
    return layer


def grouped_product(layer: Layer, w: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """``Y`` of shape (m, n) from W (m, k) and one X (k, n) per group, as ``ir`` defines it."""
    rows = layer.m // layer.groups
    blocks = [w[g * rows : (g + 1) * rows] @ x[g] for g in range(layer.groups)]
    return np.concatenate(blocks)


@given(
    batch=SMALL,
    groups=SMALL,
    ins=SMALL,
    outs=SMALL,
    kernel=st.tuples(SMALL, SMALL),
    stride=SMALL,
    padding=st.integers(0, 2),
)
def test_a_convolution_multiplies_once_per_weight_and_position(
    batch: int, groups: int, ins: int, outs: int, kernel: tuple[int, int], stride: int, padding: int
) -> None:
    attributes: Attributes = {
        "out_channels": outs * groups,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "groups": groups,
    }
    made = graph_of({"x": (batch, ins * groups, 7, 6)}, ("conv", Op.CONV, ("x",), attributes))
    layer = only(lower(made))
    _, channels, height, width = made.shapes["conv"]
    assert layer.macs == batch * channels * height * width * ins * math.prod(kernel)
    assert layer.weight_elements == channels * ins * math.prod(kernel)
    assert layer.conv is not None
    assert (layer.n, layer.groups) == (layer.conv.positions, groups)
    assert (layer.input_elements, layer.output_elements) == (
        batch * ins * groups * 42,
        batch * channels * height * width,
    )


def test_padding_keeps_its_sides() -> None:
    attributes: Attributes = {"out_channels": 2, "kernel": (3, 5), "padding": (0, 1, 2, 3)}
    layer = only(lower(graph_of({"x": (1, 1, 9, 9)}, ("c", Op.CONV, ("x",), attributes))))
    assert layer.conv is not None
    assert layer.conv.padding == (0, 1, 2, 3)
    assert (layer.conv.out_height, layer.conv.out_width) == (9, 9)


def test_a_convolution_over_one_axis_has_height_one() -> None:
    attributes: Attributes = {"out_channels": 4, "kernel": 3, "padding": 1, "stride": 2, "dilation": 1}
    layer = only(lower(graph_of({"x": (2, 5, 16)}, ("c", Op.CONV, ("x",), attributes))))
    assert layer.conv is not None
    assert (layer.conv.in_height, layer.conv.in_width, layer.conv.kernel_height, layer.conv.kernel_width) == (
        1,
        16,
        1,
        3,
    )
    assert (layer.conv.stride, layer.conv.padding) == ((1, 2), (0, 1, 0, 1))
    assert (layer.m, layer.k, layer.n) == (4, 15, 16)


@given(
    shape=st.tuples(SMALL, SMALL, SMALL, SMALL),
    outs=SMALL,
    kernel=st.tuples(SMALL, SMALL),
    stride=SMALL,
    groups=st.integers(1, 2),
)
def test_a_transposed_convolution_scatters_every_input_once(
    shape: Shape, outs: int, kernel: tuple[int, int], stride: int, groups: int
) -> None:
    shape = (shape[0], shape[1] * groups, *shape[2:])
    attributes: Attributes = {
        "out_channels": outs * groups,
        "kernel": kernel,
        "stride": stride,
        "groups": groups,
    }
    made = graph_of({"x": shape}, ("up", Op.CONV_TRANSPOSE, ("x",), attributes))
    layers = lower(made).layers
    per_input = outs * math.prod(kernel)
    assert layers[0].macs == math.prod(shape) * per_input
    assert layers[0].output_elements == math.prod(shape) // (shape[1] // groups) * per_input
    scatter = np.zeros(made.shapes["up"][2:])
    for row in range(shape[2]):
        for column in range(shape[3]):
            scatter[
                row * stride : row * stride + kernel[0], column * stride : column * stride + kernel[1]
            ] += 1
    if scatter.max() > 1 or scatter.min() < 1:
        assert layers[1].name == "up.overlap_add"
        assert layers[1].operations == layers[0].output_elements
    else:
        assert len(layers) == 1
    assert any("transposed convolution" in note for note in lower(made).notes)


@given(mutually_broadcastable_shapes(signature="(m,k),(k,n)->(m,n)", max_dims=2, max_side=3), st.booleans())
def test_a_product_of_activations_in_our_orientation_is_numpys(shapes: object, shared: bool) -> None:
    a_shape, b_shape = shapes.input_shapes  # type: ignore[attr-defined]
    if shared:
        b_shape = b_shape[-2:]
    if 0 in (*a_shape, *b_shape):
        return
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
    layer = only(lower(graph_of({"a": a_shape, "b": b_shape}, ("p", Op.MATMUL, ("a", "b"), {}))))
    expected = a @ b
    assert layer.macs == expected.size * a_shape[-1]
    assert layer.input_elements == a.size + b.size
    lead = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    full_a = np.broadcast_to(a, (*lead, *a_shape[-2:])).reshape(-1, *a_shape[-2:])
    full_b = np.broadcast_to(b, (*lead, *b_shape[-2:])).reshape(-1, *b_shape[-2:])
    if math.prod(b_shape[:-2]) == 1:  # one W, the rows of all A are its columns
        w, x = full_b[0].T, full_a.reshape(-1, a_shape[-1]).T[None]
        expected_y = expected.reshape(-1, b_shape[-1]).T
    elif math.prod(a_shape[:-2]) == 1:  # one X, the columns of all B are its rows
        w, x = full_b.transpose(0, 2, 1).reshape(-1, a_shape[-1]), full_a[0].T[None]
        expected_y = expected.reshape(-1, *expected.shape[-2:]).transpose(0, 2, 1).reshape(-1, a_shape[-2])
    else:
        w, x = full_b.transpose(0, 2, 1).reshape(-1, a_shape[-1]), full_a.transpose(0, 2, 1)
        expected_y = expected.reshape(-1, *expected.shape[-2:]).transpose(0, 2, 1).reshape(-1, a_shape[-2])
    assert (layer.m, layer.k) == w.shape
    assert (layer.groups, layer.k, layer.n) == x.shape
    np.testing.assert_allclose(grouped_product(layer, w, x), expected_y)


def test_attention_scores_and_context() -> None:
    shapes = {"q": (2, 12, 1, 64), "k": (2, 12, 128, 64), "v": (2, 12, 128, 64)}
    made = graph_of(
        shapes,
        ("scores", Op.MATMUL, ("q", "k"), {"transpose_b": 1}),
        ("softmax", Op.SOFTMAX, ("scores",), {}),
        ("context", Op.MATMUL, ("softmax", "v"), {}),
        count=3,
    )
    scores, softmax, context = lower(made).layers
    assert (scores.kind, scores.groups, scores.m, scores.k, scores.n) == (
        LayerKind.MATMUL,
        24,
        24 * 128,
        64,
        1,
    )
    assert (context.groups, context.m, context.k, context.n) == (24, 24 * 64, 128, 1)
    assert (softmax.kind, softmax.operations, softmax.count) == (LayerKind.SOFTMAX, 5 * 24 * 128, 3)
    assert scores.weight_elements == context.weight_elements == 0


@pytest.mark.parametrize("axis", ["m", "k"])
def test_a_linear_layer_keeps_its_heads(axis: str) -> None:
    attributes: Attributes = {"out_features": 8, "heads": 4, "head_axis": axis, "bias": 1}
    layer = only(lower(graph_of({"x": (2, 5, 16)}, ("q", Op.LINEAR, ("x",), attributes))))
    assert (layer.m, layer.k, layer.n, layer.heads, layer.head_axis) == (8, 16, 10, 4, axis)


CONV: Attributes = {"out_channels": 2, "kernel": 1}


def test_a_batch_norm_after_a_convolution_is_folded() -> None:
    workload = lower(
        graph_of({"x": (1, 2, 4, 4)}, ("c", Op.CONV, ("x",), CONV), ("bn", Op.BATCH_NORM, ("c",), {}))
    )
    assert [layer.name for layer in workload.layers] == ["c"]
    assert workload.notes == ("batch norms folded into the products before them, as for inference: 1",)


def test_a_batch_norm_is_priced_where_folding_would_change_another_reader() -> None:
    made = graph_of(
        {"x": (1, 2, 4, 4)},
        ("c", Op.CONV, ("x",), CONV),
        ("bn", Op.BATCH_NORM, ("c",), {}),
        ("sum", Op.ADD, ("bn", "c"), {}),
        ("relu", Op.RELU, ("sum",), {}),
        ("bn2", Op.BATCH_NORM, ("relu",), {}),
    )
    layers = {layer.name: layer for layer in lower(made).layers}
    assert list(layers) == ["c", "bn", "sum", "relu", "bn2"]
    assert layers["bn2"].operations == 2 * 32
    output = graph_of({"x": (1, 2, 4, 4)}, ("c", Op.CONV, ("x",), CONV), ("bn", Op.BATCH_NORM, ("c",), {}))
    also_out = make_graph("o", source="", inputs=output.inputs, nodes=output.nodes, outputs=("bn", "c"))
    assert [layer.name for layer in lower(also_out).layers] == ["c", "bn"]


PRICED: list[tuple[Op, dict[str, Shape], Attributes, tuple[LayerKind, int, int, int]]] = [
    (Op.LAYER_NORM, {"x": (2, 8)}, {}, (LayerKind.NORMALIZATION, 16, 16, 7 * 16)),
    (Op.GELU, {"x": (2, 8)}, {}, (LayerKind.ACTIVATION, 16, 16, 8 * 16)),
    (Op.ADD, {"x": (2, 8), "y": (1, 8), "z": (8,)}, {}, (LayerKind.ELEMENTWISE, 32, 16, 2 * 16)),
    (Op.POINTWISE, {"x": (2, 8)}, {"operations": 6}, (LayerKind.ELEMENTWISE, 16, 16, 96)),
    (Op.LRN, {"x": (1, 8, 2, 2)}, {"size": 5}, (LayerKind.NORMALIZATION, 32, 32, 320)),
    (Op.MAX_POOL, {"x": (1, 3, 6, 6)}, {"kernel": 3, "stride": 3}, (LayerKind.POOL, 108, 12, 108)),
    (Op.GLOBAL_AVG_POOL, {"x": (1, 3, 6, 6)}, {}, (LayerKind.POOL, 108, 3, 108)),
    (Op.REDUCE, {"x": (2, 8)}, {"axes": (1,)}, (LayerKind.POOL, 16, 2, 16)),
    (Op.CONCAT, {"x": (2, 8), "y": (2, 3)}, {"axis": 1}, (LayerKind.MOVEMENT, 22, 22, 0)),
    (Op.TRANSPOSE, {"x": (2, 8)}, {"axes": (1, 0)}, (LayerKind.MOVEMENT, 16, 16, 0)),
    (Op.SELECT, {"x": (2, 8, 4)}, {"axis": 1, "index": 0}, (LayerKind.MOVEMENT, 8, 8, 0)),
    (Op.COPY, {"x": (1, 4)}, {"shape": (5, 4)}, (LayerKind.MOVEMENT, 4, 20, 0)),
    (Op.EMBEDDING, {"x": (2, 5)}, {"vocab": 99, "dim": 4}, (LayerKind.MOVEMENT, 50, 40, 0)),
    (Op.CACHE_APPEND, {"x": (1, 2, 1, 4)}, {"length": 100}, (LayerKind.MOVEMENT, 8, 8, 0)),
    (Op.ROTARY, {"x": (1, 2, 5, 4)}, {}, (LayerKind.ELEMENTWISE, 40, 40, 120)),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "expected"), PRICED)
def test_everything_else_has_a_price(
    op: Op, inputs: dict[str, Shape], attributes: Attributes, expected: tuple[LayerKind, int, int, int]
) -> None:
    layer = only(lower(graph_of(inputs, ("it", op, tuple(inputs), attributes))))
    assert (layer.kind, layer.input_elements, layer.output_elements, layer.operations) == expected
    assert layer.macs == 0


@pytest.mark.parametrize("op", sorted(set(Op) - VIEWS))
def test_no_operation_is_dropped(op: Op) -> None:
    attributes: Attributes = {
        "out_channels": 4,
        "kernel": 1,
        "out_features": 4,
        "axis": 1,
        "axes": (0, 1, 2, 3),
        "index": 0,
        "vocab": 9,
        "dim": 4,
        "length": 4,
        "shape": (4, 4, 4, 4),
    }
    inputs = {"x": (4, 4, 4, 4), "y": (4, 4, 4, 4)}
    names = ("x", "y") if op in (Op.MATMUL, Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.CONCAT) else ("x",)
    layers = lower(graph_of(inputs, ("it", op, names, attributes))).layers
    assert [layer.name for layer in layers] == ["it"]
    moves = layers[0].kind in (LayerKind.MOVEMENT,)
    assert moves == (layers[0].macs + layers[0].operations == 0)


@pytest.mark.parametrize("op", sorted(VIEWS))
def test_views_vanish(op: Op) -> None:
    made = graph_of(
        {"x": (4, 4, 4, 4) if op is Op.MERGE_HEADS else (4, 4, 4)},
        (
            "view",
            op,
            () if op is Op.LEARNED else ("x",),
            {"heads": 2, "shape": (64,) if op is Op.LEARNED else (-1,)},
        ),
    )
    assert lower(made).layers == ()


def test_every_price_is_an_operation() -> None:
    assert all(count >= 1 for count in OPERATIONS_PER_ELEMENT.values())


def test_weights_and_what_is_missing_travel_along() -> None:
    weights = {"c": np.zeros((2, 2))}
    workload = lower(graph_of({"x": (3, 2, 4, 4)}, ("c", Op.CONV, ("x",), CONV)), weights=weights)
    assert workload.weights is weights
    assert workload.source == "a test"
