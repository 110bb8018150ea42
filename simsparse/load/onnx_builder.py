"""What the translation of ONNX operators writes to: nodes of an operator graph, and weights beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from simsparse.errors import ShapeError
from simsparse.load.graph import Attribute, Node, Op, Shape, TensorSpec
from simsparse.load.onnx_fold import attribute_values
from simsparse.load.onnx_fuse import FUNCTION_DOMAIN
from simsparse.load.onnx_order import reads
from simsparse.load.onnx_text import UniqueNames, clean
from simsparse.load.onnx_weights import Recipe, Step, derive

Proto = Any

_CACHE = re.compile(r"past|cache", re.IGNORECASE)


class RefusedError(Exception):
    """An operator that is not simulated; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An ONNX operator with a name of its own; ``inputs`` has empty names for optional ones left out."""

    name: str
    type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_standard(self) -> bool:
        """Whether the ONNX standard defines it."""
        return self.domain in ("", "ai.onnx")

    def given(self, index: int) -> bool:
        """Whether the optional input ``index`` is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def first(self, count: int) -> tuple[str, ...]:
        """The first ``count`` inputs, none of them optional."""
        names = self.inputs[:count]
        if len(names) < count or not all(names):
            raise ShapeError(f"operator {self.name} ({self.type}): expected {count} inputs, got fewer")
        return names

    def integer(self, key: str, default: int) -> int:
        """The integer attribute ``key``."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int):
            raise ShapeError(f"operator {self.name}: expected a whole number {key}, got {clean(str(value))}")
        return value

    def number(self, key: str, default: float) -> float:
        """The number attribute ``key``."""
        value = self.attributes.get(key, default)
        if not isinstance(value, (int, float)):
            raise ShapeError(f"operator {self.name}: expected a number {key}, got {clean(str(value))}")
        return float(value)

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """The list of integers ``key``; where it has a default, of that length."""
        value = self.attributes.get(key) or default
        if not isinstance(value, tuple) or (default and len(value) != len(default)):
            raise ShapeError(
                f"operator {self.name}: expected {len(default)} whole numbers {key}, got {clean(str(value))}"
            )
        return tuple(int(entry) for entry in value)

    def text(self, key: str, default: str) -> str:
        """The text attribute ``key``."""
        return str(self.attributes.get(key, default))


class GraphBuilder:
    """Collects graph nodes; tensors keep their ONNX names, operators get printable, unique ones."""

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        recipes: Mapping[str, Recipe],
        values: Mapping[str, NDArray[Any]],
        protos: Iterable[Proto],
        outputs: Iterable[str] = (),
    ) -> None:
        self.recipes: dict[str, Recipe] = dict(recipes)
        self.constants: set[str] = {*recipes, *values}
        self._values = values
        self.nodes: list[Node] = []
        self.weights: dict[str, Recipe] = {}
        self.computed_weights: list[str] = []
        self.inputs: dict[str, TensorSpec] = {}
        self.free_transposes = 0
        self._readers: dict[str, list[Proto]] = {}
        for proto in protos:
            for name in reads(proto):
                self._readers.setdefault(name, []).append(proto)
        self.producers: dict[str, Node] = {}
        self._shapes = shapes
        self._outputs = frozenset(outputs)
        self._names = UniqueNames()
        self._tensors = UniqueNames(shapes)
        self._made: dict[str, Shape] = {}

    def operator(self, proto: Proto, index: int) -> Operator:
        """The operator ``proto`` under a unique name."""
        name = self._names.make(clean(proto.name).strip() or f"{clean(proto.op_type)}_{index}")
        if proto.op_type == "ConvTranspose":  # lowering adds a layer of this name
            self._names.make(f"{name}.overlap_add")
        metadata = {entry.key: entry.value for entry in getattr(proto, "metadata_props", ())}
        return Operator(
            name=name,
            type=clean(proto.op_type),
            domain=proto.domain,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=attribute_values(proto),
            metadata=metadata,
        )

    def part_name(self, name: str, part: str) -> str:
        """A unique name for a part of an operator that becomes several nodes."""
        return self._names.make(f"{name}.{part}")

    def fold_constant(self, proto: Proto) -> bool:
        """Whether ``proto`` only reads constants; what it makes is a constant then too."""
        if proto.domain == FUNCTION_DOMAIN or not all(name in self.constants for name in reads(proto)):
            return False
        recipe = derive(proto, self.recipes, self._shapes)
        self.constants.update(filter(None, proto.output))
        if recipe is not None:
            self.recipes[proto.output[0]] = recipe
        return True

    def scalar(self, operator: Operator, index: int, key: str) -> float | None:
        """A number that is the attribute ``key`` or, in newer opsets, the constant input ``index``."""
        if operator.given(index):
            value = self._values.get(operator.inputs[index])
            return float(value.ravel()[0]) if value is not None and value.size == 1 else None
        number = operator.attributes.get(key)
        return float(number) if isinstance(number, (int, float)) else None

    def readers(self, tensor: str) -> int:
        """How many times ``tensor`` is read, by operators and as a result of the model."""
        return len(self._readers.get(tensor, ())) + (tensor in self._outputs)

    def feeds_products(self, tensor: str, depth: int = 2) -> bool:
        """Whether ``tensor`` is read by products of two activations only, scaled by a constant or not."""
        readers = self._readers.get(tensor, [])
        return (
            bool(readers)
            and tensor not in self._outputs
            and all(self._is_product(reader, depth) for reader in readers)
        )

    def _is_product(self, reader: Proto, depth: int) -> bool:
        constants = [name for name in reader.input if name in self.constants]
        if reader.op_type == "MatMul":
            return not constants
        scales = reader.op_type in ("Mul", "Div") and all(
            math.prod(self._shapes.get(c, (2,))) == 1 for c in constants
        )
        return scales and bool(constants) and depth > 0 and self.feeds_products(reader.output[0], depth - 1)

    def is_cache(self, tensor: str) -> bool:
        """Whether ``tensor`` is an input of the model that holds keys or values of earlier tokens."""
        return tensor in self.inputs and bool(_CACHE.search(tensor))

    def shape(self, tensor: str) -> Shape:
        """Shape of an ONNX tensor, or of one made here."""
        shape = self._made.get(tensor) or self._shapes.get(tensor)
        if shape is None:
            raise RefusedError("the shape of a tensor it reads or makes is unknown")
        if min(shape, default=1) < 1:
            raise RefusedError("a tensor it reads or makes is empty")
        return shape

    def read(self, tensor: str) -> str:
        """``tensor`` as a tensor of the graph: a constant becomes a learned one, the unknown an input."""
        shape = self.shape(tensor)
        if tensor not in self._made:
            self._made[tensor] = shape
            if tensor in self.constants:
                self.nodes.append(
                    Node(
                        name=self._names.make(f"{clean(tensor)}.constant"),
                        op=Op.LEARNED,
                        inputs=(),
                        output=tensor,
                        attributes={"shape": shape},
                        shape=shape,
                    )
                )
            else:
                self.inputs[tensor] = TensorSpec(shape=shape or (1,))
        return tensor

    def add(
        self,
        name: str,
        op: Op,
        inputs: tuple[str, ...],
        shape: Shape,
        output: str = "",
        /,
        **attributes: Attribute,
    ) -> str:
        """Append a node that makes ``output``, or a tensor of a new name; returns that name."""
        output = output or self._tensors.make(f"{name}:out")
        node = Node(name=name, op=op, inputs=inputs, output=output, attributes=attributes, shape=shape)
        self.nodes.append(node)
        self._made[output] = shape
        self.producers[output] = node
        return output

    def view(self, tensor: str, shape: Shape, *, output: str = "") -> str:
        """``tensor`` with another shape of the same number of elements; nothing happens at run time."""
        if not output and self._made[tensor] == shape:
            return tensor
        if math.prod(self._made[tensor]) != math.prod(shape):
            raise RefusedError("its tensors do not fit each other")
        producer = self.producers.get(tensor)
        name = self._names.make(f"{clean(tensor)}.view")
        made = self.add(name, Op.RESHAPE, (tensor,), shape, output, shape=shape)
        if producer is not None:
            self.producers[made] = producer
        return made

    def set_weight(self, name: str, tensor: str, *steps: Step) -> None:
        """Layer ``name`` takes its weights from ``tensor``, by ``steps`` that end in shape ``(m, k)``."""
        recipe = self.recipes.get(tensor)
        if recipe is None:
            self.computed_weights.append(name)
        else:
            self.weights[name] = recipe.then(*steps)
