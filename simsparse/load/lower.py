"""From the operator graph to the layers that are simulated: ``lower(graph) -> Workload``.

Products become matrix products. Everything else that does something at run time becomes a layer with a price:
the elements it reads and writes once, and the operations it does. Views (reshape, flatten, heads) do nothing
and vanish. A bias is added while a product's results are still in registers, so it is no layer either.

Operations are counted as a scalar machine would do them; an exponential, a division or a root is one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from simsparse.ir import Layer, LayerKind, Unsupported, WeightArray, Workload
from simsparse.load import products
from simsparse.load.graph import Graph, Node, Op, Shape
from simsparse.load.node_attributes import window

_VIEWS = frozenset({Op.FLATTEN, Op.RESHAPE, Op.SPLIT_HEADS, Op.MERGE_HEADS, Op.LEARNED})
_FOLDABLE = frozenset({Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR})
_KINDS: dict[Op, LayerKind] = {
    **dict.fromkeys((Op.BATCH_NORM, Op.LAYER_NORM, Op.RMS_NORM, Op.GROUP_NORM), LayerKind.NORMALIZATION),
    **dict.fromkeys((Op.INSTANCE_NORM, Op.LRN), LayerKind.NORMALIZATION),
    **dict.fromkeys((Op.RELU, Op.RELU6, Op.LEAKY_RELU, Op.GELU, Op.SILU, Op.SIGMOID), LayerKind.ACTIVATION),
    **dict.fromkeys((Op.TANH, Op.HARD_SWISH, Op.HARD_SIGMOID), LayerKind.ACTIVATION),
    Op.SOFTMAX: LayerKind.SOFTMAX,
    **dict.fromkeys((Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.SCALE, Op.POINTWISE), LayerKind.ELEMENTWISE),
    Op.ROTARY: LayerKind.ELEMENTWISE,
    **dict.fromkeys((Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL), LayerKind.POOL),
    Op.REDUCE: LayerKind.POOL,
    **dict.fromkeys((Op.CONCAT, Op.TRANSPOSE, Op.SLICE, Op.SELECT, Op.EMBEDDING), LayerKind.MOVEMENT),
    **dict.fromkeys((Op.CACHE_APPEND, Op.COPY), LayerKind.MOVEMENT),
}
OPERATIONS_PER_ELEMENT: dict[Op, int] = {
    Op.BATCH_NORM: 2,  # scale, shift; statistics are constants at inference
    Op.LAYER_NORM: 7,  # sum, centre, square, sum, divide by deviation, scale, shift
    Op.GROUP_NORM: 7,  # as layer norm
    Op.INSTANCE_NORM: 7,  # as layer norm
    Op.RMS_NORM: 4,  # square, sum, divide by root mean square, scale
    Op.RELU: 1,  # maximum
    Op.RELU6: 2,  # maximum, minimum
    Op.LEAKY_RELU: 2,  # scale, maximum
    Op.GELU: 8,  # 0.5·x·(1 + tanh(x·(a·x·x + b))): five products, two sums, one tanh
    Op.SIGMOID: 4,  # negate, exponential, add one, reciprocal
    Op.SILU: 5,  # sigmoid, product
    Op.TANH: 1,  # one transcendental
    Op.HARD_SIGMOID: 4,  # scale, shift, maximum, minimum
    Op.HARD_SWISH: 5,  # hard sigmoid, product
    Op.SOFTMAX: 5,  # running maximum, subtract, exponential, sum, divide
    Op.SUB: 1,
    Op.DIV: 1,
    Op.SCALE: 1,
    Op.ROTARY: 3,  # two products and a sum; tables of sines and cosines stay on chip
}


def lower(
    graph: Graph,
    *,
    weights: Mapping[str, WeightArray] | None = None,
    unsupported: tuple[Unsupported, ...] = (),
) -> Workload:
    """The layers of ``graph`` in execution order, named like its nodes.

    ``weights`` maps node names to ``(m, k)`` arrays; a transposed convolution's has output channels × kernel
    positions as rows. A batch norm that alone reads a product with weights is folded into it.

    Raises
    ------
    ShapeError
        If a node's attributes do not fit its inputs.
    """
    folded = frozenset(_folded(graph))
    layers = tuple(
        layer
        for node in graph.nodes
        if node.name not in folded
        for layer in _layers(node, graph.input_shapes(node))
    )
    return Workload(
        name=graph.name,
        layers=layers,
        source=graph.source,
        batch=graph.batch,
        weights=weights if weights is not None else MappingProxyType({}),
        unsupported=unsupported,
        notes=(*graph.notes, *_notes(graph, folded)),
    )


def _readers(graph: Graph) -> Counter[str]:
    """How often each tensor is read; leaving the graph is one more time."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers.update(graph.outputs)
    return readers


