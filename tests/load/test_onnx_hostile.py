"""Files that are damaged or malicious end in one clear line, quickly, and without the memory they ask for."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import model, node, save

from simsparse.errors import FileError, ShapeError, SimsparseError
from simsparse.load import onnx_wire
from simsparse.load.onnx_import import load_onnx

W = np.ones((4, 4), np.float32)


def valid() -> Any:
    """A model with a bit of everything, its constants inside."""
    nodes = [
        node("Conv", ["x", "k"], "a", name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["a", "s", "s", "s", "s"], "b", name="norm"),
        node("Relu", ["b"], "c", name="relu"),
        node("Constant", [], "shape", value=numpy_helper.from_array(np.array([0, -1]))),
        node("Reshape", ["c", "shape"], "d"),
        node("DequantizeLinear", ["q", "scale"], "w", axis=1),
        node("MatMul", ["d", "w"], "y", name="fc"),
    ]
    constants = {
        "k": np.ones((4, 3, 3, 3), np.float32),
        "s": np.ones(4, np.float32),
        "q": np.ones((32, 5), np.int8),
        "scale": np.ones(5, np.float32),
    }
    return model(nodes, {"x": ("batch", 3, 8, 4)}, constants)


def test_the_model_that_is_damaged_below_is_valid(tmp_path: Path) -> None:
    workload = load_onnx(save(tmp_path, valid()))
    assert [layer.name for layer in workload.layers] == ["conv", "relu", "fc"]


BYTES = valid().SerializeToString()


def attempt(file: Path) -> str:
    """Load everything in ``file``; the error's text, or nothing."""
    try:
        workload = load_onnx(file)
        for layer in workload.layers:
            if layer.name in workload.weights:
                assert workload.weights[layer.name].shape == (layer.m, layer.k)
    except SimsparseError as error:
        caught = error
    else:
        return ""
    assert caught.exit_code in (2, 3)
    assert all(line.isprintable() for line in str(caught).split("\n")), caught
    return str(caught)


@given(st.integers(0, len(BYTES) - 1))
@settings(max_examples=80)
def test_cut_short(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    file = tmp_path_factory.getbasetemp() / "cut.onnx"
    file.write_bytes(BYTES[:size])
    assert "cut.onnx: " in attempt(file)


@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=250)
def test_bytes_changed(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    data = bytearray(BYTES)
    for position, value in changes:
        data[position] = value
    file = tmp_path_factory.getbasetemp() / "changed.onnx"
    file.write_bytes(data)
    attempt(file)


ODD = (0, -1, 2, 3, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1)


@pytest.mark.parametrize("seed", range(150))
def test_numbers_and_names_changed(seed: int, tmp_path: Path) -> None:
    """Well-formed files whose operators, attributes and shapes contradict each other."""
    rng, proto = random.Random(seed), valid()
    for _ in range(rng.choice([1, 2, 4])):
        change_one(proto.graph, rng)
    attempt(save(tmp_path, proto))


def change_one(graph: Any, rng: random.Random) -> None:
    operator = rng.choice(graph.node)
    tensor = rng.choice(graph.initializer)
    kinds = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    match rng.randrange(7):
        case 0 if operator.attribute and operator.attribute[0].ints:
            ints = operator.attribute[0].ints
            ints[rng.randrange(len(ints))] = rng.choice(ODD)
        case 1:
            operator.op_type = rng.choice(kinds)
        case 2 if operator.input:
            operator.input[rng.randrange(len(operator.input))] = rng.choice(["x", "w", "y", "c", ""])
        case 3 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(ODD)
        case 4:
            tensor.data_type = rng.randrange(30)
        case 5:
            dims = graph.input[0].type.tensor_type.shape.dim
            rng.choice(dims).dim_value = rng.choice(ODD)
        case _:
            del operator.input[-1:]


# Each case by name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an ONNX model, got an empty file"),
        (b"PK\x03\x04 a zip archive, renamed", "bad.onnx: byte 2: expected an ONNX model"),
        (b"name: resnet18\nlayers: []\n", "bad.onnx: byte "),
        (b"\x00" * 1000, "byte 0: expected an ONNX model, got bytes that are no protobuf field"),
        (b"\xff" * 1000, "byte 0: expected a number in the model"),
        (b"\x08\x08", "expected an ONNX model with operators, got none"),
    ],
)
def test_no_onnx_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes(content)
    assert message in attempt(file)


def test_an_operator_whose_name_acts_on_a_terminal(tmp_path: Path) -> None:
    proto = valid()
    for operator in proto.graph.node:
        operator.op_type = "Ma\x12\nMul"
    assert "Ma��Mul: an operator that is not simulated" in attempt(save(tmp_path, proto))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    assert "expected an ONNX file, got none (check the path)" in attempt(tmp_path / "missing.onnx")
    assert "expected an ONNX file, got a folder" in attempt(tmp_path)
    with pytest.raises(FileError):
        load_onnx("zero\0byte.onnx")
    fifo = tmp_path / "fifo.onnx"
    os.mkfifo(fifo)
    assert "expected an ONNX file" in attempt(fifo)


