"""An ONNX file opened safely: its operators in an order that can run, and where each of its tensors lies.

What a file may get wrong is told here, once: no protobuf, cut short, names made twice or never, a cycle.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN, KNOWN_FUNCTIONS
from simsparse.load.onnx_order import raise_mistakes, replace_nodes, sort_nodes
from simsparse.load.onnx_tensors import StoredTensor, find_tensor
from simsparse.load.onnx_text import clean
from simsparse.load.onnx_wire import Skeleton, Span, read_skeleton

Proto = Any

_CONSTANTS_ARE_NO_INPUTS = 4  # from this version of the file format on
_MOST_EXPANDED = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTensor:
    """A ``sparse_initializer``: ``values`` at ``indices``, linear (nnz,) or one row of coordinates each."""

    shape: tuple[int, ...]
    values: StoredTensor
    indices: StoredTensor


Stored = StoredTensor | SparseTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """``model`` is a ModelProto without its large tensors; ``tensors`` holds all constants by name."""

    path: Path
    model: Proto
    tensors: Mapping[str, Stored]

    @property
    def inputs(self) -> list[Proto]:
        """What the model is given when it runs."""
        return list(self.model.graph.input)


def open_onnx(path: str | Path) -> OnnxFile:
    """Open ``path``; weights stay on disk, so memory is that of the operators.

    Raises
    ------
    FileError
        If the file cannot be read, is no ONNX model, or contradicts itself; up to ten mistakes at once.
    """
    path = Path(path)
    skeleton = _skeleton(path)
    model = _parse(skeleton, path)
    model.ir_version = max(model.ir_version, _CONSTANTS_ARE_NO_INPUTS)
    _check_opset(model, path)
    constants = _constant_nodes(model.graph, skeleton)
    model = _inline_functions(model, path)
    tensors = _find_tensors(model.graph, skeleton, constants, path)
    _gather_constants(model.graph, tensors, constants)
    sort_nodes(model.graph, tensors, path)
    return OnnxFile(path=path, model=model, tensors=tensors)


def _skeleton(path: Path) -> Skeleton:
    try:
        if not path.is_file():
            got = "a folder" if path.is_dir() else "none"
            raise FileError([f"{path}: expected an ONNX file, got {got} (check the path)"])
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise FileError(
                    [f"{path}: expected an ONNX model, got an empty file (export the model again)"]
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as buffer:
                return read_skeleton(buffer, str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(
            [f"{path}: expected a file that can be read, got: {reason} (check path and rights)"]
        ) from None


def _parse(skeleton: Skeleton, path: Path) -> Proto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(skeleton.message)
    except (DecodeError, ValueError):
        raise FileError(
            [f"{path}: expected an ONNX model, got other data (export the model to ONNX)"]
        ) from None
    if not model.graph.node:
        raise FileError([f"{path}: expected an ONNX model with operators, got none (is this an ONNX file?)"])
    return model


def _check_opset(model: Proto, path: Path) -> None:
    """Exactly one version of the standard operators, and one that exists."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    domains = [entry.domain for entry in model.opset_import]
    if not domains or len(set(domains)) < len(domains) or any(version < 1 for version in versions):
        got = (
            ", ".join(f"{clean(e.domain) or 'ai.onnx'} {e.version}" for e in model.opset_import[:5]) or "none"
        )
        raise FileError(
            [f"{path}: opset_import: expected one version per domain, got {got} (export it again)"]
        )
    newest = _newest_opset()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version > newest:
            raise FileError(
                [
                    f"{path}: expected opset {newest} at most, got {entry.version} (update onnx, or export with an older opset)"
                ]
            )


def _newest_opset() -> int:
    import onnx

    return int(onnx.defs.onnx_opset_version())


def _constant_nodes(graph: Proto, skeleton: Skeleton) -> dict[str, tuple[Proto, Span | None]]:
    """Values of ``Constant`` operators as tensors, by the name they make."""
    from onnx import helper

    found: dict[str, tuple[Proto, Span | None]] = {}
    makers = {
        "value_float": lambda a: helper.make_tensor("", 1, (), [a.f]),
        "value_int": lambda a: helper.make_tensor("", 7, (), [a.i]),
        "value_floats": lambda a: helper.make_tensor("", 1, (len(a.floats),), a.floats),
        "value_ints": lambda a: helper.make_tensor("", 7, (len(a.ints),), a.ints),
        "value": lambda a: a.t,
    }
    for index, node in enumerate(graph.node):
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.name in makers:
                    found[node.output[0]] = (makers[attribute.name](attribute), skeleton.constants.get(index))
    return found


