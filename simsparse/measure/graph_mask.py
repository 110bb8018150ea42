"""Masks on layers that no kernel of ours runs: their weights are set to zero once, and they run densely."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.load.graph import Shape, shape_text
from simsparse.measure.graph import Array, Graph, Node
from simsparse.measure.graph_products import PRODUCT

Masks = Callable[[str], "NDArray[np.bool_] | None"]


@dataclass(frozen=True, slots=True)
class _Weights:
    """Which input holds them, and their matrix (m, k), as masks see it, as a view."""

    index: int
    matrix: Callable[[Array, Node], Array]


def mask_dense_layers(graph: Graph, masks: Masks) -> tuple[Graph, tuple[str, ...]]:
    """``graph`` with masked weights in the layers that are no ``Product``, and the names of these layers.

    Raises
    ------
    ShapeError
        If the mask of a layer has another shape than its weights.
    """
    nodes, done = [], []
    shapes, dtypes = dict(graph.shapes), dict(graph.dtypes)
    for node in graph.nodes:
        found = _weights(node, graph)
        mask = masks(node.layer) if found is not None else None
        if found is None or mask is None:
            nodes.append(node)
            continue
        old = node.inputs[found.index]
        name = f"{old}\0{node.layer}"
        graph.constants[name] = _masked(graph.constants[old], mask, found, node)
        shapes[name], dtypes[name] = graph.shapes[old], graph.dtypes[old]
        nodes.append(_reading(node, found.index, name))
        done.append(node.layer)
    return replace(graph, nodes=tuple(nodes), shapes=shapes, dtypes=dtypes), tuple(done)


def _masked(values: Array, mask: NDArray[np.bool_], weights: _Weights, node: Node) -> Array:
    """A copy without the weights that the mask removes."""
    places = weights.matrix(np.arange(values.size).reshape(values.shape), node)
    if mask.shape != places.shape:
        wanted, got = shape_text(places.shape), shape_text(mask.shape)
        raise ShapeError(f"layer {node.layer}: expected a mask of shape {wanted}, got {got}")
    kept = values.ravel().copy()
    kept[places[~mask]] = 0
    return kept.reshape(values.shape)


def _reading(node: Node, index: int, name: str) -> Node:
    """``node`` with another input."""
    proto = type(node.proto).FromString(node.proto.SerializeToString())
    proto.input[index] = name
    return replace(node, inputs=(*node.inputs[:index], name, *node.inputs[index + 1 :]), proto=proto)


def _weights(node: Node, graph: Graph) -> _Weights | None:
    """Where a layer has its weights; None where it runs by a kernel or they are computed in each run."""
    if not node.layer or not node.is_standard or node.type == PRODUCT or len(node.inputs) < 2:
        return None
    fixed = [name in graph.constants and name in graph.shapes for name in node.inputs[:2]]
    if sum(fixed) != 1:
        return None
    index = fixed.index(True)
    matrix = _MATRICES.get((node.type, index))
    return None if matrix is None else _Weights(index, matrix)


def _conv(values: Array, node: Node) -> Array:  # noqa: ARG001
    return values.reshape(values.shape[0], -1)


def _conv_transpose(values: Array, node: Node) -> Array:
    """(channels, outputs, taps…) as a row for each output and tap, group by group."""
    groups = int(node.attributes.get("group", 1))
    k = values.shape[0] // groups
    return values.reshape(groups, k, -1).transpose(0, 2, 1).reshape(-1, k)


def _right(values: Array, node: Node) -> Array:  # noqa: ARG001
    """The second operand of a product: (…, k, columns)."""
    inner, columns = _last_two(values.shape)
    return values.reshape(-1, inner, columns).transpose(0, 2, 1).reshape(-1, inner)


def _left(values: Array, node: Node) -> Array:  # noqa: ARG001
    return values.reshape(-1, values.shape[-1])


def _last_two(shape: Shape) -> tuple[int, int]:
    return (shape[-2], shape[-1]) if len(shape) > 1 else (math.prod(shape), 1)


def _gemm_right(values: Array, node: Node) -> Array:
    return values if node.attributes.get("transB", 0) else values.T


def _gemm_left(values: Array, node: Node) -> Array:
    return values.T if node.attributes.get("transA", 0) else values


_MATRICES: Mapping[tuple[str, int], Callable[[Array, Node], Array]] = MappingProxyType(
    {
        ("Conv", 1): _conv,
        ("ConvTranspose", 1): _conv_transpose,
        ("MatMul", 1): _right,
        ("MatMul", 0): _left,
        ("Gemm", 1): _gemm_right,
        ("Gemm", 0): _gemm_left,
    }
)
"""By operator and input: weights as the matrix that the import of a file makes of them."""
