"""Graph nodes as ONNX operators: one small function per kind of node, all in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from simsparse.errors import UsageError
from simsparse.load.graph import Node, Op
from simsparse.load.node_attributes import window
from simsparse.load.onnx_emit_movement import MOVEMENT
from simsparse.load.onnx_emit_products import conv, conv_transpose, linear, matmul
from simsparse.load.onnx_emitter import Emit, Emitter


def emit(emitter: Emitter, node: Node, base: str) -> None:
    """Append the operators of ``node`` to ``emitter``; its weights are those of ``base``."""
    _EMIT[node.op](emitter, node, base)
    emitter.shapes[node.output] = node.shape


def _simple(kind: str, **attributes: Any) -> Emit:
    """The ONNX operator of the same meaning, over the same inputs."""

    def emit(emitter: Emitter, node: Node, base: str) -> None:
        del base
        emitter.add(kind, node.inputs, node.output, node.name, **attributes)

    return emit


def _batch_norm(emitter: Emitter, node: Node, base: str) -> None:
    """The identity, but for the operator's epsilon."""
    del base
    channels = node.shape[1]
    ones = emitter.constant(f"ones.{channels}", np.ones(channels))
    zeros = emitter.constant(f"zeros.{channels}", np.zeros(channels))
    emitter.add("BatchNormalization", [node.inputs[0], ones, zeros, zeros, ones], node.output, node.name)


def _scaled_norm(kind: str, channel_axis: int, **attributes: Any) -> Emit:
    """A norm with scale 1 and shift 0 over the sizes of ``channel_axis``."""

    def emit(emitter: Emitter, node: Node, base: str) -> None:
        del base
        size = node.shape[channel_axis]
        ones = emitter.constant(f"ones.{size}", np.ones(size))
        zeros = emitter.constant(f"zeros.{size}", np.zeros(size))
        emitter.add(kind, [node.inputs[0], ones, zeros], node.output, node.name, **attributes)

    return emit


def _group_norm(emitter: Emitter, node: Node, base: str) -> None:
    groups = math.gcd(32, node.shape[1])
    _scaled_norm("GroupNormalization", 1, num_groups=groups)(emitter, node, base)


def _rms_norm(emitter: Emitter, node: Node, base: str) -> None:
    """x / √(mean(x²) + ε) · 1, in operators that every runtime has."""
    del base
    x, size, part = node.inputs[0], node.shape[-1], f"{node.output}:"
    emitter.add("Mul", [x, x], f"{part}square", f"{node.name}.square")
    axes = emitter.constant("last_axis", [-1], "int64")
    emitter.add("ReduceMean", [f"{part}square", axes], f"{part}mean", f"{node.name}.mean", keepdims=1)
    epsilon = emitter.constant("epsilon", 1e-5)
    emitter.add("Add", [f"{part}mean", epsilon], f"{part}shifted", f"{node.name}.shifted")
    emitter.add("Sqrt", [f"{part}shifted"], f"{part}root", f"{node.name}.root")
    emitter.add("Div", [x, f"{part}root"], f"{part}normed", f"{node.name}.normed")
    ones = emitter.constant(f"ones.{size}", np.ones(size))
    emitter.add("Mul", [f"{part}normed", ones], node.output, node.name)


def _silu(emitter: Emitter, node: Node, base: str) -> None:
    del base
    gate = emitter.add("Sigmoid", [node.inputs[0]], f"{node.output}:gate", f"{node.name}.gate")
    emitter.add("Mul", [node.inputs[0], gate], node.output, node.name)


def _relu6(emitter: Emitter, node: Node, base: str) -> None:
    del base
    bounds = [emitter.constant("zero", 0.0), emitter.constant("six", 6.0)]
    emitter.add("Clip", [node.inputs[0], *bounds], node.output, node.name)


def _softmax(emitter: Emitter, node: Node, base: str) -> None:
    del base
    emitter.add("Softmax", node.inputs, node.output, node.name, axis=node.integer("axis", -1))


def _lrn(emitter: Emitter, node: Node, base: str) -> None:
    del base
    emitter.add("LRN", node.inputs, node.output, node.name, size=node.integer("size", 5))


def _several(kind: str, many: str = "") -> Emit:
    """An operator of two inputs; more go to ``many``, or are taken one after the other."""

    def emit(emitter: Emitter, node: Node, base: str) -> None:
        del base
        if many and len(node.inputs) > 2:
            emitter.add(many, node.inputs, node.output, node.name)
            return
        total = node.inputs[0]
        for number, name in enumerate(node.inputs[1:], start=2):
            is_last = number == len(node.inputs)
            output = node.output if is_last else f"{node.output}:{number}"
            total = emitter.add(
                kind, [total, name], output, node.name if is_last else f"{node.name}.{number}"
            )

    return emit


