"""Joining: additions and activations after a product become its epilogue, composed activations one operator.

An exporter writes GELU as five operators. A cluster that looks like a known activation is run on numbers, and
joined only if it computes that activation: its constants are what make it one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from simsparse.load.onnx_fuse import FUNCTION_DOMAIN, fuse
from simsparse.measure.graph import Array, Epilogue, Floats, Graph, Node, count_readers
from simsparse.measure.graph_products import PRODUCT

_erf = np.frompyfunc(math.erf, 1, 1)
_PROBE = np.linspace(-9.0, 9.0, 145, dtype=np.float32)
_CLOSE = 2e-5


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.asarray(_erf(x / math.sqrt(2)), np.float64)))


_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "gelu": _gelu,
        "gelu-tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "hard-swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    }
)


def join_activations(graph: Graph) -> Graph:
    """``graph`` with clusters that compute a known activation as one ``Activation`` node."""
    protos = [node.proto for node in graph.nodes]
    fused = fuse(protos, frozenset(graph.constants), graph.shapes, frozenset(graph.outputs))
    joined = [proto for proto in fused if proto.domain == FUNCTION_DOMAIN and proto.op_type not in ("", None)]
    makers = {name: node for node in graph.nodes for name in node.outputs}
    gone: set[str] = set()
    ends: dict[str, Node] = {}
    for proto in joined:
        source, made = proto.input[0], proto.output[0]
        source, members = _without_bias(source, _members(made, source, makers, graph), graph)
        known = _which(members, source, made, graph)
        if known:
            gone |= {node.outputs[0] for node in members}
            ends[made] = replace(
                makers[made], type="Activation", domain="", inputs=(source,), attributes={"of": known}
            )
    nodes = (ends.get(node.outputs[0], node) if node.outputs else node for node in graph.nodes)
    return replace(graph, nodes=tuple(n for n in nodes if n.outputs[0] not in gone or n.outputs[0] in ends))


def _members(made: str, source: str, makers: Mapping[str, Node], graph: Graph) -> list[Node]:
    """The operators between ``source`` and ``made``, in order."""
    found: dict[str, Node] = {}
    waiting = [made]
    while waiting:
        name = waiting.pop()
        if name == source or name in graph.constants or name in found or name not in makers:
            continue
        found[name] = makers[name]
        waiting.extend(makers[name].reads)
    return [node for node in graph.nodes if node.outputs and node.outputs[0] in found]


def _without_bias(source: str, members: list[Node], graph: Graph) -> tuple[str, list[Node]]:
    """The cluster without a bias that is added before it: the product takes that."""
    first = [node for node in members if source in node.reads]
    if len(first) == 1 and first[0].type == "Add" and len(members) > 1:
        others = [name for name in first[0].inputs if name != source]
        if len(others) == 1 and others[0] in graph.constants and graph.constants[others[0]].size > 1:
            return first[0].outputs[0], [node for node in members if node is not first[0]]
    return source, members


def _which(members: Sequence[Node], source: str, made: str, graph: Graph) -> str:
    """The activation that the cluster computes, "" if none that is known."""
    from onnx import NodeProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    read = {name for node in members for name in node.reads if name in graph.constants}
    if graph.dtypes.get(source) != np.float32 or any(graph.constants[name].size != 1 for name in read):
        return ""
    body = helper.make_graph(
        [NodeProto.FromString(node.proto.SerializeToString()) for node in members],
        "probe",
        [helper.make_tensor_value_info(source, 1, [_PROBE.size])],
        [helper.make_tensor_value_info(made, 1, None)],
        [numpy_helper.from_array(graph.constants[name].reshape(()), name) for name in sorted(read)],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in graph.versions]
    try:
        with np.errstate(all="ignore"):
            (got,) = ReferenceEvaluator(helper.make_model(body, opset_imports=imports)).run(
                None, {source: _PROBE}
            )
    except Exception:  # any type: then it stays as it is
        return ""
    wanted = _PROBE.astype(np.float64)
    for name, function in _ACTIVATIONS.items():
        if np.shape(got) == wanted.shape and np.allclose(got, function(wanted), rtol=_CLOSE, atol=_CLOSE):
            return name
    return ""


def join_epilogues(graph: Graph) -> Graph:
    """``graph`` with additions and activations after products done by the products."""
    readers = count_readers(graph.nodes, graph.outputs)
    nodes: list[Node | None] = []
    makers: dict[str, int] = {}

    def product(name: str) -> Node | None:
        """The product that makes ``name`` for one reader only."""
        found = nodes[makers[name]] if name in makers and readers[name] == 1 else None
        return found if found is not None and found.type == PRODUCT else None

    for node in graph.nodes:
        joined, old = _joined(node, product, graph)
        if joined is not None:
            nodes[makers[old]] = None
        for name in node.outputs:
            makers[name] = len(nodes)
        nodes.append(node if joined is None else joined)
    return replace(graph, nodes=tuple(node for node in nodes if node is not None))


def _joined(node: Node, product: Callable[[str], Node | None], graph: Graph) -> tuple[Node | None, str]:
    """The product that does ``node``, too, and the tensor it made before."""
    if node.is_standard and node.type == "Add" and len(node.inputs) == 2:
        for name, other in (node.inputs[::-1], node.inputs):
            before = product(name)
            joined = _with_addend(before, other, node, graph) if before is not None else None
            if joined is not None:
                return joined, name
        return None, ""
    activation = activation_of(node, graph)
    before = product(node.inputs[0]) if activation and node.inputs else None
    if before is None or before.epilogue.activation:
        return None, ""
    epilogue = replace(before.epilogue, activation=activation)
    return _swallow(before, node, epilogue), node.inputs[0]


def _swallow(before: Node, node: Node, epilogue: Epilogue) -> Node:
    """``before`` making what ``node`` made."""
    joined = (*before.joined, *before.outputs)
    return replace(before, outputs=node.outputs, epilogue=epilogue, joined=joined)


def _with_addend(before: Node, other: str, node: Node, graph: Graph) -> Node | None:
    epilogue = before.epilogue
    if epilogue.activation or graph.dtypes.get(other) != np.float32:
        return None
    if other in graph.constants:
        addend = _per_row(before, graph.constants[other], graph)
        if addend is None:
            return None
        shift = addend if epilogue.shift is None else epilogue.shift + addend
        return _swallow(before, node, replace(epilogue, shift=shift))
    same = graph.shapes.get(other) == graph.shapes.get(before.outputs[0]) is not None
    if epilogue.residual or not same or other in before.outputs:
        return None
    return _swallow(before, node, replace(epilogue, residual=other))


def _per_row(before: Node, values: Array, graph: Graph) -> Floats | None:
    """``values`` as one number per row of W, if that is how they broadcast."""
    shape = graph.shapes[before.outputs[0]]
    rows_at = {"conv": 1, "left": 0, "right": len(shape) - 1}[before.attributes["kind"]]
    if not shape or values.ndim > len(shape):
        return None
    padded = (1,) * (len(shape) - values.ndim) + values.shape
    wanted = shape[rows_at]
    if any(size != 1 for axis, size in enumerate(padded) if axis != rows_at):
        return None
    return np.broadcast_to(values.ravel(), (wanted,)).astype(np.float32)


def activation_of(node: Node, graph: Graph) -> str:
    """The name that kernels have for an activation node, "" if they have none."""
    if not node.is_standard or len(node.outputs) != 1:
        return ""
    match node.type:
        case "Relu":
            return "relu"
        case "Gelu":
            return "gelu" if node.attributes.get("approximate", "none") == "none" else ""
        case "Activation":
            return "gelu" if node.attributes["of"] == "gelu" else ""
        case "Clip":
            return _clip(node, graph)
    return ""


def _clip(node: Node, graph: Graph) -> str:
    bounds: list[float | None] = []
    for index, key in ((1, "min"), (2, "max")):
        if index < len(node.inputs) and node.inputs[index]:
            if node.inputs[index] not in graph.constants:
                return ""
            bounds.append(float(graph.constants[node.inputs[index]].ravel()[0]))
        else:
            value = node.attributes.get(key)
            bounds.append(None if value is None else float(value))
    low, high = bounds
    if low == 0.0 and (high is None or high >= np.finfo(np.float32).max):
        return "relu"
    return "relu6" if (low, high) == (0.0, 6.0) else ""
