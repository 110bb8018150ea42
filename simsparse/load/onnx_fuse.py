"""Composed activations and normalisations, found again: x · sigmoid(x) is one SiLU, not two operators.

Exporters write an activation or a norm as the arithmetic it is made of. Every compiler joins these operators
into one kernel, and so does the price: a cluster of element-by-element operators that reads one tensor, gives
one of the same shape and is read nowhere inside becomes one operator if it has a known one's ingredients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Proto = Any
Shape = tuple[int, ...]

FUNCTION_DOMAIN = "simsparse"
KNOWN_FUNCTIONS = frozenset({"Rotary", "CacheAppend", "CacheStart", "Copy"})  # in files that we export
_LARGEST = 16
_PLAIN = ("Add", "Mul", "Div", "Pow", "Cast", "Identity")
_ALLOWED = frozenset(
    (
        *_PLAIN,
        "Sub",
        "Sqrt",
        "Reciprocal",
        "ReduceMean",
        "Erf",
        "Tanh",
        "Sigmoid",
        "Softplus",
        "Clip",
        "HardSigmoid",
    )
)


@dataclass(frozen=True, slots=True)
class _Recipe:
    """A known function: how often each telling operator occurs, and the most operators in all."""

    name: str
    telling: Mapping[str, tuple[int, ...]]
    largest: int


_RECIPES = (
    _Recipe("Silu", MappingProxyType({"Sigmoid": (1,), "Mul": (1,)}), 2),
    _Recipe("Gelu", MappingProxyType({"Erf": (1,)}), 6),
    _Recipe("Gelu", MappingProxyType({"Tanh": (1,), "Add": (2,), "Mul": (3, 4, 5, 6)}), 10),
    _Recipe("Mish", MappingProxyType({"Softplus": (1,), "Tanh": (1,), "Mul": (1,)}), 3),
    _Recipe("HardSwish", MappingProxyType({"Add": (1,), "Clip": (1,), "Mul": (1, 2)}), 4),
    _Recipe("HardSwish", MappingProxyType({"HardSigmoid": (1,), "Mul": (1,)}), 2),
    _Recipe("LayerNorm", MappingProxyType({"ReduceMean": (2,), "Sub": (1, 2), "Sqrt": (1,)}), 14),
    _Recipe("RmsNorm", MappingProxyType({"ReduceMean": (1,), "Sqrt": (1,)}), 10),
)
_TELLING = frozenset(key for recipe in _RECIPES for key in recipe.telling) - set(_PLAIN)


def fuse(
    nodes: Sequence[Proto], constants: Set[str], shapes: Mapping[str, Shape], kept: Set[str]
) -> list[Proto]:
    """``nodes`` with composed functions joined; ``kept`` are tensors that must stay: the graph outputs."""
    if not any(node.op_type in _TELLING for node in nodes):
        return list(nodes)
    search = _Search(nodes, constants, shapes, kept)
    gone: set[int] = set()
    joined: dict[int, Proto] = {}
    for last in range(len(nodes) - 1, -1, -1):
        if last not in gone and nodes[last].op_type in _PLAIN:
            found = search.cluster(last, gone)
            if found:
                name, members, source = found
                gone |= members
                joined[last] = _joined(nodes[last], name, source)
    return [
        joined.get(index, node) for index, node in enumerate(nodes) if index not in gone or index in joined
    ]


def _joined(last: Proto, name: str, source: str) -> Proto:
    import onnx

    return onnx.NodeProto(
        name=last.name, op_type=name, domain=FUNCTION_DOMAIN, input=[source], output=[last.output[0]]
    )


class _Search:
    """Clusters by walking back from their last operator."""

    def __init__(
        self, nodes: Sequence[Proto], constants: Set[str], shapes: Mapping[str, Shape], kept: Set[str]
    ) -> None:
        self.nodes, self.constants, self.shapes, self.kept = nodes, constants, shapes, kept
        self.makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        self.readers = Counter(name for node in nodes for name in node.input)

    def cluster(self, last: int, gone: Set[int]) -> tuple[str, set[int], str] | None:
        """Name, operators and source tensor of the largest known function that ends at ``last``."""
        members, inside = {last}, Counter(self.open_inputs(last))
        best: tuple[str, set[int], str] | None = None
        while len(members) < _LARGEST:
            if len(inside) == 1:
                best = self.named(members, next(iter(inside)), last) or best
            step = max((self.makers.get(tensor, -1) for tensor in inside), default=-1)
            if step < 0 or step in gone or not self.can_join(step, inside):
                break
            for tensor in self.nodes[step].output:
                del inside[tensor]
            members.add(step)
            inside.update(self.open_inputs(step))
        return best

    def open_inputs(self, index: int) -> list[str]:
        return [name for name in self.nodes[index].input if name and name not in self.constants]

    def can_join(self, index: int, inside: Counter[str]) -> bool:
        """Whether the operator is of the right sort and only the cluster reads what it makes."""
        node = self.nodes[index]
        if node.op_type not in _ALLOWED or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            return False
        made = node.output[0]
        return made not in self.kept and self.readers[made] == inside[made]

    def named(self, members: set[int], source: str, last: int) -> tuple[str, set[int], str] | None:
        shape = self.shapes.get(source)
        if shape is None or shape != self.shapes.get(self.nodes[last].output[0]):
            return None
        counts = Counter(self.nodes[index].op_type for index in members)
        telling = {kind for kind in counts if kind in _TELLING}
        for recipe in _RECIPES:
            fits = all(counts[kind] in wanted for kind, wanted in recipe.telling.items())
            if fits and telling <= set(recipe.telling) | {"Reciprocal"} and len(members) <= recipe.largest:
                return recipe.name, set(members), source
        return None