def _folded(graph: Graph) -> Iterator[str]:
    """Names of the batch norms whose scale and shift join the weights of the product before them."""
    producers = {node.output: node for node in graph.nodes}
    readers = _readers(graph)
    for node in graph.nodes:
        if node.op is Op.BATCH_NORM and readers[node.inputs[0]] == 1:
            producer = producers.get(node.inputs[0])
            if producer is not None and producer.op in _FOLDABLE and producer.count == node.count:
                yield node.name


def _layers(node: Node, inputs: tuple[Shape, ...]) -> tuple[Layer, ...]:
    match node.op:
        case Op.CONV:
            return (products.conv(node, inputs[0]),)
        case Op.CONV_TRANSPOSE:
            product = products.conv_transpose(node, inputs[0])
            return (product, *_overlap_add(node, product))
        case Op.LINEAR:
            return (products.linear(node, inputs[0]),)
        case Op.MATMUL:
            return (products.matmul(node, inputs[0], inputs[1]),)
    return () if node.op in _VIEWS else (_priced(node, inputs),)


def _overlap_add(node: Node, product: Layer) -> tuple[Layer, ...]:
    outputs = math.prod(node.shape)
    if outputs == product.output_elements:
        return ()
    return (
        Layer(
            name=f"{node.name}.overlap_add",
            kind=LayerKind.ELEMENTWISE,
            count=node.count,
            input_elements=product.output_elements,
            output_elements=outputs,
            operations=product.output_elements,
        ),
    )


def _priced(node: Node, inputs: tuple[Shape, ...]) -> Layer:
    moved, written = _traffic(node, inputs)
    return Layer(
        name=node.name,
        kind=_KINDS[node.op],
        count=node.count,
        input_elements=moved,
        output_elements=written,
        operations=_operations(node, inputs),
        transposes=node.op is Op.TRANSPOSE and _turns(node),
    )


def _turns(node: Node) -> bool:
    """Whether a transposition moves the axis along which elements lie side by side."""
    axes = node.attributes.get("axes", ())
    return isinstance(axes, tuple) and bool(axes) and axes[-1] != len(axes) - 1


def _traffic(node: Node, inputs: tuple[Shape, ...]) -> tuple[int, int]:
    """Elements read and written; a copy of part of a tensor reads only that part."""
    read, written = sum(math.prod(shape) for shape in inputs), math.prod(node.shape)
    match node.op:
        case Op.SLICE | Op.SELECT | Op.COPY:
            return min(read, written), written
        case Op.EMBEDDING:
            return read + written, written
        case Op.CACHE_APPEND:
            return read, read
    return read, written


def _operations(node: Node, inputs: tuple[Shape, ...]) -> int:
    written = math.prod(node.shape)
    match node.op:
        case Op.ADD | Op.MUL:
            return written * (len(inputs) - 1)
        case Op.POINTWISE:
            return written * node.integer("operations", 1)
        case Op.LRN:  # square, add up the window, scale, shift, power, product
            return written * (node.integer("size", 5) + 5)
        case Op.MAX_POOL | Op.AVG_POOL:
            return written * math.prod(window(node.op, node.attributes, len(inputs[0]) - 2).kernel)
        case Op.GLOBAL_AVG_POOL | Op.GLOBAL_MAX_POOL | Op.REDUCE:
            return math.prod(inputs[0])
    return written * OPERATIONS_PER_ELEMENT.get(node.op, 0)


def _notes(graph: Graph, folded: frozenset[str]) -> Iterator[str]:
    if folded:
        yield f"batch norms folded into the products before them, as for inference: {len(folded)}"
    if any(node.op is Op.CONV_TRANSPOSE for node in graph.nodes):
        yield (
            "a transposed convolution is a product of m = output channels × kernel positions per input"
            " position, "
            "and an addition where kernels overlap"
        )
    if any(node.op is Op.CACHE_APPEND for node in graph.nodes):
        yield "attention reads its cache as an operand; appending to it writes the new positions only"
