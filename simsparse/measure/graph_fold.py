"""Folding: what only reads constants becomes a constant, and batch norms go into the convolution before them.

A fold of a batch norm scales rows of W, so that removed weights stay removed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from simsparse.measure.graph import Floats, Graph, Node, count_readers, only_needed
from simsparse.measure.ops_reference import evaluate

MAX_FOLDED_BYTES = 2**31
"""Constants made of constants take at most this many bytes in all; the rest is computed in each run."""

_DRAWN = ("Random", "Bernoulli", "Multinomial", "Dropout")
_SUBGRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})


def fold_constants(graph: Graph) -> Graph:
    """``graph`` without the operators whose every input is constant, and without those that nobody needs."""
    left, room = [], MAX_FOLDED_BYTES
    for node in only_needed(graph.nodes, graph.outputs):
        size = sum(math.prod(graph.shapes.get(name, ())) * 8 for name in node.outputs)
        if not _is_foldable(node, graph) or size > room:
            left.append(node)
            continue
        if node.type in ("Shape", "Size"):
            graph.constants[node.outputs[0]] = _shape_of(node, graph)
            continue
        room -= size
        results = evaluate(node, [graph.constants[name] if name else None for name in node.inputs], graph)
        for name, value in zip(node.outputs, results, strict=False):
            if name:
                graph.constants[name] = value
    return replace(graph, nodes=tuple(only_needed(left, graph.outputs)))


def _is_foldable(node: Node, graph: Graph) -> bool:
    if not node.is_standard or node.type in _SUBGRAPHS or node.type.startswith(_DRAWN):
        return False
    if node.type in ("Shape", "Size"):
        return bool(node.inputs) and node.inputs[0] in graph.shapes
    if any(graph.dtypes.get(name) is None or name not in graph.shapes for name in node.outputs if name):
        return False  # sequences, optionals, sizes that depend on values
    return all(name in graph.constants for name in node.inputs if name)


def _shape_of(node: Node, graph: Graph) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    shape = list(graph.shapes[node.inputs[0]])
    if node.type == "Size":
        return np.array(math.prod(shape), np.int64)
    end = node.attributes.get("end")
    return np.array(shape[slice(node.attributes.get("start", 0), end)], np.int64)


def fold_batch_norms(graph: Graph) -> Graph:
    """Products followed by a batch norm of constants alone do its arithmetic themselves."""
    readers = count_readers(graph.nodes, graph.outputs)
    makers = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs}
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        if node.type != "BatchNormalization" or len(node.inputs) != 5:
            continue
        source = makers.get(node.inputs[0], -1)
        product = nodes[source] if source >= 0 else node
        if not _takes_batch_norm(product, node, graph) or readers[node.inputs[0]] != 1:
            continue
        scale, shift = _factors(node, graph)
        before = product.epilogue
        shifted = shift if before.shift is None else shift + scale * before.shift
        scaled = scale if before.scale is None else scale * before.scale
        joined = replace(before, scale=scaled.astype(np.float32), shift=shifted.astype(np.float32))
        swallowed = (*product.joined, *product.outputs)
        nodes[source] = replace(product, outputs=node.outputs[:1], epilogue=joined, joined=swallowed)
        makers[node.outputs[0]] = source
        nodes[index] = replace(node, type="Folded", outputs=())
    return replace(graph, nodes=tuple(node for node in nodes if node.type != "Folded"))


def _takes_batch_norm(product: Node, norm: Node, graph: Graph) -> bool:
    plain = not product.epilogue.activation and not product.epilogue.residual
    constants = all(name in graph.constants for name in norm.inputs[1:])
    trains = norm.attributes.get("training_mode", 0) or len([name for name in norm.outputs if name]) > 1
    channels_are_rows = product.type == "Product" and product.attributes["kind"] in ("conv", "left")
    if product.type == "Product" and product.attributes["kind"] == "right":
        channels_are_rows = len(graph.shapes.get(norm.inputs[0], ())) == 2
    return plain and constants and not trains and channels_are_rows


def _factors(norm: Node, graph: Graph) -> tuple[Floats, Floats]:
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in norm.inputs[1:])
    scale = gamma / np.sqrt(variance + norm.attributes.get("epsilon", 1e-5))
    return scale, beta - mean * scale
