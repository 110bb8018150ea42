"""All constants of a model by name: initialisers, sparse ones, and the values of ``Constant`` operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.onnx_order import raise_mistakes, replace_nodes
from simsparse.load.onnx_tensors import StoredTensor, find_tensor, holds_values
from simsparse.load.onnx_text import clean, mistake
from simsparse.load.onnx_wire import Skeleton, Span

Proto = Any

_INT64 = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTensor:
    """A ``sparse_initializer``: ``values`` (nnz,) at ``indices``, (nnz,) linear or (nnz, rank)."""

    shape: tuple[int, ...]
    values: StoredTensor
    indices: StoredTensor


Stored = StoredTensor | SparseTensor


def find_constants(
    graph: Proto, skeleton: Skeleton, large: Mapping[str, Span], path: Path
) -> dict[str, Stored]:
    """All constants, each checked against the bytes there are; ``large``: ``Constant`` values not read.

    Raises
    ------
    FileError
        If a name is used twice or values do not fit their shape; up to ten mistakes at once.
    """
    found: dict[str, Stored] = {}
    mistakes: list[str] = []
    for name, find in _finders(graph, skeleton, large, path):
        try:
            if name in found:
                where = f"tensor {clean(name)}"
                raise mistake(path, where, "one initialiser", "two", "export the model again")
            found[name] = find()
        except FileError as error:
            mistakes.extend(error.mistakes)
    raise_mistakes(mistakes)
    return found


def _finders(
    graph: Proto, skeleton: Skeleton, large: Mapping[str, Span], path: Path
) -> Iterator[tuple[str, Callable[[], Stored]]]:
    """Names, each with the function that finds its values."""
    for index, proto in enumerate(graph.initializer):
        span = skeleton.initializers.get(index)
        yield proto.name, partial(find_tensor, proto, span, path, proto.name)
    for index, proto in enumerate(graph.sparse_initializer):
        spans = skeleton.sparse.get(index, {})
        yield proto.values.name, partial(_find_sparse, proto, spans, path)
    for node in graph.node:
        value = _value(node)
        if value is not None and (node.output[0] in large or holds_values(value)):
            span = large.get(node.output[0])
            yield node.output[0], partial(find_tensor, value, span, path, node.output[0])


def _value(node: Proto) -> Proto | None:
    """The value of a ``Constant`` operator as a tensor."""
    from onnx import TensorProto

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    for a in node.attribute:
        match a.name:
            case "value":
                return a.t
            case "value_float":
                return TensorProto(data_type=1, float_data=[a.f])
            case "value_int":
                return TensorProto(data_type=_INT64, int64_data=[a.i])
            case "value_floats":
                return TensorProto(data_type=1, dims=[len(a.floats)], float_data=a.floats)
            case "value_ints":
                return TensorProto(data_type=_INT64, dims=[len(a.ints)], int64_data=a.ints)
    return None


def _find_sparse(proto: Proto, spans: Mapping[int, Span], path: Path) -> SparseTensor:
    name = proto.values.name
    values = find_tensor(proto.values, spans.get(1), path, name)
    indices = find_tensor(proto.indices, spans.get(2), path, f"{name} (indices)")
    shape = tuple(proto.dims)
    count = values.shape[0] if len(values.shape) == 1 else -1
    fits = indices.shape in ((count,), (count, len(shape))) and indices.data_type == _INT64
    if not fits or min(shape, default=0) < 1:
        got = f"shapes {values.shape} and {indices.shape} for {shape}"
        where = f"sparse tensor {clean(name)}"
        raise mistake(path, where, "nnz values with as many int64 positions", got, "export the model again")
    return SparseTensor(shape=shape, values=values, indices=indices)


def list_constants(graph: Proto, tensors: Mapping[str, Stored]) -> None:
    """Make every constant an initialiser only, for inference to find; large ones have a shape only."""
    for node in graph.node:
        value = _value(node)
        if value is not None and node.output[0] in tensors:
            added = graph.initializer.add()
            added.CopyFrom(value)
            added.name = node.output[0]
    for name, stored in tensors.items():
        if isinstance(stored, SparseTensor):
            graph.initializer.add(name=name, dims=stored.shape, data_type=stored.values.data_type)
    del graph.sparse_initializer[:]
    replace_nodes(graph, [n for n in graph.node if not (_value(n) is not None and n.output[0] in tensors)])
    copies = type(graph)(input=[value for value in graph.input if value.name not in tensors])
    del graph.input[:]  # old files list constants there, too
    graph.input.extend(copies.input)
