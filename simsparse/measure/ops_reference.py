"""Operators without a fast form here run through ``onnx.reference``, so that whatever it knows is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simsparse.errors import ShapeError, UnsupportedError
from simsparse.load.onnx_text import clean

if TYPE_CHECKING:
    from simsparse.measure.graph import Graph, Node

Evaluate = Callable[[Sequence[Any]], list[Any]]


def reference(node: Node, graph: Graph) -> Evaluate:
    """A function from the tensors that ``node.reads`` names, in that order, to the node's outputs.

    Raises
    ------
    UnsupportedError
        If nobody implements the operator.
    """
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = node.reads
    outputs = [name for name in node.outputs if name]
    body = onnx.GraphProto(name=node.name)
    body.node.append(node.proto)
    body.input.extend(_typed(name, graph) for name in dict.fromkeys(names))
    body.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    imports = [helper.make_opsetid(domain, version) for domain, version in graph.versions]
    model = helper.make_model(body, opset_imports=imports)
    try:
        session = ReferenceEvaluator(model)
    except Exception:  # any type: it has none of its own for an operator it does not know
        raise UnsupportedError(
            f"operator {clean(node.type)} (domain {clean(node.domain) or 'ai.onnx'})"
        ) from None
    first = dict.fromkeys(names)
    where = f"operator {clean(node.name)} ({clean(node.type)})"

    def run(inputs: Sequence[Any]) -> list[Any]:
        feeds = dict(zip(first, (inputs[names.index(name)] for name in first), strict=True))
        try:
            with np.errstate(all="ignore"):
                results = session.run(None, feeds)
        except NotImplementedError as error:
            raise UnsupportedError(
                f"{where}: nobody implements it for these inputs ({clean(str(error))})"
            ) from None
        except Exception as error:  # any type: its checks are Python's own errors
            reason = clean(" ".join(str(error).split()))[:200]
            raise ShapeError(f"{where}: expected inputs that fit it, got: {reason}") from None
        made = dict(zip(outputs, results, strict=True))
        return [made.get(name) for name in node.outputs]

    return run


def _typed(name: str, graph: Graph) -> Any:
    """A tensor with its type where that is known: operators that are functions are written out by types."""
    import onnx
    from onnx import helper

    dtype, shape = graph.dtypes.get(name), graph.shapes.get(name)
    if dtype is None or shape is None:
        return onnx.ValueInfoProto(name=name)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def evaluate(node: Node, inputs: Sequence[Any], graph: Graph) -> list[Any]:
    """The outputs of ``node`` for ``inputs``, empty ones left out by name."""
    given = dict(zip(node.inputs, inputs, strict=True))
    return reference(node, graph)([given[name] for name in node.reads])