def _inline_functions(model: Proto, path: Path) -> Proto:
    """The model with its own functions written out, if that does not make it explode.

    Those that exported files carry stay: the translation knows them.
    """
    kept = [
        (f.domain, f.name)
        for f in model.functions
        if f.domain == FUNCTION_DOMAIN and f.name in KNOWN_FUNCTIONS
    ]
    if len(kept) == len(model.functions):
        return model
    import onnx.inliner

    sizes: dict[tuple[str, str], int] = {}
    try:
        count = sum(
            _expanded(node, {(f.domain, f.name): f for f in model.functions}, sizes, 0)
            for node in model.graph.node
        )
        if count > _MOST_EXPANDED:
            raise FileError(
                [
                    f"{path}: expected at most {_MOST_EXPANDED:,} operators, got {count:,} with functions written out (simplify it)"
                ]
            )
        return onnx.inliner.inline_selected_functions(model, kept, exclude=True)
    except FileError:
        raise
    except Exception as error:  # C++ code: any type
        reason = clean(str(error))
        raise FileError(
            [
                f"{path}: functions: expected ones that can be written out, got: {reason} (export without functions)"
            ]
        ) from None


def _expanded(
    node: Proto, functions: Mapping[tuple[str, str], Proto], sizes: dict[tuple[str, str], int], depth: int
) -> int:
    """Operators that ``node`` becomes."""
    key = (node.domain, node.op_type)
    if key not in functions:
        return 1
    if key not in sizes:
        if depth > len(functions):
            raise RecursionError(f"function {node.op_type} calls itself")
        sizes[key] = sum(_expanded(inner, functions, sizes, depth + 1) for inner in functions[key].node)
    return sizes[key]


def _find_tensors(
    graph: Proto, skeleton: Skeleton, constants: Mapping[str, tuple[Proto, Span | None]], path: Path
) -> dict[str, Stored]:
    """All constants by name, each checked against the bytes of the file."""
    found: dict[str, Stored] = {}
    mistakes: list[str] = []

    def add(name: str, make: Any) -> None:
        try:
            if name in found:
                raise FileError(
                    [f"{path}: tensor {clean(name)}: expected one initialiser, got two (export it again)"]
                )
            found[name] = make()
        except FileError as error:
            mistakes.extend(error.mistakes)

    for index, proto in enumerate(graph.initializer):
        add(proto.name, lambda p=proto, i=index: find_tensor(p, skeleton.initializers.get(i), path, p.name))
    for index, proto in enumerate(graph.sparse_initializer):
        add(proto.values.name, lambda p=proto, i=index: _sparse(p, skeleton.sparse.get(i, {}), path))
    for name, (proto, span) in constants.items():
        add(name, lambda p=proto, s=span, n=name: find_tensor(p, s, path, n))
    raise_mistakes(mistakes)
    return found


def _sparse(proto: Proto, spans: Mapping[int, Span], path: Path) -> SparseTensor:
    name = proto.values.name
    values = find_tensor(proto.values, spans.get(1), path, name)
    indices = find_tensor(proto.indices, spans.get(2), path, f"{name} (indices)")
    shape = tuple(proto.dims)
    count = values.shape[0] if len(values.shape) == 1 else -1
    if (
        indices.shape not in ((count,), (count, len(shape)))
        or indices.data_type != 7
        or any(size < 1 for size in shape)
    ):
        raise FileError(
            [
                f"{path}: sparse tensor {clean(name)}: expected nnz values with nnz int64 positions, "
                f"got shapes {values.shape} and {indices.shape} for {shape} (export it again)"
            ]
        )
    return SparseTensor(shape=shape, values=values, indices=indices)


def _gather_constants(
    graph: Proto, tensors: Mapping[str, Stored], constants: Mapping[str, tuple[Proto, Span | None]]
) -> None:
    """Make every constant an initialiser, for inference to find in one place; large ones have a shape only."""
    for name, (proto, _) in constants.items():
        added = graph.initializer.add()
        added.CopyFrom(proto)
        added.name = name
    for name, stored in tensors.items():
        if isinstance(stored, SparseTensor):
            graph.initializer.add(name=name, dims=stored.shape, data_type=stored.values.data_type)
    del graph.sparse_initializer[:]
    inputs = [
        value for value in graph.input if value.name not in tensors
    ]  # old files list constants there, too
    if len(inputs) < len(graph.input):
        copies = type(graph)(input=inputs)
        del graph.input[:]
        graph.input.extend(copies.input)
    if constants:
        made = set(constants)
        replace_nodes(
            graph,
            [n for n in graph.node if not (n.op_type == "Constant" and n.output and n.output[0] in made)],
        )
