"""Shape rules against NumPy doing the thing itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

from simsparse.errors import ShapeError
from simsparse.load.graph import Attributes, Op, Shape
from simsparse.load.shape_rules import infer_shape, make_node

SMALL = st.integers(1, 5)
PAIR = st.tuples(SMALL, SMALL)


def window_positions(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """How many windows start on the stride and lie wholly inside the padded axis."""
    padded = np.zeros(size + before + after)
    reach = dilation * (kernel - 1) + 1
    return len(np.lib.stride_tricks.sliding_window_view(padded, reach)[::stride])


@st.composite
def windows(draw: st.DrawFn) -> tuple[Shape, dict[str, tuple[int, ...]]]:
    kernel, stride, dilation = draw(PAIR), draw(PAIR), draw(PAIR)
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    image = tuple(draw(st.integers(max(1, reach[i] - padding[i] - padding[i + 2]), 25)) for i in range(2))
    return image, {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


@given(windows(), st.sampled_from([Op.CONV, Op.MAX_POOL, Op.AVG_POOL]))
def test_a_window_is_counted_where_it_fits(case: tuple[Shape, dict[str, tuple[int, ...]]], op: Op) -> None:
    image, view = case
    attributes: Attributes = {**view, "out_channels": 7} if op is Op.CONV else view
    sizes = [
        window_positions(
            image[i],
            view["kernel"][i],
            view["stride"][i],
            view["padding"][i],
            view["padding"][i + 2],
            view["dilation"][i],
        )
        for i in range(2)
    ]
    channels = 7 if op is Op.CONV else 3
    assert infer_shape(op, ((2, 3, *image),), attributes) == (2, channels, *sizes)


@given(windows())
def test_a_ceil_window_starts_inside_and_none_is_missed(
    case: tuple[Shape, dict[str, tuple[int, ...]]],
) -> None:
    image, view = case
    floor = infer_shape(Op.MAX_POOL, ((1, 1, *image),), view)
    ceil = infer_shape(Op.MAX_POOL, ((1, 1, *image),), {**view, "ceil": 1})
    for i in range(2):
        start = view["stride"][i] * (ceil[i + 2] - 1)
        reach = view["dilation"][i] * (view["kernel"][i] - 1) + 1
        padded = image[i] + view["padding"][i] + view["padding"][i + 2]
        assert ceil[i + 2] - floor[i + 2] in (0, 1)
        if ceil[i + 2] > floor[i + 2]:
            assert start < image[i] + view["padding"][i]
            assert padded - reach < start
        else:
            next_start = start + view["stride"][i]
            assert padded == start + reach or next_start >= image[i] + view["padding"][i]


@given(windows())
def test_a_transposed_convolution_is_undone_by_the_convolution(
    case: tuple[Shape, dict[str, tuple[int, ...]]],
) -> None:
    image, view = case
    big = [
        (image[i] - 1) * view["stride"][i] + view["dilation"][i] * (view["kernel"][i] - 1) + 1
        for i in range(2)
    ]
    if any(big[i] <= view["padding"][i] + view["padding"][i + 2] for i in range(2)):
        return
    up = infer_shape(Op.CONV_TRANSPOSE, ((2, 3, *image),), {**view, "out_channels": 4})
    assert infer_shape(Op.CONV, (up,), {**view, "out_channels": 3}) == (2, 3, *image)


@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=4))
def test_broadcasting_is_numpys(shapes: object) -> None:
    expected = tuple(shapes.result_shape)  # type: ignore[attr-defined]
    inputs = tuple(shapes.input_shapes)  # type: ignore[attr-defined]
    if 0 in expected:
        return
    assert infer_shape(Op.ADD, inputs, {}) == expected


@given(
    mutually_broadcastable_shapes(signature="(m,k),(k,n)->(m,n)", max_dims=3), st.booleans(), st.booleans()
)
def test_a_product_is_numpys(shapes: object, flip_a: bool, flip_b: bool) -> None:
    a, b = shapes.input_shapes  # type: ignore[attr-defined]
    if 0 in (*a, *b):
        return
    given_a = (*a[:-2], a[-1], a[-2]) if flip_a else a
    given_b = (*b[:-2], b[-1], b[-2]) if flip_b else b
    attributes = {"transpose_a": int(flip_a), "transpose_b": int(flip_b)}
    assert infer_shape(Op.MATMUL, (given_a, given_b), attributes) == (np.zeros(a) @ np.zeros(b)).shape


@given(array_shapes(min_dims=1, max_dims=4, max_side=6), st.data())
def test_slices_are_pythons(shape: Shape, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    start, stop = data.draw(st.integers(-8, 8)), data.draw(st.integers(-8, 8))
    step = data.draw(st.sampled_from([-2, -1, 1, 2, 3]))
    index: list[slice] = [slice(None)] * len(shape)
    index[axis] = slice(start, stop, step)
    expected = np.zeros(shape)[tuple(index)].shape
    attributes = {"axis": axis, "start": start, "stop": stop, "step": step}
    if 0 in expected:
        with pytest.raises(ShapeError):
            infer_shape(Op.SLICE, (shape,), attributes)
    else:
        assert infer_shape(Op.SLICE, (shape,), attributes) == expected


@given(array_shapes(min_dims=1, max_dims=4, max_side=6), st.data())
def test_views_and_copies_are_numpys(shape: Shape, data: st.DataObject) -> None:
    array = np.zeros(shape)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    assert infer_shape(Op.TRANSPOSE, (shape,), {"axes": order}) == array.transpose(order).shape
    axis = data.draw(st.integers(0, len(shape) - 1))
    assert (
        infer_shape(Op.CONCAT, (shape, shape, shape), {"axis": axis})
        == np.concatenate([array] * 3, axis).shape
    )
    assert infer_shape(Op.SELECT, (shape,), {"axis": axis, "index": -1}) == array.take(-1, axis).shape
    assert (
        infer_shape(Op.REDUCE, (shape,), {"axes": (axis,), "keepdims": 1})
        == array.mean(axis, keepdims=True).shape
    )
    assert infer_shape(Op.REDUCE, (shape,), {"axes": (axis,)}) == array.mean(axis).shape
    wanted = tuple(-1 if i == axis else size for i, size in enumerate(shape[::-1]))
    assert infer_shape(Op.RESHAPE, (shape,), {"shape": wanted}) == array.reshape(wanted).shape
    flat = infer_shape(Op.FLATTEN, (shape,), {"axis": axis})
    assert flat == (math.prod(shape[:axis]), math.prod(shape[axis:]))


def test_heads_split_and_merge() -> None:
    split = infer_shape(Op.SPLIT_HEADS, ((2, 128, 768),), {"heads": 12})
    assert split == (2, 12, 128, 64)
    assert infer_shape(Op.MERGE_HEADS, (split,), {}) == (2, 128, 768)
    assert infer_shape(Op.CACHE_APPEND, ((2, 12, 1, 64),), {"length": 128}) == (2, 12, 128, 64)


def test_an_embedding_adds_an_axis() -> None:
    assert infer_shape(Op.EMBEDDING, ((2, 7),), {"vocab": 30000, "dim": 16}) == (2, 7, 16)


def test_a_convolution_over_one_axis() -> None:
    assert infer_shape(
        Op.CONV, ((2, 80, 3000),), {"out_channels": 512, "kernel": 3, "stride": 2, "padding": 1}
    ) == (
        2,
        512,
        1500,
    )


IMAGE = (1, 6, 8, 8)
MISTAKES: list[tuple[Op, tuple[Shape, ...], Attributes, str]] = [
    (
        Op.CONV,
        ((0, 3, 8, 8),),
        {"out_channels": 4, "kernel": 3},
        "conv: expected input sizes >= 1, got 0x3x8x8",
    ),
    (Op.CONV, (IMAGE,), {"kernel": 3}, "conv: expected a whole number out_channels, got None"),
    (Op.CONV, (IMAGE,), {"out_channels": 0, "kernel": 3}, "conv: expected out_channels >= 1, got 0"),
    (Op.CONV, (IMAGE,), {"out_channels": 4, "kernel": 9}, "fits the padded image, got 9x9 on 8x8"),
    (Op.CONV, (IMAGE,), {"out_channels": 4, "kernel": (3, 3, 3)}, "expected 2 whole numbers kernel"),
    (
        Op.CONV,
        (IMAGE,),
        {"out_channels": 4, "kernel": 3, "stride": 0},
        "stride and dilation >= 1, got 3x3, 0x0, 1x1",
    ),
    (Op.CONV, (IMAGE,), {"out_channels": 4, "kernel": 3, "padding": -1}, "expected padding >= 0, got -1"),
    (
        Op.CONV,
        (IMAGE,),
        {"out_channels": 4, "kernel": 3, "groups": 4},
        "divisible by groups=4, got 6 in, 4 out",
    ),
    (
        Op.CONV,
        ((6, 8),),
        {"out_channels": 4, "kernel": 3},
        "expected (batch, channels, height, width), got 6x8",
    ),
    (
        Op.LINEAR,
        ((2, 6),),
        {"out_features": 8, "heads": 3},
        "expected 8 features divisible by heads, got heads=3",
    ),
    (Op.LINEAR, ((2, 6),), {"out_features": 8, "head_axis": "n"}, "expected head_axis"),
    (Op.MATMUL, ((2, 3), (4, 5)), {}, "matmul: expected equal inner sizes, got 2x3, 4x5"),
    (Op.MATMUL, ((2, 3),), {}, "matmul: expected 2 inputs, got 1"),
    (Op.MATMUL, ((2, 3), (3,)), {}, "expected an input of 2 axes or more, got 3"),
    (Op.ADD, ((2, 3), (4, 3)), {}, "add: expected shapes that broadcast, got 2x3, 4x3"),
    (Op.ADD, ((2, 3),), {}, "add: expected 2 or more inputs, got 1"),
    (
        Op.CONCAT,
        ((2, 3), (3, 3)),
        {"axis": 1},
        "concat: expected shapes that differ in axis 1 only, got 2x3, 3x3",
    ),
    (Op.CONCAT, ((2, 3), (2, 3, 1)), {"axis": 1}, "expected shapes that differ in axis 1 only"),
    (Op.CONCAT, ((2, 3), (2, 3)), {"axis": 2}, "expected an axis from -2 to 1, got 2"),
    (Op.TRANSPOSE, ((2, 3),), {"axes": (0, 0)}, "expected each of 2 axes once, got [0, 0]"),
    (Op.SLICE, ((4,),), {"axis": 0, "step": 0}, "expected a step other than 0"),
    (Op.SLICE, ((4,),), {"axis": 0, "start": 4}, "expected a result of sizes >= 1, got 0"),
    (Op.SELECT, ((4,),), {"axis": 0, "index": 4}, "expected an index below 4, got 4"),
    (Op.RESHAPE, ((2, 6),), {"shape": (5, -1)}, "reshape: expected 12 elements as in 2x6, got [5, -1]"),
    (Op.RESHAPE, ((2, 6),), {"shape": (-1, -1)}, "expected 12 elements as in 2x6"),
    (Op.RESHAPE, ((2, 6),), {"shape": (2, 2, 0)}, "or 0 to keep an axis, got [2, 2, 0]"),
    (Op.RESHAPE, ((2, 6),), {"shape": 12}, "expected a list of whole numbers shape, got 12"),
    (Op.SPLIT_HEADS, ((2, 4, 7),), {"heads": 2}, "with features divisible by heads=2, got 2x4x7"),
    (Op.MERGE_HEADS, ((2, 4, 7),), {}, "merge_heads: expected (batch, heads, seq, features), got 2x4x7"),
    (Op.ROTARY, ((2, 4, 7),), {}, "rotary: expected an even last axis, got 2x4x7"),
    (Op.CACHE_APPEND, ((1, 2, 5, 8),), {"length": 4}, "expected a length that holds 5 new positions, got 4"),
    (Op.LRN, (IMAGE,), {"size": 0}, "lrn: expected size >= 1, got 0"),
    (Op.LEARNED, ((1,),), {"shape": (1,)}, "learned: expected 0 inputs, got 1"),
    (Op.COPY, ((2, 3),), {"shape": (0, 3)}, "copy: expected a result of sizes >= 1, got 0x3"),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "message"), MISTAKES)
def test_a_misfit_is_said_in_one_line(
    op: Op, inputs: tuple[Shape, ...], attributes: Attributes, message: str
) -> None:
    with pytest.raises(ShapeError) as raised:
        infer_shape(op, inputs, attributes)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{op}: ")
    assert "\n" not in str(raised.value)


@settings(max_examples=300)
@given(
    op=st.sampled_from(list(Op)),
    shapes=st.lists(array_shapes(min_dims=1, max_dims=5, max_side=9), max_size=3),
    data=st.data(),
)
def test_no_input_makes_anything_but_a_shape_or_a_shape_error(
    op: Op, shapes: list[Shape], data: st.DataObject
) -> None:
    entry = st.one_of(st.integers(-2, 9), st.lists(st.integers(-2, 9), max_size=4).map(tuple), st.just("x"))
    keys = (
        "out_channels",
        "kernel",
        "stride",
        "padding",
        "groups",
        "out_features",
        "heads",
        "axis",
        "axes",
        "shape",
    )
    attributes = data.draw(
        st.dictionaries(st.sampled_from((*keys, "index", "length", "vocab", "dim")), entry)
    )
    try:
        shape = infer_shape(op, tuple(shapes), attributes)
    except ShapeError:
        return
    assert all(size >= 1 for size in shape)


def test_a_node_is_named_and_shaped() -> None:
    node = make_node("square", Op.MUL, ("x", "x"), {"x": (2, 3)}, count=4)
    assert (node.output, node.inputs, node.shape, node.count) == ("square", ("x", "x"), (2, 3), 4)
    assert make_node("y", Op.RELU, ("x",), {"x": (1,)}, output="z").output == "z"
