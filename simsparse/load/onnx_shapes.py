"""Shapes of all tensors of a model whose input sizes are set, found in one sweep over its operators.

Each operator is either shape arithmetic, which is evaluated, or goes through ONNX's own inference alone, with
the values found so far. One operator at a time keeps time linear in the model, and a broken one to itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.load.graph import Shape
from simsparse.load.onnx_constants import Stored
from simsparse.load.onnx_dims import MAX_ELEMENTS
from simsparse.load.onnx_file import OnnxFile
from simsparse.load.onnx_fold import fold
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN
from simsparse.load.onnx_tensors import StoredTensor

Proto = Any
Array = NDArray[Any]

_ARITHMETIC_TYPES = frozenset({1, 6, 7, 9, 11})  # float, int32, int64, bool, double
_KEEPS_TYPE = ("GroupNormalization", "MeanVarianceNormalization")  # ONNX infers no shape for these
_LARGEST_SHAPE = 512  # numbers in a constant that is read for its value


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorTypes:
    """The operators that are left, and what is known of the tensors.

    ``shapes`` holds those whose every size is known; ``values`` small constants and folded shape arithmetic;
    ``elements`` ONNX's number of the element type, of tensors only.
    """

    nodes: tuple[Proto, ...]
    shapes: Mapping[str, Shape]
    values: Mapping[str, Array]
    elements: Mapping[str, int]


def infer_types(file: OnnxFile) -> TensorTypes:
    """Infer the shapes of ``file.model``, whose input sizes are set.

    What stays unknown has no entry: operators that read it cannot be simulated, and are listed later.
    """
    sweep = _Sweep(file)
    left = [node for node in file.model.graph.node if not sweep.visit(node)]
    tensors = {name: kind.tensor_type for name, kind in sweep.types.items() if kind.HasField("tensor_type")}
    elements = {name: tensor.elem_type for name, tensor in tensors.items()}
    return TensorTypes(nodes=tuple(left), shapes=sweep.shapes, values=sweep.values, elements=elements)


class _Sweep:
    """Types, shapes and values of all tensors made so far."""

    def __init__(self, file: OnnxFile) -> None:
        graph = file.model.graph
        self.shapes: dict[str, Shape] = {}
        self.values: dict[str, Array] = {}
        self.types: dict[str, Proto] = {}
        self.data: dict[str, Proto] = {}
        foreign = {name for node in graph.node if node.domain not in ("", "ai.onnx") for name in node.output}
        recorded = (value for value in (*graph.value_info, *graph.output) if value.name in foreign)
        self.recorded = {value.name: value.type for value in recorded}
        self.versions = file.model.opset_import
        self.ir_version = file.model.ir_version
        for value in graph.input:
            self.set_type(value.name, value.type)
        for name, stored in file.tensors.items():
            self.set_constant(name, stored)

    def visit(self, node: Proto) -> bool:
        """Learn what ``node`` makes; whether it was shape arithmetic and is done with."""
        value = self.folded(node)
        if value is not None:
            self.set_value(node.output[0], value)
            return True
        found = self.inferred(node)
        for name in filter(None, node.output):
            known = found.get(name)
            self.set_type(name, known if known is not None else self.recorded.get(name))
        return False

    def folded(self, node: Proto) -> Array | None:
        source = node.input[0] if node.input else ""
        if len(node.output) != 1 or not node.output[0]:
            return None
        if node.op_type in ("Shape", "Size") and source in self.shapes:
            shape = list(self.shapes[source])
            if node.op_type == "Size":
                return np.array(math.prod(shape), np.int64)
            ends = {attribute.name: attribute.i for attribute in node.attribute}
            return np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], np.int64)
        if any(name and name not in self.values for name in node.input):
            return None
        return fold(node, [self.values.get(name) for name in node.input])

    def inferred(self, node: Proto) -> Mapping[str, Proto]:
        """Types of the outputs of ``node``, as far as they follow from its inputs."""
        import onnx
        from onnx import shape_inference

        if not node.output:
            return {}
        if node.domain == FUNCTION_DOMAIN:
            return self.of_own_function(node)
        if node.op_type in _KEEPS_TYPE and node.input and node.input[0] in self.types:
            return {node.output[0]: self.types[node.input[0]]}
        unknown = onnx.TypeProto()
        try:
            version = next(entry.version for entry in self.versions if entry.domain in ("", "ai.onnx"))
            schema = onnx.defs.get_schema(
                node.op_type, version, "" if node.domain == "ai.onnx" else node.domain
            )
            return shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types.get(name, unknown) for name in node.input if name},
                {name: self.datum(name) for name in node.input if name in self.values},
                opset_imports=self.versions,
                ir_version=self.ir_version,
            )
        except Exception:  # from C++, for any contradiction in the node: its outputs stay unknown
            return {}

    def of_own_function(self, node: Proto) -> dict[str, Proto]:
        """Types of the functions that exported files carry."""
        from onnx import helper

        shapes = [self.shapes.get(name) for name in node.input]
        first, last = (shapes[0], shapes[-1]) if shapes else (None, None)
        if node.op_type == "Copy" and len(node.input) == 3 and node.input[2] in self.values:
            first = tuple(int(size) for size in self.values[node.input[2]].ravel())
        elif node.op_type == "CacheAppend" and first and last and len(first) > 1 < len(last):
            first = (*first[:-2], first[-2] + last[-2], first[-1])
        return {} if first is None else {node.output[0]: helper.make_tensor_type_proto(1, first)}

    def datum(self, name: str) -> Proto:
        """A known value as ONNX's inference takes it."""
        from onnx import numpy_helper

        if name not in self.data:
            self.data[name] = numpy_helper.from_array(self.values[name], name)
        return self.data[name]

    def set_constant(self, name: str, stored: Stored) -> None:
        from onnx import helper

        self.shapes[name] = stored.shape
        element_type = stored.data_type if isinstance(stored, StoredTensor) else stored.values.data_type
        self.types[name] = helper.make_tensor_type_proto(element_type, stored.shape)
        is_small = math.prod(stored.shape) <= _LARGEST_SHAPE
        if is_small and isinstance(stored, StoredTensor) and stored.data_type in _ARITHMETIC_TYPES:
            self.values[name] = stored.read()

    def set_value(self, name: str, value: Array) -> None:
        from onnx import helper

        self.values[name] = value
        self.shapes[name] = value.shape
        element_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        self.types[name] = helper.make_tensor_type_proto(element_type, value.shape)

    def set_type(self, name: str, kind: Proto | None) -> None:
        if kind is None:
            return
        self.types[name] = kind
        tensor = kind.tensor_type
        if not kind.HasField("tensor_type") or not tensor.HasField("shape"):
            return
        sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
        if min(sizes, default=1) >= 0 and math.prod(sizes) <= MAX_ELEMENTS:
            self.shapes[name] = sizes
