"""Which operators are products with constant weights, and their weights as a matrix ``(m, k)``.

``kind`` says how a product meets its input: ``conv``; ``right`` for x · Wᵀ, where rows of x are columns of X;
``left`` for W · x.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from simsparse.load.graph import Shape
from simsparse.measure.graph import Epilogue, Floats, Graph, Node

PRODUCT = "Product"


def find_products(graph: Graph) -> Graph:
    """``graph`` with each Conv, Gemm or MatMul that a kernel can run as a ``Product``."""
    return replace(graph, nodes=tuple(_as_product(node, graph) or node for node in graph.nodes))


def weight_matrix(node: Node, graph: Graph) -> Floats:
    """The weights of a product, (m, k) in float32, rows scaled as its epilogue says."""
    values = graph.constants[node.attributes["weight"]]
    match node.attributes["kind"]:
        case "conv":
            matrix = values.reshape(values.shape[0], -1)
        case "left":
            matrix = values
        case _:
            matrix = values if node.attributes["flipped"] else values.T
    scale = node.epilogue.scale
    if scale is None:
        return np.ascontiguousarray(matrix, np.float32)
    return np.ascontiguousarray(matrix * scale[:, None], np.float32)


def _as_product(node: Node, graph: Graph) -> Node | None:
    if not node.is_standard or len(node.outputs) != 1 or len(node.inputs) < 2 or not node.inputs[0]:
        return None
    names = [name for name in node.inputs if name] + list(node.outputs)
    if any(graph.dtypes.get(name) != np.float32 or name not in graph.shapes for name in names):
        return None
    if any(math.prod(graph.shapes[name]) == 0 for name in names):
        return None
    match node.type:
        case "Conv":
            return _conv(node, graph)
        case "Gemm":
            return _gemm(node, graph)
        case "MatMul":
            return _matmul(node, graph)
    return None


def _conv(node: Node, graph: Graph) -> Node | None:
    weight = node.inputs[1]
    shape = graph.shapes[weight]
    if weight not in graph.constants or len(shape) not in (3, 4):
        return None
    window = _window(node, graph)
    if min(window["pads"]) < 0:
        return None
    shift = _bias(node, graph, shape[0])
    if shift is False:
        return None
    attributes = {"kind": "conv", "weight": weight, "group": int(node.attributes.get("group", 1)), **window}
    return _product(node, attributes, node.inputs[:1], shift)


def _window(node: Node, graph: Graph) -> dict[str, Any]:
    image, kernel = graph.shapes[node.inputs[0]][2:], graph.shapes[node.inputs[1]][2:]
    axes = len(image)
    strides = tuple(node.attributes.get("strides") or (1,) * axes)
    dilations = tuple(node.attributes.get("dilations") or (1,) * axes)
    pads = tuple(node.attributes.get("pads") or (0,) * 2 * axes)
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = (0,) * 2 * axes
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_padding(image, kernel, strides, dilations, mode)
    return {"strides": strides, "dilations": dilations, "pads": pads}


def same_padding(image: Shape, kernel: Shape, strides: Shape, dilations: Shape, mode: str) -> Shape:
    """Begins, then ends, so that the result has ``ceil(size / stride)`` positions; an odd one goes to the
    end for SAME_UPPER.
    """
    small, large = [], []
    for size, taps, stride, dilation in zip(image, kernel, strides, dilations, strict=True):
        needed = max(0, (-(-size // stride) - 1) * stride + dilation * (taps - 1) + 1 - size)
        small.append(needed // 2)
        large.append(needed - needed // 2)
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)


def _gemm(node: Node, graph: Graph) -> Node | None:
    a, weight = node.inputs[:2]
    flipped = bool(node.attributes.get("transB", 0))
    if weight not in graph.constants or a in graph.constants or node.attributes.get("transA", 0):
        return None
    m = graph.shapes[weight][0 if flipped else 1]
    shift = _bias(node, graph, m)
    if shift is False:
        return None
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    if shift is not None and beta != 1.0:
        shift = shift * np.float32(beta)
    scale = None if alpha == 1.0 else np.full(m, alpha, np.float32)
    attributes = {"kind": "right", "weight": weight, "flipped": flipped}
    return _product(node, attributes, (a,), shift, scale)


def _matmul(node: Node, graph: Graph) -> Node | None:
    a, b = node.inputs[:2]
    if b in graph.constants and len(graph.shapes[b]) == 2 and graph.shapes[a]:
        return _product(node, {"kind": "right", "weight": b, "flipped": False}, (a,), None)
    if a in graph.constants and len(graph.shapes[a]) == 2 and len(graph.shapes[b]) in (1, 2):
        return _product(node, {"kind": "left", "weight": a}, (b,), None)
    return None


def _product(
    node: Node,
    attributes: dict[str, Any],
    inputs: tuple[str, ...],
    shift: Floats | None,
    scale: Floats | None = None,
) -> Node:
    epilogue = Epilogue(scale=scale, shift=shift)
    return replace(node, type=PRODUCT, inputs=inputs, attributes=attributes, epilogue=epilogue)


def _bias(node: Node, graph: Graph, m: int) -> Any:
    """The third input as m numbers, None where it is absent, False where it is something else."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return None
    name = node.inputs[2]
    if name not in graph.constants:
        return False
    values = graph.constants[name]
    if values.size == 1:
        return np.full(m, values.ravel()[0], np.float32)
    return values.ravel().astype(np.float32) if values.shape[-1:] == (m,) and values.size == m else False
