"""A check that every name in a model is text: protobuf hands out bytes, or stumbles, where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsparse.errors import FileError

Proto = Any


def check_names(model: Proto, path: Path) -> None:
    """Raise if a name in ``model`` is not UTF-8.

    Raises
    ------
    FileError
        With one line.
    """
    try:
        is_text = all(isinstance(name, str) for name in _names(model))
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise FileError([f"{path}: expected names in UTF-8, got other bytes (export the model again)"])


def _names(model: Proto) -> Iterator[object]:
    for entry in model.opset_import:
        yield entry.domain
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output)
        yield from (entry.domain for entry in function.opset_import)
        yield from _node_names(function.node)
    graph = model.graph
    yield from _node_names(graph.node)
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        yield from _tensor_names(tensor)
    for sparse in graph.sparse_initializer:
        yield from _tensor_names(sparse.indices)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)


def _node_names(nodes: Proto) -> Iterator[object]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.HasField("t"):
                yield from _tensor_names(attribute.t)
        for entry in node.metadata_props:
            yield from (entry.key, entry.value)


def _tensor_names(tensor: Proto) -> Iterator[object]:
    yield tensor.name
    for entry in tensor.external_data:
        yield from (entry.key, entry.value)