def fc(*nodes: Any, inputs: Any = None, constants: Any = None, **more: Any) -> Any:
    made = nodes or (node("MatMul", ["x", "w"], name="fc"),)
    return model(list(made), inputs or {"x": (2, 4)}, {"w": W} if constants is None else constants, **more)


def twice() -> Any:
    proto = fc()
    proto.graph.initializer.append(proto.graph.initializer[0])
    return proto


def no_opset() -> Any:
    proto = fc()
    del proto.opset_import[:]
    return proto


def recursion() -> Any:
    body = [node("Again", ["a"], "b", domain="mine")]
    versions = [helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Again", ["a"], ["b"], body, versions)
    return fc(node("Again", ["x"], domain="mine"), functions=[function], domains=["mine"])


def explosion() -> Any:
    """Twenty functions, each of which calls the next one ten times."""
    versions = [helper.make_opsetid("mine", 1), helper.make_opsetid("", 20)]
    functions = []
    for number in range(20):
        body = [node(f"F{number + 1}", ["a"], f"t{i}", domain="mine") for i in range(9)]
        body.append(node(f"F{number + 1}", ["a"], "b", domain="mine"))
        functions.append(helper.make_function("mine", f"F{number}", ["a"], ["b"], body, versions))
    functions.append(helper.make_function("mine", "F20", ["a"], ["b"], [node("Relu", ["a"], "b")], versions))
    return fc(node("F0", ["x"], domain="mine"), functions=functions, domains=["mine"])


def text_in_bytes() -> bytes:
    return fc().SerializeToString().replace(b"fc", b"\xff\xfe")  # type: ignore[no-any-return]


CONV = {"w": np.ones((4, 3, 3, 3), np.float32)}
CASES: dict[str, tuple[Any, str]] = {
    "a cycle": (
        fc(node("Add", ["x", "b"], "a", name="one"), node("MatMul", ["a", "w"], "b"), outputs=("b",)),
        "operator one: expected operators in some order, got a cycle",
    ),
    "an input that nothing makes": (
        fc(node("MatMul", ["nowhere", "w"], name="fc")),
        "operator fc: expected an input that something makes, got nowhere",
    ),
    "a tensor made twice": (
        fc(node("Relu", ["x"]), node("Relu", ["x"])),
        "tensor y: expected one operator to make it, got two",
    ),
    "an initialiser twice": (twice(), "tensor w: expected one initialiser, got two"),
    "no opset": (no_opset(), "opset_import: expected one version per domain, got none"),
    "an opset of the future": (fc(opset=9999), "got 9999 (update onnx, or export with an older opset)"),
    "an opset below 1": (fc(opset=-1), "opset_import: expected one version per domain, got ai.onnx -1"),
    "negative sizes": (fc(inputs={"x": (2, -4)}), "input x: expected sizes >= 1, got -4 in axis 1"),
    "sizes beyond reason": (fc(inputs={"x": (2**40, 4)}), "input x: expected at most 2^40 elements"),
    "a function that calls itself": (recursion(), "functions: expected ones that can be written out"),
    "functions that explode": (explosion(), "got 100,000,000,000,000,000,000 with all functions written out"),
    "names that are no text": (text_in_bytes(), "expected names in UTF-8, got other bytes"),
    "channels that do not fit": (
        fc(node("Conv", ["x", "w"], name="c"), inputs={"x": (1, 4, 8, 8)}, constants=CONV),
        "operator c: expected weights for 4 input channels, got 4x3x3x3 in 1 groups",
    ),
    "no groups": (
        fc(node("Conv", ["x", "w"], name="c", group=0), inputs={"x": (1, 3, 8, 8)}, constants=CONV),
        "operator c: expected weights for 3 input channels, got 4x3x3x3 in 0 groups",
    ),
    "too few strides": (
        fc(node("Conv", ["x", "w"], name="c", strides=[1]), inputs={"x": (1, 3, 8, 8)}, constants=CONV),
        "operator c: expected 2 whole numbers strides, got (1,)",
    ),
    "an attribute of another type": (
        fc(node("Conv", ["x", "w"], name="c", group="two"), inputs={"x": (1, 3, 8, 8)}, constants=CONV),
        "operator c: expected a whole number group, got two",
    ),
    "an unknown element type": (
        fc(constants={}, inputs={"x": (2, 4)}),
        "operator fc: expected an input that something makes, got w",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_contradictions(case: str, tmp_path: Path) -> None:
    content, message = CASES[case]
    file = tmp_path / "model.onnx"
    file.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    text = attempt(file)
    assert message in text
    assert text.startswith(f"{file}: ")


def test_unknown_element_types(tmp_path: Path) -> None:
    for data_type in (0, 29, 1000):
        proto = fc()
        proto.graph.initializer[0].data_type = data_type
        assert "tensor w: expected a known element type" in attempt(save(tmp_path, proto))


def test_all_mistakes_at_once_but_not_thousands(tmp_path: Path) -> None:
    proto = fc(*(node("Add", ["x", f"missing{i}"], f"t{i}") for i in range(500)), outputs=("t0",))
    with pytest.raises(FileError) as caught:
        load_onnx(save(tmp_path, proto))
    assert len(caught.value.mistakes) == 11
    assert caught.value.mistakes[-1] == "… and 490 more mistakes like these"


def test_sizes_that_overflow_do_not_become_layers(tmp_path: Path) -> None:
    nodes = [node("Expand", ["x", "huge"], "e"), node("MatMul", ["e", "w"], name="fc")]
    proto = fc(*nodes, constants={"w": W, "huge": np.array([2**31, 2**31, 1])})
    assert "nothing" not in attempt(save(tmp_path, proto))
    assert "the shape of a tensor it reads or makes is unknown" in attempt(save(tmp_path, proto))


# Bounds on work


def field(number: int, payload: bytes) -> bytes:
    length, size = len(payload), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + payload


def test_number_of_operators_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_wire, "MAX_NODES", 100)
    relu = field(1, node("Relu", ["x"]).SerializeToString())
    file = tmp_path / "many.onnx"
    file.write_bytes(field(7, relu * 1000))
    assert "expected at most 100 operators, got more (simplify the graph" in attempt(file)


def test_number_of_fields_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_wire, "MAX_FIELDS", 1000)
    file = tmp_path / "fields.onnx"
    file.write_bytes(b"\x08\x01" * 1001)
    assert "expected at most 1,000 protobuf fields, got more" in attempt(file)


def test_bytes_beside_tensors_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_wire, "MAX_SKELETON_BYTES", 10_000)
    proto = fc(node("MatMul", ["x", "w"], name="a" * 20_000))
    assert "expected at most 10,000 bytes beside the tensors, got more" in attempt(save(tmp_path, proto))


