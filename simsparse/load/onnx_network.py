"""An ONNX file to be executed: its operators in order, its constants, and which layer each product is.

The layers of a workload are named when a file is imported; what runs must carry the same names, so that masks
chosen for a layer reach its operator. Names are therefore found here exactly as the import finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError, ShapeError
from simsparse.load.graph import Shape, shape_text
from simsparse.load.onnx_builder import GraphBuilder
from simsparse.load.onnx_constants import Stored
from simsparse.load.onnx_dims import Sizes, set_input_sizes
from simsparse.load.onnx_file import OnnxFile, open_onnx
from simsparse.load.onnx_fuse import fuse
from simsparse.load.onnx_import import needed
from simsparse.load.onnx_order import replace_nodes
from simsparse.load.onnx_shapes import infer_types
from simsparse.load.onnx_tensors import StoredTensor, held_tensor
from simsparse.load.onnx_text import clean
from simsparse.load.onnx_weights import Recipe

Proto = Any
Array = NDArray[Any]


class Constants(Mapping[str, Array]):
    """Values by tensor name, each read from the file when asked for and not kept."""

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self._stored = dict(stored)

    def __getitem__(self, name: str) -> Array:
        stored = self._stored[name]
        return stored.read() if isinstance(stored, StoredTensor) else Recipe(source=stored).make()

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNetwork:
    """What a file computes. ``shapes`` and ``dtypes`` hold the tensors of which they are known before a run.

    ``layers`` names the layer whose result a tensor is; ``inputs`` are in the file's order.
    """

    path: Path
    nodes: tuple[Proto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: Mapping[str, str]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, np.dtype[Any]]
    constants: Mapping[str, Array]
    versions: tuple[tuple[str, int], ...]


def open_network(
    path: str | Path,
    *,
    batch: int | None = None,
    seq: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> OnnxNetwork:
    """Open ``path`` for execution with inputs of fixed sizes; weights stay on disk.

    Open sizes come from ``shapes``, by input name, where it is given, else from ``batch`` and ``seq``.

    Raises
    ------
    FileError
        If the file cannot be read or contradicts itself, or a dimension stays open.
    ShapeError
        If an input of ``shapes`` does not fit the file.
    UsageError
        If ``batch`` or ``seq`` cannot be used with this file.
    """
    file = open_onnx(path)
    if shapes is None:
        set_input_sizes(file.inputs, Sizes(batch=batch, seq=seq), str(path))
    else:
        for value in file.inputs:
            _set_shape(value, shapes.get(value.name), file.path)
    layers = _layer_names(file)
    file = _written_out(file)
    types = infer_types(file)
    return OnnxNetwork(
        path=file.path,
        nodes=tuple(needed(file.model.graph.node, file.outputs)),
        inputs=tuple(value.name for value in file.inputs),
        outputs=tuple(file.outputs),
        layers=layers,
        shapes=types.shapes,
        dtypes=_dtypes(types.elements),
        constants=Constants(file.tensors),
        versions=tuple((entry.domain, entry.version) for entry in file.model.opset_import),
    )


def _set_shape(value: Proto, shape: Shape | None, path: Path) -> None:
    if shape is None or not value.type.HasField("tensor_type"):
        return
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    fixed = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]
    if tensor.HasField("shape") and (
        len(fixed) != len(shape) or any(0 <= a != b for a, b in zip(fixed, shape, strict=True))
    ):
        wanted = "x".join("?" if size < 0 else str(size) for size in fixed) or "scalar"
        raise ShapeError(
            f"{path}: input {clean(value.name)}: expected shape {wanted}, got {shape_text(shape)}"
        )
    del dims[:]
    tensor.shape.SetInParent()
    for size in shape:
        dims.add(dim_value=size)


def _layer_names(file: OnnxFile) -> dict[str, str]:
    """Tensor → name of the operator that makes it, as the import names it."""
    types = infer_types(file)
    constants = file.tensors.keys() | types.values.keys()
    protos = fuse(needed(types.nodes, file.outputs), constants, types.shapes, frozenset(file.outputs))
    builder = GraphBuilder(types.shapes, {}, {}, (), file.outputs)
    named = [(proto, builder.operator(proto, index).name) for index, proto in enumerate(protos)]
    return {proto.output[0]: name for proto, name in named if proto.output}


def _written_out(file: OnnxFile) -> OnnxFile:
    """``file`` with the functions that only exported files carry written out, too."""
    if not file.model.functions:
        return file
    import onnx.inliner

    try:
        model = onnx.inliner.inline_local_functions(file.model)
    except Exception as error:  # from C++: any type
        reason = clean(str(error))
        raise FileError(
            [f"{file.path}: functions: expected ones that can be written out, got: {reason} (export again)"]
        ) from None
    tensors = dict(file.tensors)
    kept = []
    for node in model.graph.node:
        value = _small_constant(node)
        if value is None:
            kept.append(node)
        else:
            tensors[node.output[0]] = held_tensor(node.output[0], value, file.path)
    replace_nodes(model.graph, kept)
    return replace(file, model=model, tensors=tensors)


def _small_constant(node: Proto) -> Array | None:
    """The value of a ``Constant`` inside a function, if it is made of plain numbers."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    match attribute.name:
        case "value_ints":
            return np.array(list(attribute.ints), np.int64)
        case "value_int":
            return np.array(attribute.i, np.int64)
        case "value_floats":
            return np.array(list(attribute.floats), np.float32)
        case "value_float":
            return np.array(attribute.f, np.float32)
    return None


def _dtypes(elements: Mapping[str, int]) -> dict[str, np.dtype[Any]]:
    from onnx import helper

    found = {}
    for name, element in elements.items():
        try:
            found[name] = np.dtype(helper.tensor_dtype_to_np_dtype(element))
        except (KeyError, TypeError):
            continue
    return found
