"""The graph refuses what cannot be run in order."""

from __future__ import annotations

import pytest

from simsparse.errors import ShapeError
from simsparse.load.graph import Graph, Node, Op, TensorSpec, make_graph
from simsparse.load.parameters import parameter_count
from simsparse.load.shape_rules import make_node

IMAGE = TensorSpec(shape=(1, 3, 8, 8))


def graph(*nodes: Node, outputs: tuple[str, ...] = ()) -> Graph:
    return make_graph("tiny", source="a test", inputs={"image": IMAGE}, nodes=nodes, outputs=outputs)


def relu(name: str, source: str) -> Node:
    return Node(name=name, op=Op.RELU, inputs=(source,), output=name, shape=(1, 3, 8, 8))


def test_shapes_hold_inputs_and_outputs_of_nodes() -> None:
    made = graph(relu("a", "image"), relu("b", "a"), outputs=("b",))
    assert dict(made.shapes) == dict.fromkeys(("image", "a", "b"), (1, 3, 8, 8))
    assert made.input_shapes(made.nodes[1]) == ((1, 3, 8, 8),)


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((relu("b", "a"), relu("a", "image")), (), "b: expected a tensor made before, got a"),
        ((relu("a", "image"), relu("a", "image")), (), "expected unique names, got a twice"),
        ((relu("image", "image"),), (), "expected unique names, got image twice"),
        ((relu("a", "image"),), ("c",), "outputs: expected a tensor made before, got c"),
    ],
)
def test_disorder_is_refused(nodes: tuple[Node, ...], outputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        graph(*nodes, outputs=outputs)


def test_sizes_and_counts_are_positive() -> None:
    with pytest.raises(ShapeError, match="input: expected sizes >= 1, got 0x3"):
        TensorSpec(shape=(0, 3))
    with pytest.raises(ShapeError, match="node a: expected sizes >= 1, got 1x-1"):
        Node(name="a", op=Op.RELU, inputs=(), output="a", shape=(1, -1))
    with pytest.raises(ShapeError, match="node a: expected count >= 1, got 0"):
        Node(name="a", op=Op.RELU, inputs=(), output="a", shape=(1,), count=0)


def test_an_attribute_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(ShapeError, match="node a: relu expects an integer groups, got None"):
        relu("a", "image").integer("groups")


def test_parameters_are_counted_by_hand() -> None:
    shapes = {"image": (1, 3, 8, 8), "tokens": (1, 5), "x": (1, 5, 6)}
    nodes = (
        make_node(
            "conv", Op.CONV, ("image",), shapes, {"out_channels": 6, "kernel": (3, 2), "groups": 3, "bias": 1}
        ),
        make_node("up", Op.CONV_TRANSPOSE, ("image",), shapes, {"out_channels": 4, "kernel": 2}),
        make_node("bn", Op.BATCH_NORM, ("image",), shapes),
        make_node("table", Op.EMBEDDING, ("tokens",), shapes, {"vocab": 100, "dim": 6}),
        make_node("ln", Op.LAYER_NORM, ("x",), shapes),
        make_node("rms", Op.RMS_NORM, ("x",), shapes, count=2),
        make_node("fc", Op.LINEAR, ("x",), shapes, {"out_features": 7, "bias": 1}),
        make_node("head", Op.LINEAR, ("x",), shapes, {"out_features": 100, "tied": 1}),
        make_node("token", Op.LEARNED, (), shapes, {"shape": (1, 1, 6)}),
    )
    inputs = {name: TensorSpec(shape=shape) for name, shape in shapes.items()}
    made = make_graph("parts", source="a test", inputs=inputs, nodes=nodes, outputs=())
    expected = (6 * 1 * 3 * 2 + 6) + (3 * 4 * 2 * 2) + 2 * 3 + 100 * 6 + 2 * 6 + 2 * 6 + (6 * 7 + 7) + 0 + 6
    assert parameter_count(made) == expected
