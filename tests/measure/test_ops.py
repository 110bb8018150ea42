"""Operators one by one, in both layouts, against onnxruntime or NumPy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from simsparse.kernels.net_attention import attend, spare_floats
from simsparse.kernels.net_entry import entry
from simsparse.kernels.net_norm import normalise_columns, normalise_rows
from simsparse.kernels.net_pool import max_pool, mean_rows
from simsparse.kernels.net_softmax import softmax_rows
from simsparse.kernels.net_transpose import transpose
from simsparse.kernels.simd import width
from simsparse.measure.memory import available_bytes
from simsparse.measure.op import in_order, order_of
from tests.measure.networks import assert_like_oracle, draw, write_model

make = helper.make_node
Pair = tuple[int, int]
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

UNARY: dict[str, dict[str, Any]] = {
    "Sqrt": {},
    "Exp": {},
    "Neg": {},
    "Abs": {},
    "Tanh": {},
    "Reciprocal": {},
    "Sigmoid": {},
    "Erf": {},
    "Gelu": {},
    "Relu": {},
    "LeakyRelu": {"alpha": 0.2},
    "Softmax": {"axis": -1},
    "HardSwish": {},
    "Identity": {},
}


@pytest.mark.parametrize("kind", UNARY)
@pytest.mark.parametrize("columns", [False, True])
def test_operators_of_one_input(tmp_path: Path, kind: str, columns: bool) -> None:
    before = make("MatMul", ["x", "w"], ["a"]) if columns else make("Abs", ["x"], ["a"])
    nodes = [before, make("Abs", ["a"], ["b"]), make(kind, ["b"], ["y"], **UNARY[kind])]
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 5, 7)}, ["y"], {"w": draw((7, 7))})
    assert_like_oracle(path, {"x": draw((2, 5, 7))})


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Sum"])
@pytest.mark.parametrize("shape", [(2, 5, 7), (7,), (5, 1), (1, 1, 7), ()])
def test_operators_of_two_inputs_broadcast(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    nodes = [
        make("MatMul", ["x", "w"], ["a"]),
        make(kind, ["a", "c"], ["y"]),
        make(kind, ["z", "a"], ["v"]),
    ]
    constants = {"w": draw((7, 7)), "c": np.abs(draw(shape)) + np.float32(1)}
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 5, 7), "z": (2, 5, 7)}, ["y", "v"], constants)
    assert_like_oracle(path, {"x": draw((2, 5, 7)), "z": draw((2, 5, 7), 1)}, tolerance=1e-4)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "ceil"),
    [(3, 2, 1, 0), (2, 2, 0, 0), (3, 1, 1, 0), (3, 2, 0, 1), (5, 3, 2, 0), (1, 1, 0, 0)],
)
def test_pooling(tmp_path: Path, kind: str, kernel: int, stride: int, pads: int, ceil: int) -> None:
    attributes = {"kernel_shape": [kernel, 2], "strides": [stride, 1], "pads": [pads, 0, pads, 1]}
    if kernel == 1:
        attributes["pads"] = [0, 0, 0, 0]
    nodes = [
        make(kind, ["x"], ["y"], ceil_mode=ceil, **attributes),
        make("GlobalAveragePool", ["x"], ["z"]),
        make("LRN", ["x"], ["n"], size=3, alpha=0.1),
        make("LRN", ["x"], ["p"], size=5, beta=0.5, alpha=0.1),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 3, 13, 21)}, ["y", "z", "n", "p"], {})
    assert_like_oracle(path, {"x": draw((2, 3, 13, 21))})


@settings(QUICK, max_examples=100)
@given(
    planes=st.integers(1, 3),
    size=st.tuples(st.integers(1, 13), st.integers(1, 40)),
    window=st.tuples(*[st.integers(1, 4)] * 2),
    stride=st.tuples(*[st.integers(1, 4)] * 2),
    dilation=st.tuples(*[st.integers(1, 3)] * 2),
    data=st.data(),
)
def test_max_pool_kernel(
    planes: int, size: Pair, window: Pair, stride: Pair, dilation: Pair, data: st.DataObject
) -> None:
    """Windows may lie in the padding and hang over the end; NaN is left out."""
    before = (data.draw(st.integers(0, window[0])), data.draw(st.integers(0, window[1])))
    out = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 30)))
    x = draw((planes, *size), data.draw(st.integers(0, 99)))
    x[np.abs(x) < 0.2] = np.nan
    taps = [
        np.arange(out[a])[:, None] * stride[a] - before[a] + np.arange(window[a]) * dilation[a]
        for a in (0, 1)
    ]
    inside = [(tap >= 0) & (tap < length) for tap, length in zip(taps, size, strict=True)]
    rows, columns = (np.where(kept, tap, 0) for kept, tap in zip(inside, taps, strict=True))
    seen = x[:, rows[:, None, :, None], columns[None, :, None, :]]
    seen[:, ~(inside[0][:, None, :, None] & inside[1][None, :, None, :])] = np.nan
    y = np.empty((planes, *out), np.float32)
    max_pool(width(1), width(2), x, y, window, stride, before, dilation)
    assert np.array_equal(y, np.fmax.reduce(seen, axis=(3, 4), initial=-np.inf))


@QUICK
@given(rows=st.integers(1, 5), n=st.integers(1, 3000), seed=st.integers(0, 99))
def test_mean_kernel(rows: int, n: int, seed: int) -> None:
    x, y = draw((rows, n), seed) + np.float32(3), np.empty(rows, np.float32)
    mean_rows(width(2), x, y)
    np.testing.assert_allclose(y, x.mean(axis=1, dtype=np.float64), rtol=2e-6)


def test_means_of_axes(tmp_path: Path) -> None:
    nodes = [
        make("ReduceMean", ["x", "last"], ["a"], keepdims=0),
        make("ReduceMean", ["x", "first"], ["b"]),
        make("ReduceMean", ["x"], ["c"]),
        make("ReduceMean", ["x", "none"], ["d"], noop_with_empty_axes=1),
        make("MatMul", ["x", "w"], ["t"]),
        make("ReduceMean", ["t", "last"], ["e"]),
        make("GlobalAveragePool", ["t"], ["f"]),
    ]
    constants = {
        "last": np.array([-1, 2]),
        "first": np.array([0, 1]),
        "none": np.array([], np.int64),
        "w": draw((9, 9)),
    }
    path = write_model(
        tmp_path / "m.onnx", nodes, {"x": (2, 3, 5, 9)}, ["a", "b", "c", "d", "e", "f"], constants
    )
    assert_like_oracle(path, {"x": draw((2, 3, 5, 9))})


def test_movement(tmp_path: Path) -> None:
    nodes = [
        make("MatMul", ["x", "w"], ["a"]),
        make("Slice", ["a", "starts", "ends", "axes", "steps"], ["s"]),
        make("Split", ["a"], ["p", "q"], axis=1, num_outputs=2),
        make("Concat", ["q", "p"], ["c"], axis=1),
        make("Unsqueeze", ["c", "two"], ["u"]),
        make("Expand", ["u", "wide"], ["e"]),
        make("Gather", ["a", "picks"], ["g"], axis=1),
        make("Gather", ["a", "one"], ["k"], axis=-2),
        make("Pad", ["a", "pads"], ["f"]),
        make("Where", ["mask", "a", "zero"], ["h"]),
        make("ReduceMean", ["a", "last"], ["r"], keepdims=0),
        make("Flatten", ["a"], ["flat"], axis=2),
    ]
    constants = {
        "w": draw((6, 6)),
        "starts": np.array([-1, 100]),
        "ends": np.array([-100, 0]),
        "axes": np.array([1, 2]),
        "steps": np.array([-1, -2]),
        "two": np.array([2]),
        "wide": np.array([1, 1, 3, 1]),
        "picks": np.array([[0, -1], [2, 1]]),
        "one": np.array(-3),
        "pads": np.array([0, 1, 0, 0, 0, 2]),
        "mask": np.arange(6) % 2 == 0,
        "zero": np.float32(0),
        "last": np.array([-1]),
    }
    outputs = ["s", "c", "e", "g", "k", "f", "h", "r", "flat"]
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 4, 6)}, outputs, constants)
    assert_like_oracle(path, {"x": draw((2, 4, 6))})


@QUICK
@given(tokens=st.integers(1, 70), features=st.integers(1, 50), seed=st.integers(0, 99))
def test_layer_norm_kernels(tokens: int, features: int, seed: int) -> None:
    x, scale, shift = draw((tokens, features), seed), draw((features,), seed), draw((features,), seed + 1)
    exact = x.astype(np.float64)
    spread = np.sqrt(exact.var(axis=1, keepdims=True) + 1e-5)
    wanted = (exact - exact.mean(axis=1, keepdims=True)) / spread * scale + shift
    by_rows, by_columns = np.empty_like(x), np.empty((features, tokens), np.float32)
    normalise_rows(width(1), x, by_rows, scale, shift, 1e-5)
    spare = np.empty(2 * (tokens + width(1).floats), np.float32)
    normalise_columns(width(1), np.ascontiguousarray(x.T), by_columns, scale, shift, 1e-5, spare)
    np.testing.assert_allclose(by_rows, wanted, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(by_columns.T, wanted, rtol=1e-4, atol=2e-4)


@QUICK
@given(rows=st.integers(1, 9), n=st.integers(1, 70), scale=st.floats(0.1, 30), seed=st.integers(0, 99))
def test_softmax_kernel(rows: int, n: int, scale: float, seed: int) -> None:
    x = draw((rows, n), seed) * np.float32(scale) - np.float32(50)
    x[0, n // 2 :] = -np.inf if n > 1 else x[0, 0]
    y = np.empty_like(x)
    softmax_rows(width(1), x, y)
    powers = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, powers / powers.sum(axis=1, keepdims=True), rtol=0, atol=1e-6)


@QUICK
@given(
    heads=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    sizes=st.tuples(*[st.integers(1, 40)] * 4),
    mask=st.sampled_from(["none", "by key", "by query", "of all heads"]),
    by_tokens=st.booleans(),
)
def test_attention_kernel(
    heads: tuple[int, int], sizes: tuple[int, int, int, int], mask: str, by_tokens: bool
) -> None:
    features, queries, keys, wide = sizes
    shapes = [(features, queries), (features, keys), (wide, keys)]
    q, k, v = (draw((*heads, *shape), 1 + i) for i, shape in enumerate(shapes))
    if by_tokens:  # the other way round in memory
        q, k, v = (np.ascontiguousarray(x.swapaxes(2, 3)).swapaxes(2, 3) for x in (q, k, v))
    added = {"none": np.zeros((1, 1, 1, 1), np.float32), "by key": draw((*heads, keys, 1))}.get(mask)
    if added is None:
        added = draw((*(heads if mask == "by query" else (1, 1)), keys, queries))
    out, w = np.empty((*heads, wide, queries), np.float32), width(2)
    given_mask = np.empty((0, 0, 0, 0), np.float32)
    if mask != "none":
        given_mask = np.broadcast_to(added, (*heads, *added.shape[2:]))
    code = entry(attend, w, q, k, v, out, given_mask, 0.3, np.empty(0, np.float32))
    code(w, q, k, v, out, given_mask, 0.3, np.empty(spare_floats(w, features, keys), np.float32))
    scores = 0.3 * np.einsum("bhfi,bhfj->bhji", q.astype(float), k.astype(float)) + added
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    wanted = np.einsum("bhji,bhdj->bhdi", powers / powers.sum(axis=2, keepdims=True), v)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-5)


@QUICK
@given(a=st.integers(1, 60), b=st.integers(1, 60))
def test_transpose_kernel(a: int, b: int) -> None:
    x, y = draw((a, b)), np.empty((b, a), np.float32)
    transpose(x, y)
    assert (y == x.T).all()


@QUICK
@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_orders_round_trip(order: list[int], shape: list[int]) -> None:
    array = in_order(np.arange(int(np.prod(shape))), shape, tuple(order))
    assert array.shape == tuple(shape)
    again = in_order(np.zeros(array.size), shape, order_of(array))
    kept = [axis for axis in range(4) if shape[axis] > 1]
    assert [again.strides[axis] for axis in kept] == [array.strides[axis] for axis in kept]


def test_available_memory_reads_host_and_group(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 10 kB\nMemAvailable: 4 kB\n")
    assert available_bytes(info, tmp_path) == 4096
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_bytes(info, tmp_path) == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(info, tmp_path) == 4096
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None