def test_depth_is_bounded(tmp_path: Path) -> None:
    graph = helper.make_graph([node("Relu", ["x"], "z", name="n" * 5000)], "g", [], [])
    for _ in range(20):
        inner = node("If", ["x"], "z", then_branch=graph, else_branch=graph.__class__())
        graph = helper.make_graph([inner], "g", [], [])
    file = tmp_path / "deep.onnx"
    file.write_bytes(onnx.ModelProto(graph=graph).SerializeToString())
    assert "expected graphs nested at most 24 deep, got more" in attempt(file)


@pytest.mark.parametrize("kind", ["raw", "typed"])
def test_declared_sizes_allocate_nothing(kind: str, tmp_path: Path) -> None:
    tensor = onnx.TensorProto(name="w", dims=[4, 2**40], data_type=TensorProto.FLOAT)
    if kind == "raw":
        tensor.raw_data = W.tobytes() * 100
    else:
        tensor.float_data.extend([1.0] * 1600)
    proto = fc(constants={})
    proto.graph.initializer.append(tensor)
    file = save(tmp_path, proto)
    tracemalloc.start()
    text = attempt(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "tensor w: expected " in text
    assert peak < 5_000_000


def test_skeleton_leaves_large_tensors_in_the_file(tmp_path: Path) -> None:
    big = np.arange(100_000, dtype=np.float32).reshape(4, -1)
    nodes = [
        node("Constant", [], "c", value=numpy_helper.from_array(big)),
        node("MatMul", ["x", "w"], "a", name="one"),
        node("MatMul", ["x", "c"], "y", name="two"),
    ]
    proto = fc(*nodes, constants={"w": big}, outputs=("a", "y"))
    skeleton = onnx_wire.read_skeleton(memoryview(proto.SerializeToString()), "m")
    assert len(skeleton.message) < 2000
    assert set(skeleton.initializers) == {0}
    assert set(skeleton.constants) == {0}
    workload = load_onnx(save(tmp_path, proto))
    np.testing.assert_array_equal(workload.weights["one"], big.T)
    np.testing.assert_array_equal(workload.weights["two"], big.T)


def test_shape_errors_name_the_file(tmp_path: Path) -> None:
    proto = fc(node("Gemm", ["x", "w"], name="fc"), inputs={"x": (2, 3)})
    with pytest.raises(
        FileError, match="operator fc: expected the same inner size on both sides, got 3 and 4"
    ) as caught:
        load_onnx(save(tmp_path, proto))
    assert not isinstance(caught.value, ShapeError)