def _scale(emitter: Emitter, node: Node, base: str) -> None:
    del base
    factor = emitter.constant("half", 0.5)
    emitter.add("Mul", [node.inputs[0], factor], node.output, node.name)


def _pointwise(emitter: Emitter, node: Node, base: str) -> None:
    """Any function will do: the number of its operations is written beside it."""
    del base
    kind = "Abs" if len(node.inputs) == 1 else "Max"
    metadata = {"operations": str(node.integer("operations", 1))}
    emitter.add(kind, node.inputs, node.output, node.name, metadata=metadata)


def _rotary(emitter: Emitter, node: Node, base: str) -> None:
    """Rotation of pairs (i, i + d/2) by position · 10000^(-2i/d).

    Source: Su et al., RoFormer, arXiv 2104.09864, equation 34; halves paired as in Llama.
    """
    del base
    positions, size = node.shape[-2], node.shape[-1]
    angles = np.outer(np.arange(positions), 10000.0 ** (-np.arange(0, size, 2) / size))
    table = np.concatenate([angles, angles], axis=1)
    tables = [
        emitter.constant(f"cosines.{positions}.{size}", np.cos(table)),
        emitter.constant(f"sines.{positions}.{size}", np.sin(table)),
    ]
    emitter.add("Rotary", [node.inputs[0], *tables], node.output, node.name)


def _reduce(emitter: Emitter, node: Node, base: str) -> None:
    del base
    kinds = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}
    how = str(node.attributes.get("how", "mean"))
    if how not in kinds:
        raise UsageError(
            f"{node.name}: expected a reduction by {', '.join(kinds)}, got {how} (choose one of them)"
        )
    axes = emitter.constant(f"{node.output}:axes", node.attributes["axes"], "int64")
    keep = node.integer("keepdims", 0)
    emitter.add(kinds[how], [node.inputs[0], axes], node.output, node.name, keepdims=keep)


def _pool(kind: str) -> Emit:
    def emit(emitter: Emitter, node: Node, base: str) -> None:
        del base
        view = window(node.op, node.attributes, len(node.shape) - 2)
        emitter.add(
            kind,
            node.inputs,
            node.output,
            node.name,
            kernel_shape=view.kernel,
            strides=view.stride,
            dilations=view.dilation,
            pads=(*view.begin, *view.end),
            ceil_mode=node.integer("ceil", 0),
        )

    return emit


_EMIT: Mapping[Op, Emit] = MappingProxyType(
    {
        Op.CONV: conv,
        Op.CONV_TRANSPOSE: conv_transpose,
        Op.LINEAR: linear,
        Op.MATMUL: matmul,
        Op.BATCH_NORM: _batch_norm,
        Op.LAYER_NORM: _scaled_norm("LayerNormalization", -1, axis=-1),
        Op.RMS_NORM: _rms_norm,
        Op.GROUP_NORM: _group_norm,
        Op.INSTANCE_NORM: _scaled_norm("InstanceNormalization", 1),
        Op.LRN: _lrn,
        Op.RELU: _simple("Relu"),
        Op.RELU6: _relu6,
        Op.LEAKY_RELU: _simple("LeakyRelu"),
        Op.GELU: _simple("Gelu"),
        Op.SILU: _silu,
        Op.SIGMOID: _simple("Sigmoid"),
        Op.TANH: _simple("Tanh"),
        Op.HARD_SWISH: _simple("HardSwish"),
        Op.HARD_SIGMOID: _simple("HardSigmoid"),
        Op.SOFTMAX: _softmax,
        Op.ADD: _several("Add", "Sum"),
        Op.SUB: _several("Sub"),
        Op.MUL: _several("Mul"),
        Op.DIV: _several("Div"),
        Op.SCALE: _scale,
        Op.POINTWISE: _pointwise,
        Op.ROTARY: _rotary,
        Op.REDUCE: _reduce,
        Op.MAX_POOL: _pool("MaxPool"),
        Op.AVG_POOL: _pool("AveragePool"),
        Op.GLOBAL_AVG_POOL: _simple("GlobalAveragePool"),
        Op.GLOBAL_MAX_POOL: _simple("GlobalMaxPool"),
        **MOVEMENT,
    }
)
