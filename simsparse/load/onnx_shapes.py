"""Shapes of all tensors of a model whose input sizes are set.

ONNX's own shape inference and the folding of shape arithmetic take turns until nothing new is learned: each
folded shape lets inference see further, and each inferred shape can be folded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import FileError
from simsparse.load.onnx_constants import Stored
from simsparse.load.onnx_dims import MAX_ELEMENTS
from simsparse.load.onnx_file import OnnxFile
from simsparse.load.onnx_fold import MAX_VALUES, fold
from simsparse.load.onnx_order import replace_nodes
from simsparse.load.onnx_tensors import StoredTensor
from simsparse.load.onnx_text import clean

Proto = Any
Array = NDArray[Any]

STANDARD_DOMAINS = ("", "ai.onnx")
_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorTypes:
    """The operators that are left, and what is known of the tensors.

    ``shapes`` holds those whose every size is known; ``values`` small constants and folded shape arithmetic.
    """

    nodes: tuple[Proto, ...]
    shapes: Mapping[str, tuple[int, ...]]
    element_types: Mapping[str, int]
    values: Mapping[str, Array]


def infer_types(file: OnnxFile) -> TensorTypes:
    """Infer the shapes of ``file.model``, whose input sizes are set.

    Raises
    ------
    FileError
        If shape inference refuses the model as a whole.
    """
    model = file.model
    _forget_stale_shapes(model)
    values = {name: value for name, stored in file.tensors.items() if (value := _small(stored)) is not None}
    known = 0
    for _ in range(_ROUNDS):
        model = _infer(model, file.path)
        shapes, types = _known(model, file.tensors)
        if not _fold_all(model, shapes, values) and len(shapes) == known:
            break
        known = len(shapes)
    shapes |= {name: value.shape for name, value in values.items()}
    return TensorTypes(nodes=tuple(model.graph.node), shapes=shapes, element_types=types, values=values)


def _small(stored: Stored) -> Array | None:
    """The value of a tensor small enough to be a shape."""
    if not isinstance(stored, StoredTensor) or stored.data_type not in _ARITHMETIC_TYPES:
        return None
    return stored.read() if int(np.prod(stored.shape, dtype=object)) <= MAX_VALUES // 16 else None


_ARITHMETIC_TYPES = frozenset({1, 6, 7, 9, 11})  # float, int32, int64, bool, double


def _forget_stale_shapes(model: Proto) -> None:
    """Drop recorded shapes that inference can find again: they may be of another batch."""
    foreign = {
        name for node in model.graph.node if node.domain not in STANDARD_DOMAINS for name in node.output
    }
    kept = [value for value in model.graph.value_info if value.name in foreign]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    for value in model.graph.output:
        if value.name not in foreign and value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _infer(model: Proto, path: Path) -> Proto:
    import onnx.shape_inference

    try:
        return onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)
    except Exception as error:  # C++ code: any type
        reason = clean(str(error).strip())
        raise FileError(
            [f"{path}: expected a model whose shapes fit, got: {reason} (check it with onnx.checker)"]
        ) from None


def _known(model: Proto, tensors: Mapping[str, Stored]) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Shapes with all sizes known and within bounds, and element types."""
    shapes = {name: stored.shape for name, stored in tensors.items()}
    types: dict[str, int] = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        types[value.name] = tensor.elem_type
        if not tensor.HasField("shape") or value.name in shapes:
            continue
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        if min(sizes, default=1) >= 0 and int(np.prod(sizes, dtype=object)) <= MAX_ELEMENTS:
            shapes[value.name] = tuple(sizes)
    return shapes, types


def _fold_all(model: Proto, shapes: Mapping[str, Sequence[int]], values: dict[str, Array]) -> bool:
    """Evaluate all shape arithmetic that can be, into ``values`` and the model; whether there was any."""
    from onnx import numpy_helper

    found = False
    for node in model.graph.node:
        if not node.output or node.output[0] in values:
            continue
        value = _folded(node, shapes, values)
        if value is not None:
            values[node.output[0]] = value
            found = True
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), node.output[0]))
    if found:
        _remove_folded(model, values)
    return found


def _folded(node: Proto, shapes: Mapping[str, Sequence[int]], values: Mapping[str, Array]) -> Array | None:
    if node.op_type in ("Shape", "Size") and node.input and node.input[0] in shapes:
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        shape = list(shapes[node.input[0]])
        if node.op_type == "Size":
            return np.array(int(np.prod(shape, dtype=object)), np.int64)
        return np.array(shape[attributes.get("start", 0) : attributes.get("end", len(shape))], np.int64)
    if any(name and name not in values for name in node.input):
        return None
    return fold(node, [values[name] if name else None for name in node.input])


def _remove_folded(model: Proto, values: Mapping[str, Array]) -> None:
    """Take operators out whose result is now an initialiser, and the record of that result's shape."""
    replace_nodes(model.graph, [n for n in model.graph.node if not (n.output and n.output[0] in values)])
    kept = [value for value in model.graph.value_info if value.name not in values]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
