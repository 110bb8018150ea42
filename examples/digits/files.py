"""The network as an ONNX file, and what its training data say about it as calibration data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from network import Array, Network, forward, gradients
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from simsparse.pruning.calibration import Calibration


def write_onnx(network: Network, path: Path) -> None:
    """Nodes are named like the layers; the input is (images, 1, 8, 8) or (images, 64)."""
    nodes, tensors, value = [], [], "pixels"
    convolutional = any(layer.kernel for layer in network.layers)
    channels = 1
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        weights = layer.weights
        if layer.kernel:
            weights = weights.reshape(len(weights), channels, layer.kernel, layer.kernel)
            channels = len(weights)
        elif convolutional:
            nodes.append(helper.make_node("Flatten", [value], ["flat"], "flatten"))
            value, convolutional = "flat", False
        tensors.append(numpy_helper.from_array(weights, f"{layer.name}.weight"))
        tensors.append(numpy_helper.from_array(layer.bias, f"{layer.name}.bias"))
        inputs, out = [value, f"{layer.name}.weight", f"{layer.name}.bias"], "logits" if last else layer.name
        if layer.kernel:
            pad = layer.kernel // 2
            options = {"strides": [layer.stride] * 2, "pads": [pad] * 4}
            nodes.append(helper.make_node("Conv", inputs, [out], layer.name, **options))
        else:
            nodes.append(helper.make_node("Gemm", inputs, [out], layer.name, transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"{out}.relu"], f"{layer.name}.relu"))
            value = f"{out}.relu"
    shape = ["images", 1, 8, 8] if network.layers[0].kernel else ["images", 64]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["images", 10])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def calibrate(network: Network, x: Array, labels: NDArray[np.int64]) -> Calibration:
    """Gram matrices of the inputs and gradients of the loss, by layer."""
    arrays = {}
    _, trail = forward(network, x)
    for layer, (columns, _), (gradient, _) in zip(
        network.layers, trail, gradients(network, x, labels), strict=True
    ):
        wide = columns.astype(np.float64)
        arrays[f"{layer.name}/gram"] = wide @ wide.T
        arrays[f"{layer.name}/gradients"] = gradient
    return Calibration(arrays=arrays, source="the training images")


def input_densities(network: Network, x: Array) -> dict[str, float]:
    """Share of non-zeros in the input of each layer."""
    _, trail = forward(network, x)
    return {
        layer.name: float(np.count_nonzero(columns) / columns.size)
        for layer, (columns, _) in zip(network.layers, trail, strict=True)
    }
