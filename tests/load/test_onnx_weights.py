"""Weights read from ONNX files, by every route that values can take to an operator."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import model, node, save

from simsparse.errors import FileError
from simsparse.load.onnx_import import load_onnx

RNG = np.random.default_rng(3)
W = np.where(RNG.random((6, 4)) < 0.5, 0.0, RNG.standard_normal((6, 4))).astype(np.float32)  # (k, m), pruned
Q = RNG.integers(-8, 8, (6, 4))


def weight_of(proto: Any, folder: Path, name: str = "fc") -> NDArray[np.floating]:
    values = load_onnx(save(folder, proto)).weights[name]
    assert values.flags.c_contiguous
    assert values.flags.writeable
    assert values.dtype in (np.float32, np.float64)
    return values


def through(nodes: list[Any], constants: dict[str, Any], weight: str) -> Any:
    """``x · weight``, where ``nodes`` make the weight of constants."""
    return model([*nodes, node("MatMul", ["x", weight], name="fc")], {"x": (2, 6)}, constants)


ROUTES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "itself": ([], {"w": W}),
    "identity": ([node("Identity", ["a"], "w")], {"a": W}),
    "transposed": ([node("Transpose", ["a"], "w", perm=[1, 0])], {"a": W.T.copy()}),
    "transposed by default": ([node("Transpose", ["a"], "w")], {"a": W.T.copy()}),
    "reshaped": ([node("Reshape", ["a", "s"], "w")], {"a": W.reshape(3, 8), "s": np.array([6, -1])}),
    "squeezed": ([node("Squeeze", ["a", "s"], "w")], {"a": W[None], "s": np.array([0])}),
    "half": ([node("Cast", ["a"], "w", to=TensorProto.FLOAT)], {"a": W.astype(np.float16)}),
    "bfloat16": ([node("Cast", ["a"], "w", to=TensorProto.FLOAT)], {"a": W.astype(ml_dtypes.bfloat16)}),
    "float8": ([node("Cast", ["a"], "w", to=TensorProto.FLOAT)], {"a": W.astype(ml_dtypes.float8_e4m3fn)}),
    "quantised": (
        [node("DequantizeLinear", ["q", "s", "z"], "w")],
        {"q": Q.astype(np.int8), "s": np.float32(0.1), "z": np.int8(2)},
    ),
    "quantised per column": (
        [node("DequantizeLinear", ["q", "s"], "w", axis=1)],
        {"q": Q.astype(np.int8), "s": RNG.random(4).astype(np.float32)},
    ),
    "quantised, then turned": (
        [node("DequantizeLinear", ["q", "s"], "a", axis=0), node("Transpose", ["a"], "w")],
        {"q": Q.T.astype(np.uint8).copy(), "s": RNG.random(4).astype(np.float32)},
    ),
    "constant operator": ([node("Constant", [], "w", value=numpy_helper.from_array(W))], {}),
    "typed values": ([node("Constant", [], "w", value=helper.make_tensor("", 1, (6, 4), W.ravel()))], {}),
}


@pytest.mark.parametrize("route", ROUTES)
def test_routes_to_an_operator(route: str, tmp_path: Path) -> None:
    nodes, constants = ROUTES[route]
    proto = through(nodes, constants, "w")
    direct = model(nodes or [node("Identity", ["w"])], {}, constants, outputs=("w" if nodes else "y",))
    (expected,) = ReferenceEvaluator(direct).run(None, {})
    np.testing.assert_array_equal(weight_of(proto, tmp_path), np.asarray(expected, np.float32).T)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16, np.float32])
def test_element_types_keep_their_zeros(dtype: Any, tmp_path: Path) -> None:
    values = (W * 1e-4).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [node("Cast", ["x"], "c", to=kind), node("MatMul", ["c", "w"], name="fc")]
    got = weight_of(model(nodes, {"x": (2, 6)}, {"w": values}), tmp_path)
    np.testing.assert_array_equal(got, values.astype(got.dtype).T)
    np.testing.assert_array_equal(got == 0, values.T == 0)


def test_blocks_of_four_bit_values(tmp_path: Path) -> None:
    q, scales = Q.astype(ml_dtypes.int4), RNG.random((2, 4)).astype(np.float32)
    nodes = [node("DequantizeLinear", ["q", "s"], "w", axis=0, block_size=3)]
    proto = model(
        [*nodes, node("MatMul", ["x", "w"], name="fc")], {"x": (2, 6)}, {"q": q, "s": scales}, opset=21
    )
    expected = Q.astype(np.float32) * np.repeat(scales, 3, axis=0)
    np.testing.assert_array_equal(weight_of(proto, tmp_path), expected.T)


def test_folded_shape_arithmetic_is_a_weight_too(tmp_path: Path) -> None:
    fill = numpy_helper.from_array(np.array([0.25], np.float32))
    nodes = [node("ConstantOfShape", ["s"], "w", value=fill), node("MatMul", ["x", "w"], name="fc")]
    proto = model(nodes, {"x": (2, 6)}, {"s": np.array([6, 4])})
    np.testing.assert_array_equal(weight_of(proto, tmp_path), np.full((4, 6), 0.25))


def test_weights_made_by_other_operators_are_seeded_and_noted(tmp_path: Path) -> None:
    nodes = [node("Mul", ["a", "a"], "w"), node("MatMul", ["x", "w"], name="fc")]
    workload = load_onnx(save(tmp_path, model(nodes, {"x": (2, 600)}, {"a": np.ones((600, 30), np.float32)})))
    assert len(workload.weights) == 0
    assert "1 layers compute their weights inside the model" in workload.notes[0]


def sparse_model(indices: NDArray[np.int64], dims: tuple[int, int] = (6, 4)) -> Any:
    proto = through([], {}, "w")
    values = numpy_helper.from_array(W[W != 0], "w")
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "i"), list(dims))
    )
    return proto


@pytest.mark.parametrize("positions", [lambda: np.flatnonzero(W), lambda: np.argwhere(W)])
def test_sparse_initialisers(positions: Callable[[], NDArray[np.int64]], tmp_path: Path) -> None:
    np.testing.assert_array_equal(weight_of(sparse_model(positions()), tmp_path), W.T)


def test_sparse_initialisers_are_checked_before_they_are_made_dense(tmp_path: Path) -> None:
    outside = np.flatnonzero(W) + 20
    with pytest.raises(FileError, match=r"sparse tensor w: expected positions inside \(6, 4\)"):
        weight_of(sparse_model(outside), tmp_path)
    workload = load_onnx(save(tmp_path, sparse_model(np.flatnonzero(W), (6, 2**30))))
    with pytest.raises(FileError, match="expected at most 268,435,456 elements, got 6,442,450,944"):
        workload.weights["fc"]
    with pytest.raises(FileError, match="nnz values with as many int64 positions"):
        load_onnx(save(tmp_path, sparse_model(np.flatnonzero(W)[:-1])))


def test_two_layers_may_share_their_weights(tmp_path: Path) -> None:
    square = W[:4]
    nodes = [node("MatMul", ["x", "w"], "a", name="one"), node("Gemm", ["a", "w"], name="two", transB=1)]
    workload = load_onnx(save(tmp_path, model(nodes, {"x": (2, 4)}, {"w": square})))
    np.testing.assert_array_equal(workload.weights["one"], square.T)
    np.testing.assert_array_equal(workload.weights["two"], square)


def test_the_mapping_is_lazy_and_travels_to_workers(tmp_path: Path) -> None:
    file = save(tmp_path, through([], {"w": np.ones((6, 1000), np.float32)}, "w"))
    weights = load_onnx(file).weights
    assert list(weights) == ["fc"]
    assert "fc" in weights
    assert "other" not in weights
    with pytest.raises(KeyError):
        weights["other"]
    again = pickle.loads(pickle.dumps(weights))
    assert again["fc"].sum() == 6000
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(FileError, match=r"tensor w: expected 24,000 bytes, got 4,... \(the file has changed"):
        weights["fc"]
    file.unlink()
    with pytest.raises(FileError, match="tensor w: expected a file that can be read"):
        weights["fc"]


def external(folder: Path, **entries: str) -> Path:
    """A model whose weights lie in ``weights.bin``; ``entries`` replace what the file says of them."""
    (folder / "weights.bin").write_bytes(b"head" + W.tobytes())
    proto = through([], {"w": W}, "w")
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "offset": "4", "length": str(W.nbytes)} | entries).items():
        if value:
            tensor.external_data.add(key=key, value=value)
    return save(folder, proto)


def test_external_data_is_read_from_the_folder_of_the_model(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_onnx(external(tmp_path)).weights["fc"], W.T)
    np.testing.assert_array_equal(load_onnx(external(tmp_path, length="")).weights["fc"], W.T)
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "weights.bin").replace(inner / "weights.bin")
    file = external(tmp_path, location="inner/weights.bin")
    np.testing.assert_array_equal(load_onnx(file).weights["fc"], W.T)


def test_model_and_data_may_both_be_links_into_one_folder(tmp_path: Path) -> None:
    blobs, view = tmp_path / "blobs", tmp_path / "view"
    blobs.mkdir()
    view.mkdir()
    external(blobs)
    (view / "model.onnx").symlink_to(blobs / "model.onnx")
    (view / "weights.bin").symlink_to(blobs / "weights.bin")
    np.testing.assert_array_equal(load_onnx(view / "model.onnx").weights["fc"], W.T)


OUTSIDE = "expected external data inside the model's folder"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../weights.bin"}, OUTSIDE),
        ({"location": "inner/../../weights.bin"}, OUTSIDE),
        ({"location": "/etc/passwd"}, OUTSIDE),
        ({"location": "C:\\weights.bin"}, OUTSIDE),
        ({"location": "..\\weights.bin"}, OUTSIDE),
        ({"location": ""}, OUTSIDE),
        ({"location": "link.bin"}, "a link out of it"),
        ({"location": "missing.bin"}, 'expected external data file "missing.bin", got none'),
        ({"location": "\x1b[31mred\nline"}, "expected external data file"),
        ({"location": "folder"}, "expected a regular file as external data"),
        ({"offset": "100"}, "expected 196 bytes in weights.bin, got 100"),
        ({"offset": "-4"}, "expected"),
        ({"offset": "many"}, "expected whole numbers as offset and length"),
        ({"offset": "9" * 5000}, "expected"),
        ({"length": "40"}, "expected 96 bytes for shape 6x4, got 40"),
        ({"length": "1000000000000"}, "expected 1,000,000,000,004 bytes in weights.bin, got 100"),
    ],
)
def test_bad_external_data(entries: dict[str, str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "folder").mkdir()
    (tmp_path / "outside.bin").write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(FileError, match="tensor w: ") as caught:
        load_onnx(external(folder, **entries))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_values_must_fill_their_shape(tmp_path: Path) -> None:
    proto = through([], {"w": W}, "w")
    proto.graph.initializer[0].dims[0] = 2**40
    with pytest.raises(
        FileError, match="expected 17,592,186,044,416 bytes for shape 1099511627776x4, got 96"
    ):
        load_onnx(save(tmp_path, proto))
    typed = through([], {}, "w")
    typed.graph.initializer.append(
        onnx.TensorProto(name="w", dims=[6, 2**35], data_type=1, float_data=[1.0] * 24)
    )
    with pytest.raises(FileError, match="tensor w: expected values for 206,158,430,208 elements, got 24"):
        load_onnx(save(tmp_path, typed))
    typed.graph.initializer[0].dims[1] = 5
    with pytest.raises(FileError, match="tensor w: expected 30 values"):
        load_onnx(save(tmp_path, typed))
    typed.graph.initializer[0].dims[1] = -4
    with pytest.raises(FileError, match="tensor w: expected at most 32 sizes >= 0, got 6x-4"):
        load_onnx(save(tmp_path, typed))
