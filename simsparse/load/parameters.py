"""How many parameters a graph holds, biases, norms and embeddings included, as a model card says."""

from __future__ import annotations

import math

from simsparse.load.graph import Graph, Node, Op, Shape
from simsparse.load.node_attributes import positive, spatial


def parameter_count(graph: Graph) -> int:
    """Learned numbers in ``graph``; a linear layer ``tied`` to an embedding adds none of its own.

    Running statistics of a batch norm are not learned and not counted.
    """
    return sum(node.count * _parameters(node, graph.input_shapes(node)) for node in graph.nodes)


def _parameters(node: Node, inputs: tuple[Shape, ...]) -> int:
    bias = node.integer("bias", 0)
    match node.op:
        case Op.CONV | Op.CONV_TRANSPOSE:
            channels, out = inputs[0][1], node.integer("out_channels")
            positions = math.prod(spatial(node.op, node.attributes, "kernel", len(inputs[0]) - 2))
            return channels * out // node.integer("groups", 1) * positions + bias * out
        case Op.LINEAR:
            out = node.integer("out_features")
            return (0 if node.integer("tied", 0) else inputs[0][-1] * out) + bias * out
        case Op.BATCH_NORM | Op.GROUP_NORM | Op.INSTANCE_NORM:
            return 2 * inputs[0][1]
        case Op.LAYER_NORM:
            return 2 * inputs[0][-1]
        case Op.RMS_NORM:
            return inputs[0][-1]
        case Op.EMBEDDING:
            return positive(node.op, node.attributes, "vocab") * node.shape[-1]
        case Op.LEARNED:
            return math.prod(node.shape)
    return 0
