"""Writing a transformer down as the operator graph, and which tensor of a checkpoint each weight is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from simsparse.load.graph import Attribute, Node, Op, Shape, TensorSpec
from simsparse.load.shape_rules import make_node


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightName:
    """A weight by the name of its tensor: the whole of it, its transpose, or some rows of that."""

    tensor: str
    transpose: bool = False
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a network runs.

    With ``repeat_layers`` each layer of the checkpoint is written out, so that it can have weights of its
    own; otherwise equal layers are one with a count.
    """

    batch: int
    seq: int
    is_decode: bool = False
    repeat_layers: bool = False

    @property
    def new_tokens(self) -> int:
        """Tokens per sequence that go through the network."""
        return 1 if self.is_decode else self.seq


@dataclass(slots=True, kw_only=True)
class Network:
    """Nodes in the order they are added; names get the prefix of the block they are added in."""

    setting: Setting
    inputs: dict[str, TensorSpec] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    weights: dict[str, WeightName] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    prefix: str = ""
    count: int = 1

    def input(self, name: str, shape: Shape, dtype: str = "int64") -> str:
        """A tensor that the network is given."""
        self.inputs[name] = TensorSpec(shape=shape, dtype=dtype)
        self.shapes[name] = shape
        return name

    @contextmanager
    def block(self, prefix: str, count: int = 1) -> Iterator[None]:
        """Nodes added inside carry ``prefix`` and stand for ``count`` equal ones."""
        before = self.prefix, self.count
        self.prefix, self.count = self.prefix + prefix, self.count * count
        try:
            yield
        finally:
            self.prefix, self.count = before

    def add(self, op: Op, name: str, *sources: str, **attributes: Attribute) -> str:
        """A node that reads ``sources``; returns the name of the tensor it makes."""
        full = self.prefix + name
        values = MappingProxyType(dict(attributes))
        node = make_node(full, op, sources, self.shapes, values, count=self.count)
        self.nodes.append(node)
        self.shapes[full] = node.shape
        return full

    def linear(
        self, name: str, source: str, out_features: int, weight: WeightName | str, **attributes: Attribute
    ) -> str:
        """A linear layer and the tensor its weight is in."""
        made = self.add(Op.LINEAR, name, source, out_features=out_features, **attributes)
        self.name_weight(made, weight)
        return made

    def name_weight(self, layer: str, weight: WeightName | str) -> None:
        """Says which tensor of a checkpoint the weight of ``layer`` is."""
        self.weights[layer] = weight if isinstance(weight, WeightName) else WeightName(tensor=weight)
