"""Small ONNX models for the tests, and the arithmetic that a layer stands for, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from simsparse.ir import Layer

Array = NDArray[Any]
OPSET = 20


def node(kind: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Array] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    integers: Sequence[str] = (),
    opset: int = OPSET,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> Any:
    """A model; ``integers`` are inputs of int64."""
    types = {name: TensorProto.INT64 if name in integers else TensorProto.FLOAT for name in inputs}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, types[name], list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=list(functions))


def save(path: Path, proto: Any) -> Path:
    file = path / "model.onnx"
    file.write_bytes(proto.SerializeToString())
    return file


def session(file: Path | bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = file if isinstance(file, bytes) else str(file)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(file: Path | bytes, feed: Mapping[str, Array]) -> list[Array]:
    """What onnxruntime makes of ``feed``."""
    return [np.asarray(value) for value in session(file).run(None, dict(feed))]


def run_seeded(file: Path) -> tuple[dict[str, Array], list[Array]]:
    """Seeded inputs (zeros where the model takes integers), and what onnxruntime makes of them."""
    runtime, rng = session(file), np.random.default_rng(0)
    feed: dict[str, Array] = {}
    for value in runtime.get_inputs():
        normal = rng.standard_normal(value.shape, dtype=np.float32)
        feed[value.name] = np.zeros(value.shape, np.int64) if "int64" in value.type else normal
    return feed, [np.asarray(value) for value in runtime.run(None, feed)]


def convolve(layer: Layer, weights: Array, x: Array) -> Array:
    """The convolution of ``layer`` as grouped matrix products over unfolded windows, in float64."""
    shape = layer.conv
    assert shape is not None
    top, left, bottom, right = shape.padding
    image = x.reshape(shape.batch, shape.in_channels, shape.in_height, shape.in_width).astype(np.float64)
    image = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)))
    columns = np.empty(
        (
            shape.batch,
            shape.in_channels,
            shape.kernel_height,
            shape.kernel_width,
            shape.out_height,
            shape.out_width,
        )
    )
    for i in range(shape.kernel_height):
        for j in range(shape.kernel_width):
            rows = i * shape.dilation[0] + np.arange(shape.out_height) * shape.stride[0]
            cols = j * shape.dilation[1] + np.arange(shape.out_width) * shape.stride[1]
            columns[:, :, i, j] = image[:, :, rows[:, None], cols[None, :]]
    unfolded = columns.reshape(shape.batch, layer.groups, layer.k, -1)
    grouped = weights.astype(np.float64).reshape(layer.groups, layer.m // layer.groups, layer.k)
    return np.einsum("gmk,bgkn->bgmn", grouped, unfolded).reshape(
        shape.batch, layer.m, shape.out_height, shape.out_width
    )
