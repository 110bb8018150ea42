"""What becomes of an ONNX file beside its products: prices, sizes, names, what is listed as unsupported."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import model, node, run, save

from simsparse.errors import FileError, UnsupportedError, UsageError
from simsparse.ir import Layer, LayerKind, Workload
from simsparse.load.onnx_import import load_onnx

W = np.ones((4, 4), np.float32)
IMAGE = (2, 4, 6, 6)


def with_product(nodes: list[Any], shape: tuple[int, ...], constants: dict[str, Any], **more: Any) -> Any:
    """``nodes`` from x to t, and a product from p to y, as a model needs one to be simulated."""
    product = node("MatMul", ["p", "weights"], name="product")
    outputs = more.pop("outputs", ("y", "t"))
    return model(
        [*nodes, product], {"x": shape, "p": (1, 4)}, constants | {"weights": W}, outputs=outputs, **more
    )


def layers(proto: Any, folder: Path) -> list[Layer]:
    workload = load_onnx(save(folder, proto))
    assert workload.unsupported == ()
    return [layer for layer in workload.layers if layer.name != "product"]


ONES = np.ones(4, np.float32)
# kind of operator, further inputs, attributes, input shape, layer kind, operations per output element
PRICED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[int, ...], LayerKind, float]] = [
    ("Relu", {}, {}, IMAGE, LayerKind.ACTIVATION, 1),
    ("Clip", {"lo": np.float32(0), "hi": np.float32(6)}, {}, IMAGE, LayerKind.ACTIVATION, 2),
    ("Clip", {"lo": np.float32(-1), "hi": np.float32(1)}, {}, IMAGE, LayerKind.ELEMENTWISE, 2),
    ("PRelu", {"slope": ONES[:, None, None]}, {}, IMAGE, LayerKind.ACTIVATION, 2),
    ("Sigmoid", {}, {}, IMAGE, LayerKind.ACTIVATION, 4),
    ("Softmax", {}, {"axis": 1}, IMAGE, LayerKind.SOFTMAX, 5),
    ("Exp", {}, {}, IMAGE, LayerKind.ELEMENTWISE, 1),
    ("Mul", {"two": np.float32(2)}, {}, IMAGE, LayerKind.ELEMENTWISE, 1),
    ("LayerNormalization", {"s": np.ones(6, np.float32)}, {}, IMAGE, LayerKind.NORMALIZATION, 7),
    ("InstanceNormalization", {"s": ONES, "b": ONES}, {}, IMAGE, LayerKind.NORMALIZATION, 7),
    ("LRN", {}, {"size": 3}, IMAGE, LayerKind.NORMALIZATION, 8),
    ("MaxPool", {}, {"kernel_shape": [3, 2], "strides": [2, 2]}, IMAGE, LayerKind.POOL, 6),
    ("AveragePool", {}, {"kernel_shape": [2, 2], "ceil_mode": 1}, IMAGE, LayerKind.POOL, 4),
    ("GlobalAveragePool", {}, {}, IMAGE, LayerKind.POOL, 36),
    ("ReduceMean", {"axes": np.array([1])}, {}, IMAGE, LayerKind.POOL, 4),
    ("Transpose", {}, {"perm": [0, 2, 3, 1]}, IMAGE, LayerKind.MOVEMENT, 0),
    ("Slice", {"s": np.array([1]), "e": np.array([3]), "a": np.array([2])}, {}, IMAGE, LayerKind.MOVEMENT, 0),
    ("Pad", {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, {}, IMAGE, LayerKind.MOVEMENT, 0),
    ("Gather", {"i": np.array([0, 2])}, {"axis": 1}, IMAGE, LayerKind.MOVEMENT, 0),
    ("Resize", {"": None, "scales": np.array([1, 1, 2, 2], np.float32)}, {}, IMAGE, LayerKind.MOVEMENT, 0),
]


@pytest.mark.parametrize(("kind", "inputs", "attributes", "shape", "expected", "operations"), PRICED)
def test_layers_that_are_no_product_are_priced(
    kind: str,
    inputs: dict[str, Any],
    attributes: dict[str, Any],
    shape: tuple[int, ...],
    expected: LayerKind,
    operations: float,
    tmp_path: Path,
) -> None:
    names = ["x", *inputs]
    constants = {key: value for key, value in inputs.items() if key}
    proto = with_product([node(kind, names, "t", name="it", **attributes)], shape, constants)
    (layer,) = layers(proto, tmp_path)
    _, t = run(proto.SerializeToString(), {"x": np.ones(shape, np.float32), "p": np.ones((1, 4), np.float32)})
    assert (layer.name, layer.kind) == ("it", expected)
    assert layer.output_elements == t.size
    assert layer.operations == operations * t.size
    assert layer.input_elements in (math.prod(shape), t.size)


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes"),
    [
        ("Identity", {}, {}),
        ("Dropout", {}, {}),
        ("Flatten", {}, {"axis": 2}),
        ("Reshape", {"s": np.array([0, -1])}, {}),
        ("Unsqueeze", {"a": np.array([0])}, {}),
        ("Transpose", {}, {"perm": [1, 0, 2]}),  # axis 0 is 1 long: nothing moves
    ],
)
def test_views_are_free(
    kind: str, inputs: dict[str, Any], attributes: dict[str, Any], tmp_path: Path
) -> None:
    shape = (1, 3, 4)
    proto = with_product([node(kind, ["x", *inputs], "t", **attributes)], shape, inputs)
    assert layers(proto, tmp_path) == []


def test_constant_operands_are_read_unless_they_are_scalars(tmp_path: Path) -> None:
    big = np.ones((3, 4), np.float32)
    (add,) = layers(with_product([node("Add", ["x", "c"], "t")], (2, 3, 4), {"c": big}), tmp_path)
    assert (add.input_elements, add.operations) == (24 + 12, 24)
    nodes = [node("Concat", ["c", "x"], "t", axis=0)]
    (joined,) = layers(with_product(nodes, (2, 4), {"c": big}), tmp_path)
    assert (joined.input_elements, joined.output_elements) == (12 + 8, 20)


def test_split_is_one_copy_per_part_that_is_read(tmp_path: Path) -> None:
    split = helper.make_node("Split", ["x"], ["a", "unused", "b"], name="split", num_outputs=3)
    proto = with_product([split, node("Mul", ["a", "b"], "t", name="mul")], (6, 4), {})
    made = layers(proto, tmp_path)
    assert [(layer.name, layer.output_elements) for layer in made] == [
        ("split.0", 8),
        ("split.2", 8),
        ("mul", 8),
    ]


def test_embedding_reads_indices_and_rows(tmp_path: Path) -> None:
    nodes = [node("Gather", ["table", "ids"], "e", name="emb"), node("MatMul", ["e", "weights"], name="fc")]
    proto = model(
        nodes, {"ids": (2, 3)}, {"table": np.ones((9, 4), np.float32), "weights": W}, integers=["ids"]
    )
    layer = load_onnx(save(tmp_path, proto)).layers[0]
    assert (layer.kind, layer.input_elements, layer.output_elements) == (LayerKind.MOVEMENT, 6 + 24, 24)


def test_heads_are_split_and_merged_by_the_products(tmp_path: Path) -> None:
    heads = {"s": np.array([2, 5, 2, 2]), "m": np.array([2, 5, 4])}
    nodes = []
    for name in "qkv":
        order = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes += [
            node("MatMul", ["x", "weights"], f"{name}1", name=name),
            node("Reshape", [f"{name}1", "s"], f"{name}2"),
            node("Transpose", [f"{name}2"], f"{name}3", perm=order),
        ]
    nodes += [
        node("MatMul", ["q3", "k3"], "scores", name="scores"),
        node("Div", ["scores", "root"], "scaled", name="scale"),
        node("MatMul", ["scaled", "v3"], "mixed", name="mix"),
        node("Transpose", ["mixed"], "turned", perm=[0, 2, 1, 3]),
        node("Reshape", ["turned", "m"], "merged"),
        node("MatMul", ["merged", "weights"], name="out"),
    ]
    constants = heads | {"weights": W, "root": np.float32(2)}
    workload = load_onnx(save(tmp_path, model(nodes, {"x": (2, 5, 4)}, constants)))
    assert [layer.name for layer in workload.layers] == ["q", "k", "v", "scores", "scale", "mix", "out"]
    assert "4 transpositions are free: the products beside them do them" in workload.notes


def test_cache_of_a_decoder_is_not_copied(tmp_path: Path) -> None:
    nodes = [
        node("Concat", ["past_key", "x"], "present", axis=2, name="append"),
        node("MatMul", ["q", "present"], name="scores"),
    ]
    inputs = {"past_key": ("batch", 2, "past_sequence_length", 8), "x": (1, 2, 1, 8), "q": (1, 2, 8, 3)}
    nodes[1] = node("MatMul", ["present", "q"], name="scores")
    workload = load_onnx(save(tmp_path, model(nodes, inputs)), seq=7)
    append, scores = workload.layers
    assert (append.kind, append.input_elements, append.output_elements) == (LayerKind.MOVEMENT, 16, 16)
    assert scores.n == 8
    assert workload.notes[0].startswith("one decode step")


# Sizes of inputs


def sized(folder: Path, *shape: int | str, integers: bool = False) -> Path:
    nodes = [node("Cast", ["x"], "c", to=TensorProto.FLOAT), node("MatMul", ["c", "weights"], name="fc")]
    if integers:
        nodes[0] = node("Gather", ["weights", "x"], "c")
    return save(folder, model(nodes, {"x": shape}, {"weights": W}, integers=["x"] if integers else []))


@pytest.mark.parametrize("name", ["batch", "N", "batch_size", "", "whatever"])
def test_axis_zero_is_the_batch(name: str, tmp_path: Path) -> None:
    file = sized(tmp_path, name, 4)
    assert (load_onnx(file).batch, load_onnx(file).layers[-1].n) == (1, 1)
    assert (load_onnx(file, batch=5).batch, load_onnx(file, batch=5).layers[-1].n) == (5, 5)


@pytest.mark.parametrize("name", ["sequence", "seq_len", "tokens", "length", "T"])
def test_sequences_take_seq(name: str, tmp_path: Path) -> None:
    file = sized(tmp_path, "batch", name, 4)
    assert load_onnx(file, batch=2, seq=7).layers[-1].n == 14
    with pytest.raises(
        FileError, match=f"input x: expected a size for dimension {name}, got none .*--seq 128"
    ):
        load_onnx(file)


def test_second_axis_of_token_ids_is_the_sequence_whatever_its_name(tmp_path: Path) -> None:
    assert load_onnx(sized(tmp_path, "a", "b", integers=True), seq=7).layers[-1].n == 7


def test_other_open_dimensions_are_refused_by_name(tmp_path: Path) -> None:
    file = sized(tmp_path, "batch", "height", "\x1b[1mwidth", 4)
    with pytest.raises(FileError) as caught:
        load_onnx(file, batch=2, seq=3)
    first, second = caught.value.mistakes
    assert "input x: expected a size for dimension height, got none" in first
    assert "dimension �[1mwidth" in second


def test_a_size_that_an_exporter_did_not_name_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="expected a size for dimension unk__7, got none"):
        load_onnx(sized(tmp_path, "unk__6", "unk__7", 4), batch=2)


def test_a_fixed_batch_cannot_be_changed(tmp_path: Path) -> None:
    file = sized(tmp_path, 2, 3, 4)
    assert load_onnx(file, batch=2).batch == 2
    with pytest.raises(UsageError, match="expected batch 2, which the file fixes, got 8"):
        load_onnx(file, batch=8)


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("batch", -1), ("seq", 0), ("batch", 2**60)])
def test_options_are_checked(option: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{option}: expected a whole number >= 1, got {value}"):
        load_onnx(sized(tmp_path, "batch", "seq", 4), **{option: value})


def test_shapes_that_the_model_computes_follow_the_batch(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Gather", ["shape", "zero"], "b"),
        node("Unsqueeze", ["b", "axis"], "b1"),
        node("Equal", ["b1", "minus"], "same"),  # beyond what ONNX's own value propagation follows
        node("Where", ["same", "minus", "b1"], "b2"),
        node("Concat", ["b2", "minus"], "target", axis=0),
        node("Reshape", ["x", "target"], "flat"),
        node("MatMul", ["flat", "weights"], name="fc"),
    ]
    constants = {
        "zero": np.array(0),
        "axis": np.array([0]),
        "minus": np.array([-1]),
        "weights": np.ones((12, 5), np.float32),
    }
    file = save(tmp_path, model(nodes, {"x": ("batch", 3, 4)}, constants))
    for batch in (1, 6):
        (layer,) = load_onnx(file, batch=batch).layers
        assert (layer.m, layer.k, layer.n) == (5, 12, batch)


# Names


def test_names_are_kept_made_unique_and_cannot_act(tmp_path: Path) -> None:
    names = ["a", "a", "", "<script>alert(1)</script>", "two\nlines", "\x1b[31mred", "x" * 500, "a_2"]
    nodes = [node("MatMul", [f"t{i}", "w"], f"t{i + 1}", name=name) for i, name in enumerate(names)]
    proto = model(nodes, {"t0": (1, 4)}, {"w": W}, outputs=(f"t{len(names)}",))
    workload = load_onnx(save(tmp_path, proto))
    made = [layer.name for layer in workload.layers]
    assert made[:6] == ["a", "a_2", "MatMul_2", "<script>alert(1)</script>", "two�lines", "�[31mred"]
    assert made[6] == "x" * 200 + "…"
    assert made[7] == "a_2_2"
    assert set(workload.weights) == set(made)


# What is not simulated


def branch(name: str) -> Any:
    return helper.make_graph(
        [node("Relu", ["inside"], name)],
        name,
        [],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
    )


def test_control_flow_and_unknown_domains_are_listed(tmp_path: Path) -> None:
    nodes = [
        node("If", ["flag"], "a", name="choice", then_branch=branch("yes"), else_branch=branch("no")),
        node("Magic", ["a"], "b", name="spell", domain="my.domain"),
        node("MatMul", ["b", "weights"], "t", name="after"),
    ]
    nodes.insert(0, node("MatMul", ["x", "weights"], "inside", name="before"))
    proto = with_product(nodes, (2, 4), {"flag": np.array(True)}, domains=["my.domain"])
    workload = load_onnx(save(tmp_path, proto))
    assert [layer.name for layer in workload.layers] == ["before", "product"]
    assert [(entry.name, entry.reason.split(":")[0], entry.macs_share) for entry in workload.unsupported] == [
        ("choice", "If", 0.0),
        ("spell", "Magic", 0.0),
        ("after", "the shape of a tensor it reads or makes is unknown", 0.0),
    ]


def test_recorded_shapes_bridge_unknown_operators(tmp_path: Path) -> None:
    nodes = [node("Magic", ["x"], "b", domain="my.domain"), node("MatMul", ["b", "w"], name="after")]
    proto = model(nodes, {"x": (2, 4)}, {"w": W}, domains=["my.domain"])
    proto.graph.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [2, 4]))
    workload = load_onnx(save(tmp_path, proto))
    assert [layer.name for layer in workload.layers] == ["after"]
    assert workload.unsupported[0].reason == "Magic: an operator of the unknown domain my.domain"


def test_share_of_what_is_not_simulated(tmp_path: Path) -> None:
    q = np.ones((4, 12), np.int8)
    nodes = [
        node("DynamicQuantizeLinear", ["x"], "q"),
        node("MatMulInteger", ["q", "w8"], "i", name="integer"),
        node("Cast", ["i"], "t", to=TensorProto.FLOAT),
    ]
    nodes[0] = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])
    workload = load_onnx(save(tmp_path, with_product(nodes, (1, 4), {"w8": q})))
    (entry,) = workload.unsupported
    assert entry.name == "integer"
    assert entry.macs_share == pytest.approx(48 / (48 + 16))
    assert workload.macs == 16


def test_many_refusals_are_summed_up(tmp_path: Path) -> None:
    nodes = [node("Magic", ["x"], f"m{i}", domain="d") for i in range(80)]
    outputs = ("y", *(f"m{i}" for i in range(80)))
    workload = load_onnx(save(tmp_path, with_product(nodes, (1, 4), {}, domains=["d"], outputs=outputs)))
    assert len(workload.unsupported) == 51
    assert workload.unsupported[-1].name == "30 more operators"


def test_nothing_to_simulate(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match="expected a model with a matrix product that can be simulated"
    ) as caught:
        load_onnx(save(tmp_path, model([node("Relu", ["x"])], {"x": (1, 4)})))
    assert caught.value.exit_code == 3
    lstm = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)
    constants = {"w": np.ones((1, 8, 4), np.float32), "r": np.ones((1, 8, 2), np.float32)}
    with pytest.raises(UnsupportedError, match="LSTM: recurrent steps are not simulated"):
        load_onnx(save(tmp_path, model([lstm], {"x": (3, 1, 4)}, constants)))


def test_three_dimensional_convolutions_are_listed_with_their_share(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], "t", name="conv")]
    proto = with_product(nodes, (1, 2, 4, 4, 4), {"w": np.ones((3, 2, 2, 2, 2), np.float32)})
    (entry,) = load_onnx(save(tmp_path, proto)).unsupported
    macs = 3 * 27 * 16
    assert entry.reason == "a convolution over 3 axes (one and two are simulated)"
    assert entry.macs_share == pytest.approx(macs / (macs + 16))


def test_operators_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    nodes = [node("Magic", ["x"], "unused", domain="d"), node("MatMul", ["x", "w"], name="fc")]
    workload = load_onnx(save(tmp_path, model(nodes, {"x": (1, 4)}, {"w": W}, domains=["d"])))
    assert ([layer.name for layer in workload.layers], workload.unsupported) == (["fc"], ())


# Imports, order, functions, old files


def test_onnx_is_imported_when_a_model_is() -> None:
    code = (
        "import sys, simsparse.load.onnx_import, simsparse.load.onnx_export; sys.exit('onnx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_operators_in_any_order(tmp_path: Path) -> None:
    nodes = [node("MatMul", [f"t{i}", "w"], f"t{i + 1}", name=f"n{i}") for i in range(5)]
    proto = model([nodes[i] for i in (3, 0, 4, 2, 1)], {"t0": (1, 4)}, {"w": W}, outputs=("t5",))
    assert [layer.name for layer in load_onnx(save(tmp_path, proto)).layers] == ["n0", "n1", "n2", "n3", "n4"]


def test_functions_of_the_model_are_written_out(tmp_path: Path) -> None:
    body = [
        node("Constant", [], "half", value_float=0.5),
        node("Mul", ["a", "half"], "m"),
        node("MatMul", ["m", "w"], "b"),
    ]
    function = helper.make_function("mine", "Scaled", ["a", "w"], ["b"], body, [helper.make_opsetid("", 20)])
    nodes = [node("Scaled", ["x", "weights"], name="call", domain="mine")]
    proto = model(nodes, {"x": (2, 4)}, {"weights": W}, functions=[function], domains=["mine"])
    workload = load_onnx(save(tmp_path, proto))
    assert [layer.kind for layer in workload.layers] == [LayerKind.ELEMENTWISE, LayerKind.LINEAR]
    assert len(workload.weights) == 1


def test_old_files_list_constants_among_their_inputs(tmp_path: Path) -> None:
    proto = model([node("MatMul", ["x", "w"], name="fc")], {"x": (2, 4), "w": (4, 4)}, {"w": W})
    proto.ir_version = 3
    workload = load_onnx(save(tmp_path, proto))
    assert [layer.kind for layer in workload.layers] == [LayerKind.LINEAR]


LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("resnet50", 4.089),
        ("vgg19", 19.632),
        ("densenet121", 2.834),
        ("bvlc_alexnet", 0.655),
        ("squeezenet", 0.349),
    ],
)
def test_models_that_come_with_onnx_have_their_published_size(name: str, gmacs: float) -> None:
    file = LIGHT / f"light_{name}.onnx"
    if not file.exists():
        pytest.skip("this onnx comes without its test models")
    workload: Workload = load_onnx(file)
    assert workload.unsupported == ()
    assert workload.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)


def test_weights_are_not_read_when_a_model_is_opened(tmp_path: Path) -> None:
    big = np.ones((2000, 2000), np.float32)
    nodes = [node("MatMul", [f"t{i}", f"w{i}"], f"t{i + 1}") for i in range(4)]
    file = save(tmp_path, model(nodes, {"t0": (1, 2000)}, {f"w{i}": big for i in range(4)}, outputs=("t4",)))
    load_onnx(file)
    tracemalloc.start()
    workload = load_onnx(file)
    opened = tracemalloc.get_traced_memory()[1]
    workload.weights["MatMul_2"]
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened < 1_000_000
    assert read < 2.1 * big.nbytes  # one layer, and its transposition
