"""Small ONNX files for tests, and onnxruntime as the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from simsparse.measure.network import Network, load_network
from simsparse.measure.ops_product import Kernels

Node = onnx.NodeProto
OPSET = 21


def write_model(
    path: Path,
    nodes: Sequence[Node],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Sequence[str],
    constants: Mapping[str, Any],
    *,
    opset: int = OPSET,
    types: Mapping[str, int] | None = None,
) -> Path:
    """A file with these operators; inputs are float32 unless ``types`` says otherwise."""
    kinds = types or {}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, kinds.get(n, 1), list(shape)) for n, shape in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        if not value.type.HasField("tensor_type"):
            value.type.tensor_type.elem_type = 1
    path.write_bytes(inferred.SerializeToString())
    return path


def draw(shape: Sequence[int], seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def oracle(path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def assert_like_oracle(
    path: Path, feeds: Mapping[str, Any], *, kernels: Kernels | None = None, tolerance: float = 2e-5
) -> Network:
    """Our outputs, of two runs, are onnxruntime's to ``tolerance`` of the largest value."""
    shapes = {name: np.shape(value) for name, value in feeds.items()}
    network = load_network(path, shapes=shapes, kernels=kernels)
    wanted = oracle(path, feeds)
    for _ in range(2):
        got = network.run(feeds)
        for name, value in wanted.items():
            assert got[name].shape == value.shape
            assert got[name].dtype == value.dtype
            scale = float(np.abs(value).max(initial=1e-6))
            np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * scale, err_msg=name)
    return network
