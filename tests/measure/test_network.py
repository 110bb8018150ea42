"""Whole networks: what they compute is what onnxruntime computes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from simsparse.errors import FormatError, ShapeError, UnsupportedError, UsageError
from simsparse.load.catalog import load_model, workload_file
from simsparse.measure import network as network_module
from simsparse.measure.measure_source import open_source
from simsparse.measure.network import load_network
from simsparse.measure.ops_product import Kernels
from simsparse.measure.plan import Place, place_all
from simsparse.pruning.pruned import layer_weights
from tests.measure.networks import assert_like_oracle, draw, oracle, write_model

make = helper.make_node

BUNDLED: dict[str, dict[str, str]] = {
    "alexnet": {"out_features: 4096": "out_features: 256"},
    "googlenet": {},
    "mobilenet_v1": {},
    "mobilenet_v2": {},
    "resnet18": {},
    "resnet50": {},
    "bert-base": {"seq: 128": "seq: 16", "layers: 12": "layers: 2", "vocab: 30522": "vocab: 1000"},
    "vit-b-16": {"layers: 12": "layers: 2"},
}
"""By name, what is made smaller: layers that only repeat others, and matrices that are only large."""
LEFT_OUT = {
    "bert-large": "1.3 gigabytes of weights; its operators are BERT-base's",
    "gpt2": "half a gigabyte of weights; its operators are BERT-base's",
    "llama-3-8b-decode": "32 gigabytes of weights",
    "vgg16": "half a gigabyte of weights; its operators are AlexNet's",
    "llama-2-7b-decode": "27 gigabytes of weights",
    "llama-2-7b-prefill": "27 gigabytes of weights",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_workloads_match_onnxruntime(name: str, tmp_path: Path) -> None:
    text = workload_file(name).read_text()
    for large, small in BUNDLED[name].items():
        assert large in text
        text = text.replace(large, small)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    with open_source(path) as source:
        probe = network_module.open_network(source.path)
        feeds = {
            key: np.random.default_rng(1).integers(0, 2, probe.shapes[key])
            if probe.dtypes[key] == np.int64
            else draw(probe.shapes[key])
            for key in probe.inputs
        }
        wanted = oracle(source.path, feeds)
        got = load_network(source.path).run(feeds)
    for key, value in wanted.items():
        # attention without scaling saturates, so that rounding shows more than in a trained network
        tolerance = 2e-3 if name == "vit-b-16" else 1e-4
        np.testing.assert_allclose(got[key], value, rtol=0, atol=tolerance * np.abs(value).max())


def test_every_bundled_workload_is_tested_or_left_out_with_a_reason() -> None:
    from simsparse.load.catalog import names

    assert set(names("workload")) == set(BUNDLED) | set(LEFT_OUT)


def test_branches_residuals_and_concatenation(tmp_path: Path) -> None:
    nodes = [
        make("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        make("Relu", ["a"], ["r"]),
        make("Conv", ["r", "w2"], ["b"], pads=[1, 1, 1, 1]),
        make("Conv", ["x", "w3"], ["c"]),
        make("Add", ["b", "c"], ["d"]),
        make("Relu", ["d"], ["e"]),
        make("Concat", ["e", "r", "x"], ["f"], axis=1),
        make("Clip", ["f", "low", "high"], ["y"]),
    ]
    constants = {
        "w1": draw((8, 3, 3, 3)),
        "b1": draw((8,)),
        "w2": draw((8, 8, 3, 3)),
        "w3": draw((8, 3, 1, 1)),
        "low": np.float32(-1),
        "high": np.float32(1.5),
    }
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 3, 9, 7)}, ["y", "e"], constants)
    found = assert_like_oracle(path, {"x": draw((2, 3, 9, 7))})
    assert [bound.step.node.type for bound in found.steps].count("Product") == 3
    assert not any(bound.step.node.type in ("Relu", "Add") for bound in found.steps)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize(("stride", "dilation", "pads"), [(1, 1, 0), (2, 1, 1), (1, 2, 2), (3, 2, 1)])
def test_grouped_and_dilated_convolutions(
    tmp_path: Path, groups: int, stride: int, dilation: int, pads: int
) -> None:
    attributes: dict[str, Any] = {"group": groups, "strides": [stride] * 2, "dilations": [dilation] * 2}
    nodes = [make("Conv", ["x", "w", "b"], ["y"], pads=[pads, 0, pads, pads], **attributes)]
    constants = {"w": draw((16, 8 // groups, 3, 3)), "b": draw((16,))}
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 8, 13, 11)}, ["y"], constants)
    assert_like_oracle(path, {"x": draw((2, 8, 13, 11))})


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("stride", "dilation", "pads", "extra"), [(1, 1, 0, 0), (3, 2, 1, 2), (2, 1, 1, 1)])
def test_transposed_convolutions(
    tmp_path: Path, groups: int, stride: int, dilation: int, pads: int, extra: int
) -> None:
    attributes: dict[str, Any] = {"group": groups, "strides": [stride, 3], "dilations": [dilation] * 2}
    attributes |= {"pads": [pads, 0, pads, 1], "output_padding": [extra, 0]}
    nodes = [make("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)]
    constants = {"w": draw((8, 3, 3, 2)), "b": draw((3 * groups,))}
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (2, 8, 6, 5)}, ["y"], constants)
    assert_like_oracle(path, {"x": draw((2, 8, 6, 5))})


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_and_one_axis(tmp_path: Path, mode: str) -> None:
    nodes = [
        make("Conv", ["x", "w"], ["a"], auto_pad=mode, strides=[2, 2]),
        make("Conv", ["z", "v"], ["b"], auto_pad=mode),
    ]
    constants = {"w": draw((4, 3, 4, 4)), "v": draw((5, 6, 3))}
    inputs = {"x": (1, 3, 9, 10), "z": (2, 6, 17)}
    path = write_model(tmp_path / "m.onnx", nodes, inputs, ["a", "b"], constants)
    assert_like_oracle(path, {name: draw(shape) for name, shape in inputs.items()})


def attention(tmp_path: Path, batch: Any, seq: Any) -> Path:
    d, heads = 24, 3
    nodes = [make("LayerNormalization", ["x", "g", "s"], ["n"], axis=-1)]
    for part in "qkv":
        nodes += [
            make("MatMul", ["n", f"w{part}"], [f"{part}0"], name=f"{part}_proj"),
            make("Add", [f"{part}0", f"b{part}"], [f"{part}1"]),
            make("Reshape", [f"{part}1", "split"], [f"{part}2"]),
            make("Transpose", [f"{part}2"], [part], perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]),
        ]
    nodes += [
        make("MatMul", ["q", "k"], ["scores"]),
        make("Div", ["scores", "root"], ["scaled"]),
        make("Softmax", ["scaled"], ["p"], axis=-1),
        make("MatMul", ["p", "v"], ["c"]),
        make("Transpose", ["c"], ["c1"], perm=[0, 2, 1, 3]),
        make("Reshape", ["c1", "merge"], ["c2"]),
        make("MatMul", ["c2", "wo"], ["o"], name="out_proj"),
        make("Add", ["bo", "o"], ["o1"]),
        make("Add", ["x", "o1"], ["h"]),
        make("MatMul", ["h", "w1"], ["f"], name="fc1"),
        make("Add", ["f", "b1"], ["f1"]),
        make("Div", ["f1", "sqrt2"], ["f2"]),
        make("Erf", ["f2"], ["f3"]),
        make("Add", ["f3", "one"], ["f4"]),
        make("Mul", ["f1", "f4"], ["f5"]),
        make("Mul", ["f5", "half"], ["f6"]),
        make("MatMul", ["f6", "w2"], ["y0"], name="fc2"),
        make("Add", ["h", "y0"], ["y"]),
    ]
    constants: dict[str, Any] = {f"w{part}": draw((d, d), i) / 5 for i, part in enumerate("qkvo")}
    constants |= {f"b{part}": draw((d,), i) for i, part in enumerate("qkvo")}
    constants |= {
        "g": draw((d,)),
        "s": draw((d,), 1),
        "w1": draw((d, 40)),
        "w2": draw((40, d)),
        "b1": draw((40,)),
    }
    constants |= {"split": np.array([0, 0, heads, d // heads]), "merge": np.array([0, 0, d])}
    numbers = {"root": math.sqrt(8), "sqrt2": math.sqrt(2), "one": 1.0, "half": 0.5}
    constants |= {name: np.float32(value) for name, value in numbers.items()}
    return write_model(tmp_path / "m.onnx", nodes, {"x": (batch, seq, d)}, ["y"], constants)


@pytest.mark.parametrize(("batch", "seq"), [(1, 16), (1, 7), (3, 5), (2, 1)])
def test_attention_with_open_sizes(tmp_path: Path, batch: int, seq: int) -> None:
    found = assert_like_oracle(attention(tmp_path, "batch", "seq"), {"x": draw((batch, seq, 24))})
    kinds = [bound.step.node.type for bound in found.steps]
    assert kinds.count("Product") == 6
    assert "Erf" not in kinds  # in the epilogue of fc1
    assert "Attend" in kinds
    assert kinds.count("Layout") <= 3  # the input and its norm turn into columns; what follows stays there


MASKS = {"": (), "keys": (2, 1, 1, 9), "queries": (1, 1, 9, 9), "heads": (3, 1, 9), "one": (1,)}


@pytest.mark.parametrize("scale", ["", "Div", "Mul", "halves"])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_becomes_one_operator(tmp_path: Path, scale: str, mask: str) -> None:
    nodes = [make("MatMul", ["q", "k"], ["s"])]
    if scale == "halves":
        nodes = [
            make("Mul", ["q", "half"], ["qh"]),
            make("Mul", ["half", "k"], ["kh"]),
            make("MatMul", ["qh", "kh"], ["s"]),
        ]
    elif scale:
        nodes.append(make(scale, ["s", "number"], ["scaled"]))
    name = nodes[-1].output[0]
    if mask:
        nodes.append(make("Add", [name, "mask"] if mask != "keys" else ["mask", name], ["masked"]))
        name = "masked"
    nodes += [make("Softmax", [name], ["p"], axis=3), make("MatMul", ["p", "v"], ["y"])]
    inputs = {"q": (2, 3, 9, 5), "k": (2, 3, 5, 9), "v": (2, 3, 9, 4)} | (
        {"mask": MASKS[mask]} if mask else {}
    )
    constants = {"half": np.float32(0.5), "number": np.float32(2.5)}
    path = write_model(tmp_path / "m.onnx", nodes, inputs, ["y"], constants)
    found = assert_like_oracle(path, {name: draw(shape) for name, shape in inputs.items()})
    assert [bound.step.node.type for bound in found.steps] == ["Attend"]


@pytest.mark.parametrize(
    ("axis", "outputs", "mask"), [(1, ["y"], (4, 6)), (2, ["y", "s"], (4, 6)), (2, ["y", "p"], (1,))]
)
def test_what_is_not_attention_stays(
    tmp_path: Path, axis: int, outputs: list[str], mask: tuple[int, ...]
) -> None:
    nodes = [
        make("MatMul", ["q", "k"], ["s"]),
        make("Add", ["s", "mask"], ["m"]),
        make("Softmax", ["m"], ["p"], axis=axis),
        make("MatMul", ["p", "v"], ["y"]),
    ]
    inputs = {"q": (2, 4, 5), "k": (2, 5, 6), "v": (2, 6, 3), "mask": mask}
    path = write_model(tmp_path / "m.onnx", nodes, inputs, outputs, {})
    found = assert_like_oracle(path, {name: draw(shape) for name, shape in inputs.items()})
    assert "Attend" not in [bound.step.node.type for bound in found.steps]


def test_masks_remove_weights_in_every_kind_of_product(tmp_path: Path) -> None:
    path = attention(tmp_path, 2, 5)
    drawn = np.random.default_rng(3)
    masks = {"fc1": drawn.random((40, 24)) < 0.3, "fc2": drawn.random((24, 40)) < 0.3}
    found = load_network(path, kernels=Kernels(masks=masks.get))
    x = draw((2, 5, 24))
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        name = {"w1": "fc1", "w2": "fc2"}.get(tensor.name)
        if name:
            values = np.where(masks[name].T, numpy_helper.to_array(tensor), np.float32(0))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    pruned = tmp_path / "pruned.onnx"
    onnx.save(model, pruned)
    wanted = oracle(pruned, {"x": x})["y"]
    np.testing.assert_allclose(found.run({"x": x})["y"], wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())
    products = {b.step.node.name: b.step.op.product for b in found.steps if b.step.op.product}
    sparse = [found for found in products.values() if found.kernel != "dense"]
    assert all(found.stored < found.m * found.k for found in sparse)
    assert all(found.notes for name, found in products.items() if name in masks and found not in sparse)


WITHOUT_KERNEL: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], bool]] = {
    "ConvTranspose": (
        make("ConvTranspose", ["x", "w"], ["y"], strides=[2, 1]),
        (2, 6, 5, 4),
        (6, 4, 3, 2),
        True,
    ),
    "ConvTranspose in groups": (
        make("ConvTranspose", ["x", "w"], ["y"], group=3),
        (1, 6, 5),
        (6, 2, 3),
        True,
    ),
    "MatMul, matrices on the right": (make("MatMul", ["x", "w"], ["y"]), (3, 4, 5), (3, 5, 6), True),
    "MatMul, matrices on the left": (make("MatMul", ["w", "x"], ["y"]), (5, 7), (3, 6, 5), True),
    "MatMul, a vector": (make("MatMul", ["x", "w"], ["y"]), (4, 5), (5,), True),
    "Gemm, turned input": (make("Gemm", ["x", "w"], ["y"], transA=1), (5, 4), (5, 6), True),
    "Gemm, turned both": (make("Gemm", ["x", "w"], ["y"], transA=1, transB=1), (5, 4), (6, 5), True),
    "Gemm, weights first": (make("Gemm", ["w", "x"], ["y"], transA=1), (5, 4), (5, 6), True),
    "MatMul": (make("MatMul", ["x", "w"], ["y"]), (4, 5), (5, 6), False),
}


@pytest.mark.parametrize("case", WITHOUT_KERNEL)
def test_masks_reach_layers_without_a_sparse_kernel(tmp_path: Path, case: str) -> None:
    node, x_shape, w_shape, is_dense = WITHOUT_KERNEL[case]
    weights, x = draw(w_shape), draw(x_shape)
    path = write_model(tmp_path / "m.onnx", [node], {"x": x_shape}, ["y"], {"w": weights})
    workload = load_model(str(path))
    (layer,) = (layer for layer in workload.layers if layer.kind.has_weights)
    matrix = layer_weights(workload, layer, 0)
    mask = np.random.default_rng(1).random(matrix.shape) < 0.5
    # all weights differ, so that values tell which ones the import of the file calls masked
    pruned = np.where(np.isin(weights, matrix[mask]), weights, np.float32(0))
    wanted = oracle(write_model(tmp_path / "p.onnx", [node], {"x": x_shape}, ["y"], {"w": pruned}), {"x": x})
    found = load_network(path, kernels=Kernels(masks={layer.name: mask}.get))
    got = found.run({"x": x})["y"]
    np.testing.assert_allclose(got, wanted["y"], rtol=0, atol=2e-5 * np.abs(wanted["y"]).max())
    assert found.masked == ((layer.name,) if is_dense else ())
    with pytest.raises(ShapeError, match="mask of shape"):
        load_network(path, kernels=Kernels(masks={layer.name: mask[:, :1]}.get))


def test_batch_norm_folds_into_pruned_weights(tmp_path: Path) -> None:
    weights = np.where(np.random.default_rng(0).random((8, 4, 3, 3)) < 0.2, draw((8, 4, 3, 3)), np.float32(0))
    nodes = [
        make("Conv", ["x", "w", "b"], ["a"]),
        make("BatchNormalization", ["a", "g", "s", "m", "v"], ["n"], epsilon=1e-3),
        make("HardSwish", ["n"], ["y"]),
    ]
    constants = {"w": weights, "b": draw((8,)), "g": draw((8,), 1), "s": draw((8,), 2), "m": draw((8,), 3)}
    constants["v"] = np.abs(draw((8,), 4)) + np.float32(0.1)
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (1, 4, 8, 8)}, ["y"], constants)
    found = assert_like_oracle(path, {"x": draw((1, 4, 8, 8))})
    (product,) = [bound.step.op.product for bound in found.steps if bound.step.op.product]
    assert product.stored == np.count_nonzero(weights)
    assert not any(bound.step.node.type == "BatchNormalization" for bound in found.steps)


def test_sizes_that_depend_on_values(tmp_path: Path) -> None:
    nodes = [
        make("Gemm", ["x", "w"], ["a"], transB=1),
        make("NonZero", ["a"], ["at"]),
        make("Transpose", ["at"], ["turned"], perm=[1, 0]),
        make("Shape", ["turned"], ["y"]),
        make("Relu", ["a"], ["z"]),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (4, 6)}, ["y", "z", "turned"], {"w": draw((5, 6))})
    import onnx

    model = onnx.load(path)
    for value in model.graph.output:
        if value.name != "z":
            value.type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, path)
    assert_like_oracle(path, {"x": draw((4, 6))})


def test_branches_read_tensors_from_outside(tmp_path: Path) -> None:
    def body(kind: str) -> Any:
        out = helper.make_tensor_value_info(f"{kind}_out", TensorProto.FLOAT, [2, 4])
        return helper.make_graph([make(kind, ["a", "x"], [f"{kind}_out"])], kind, [], [out])

    nodes = [
        make("MatMul", ["x", "w"], ["a"]),
        make("If", ["c"], ["y"], then_branch=body("Add"), else_branch=body("Sub")),
    ]
    path = write_model(
        tmp_path / "m.onnx",
        nodes,
        {"x": (2, 4), "c": ()},
        ["y"],
        {"w": draw((4, 4))},
        types={"c": TensorProto.BOOL},
    )
    for condition in (True, False):
        assert_like_oracle(path, {"x": draw((2, 4)), "c": np.array(condition)})


def test_unknown_operators_are_all_named(tmp_path: Path) -> None:
    nodes = [
        make("MatMul", ["x", "w"], ["a"]),
        make("Frobnicate", ["a"], ["b"], domain="acme"),
        make("Wobble", ["b"], ["y"], domain="acme"),
    ]
    path = write_model(tmp_path / "m.onnx", nodes[:1], {"x": (2, 4)}, ["a"], {"w": draw((4, 4))})
    import onnx

    model = onnx.load(path)
    model.graph.node.extend(nodes[1:])
    model.graph.output[0].name = "y"
    model.opset_import.add(domain="acme", version=1)
    onnx.save(model, path)
    with pytest.raises(UnsupportedError, match=r"Frobnicate.*Wobble"):
        load_network(path)


def test_wrong_inputs_are_one_line(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx", [make("MatMul", ["x", "w"], ["y"])], {"x": (2, 4)}, ["y"], {"w": draw((4, 3))}
    )
    found = load_network(path)
    with pytest.raises(ShapeError, match=r"input x: expected shape 2x4, got 3x4"):
        found.run({"x": draw((3, 4))})
    with pytest.raises(FormatError, match=r"input x: expected float32, got float64"):
        found.run({"x": draw((2, 4)).astype(np.float64)})
    with pytest.raises(ShapeError, match=r"inputs: expected x, got z"):
        found.run({"z": draw((2, 4))})
    with pytest.raises(ShapeError, match="mask"):
        load_network(path, kernels=Kernels(masks=lambda _: np.ones((2, 2), bool)))


def test_memory_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [make("MatMul", ["x", "w"], ["a"]), make("Relu", ["a"], ["b"]), make("MatMul", ["b", "w"], ["y"])]
    path = write_model(tmp_path / "m.onnx", nodes, {"x": (64, 32)}, ["y"], {"w": draw((32, 32))})
    found = load_network(path)
    assert 2 * 64 * 32 * 4 <= found.peak_bytes <= 3 * 64 * 32 * 4
    monkeypatch.setattr(network_module, "available_bytes", lambda: 10_000)
    with pytest.raises(UsageError, match=r"got [\d,]+ for activations"):
        load_network(path)
    monkeypatch.setattr(network_module, "available_bytes", lambda: 1_000)
    with pytest.raises(UsageError, match=r"got 4,096 for constants"):
        load_network(path)


def test_places_that_live_together_never_overlap() -> None:
    drawn = np.random.default_rng(0)
    for _ in range(30):
        firsts = drawn.integers(0, 20, 25)
        places = [
            Place(size=int(size), first=int(first), last=int(first + length))
            for first, size, length in zip(
                firsts, drawn.integers(1, 5000, 25), drawn.integers(0, 6, 25), strict=True
            )
        ]
        total = place_all(places)
        assert total <= sum(place.size + 64 for place in places)
        for i, a in enumerate(places):
            assert a.offset % 64 == 0
            assert a.offset + a.size <= total
            for b in places[:i]:
                apart = a.last < b.first or b.last < a.first
                assert apart or a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
