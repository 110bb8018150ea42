"""A network as operators that can be joined and folded before anything runs.

`Node` is one operator; passes take a graph and give another. A product with constant weights is a node of
type ``Product`` that carries what its kernel does on the way out: bias, residual, activation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simsparse.load.graph import Shape
from simsparse.load.onnx_fold import attribute_values
from simsparse.load.onnx_network import OnnxNetwork

Proto = Any
Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epilogue:
    """What a product does to its sums: ``activation(scale · sum + shift + residual)``.

    ``scale`` and ``shift`` have one number per row; ``residual`` names a tensor.
    """

    scale: Floats | None = None
    shift: Floats | None = None
    residual: str = ""
    activation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operator. ``layer`` is the layer of the workload that it is, "" where it is none.

    ``inputs`` has empty names for optional ones left out, and no residual: that is in the ``epilogue``.
    """

    name: str
    type: str
    domain: str = ""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    proto: Proto = None
    layer: str = ""
    epilogue: Epilogue = field(default_factory=Epilogue)
    joined: tuple[str, ...] = ()
    """tensors that operators it swallowed made"""

    @property
    def is_standard(self) -> bool:
        """Whether the ONNX standard defines it."""
        return self.domain == ""

    @property
    def reads(self) -> tuple[str, ...]:
        """All tensors it reads: the residual and those that its inner graphs take from outside included."""
        more = captured(self.proto) - set(self.inputs) if self.proto is not None else ()
        residual = (self.epilogue.residual,) if self.epilogue.residual else ()
        return (*(name for name in self.inputs if name), *sorted(more), *residual)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Nodes in an order that can run; ``constants`` grows as passes fold."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: MutableMapping[str, Array]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, np.dtype[Any]]
    versions: tuple[tuple[str, int], ...]

    @property
    def version(self) -> int:
        """Of the standard operators."""
        return next((number for domain, number in self.versions if domain in ("", "ai.onnx")), 1)


class Values(MutableMapping[str, Array]):
    """Constants of the file, read once when first asked for, and those that folding adds."""

    def __init__(self, stored: Mapping[str, Array]) -> None:
        self._stored = stored
        self._held: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._held:
            self._held[name] = self._stored[name]
        return self._held[name]

    def __setitem__(self, name: str, value: Array) -> None:
        self._held[name] = value

    def __delitem__(self, name: str) -> None:
        """Forget the value; one of the file is read again if it is asked for again."""
        self._held.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._held or name in self._stored

    def __iter__(self) -> Any:
        return iter({**dict.fromkeys(self._stored), **self._held})

    def __len__(self) -> int:
        return len(set(self._held) | set(self._stored))


def captured(proto: Proto) -> set[str]:
    """Tensors that the branches and loop bodies of an operator take from outside."""
    bodies = [graph for a in proto.attribute for graph in ((a.g,) if a.HasField("g") else a.graphs)]
    return set().union(*map(_free, bodies))


def _free(body: Proto) -> set[str]:
    """Names that a graph uses and does not make."""
    made = {value.name for value in (*body.input, *body.initializer)} | {""}
    made |= {sparse.values.name for sparse in body.sparse_initializer}
    free: set[str] = set()
    for node in body.node:
        free |= (set(node.input) | captured(node)) - made
        made |= set(node.output)
    return free | ({value.name for value in body.output} - made)


def build_graph(network: OnnxNetwork) -> Graph:
    """The operators of a file as nodes."""
    nodes = []
    for index, proto in enumerate(network.nodes):
        made = next((name for name in proto.output if name), "")
        name = network.layers.get(made) or proto.name or f"{proto.op_type}_{index}"
        nodes.append(
            Node(
                name=name,
                type=proto.op_type,
                domain="" if proto.domain == "ai.onnx" else proto.domain,
                inputs=tuple(proto.input),
                outputs=tuple(proto.output),
                attributes=attribute_values(proto),
                proto=proto,
                layer=network.layers.get(made, ""),
            )
        )
    return Graph(
        nodes=tuple(nodes),
        inputs=network.inputs,
        outputs=network.outputs,
        constants=Values(network.constants),
        shapes=network.shapes,
        dtypes=network.dtypes,
        versions=network.versions,
    )


def count_readers(nodes: Iterable[Node], outputs: Sequence[str]) -> Counter[str]:
    """How often each tensor is read, by operators and as a result of the network."""
    readers = Counter(outputs)
    for node in nodes:
        readers.update(node.reads)
    return readers


def only_needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that lead to an output, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in wanted for name in node.outputs if name):
            wanted.update(node.reads)
            kept.append(node)
    return kept[::-1]
