"""Joining: scores, scale, mask, softmax and context of an attention become one operator, ``Attend``.

Its scores then never leave the caches. A scale may also stand before the product of queries and keys, as some
exporters write it, in two halves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simsparse.measure.graph import Graph, Node, count_readers

ATTEND = "Attend"


def join_attention(graph: Graph) -> Graph:
    """``graph`` with each softmax between two products of activations as an ``Attend`` node.

    Its inputs are queries (…, tokens, features), keys (…, features, tokens), values (…, tokens, features)
    and, where there is one, a mask that is added to the scores.
    """
    cluster = _Clusters(graph)
    ends: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        joined = cluster.ending_at(node)
        if joined is not None:
            ends[node.outputs[0]] = joined
            gone.update(joined.joined)
    nodes = (ends.get(node.outputs[0], node) if node.outputs else node for node in graph.nodes)
    return replace(graph, nodes=tuple(n for n in nodes if not n.outputs or n.outputs[0] not in gone))


class _Clusters:
    """Looks backwards from a product; what it passes must have no other reader."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: Counter[str] = count_readers(graph.nodes, graph.outputs)
        self.makers: Mapping[str, Node] = {name: node for node in graph.nodes for name in node.outputs}

    def ending_at(self, node: Node) -> Node | None:
        """The attention whose context this product makes."""
        if not self._is_product(node):
            return None
        softmax = self._maker(node.inputs[0], "Softmax")
        if softmax is None or not self._is_by_last_axis(softmax):
            return None
        passed, name, mask, scale = [softmax.outputs[0]], softmax.inputs[0], "", 1.0
        added = self._maker(name, "Add")
        if added is not None and len(added.inputs) == 2:
            scores, mask = self._scores_first(added)
            passed, name = [*passed, name], scores
        name, scale, passed = self._unscaled(name, scale, passed)
        product = self._maker(name, "MatMul")
        if product is None or not self._is_product(product):
            return None
        passed.append(name)
        queries, scale, passed = self._unscaled(product.inputs[0], scale, passed)
        keys, scale, passed = self._unscaled(product.inputs[1], scale, passed)
        inputs = (queries, keys, node.inputs[1], *((mask,) if mask else ()))
        if not self._fits(inputs, self.graph.shapes[name]):
            return None
        attributes = {"scale": scale}
        return replace(
            node, type=ATTEND, inputs=inputs, attributes=attributes, proto=None, joined=tuple(passed)
        )

    def _maker(self, name: str, kind: str) -> Node | None:
        """The operator of that kind that makes ``name`` for one reader only."""
        found = self.makers.get(name)
        only = found is not None and found.is_standard and found.type == kind and self.readers[name] == 1
        return found if only and found is not None and found.outputs == (name,) else None

    def _is_product(self, node: Node) -> bool:
        if not node.is_standard or node.type != "MatMul" or len(node.outputs) != 1:
            return False
        names = (*node.inputs, *node.outputs)
        known = all(name in self.graph.shapes and self.graph.dtypes.get(name) == np.float32 for name in names)
        return known and all(2 <= len(self.graph.shapes[name]) <= 4 for name in names)

    def _is_by_last_axis(self, node: Node) -> bool:
        default = 1 if self.graph.version < 13 else -1
        rank = len(self.graph.shapes.get(node.inputs[0], ()))
        return rank > 0 and int(node.attributes.get("axis", default)) % rank == rank - 1

    def _scores_first(self, node: Node) -> tuple[str, str]:
        first, second = node.inputs
        return (first, second) if self._leads(first) else (second, first)

    def _leads(self, name: str) -> bool:
        """Whether scores come this way."""
        return self._maker(self._unscaled(name, 1.0, [])[0], "MatMul") is not None

    def _unscaled(self, name: str, scale: float, passed: list[str]) -> tuple[str, float, list[str]]:
        """What is multiplied with or divided by a constant number to give ``name``, and the scale with it."""
        for kind in ("Mul", "Div"):
            node = self._maker(name, kind)
            if node is None:
                continue
            for source, other in ((0, 1), (1, 0))[: 2 if kind == "Mul" else 1]:
                number = self.graph.constants.get(node.inputs[other])
                if number is None or number.size != 1 or number.dtype != np.float32:
                    continue
                factor = float(number.ravel()[0])
                same = self.graph.shapes.get(node.inputs[source]) == self.graph.shapes.get(name)
                if same and factor != 0.0:
                    scaled = scale * factor if kind == "Mul" else scale / factor
                    return node.inputs[source], scaled, [*passed, name]
        return name, scale, passed

    def _fits(self, inputs: tuple[str, ...], scores: tuple[int, ...]) -> bool:
        """Whether shapes are those of one attention per head, the mask broadcast to the scores."""
        shapes = [self.graph.shapes.get(name) for name in inputs]
        if any(shape is None or 0 in shape for shape in shapes) or len(set(inputs)) < len(inputs):
            return False
        q, k, v, *masks = (shape for shape in shapes if shape is not None)
        if not (q[:-2] == k[:-2] == v[:-2] == scores[:-2] and q[-1] == k[-2] and k[-1] == v[-2]):
            return False
        for mask, name in zip(masks, inputs[3:], strict=True):
            padded = (1,) * (len(scores) - len(mask)) + tuple(mask)
            wide = len(mask) > len(scores) or self.graph.dtypes.get(name) != np.float32
            if wide or any(a not in (1, b) for a, b in zip(padded, scores, strict=True)):
                return False
        return True
