"""The order of a file's operators: each after those it waits for, and each tensor made exactly once."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from simsparse.errors import FileError
from simsparse.load.onnx_text import clean

Proto = Any

_MOST_MISTAKES = 10


def sort_nodes(graph: Proto, constants: Collection[str], path: Path) -> None:
    """Put the operators in an order that can run; a file in the right order stays as it is.

    Raises
    ------
    FileError
        If a tensor is made twice, an input is made by nothing, or operators wait for each other in a cycle.
    """
    made = {*constants, *(value.name for value in graph.input), ""}
    makers: dict[str, int] = {}
    mistakes = []
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers or name in made:
                mistakes.append(
                    f"{path}: tensor {clean(name)}: expected one operator to make it, got two (export again)"
                )
            makers[name] = index
    for node in graph.node:
        mistakes += [
            f"{path}: operator {clean(node.name or node.op_type)}: expected an input that something makes, "
            f"got {clean(name)}, which nothing makes (export the model again)"
            for name in node.input
            if name not in made and name not in makers
        ]
    raise_mistakes(mistakes)
    order = _order(graph, makers)
    if len(order) < len(graph.node):
        runs = set(order)
        stuck = next(node for index, node in enumerate(graph.node) if index not in runs)
        where = clean(stuck.name or stuck.op_type)
        raise FileError(
            [f"{path}: operator {where}: expected operators in some order, got a cycle (export it again)"]
        )
    if order != list(range(len(order))):
        replace_nodes(graph, [graph.node[index] for index in order])


def reads(node: Proto) -> list[str]:
    """Names of the tensors that ``node`` reads, those of its branches and loop bodies included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            names += [name for inner in graph.node for name in reads(inner)]
    return names


def replace_nodes(graph: Proto, nodes: Iterable[Proto]) -> None:
    """Make ``nodes`` the operators of ``graph``."""
    import onnx

    copies = onnx.GraphProto()
    copies.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(copies.node)


def raise_mistakes(mistakes: list[str]) -> None:
    """Raise all ``mistakes`` at once, if there are any; of very many the first ten."""
    if len(mistakes) > _MOST_MISTAKES:
        rest = f"… and {len(mistakes) - _MOST_MISTAKES} more mistakes like these"
        mistakes = [*mistakes[:_MOST_MISTAKES], rest]
    if mistakes:
        raise FileError(mistakes)


def _order(graph: Proto, makers: Mapping[str, int]) -> list[int]:
    """Operators each after those it waits for, otherwise as listed; those in a cycle are missing."""
    waits = [{makers[name] for name in reads(node) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for index, before in enumerate(waits):
        for earlier in before:
            readers.setdefault(earlier, []).append(index)
    left = [len(before) for before in waits]
    ready = [index for index, count in enumerate(left) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers.get(index, ()):
            left[reader] -= 1
            if not left[reader]:
                heapq.heappush(ready, reader)
    return order
