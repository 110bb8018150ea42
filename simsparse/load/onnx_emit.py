"""Graph nodes as ONNX operators: one small function per kind of node, all in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from simsparse.errors import UsageError
from simsparse.load.graph import Node, Op, Shape
from simsparse.load.node_attributes import window
from simsparse.load.onnx_emit_products import conv, conv_transpose, free_transpose, linear, matmul
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


def _concat(emitter: Emitter, node: Node, base: str) -> None:
    del base
    emitter.add("Concat", node.inputs, node.output, node.name, axis=node.integer("axis"))


def _transpose(emitter: Emitter, node: Node, base: str) -> None:
    del base
    rank = len(node.shape)
    axes = node.attributes["axes"]
    order = [axis % rank for axis in axes] if isinstance(axes, tuple) else []
    emitter.add("Transpose", node.inputs, node.output, node.name, perm=order)


def _slice(emitter: Emitter, node: Node, base: str) -> None:
    del base
    axis, step = node.integer("axis"), node.integer("step", 1)
    size = emitter.shapes[node.inputs[0]][axis]
    start, stop = node.integer("start", 0), node.integer("stop", size)
    values = {"start": start, "stop": stop, "axis": axis, "step": step}
    inputs = [emitter.constant(f"{node.output}:{key}", [value], "int64") for key, value in values.items()]
    emitter.add("Slice", [node.inputs[0], *inputs], node.output, node.name)


def _select(emitter: Emitter, node: Node, base: str) -> None:
    del base
    index = emitter.constant(f"{node.output}:index", node.integer("index"), "int64")
    emitter.add("Gather", [node.inputs[0], index], node.output, node.name, axis=node.integer("axis"))


def _embedding(emitter: Emitter, node: Node, base: str) -> None:
    table = emitter.random(f"{base}.table", (node.integer("vocab"), node.integer("dim")), 0.02)
    emitter.add("Gather", [table, node.inputs[0]], node.output, node.name, axis=0)


def _cache_append(emitter: Emitter, node: Node, base: str) -> None:
    """The cache is an input of the model, unless the new positions are all there are."""
    del base
    new = emitter.shapes[node.inputs[0]]
    old = node.shape[-2] - new[-2]
    if not old:
        emitter.add("CacheStart", node.inputs, node.output, node.name)
        return
    cache = f"{node.name}.cache"
    emitter.inputs[cache] = (*new[:-2], old, new[-1])
    emitter.add("CacheAppend", [cache, node.inputs[0]], node.output, node.name)


def _copy(emitter: Emitter, node: Node, base: str) -> None:
    """Elements in order, again from the start where the result is larger than the source."""
    del base
    source = math.prod(emitter.shapes[node.inputs[0]])
    indices = emitter.constant(f"{node.output}:indices", np.arange(math.prod(node.shape)) % source, "int64")
    shape = emitter.constant(f"{node.output}:shape", node.shape, "int64")
    emitter.add("Copy", [node.inputs[0], indices, shape], node.output, node.name)


def _flatten(emitter: Emitter, node: Node, base: str) -> None:
    del base
    emitter.add("Flatten", node.inputs, node.output, node.name, axis=node.integer("axis", 1))


def _reshaped(emitter: Emitter, source: str, shape: Shape, output: str, name: str) -> str:
    sizes = emitter.constant(f"{output}:shape", shape, "int64")
    return emitter.add("Reshape", [source, sizes], output, name)


def _reshape(emitter: Emitter, node: Node, base: str) -> None:
    del base
    _reshaped(emitter, node.inputs[0], node.shape, node.output, node.name)


def _split_heads(emitter: Emitter, node: Node, base: str) -> None:
    del base
    batch, heads, seq, size = node.shape
    split = _reshaped(
        emitter, node.inputs[0], (batch, seq, heads, size), f"{node.output}:split", f"{node.name}.split"
    )
    free_transpose(emitter, split, node.output, node.name, (0, 2, 1, 3))


def _merge_heads(emitter: Emitter, node: Node, base: str) -> None:
    del base
    turned = free_transpose(
        emitter, node.inputs[0], f"{node.output}:turned", f"{node.name}.turned", (0, 2, 1, 3)
    )
    _reshaped(emitter, turned, node.shape, node.output, node.name)


def _learned(emitter: Emitter, node: Node, base: str) -> None:
    emitter.random(f"{base}.values", node.shape, 0.02)
    emitter.add("Identity", [f"{base}.values"], node.output, node.name)


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
        Op.CONCAT: _concat,
        Op.TRANSPOSE: _transpose,
        Op.SLICE: _slice,
        Op.SELECT: _select,
        Op.EMBEDDING: _embedding,
        Op.CACHE_APPEND: _cache_append,
        Op.COPY: _copy,
        Op.FLATTEN: _flatten,
        Op.RESHAPE: _reshape,
        Op.SPLIT_HEADS: _split_heads,
        Op.MERGE_HEADS: _merge_heads,
        Op.LEARNED: _learned,
    }
)
