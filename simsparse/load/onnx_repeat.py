"""A graph with its ``count`` written out: twelve identical blocks become twelve blocks, one after the other.

Nodes that share a count and stand together are one block. It reads one tensor from before it, the one its
first node reads first, and in each repetition that is the result of the repetition before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from simsparse.errors import UsageError
from simsparse.load.graph import Graph, Node

Counted = tuple[Node, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a node: ``node`` has count 1 and a name of its own, ``base`` the name in the graph."""

    base: str
    node: Node


def write_out(graph: Graph) -> tuple[tuple[Instance, ...], tuple[str, ...]]:
    """All instances in execution order, and the names of the graph's outputs among their tensors.

    The instances of a node with count > 1 are named ``name.0``, ``name.1`` …

    Raises
    ------
    UsageError
        If a repeated block does not keep its shape, so that it cannot follow itself.
    """
    writer = _Writer(graph=graph)
    writer.write([(node, node.count) for node in graph.nodes], "")
    return tuple(writer.done), tuple(writer.names.get(name, name) for name in graph.outputs)


@dataclass(slots=True, kw_only=True)
class _Writer:
    """``names`` says what a tensor of the graph is called in the instance written last."""

    graph: Graph
    done: list[Instance] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def write(self, nodes: Sequence[Counted], suffix: str) -> None:
        for repeats, group in groupby(nodes, key=lambda counted: counted[1] > 1):
            if repeats:
                for block in _blocks(list(group)):
                    self.repeat(block, suffix)
            else:
                for node, _ in group:
                    self.one(node, suffix)

    def one(self, node: Node, suffix: str) -> None:
        inputs = tuple(self.names.get(name, name) for name in node.inputs)
        output = self.names[node.output] = node.output + suffix
        written = replace(node, name=node.name + suffix, inputs=inputs, output=output, count=1)
        self.done.append(Instance(base=node.name, node=written))

    def repeat(self, block: Sequence[Counted], suffix: str) -> None:
        first, last = block[0][0], block[-1][0]
        if not first.inputs or self.graph.shapes[first.inputs[0]] != last.shape:
            raise UsageError(
                f"{self.graph.name}: expected a repeated block that keeps its shape, got one that does not, "
                f"from {first.name} to {last.name} (write its repetitions out)"
            )
        entry = first.inputs[0]
        before = self.names.get(entry, entry)
        times = math.gcd(*(count for _, count in block))
        for number in range(times):
            self.write([(node, count // times) for node, count in block], f"{suffix}.{number}")
            self.names[entry] = self.names[last.output]
        self.names[entry] = before


def _blocks(nodes: list[Counted]) -> Iterator[list[Counted]]:
    """The blocks in neighbours with counts above 1: one if their counts have a common factor."""
    if math.gcd(*(count for _, count in nodes)) > 1:
        yield nodes
    else:
        for _, same in groupby(nodes, key=lambda counted: counted[1]):
            yield list(same)
