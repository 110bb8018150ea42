"""Graph nodes that move tensors, and learned tensors, as ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from simsparse.load.graph import Node, Op, Shape
from simsparse.load.onnx_emit_products import free_transpose
from simsparse.load.onnx_emitter import Emit, Emitter


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


MOVEMENT: Mapping[Op, Emit] = MappingProxyType(
    {
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
