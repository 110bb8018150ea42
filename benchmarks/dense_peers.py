"""The dense competitors: BLAS, torch and onnxruntime, as products and as convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Operands


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product ready to run: ``call`` computes it, ``result`` reads it in the shape of the reference."""

    call: Callable[[], object]
    result: Callable[[], NDArray[np.float32]]


def numpy_dense(operands: Operands, threads: int) -> Product:
    """NumPy, which calls OpenBLAS in its wheels."""
    del threads
    y = operands.new_y()
    return Product(call=lambda: np.matmul(operands.weights, operands.x, out=y), result=lambda: y)


def torch_dense(operands: Operands, threads: int) -> Product:
    """torch, which calls oneDNN or MKL."""
    del threads
    import torch

    weights, x = torch.from_numpy(operands.weights), torch.from_numpy(operands.x)
    y = torch.empty(operands.reference.shape)
    multiply = torch.mv if operands.case.n == 1 else torch.mm
    return Product(call=lambda: multiply(weights, x, out=y), result=y.numpy)


def torch_conv(operands: Operands, threads: int) -> Product:
    """torch's convolution, which calls oneDNN; it makes a new array with each call."""
    del threads
    import torch

    case, conv = operands.case, operands.case.conv
    assert conv is not None
    x = torch.from_numpy(operands.x)
    shape = (case.m, conv.in_channels // case.groups, conv.kernel_height, conv.kernel_width)
    weights = torch.from_numpy(operands.weights.reshape(shape))
    last: list[Any] = [None]

    def call() -> None:
        with torch.inference_mode():
            last[0] = torch.conv2d(
                x, weights, stride=conv.stride, padding=conv.padding[:2], groups=case.groups
            )

    return Product(call=call, result=lambda: last[0].numpy())


def onnx_dense(operands: Operands, threads: int) -> Product:
    """onnxruntime with the weights as a constant right operand, which it packs when it loads the model.

    Its layout has features last, so X and Y are handed over transposed.
    """
    case = operands.case
    x = np.ascontiguousarray(operands.x.reshape(case.k, case.n).T)
    y = np.full((case.n, case.m), np.nan, np.float32)
    call = _onnx_call("MatMul", x, y, operands.weights.T, threads)
    return Product(call=call, result=lambda: y.T.reshape(operands.reference.shape))


def onnx_conv(operands: Operands, threads: int) -> Product:
    """onnxruntime's convolution, which packs the weights when it loads the model."""
    case, conv = operands.case, operands.case.conv
    assert conv is not None
    shape = (case.m, conv.in_channels // case.groups, conv.kernel_height, conv.kernel_width)
    attributes = {"strides": conv.stride, "pads": conv.padding, "group": case.groups}
    y = operands.new_y()
    weights = operands.weights.reshape(shape)
    return Product(
        call=_onnx_call("Conv", operands.x, y, weights, threads, attributes=attributes), result=lambda: y
    )


def _onnx_call(
    operator: str,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    weights: NDArray[np.float32],
    threads: int,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[], object]:
    """A model of one operator on x and constant weights, bound to both arrays."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], **(attributes or {}))],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(weights), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(y))
    return lambda: session.run_with_iobinding(binding)
