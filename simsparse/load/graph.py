"""The operator graph that a workload YAML and an ONNX file both become, before it is lowered to layers.

A graph is a list of nodes in execution order. Each node makes one tensor; a tensor is known by its name and
its shape, never by its values. Weights are attributes of a node (``out_channels``, ``vocab`` …), not inputs:
the arrays of a model that brings its own travel beside the graph, under the node's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from simsparse.errors import ShapeError

Shape = tuple[int, ...]
Attribute = int | float | str | tuple[int, ...]
Attributes = Mapping[str, Attribute]


class Op(StrEnum):
    """What a node does; the comment lists its attributes, those with a default in brackets.

    Images are ``(batch, channels, height, width)`` or ``(batch, channels, width)``; ``kernel``, ``stride``
    and ``dilation`` have one entry per spatial axis (an int serves all), ``padding`` has all the begins, then
    all the ends. ``axis`` may be negative. Flags are 0 or 1.
    """

    # Products with weights
    CONV = "conv"  # out_channels, kernel, [stride 1, padding 0, dilation 1, groups 1, bias 0]
    CONV_TRANSPOSE = "conv_transpose"  # as conv, and [output_padding 0]
    LINEAR = "linear"  # out_features, [bias 0, heads 0, head_axis "m", tied 0]; acts on the last axis
    # Product of two activations: a·b over the last two axes, leading axes broadcast
    MATMUL = "matmul"  # [transpose_a 0, transpose_b 0]
    # Normalisation: same shape out
    BATCH_NORM = "batch_norm"
    LAYER_NORM = "layer_norm"
    RMS_NORM = "rms_norm"
    GROUP_NORM = "group_norm"
    INSTANCE_NORM = "instance_norm"
    LRN = "lrn"  # [size 5]: channels in the window
    # Activation: same shape out
    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"
    GELU = "gelu"
    SILU = "silu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    HARD_SWISH = "hard_swish"
    HARD_SIGMOID = "hard_sigmoid"
    SOFTMAX = "softmax"  # [axis -1]
    # Element by element
    ADD = "add"  # two or more inputs, broadcast
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    SCALE = "scale"  # times (or plus) a constant
    POINTWISE = "pointwise"  # any other function of one or more broadcast inputs: [operations 1] per element
    ROTARY = "rotary"  # rotary position embedding on the last axis
    REDUCE = "reduce"  # axes, [how "mean", keepdims 0]
    # Pooling
    MAX_POOL = "max_pool"  # kernel, [stride 1, padding 0, dilation 1, ceil 0]
    AVG_POOL = "avg_pool"  # as max_pool
    GLOBAL_AVG_POOL = "global_avg_pool"  # spatial axes become 1
    GLOBAL_MAX_POOL = "global_max_pool"
    # Movement: bytes are copied, nothing is computed
    CONCAT = "concat"  # axis; two or more inputs
    TRANSPOSE = "transpose"  # axes: output axis i is input axis axes[i]
    SLICE = "slice"  # axis, start, stop, [step 1]; negatives count from the end, as in Python
    SELECT = "select"  # axis, index: one position of an axis, which goes away
    EMBEDDING = "embedding"  # vocab, dim; input token ids (…), output (…, dim)
    CACHE_APPEND = "cache_append"  # length: (batch, heads, new, dim) joins a cache, `length` with it
    COPY = "copy"  # shape: pad, resize, expand, gather …
    # Views: nothing happens at run time
    FLATTEN = "flatten"  # [axis 1]: axes before it become one, axes from it on become one
    RESHAPE = "reshape"  # shape; one entry may be -1, and 0 keeps that axis
    SPLIT_HEADS = "split_heads"  # heads: (batch, seq, heads·dim) read in place as (batch, heads, seq, dim)
    MERGE_HEADS = "merge_heads"  # the inverse
    # A learned tensor that is no product's weight, such as a class token; no inputs
    LEARNED = "learned"  # shape


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Shape and element type of a graph input."""

    shape: Shape
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ShapeError(
                f"input: expected sizes >= 1, got {shape_text(self.shape)} (fix the size below 1)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation; ``output`` is the name of the tensor it makes and ``shape`` that tensor's shape.

    ``count`` identical nodes in a chain (the same block of a transformer, say) share one entry.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes = field(default_factory=lambda: MappingProxyType({}))
    shape: Shape
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ShapeError(f"node {self.name}: expected count >= 1, got {self.count}")
        if min(self.shape, default=1) < 1:
            raise ShapeError(f"node {self.name}: expected sizes >= 1, got {shape_text(self.shape)}")

    def integer(self, key: str, default: int | None = None) -> int:
        """The integer attribute ``key``."""
        value = self.attributes.get(key, default)
        if not isinstance(value, int):
            raise ShapeError(f"node {self.name}: {self.op} expects an integer {key}, got {value!r}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes in execution order; ``shapes`` has every tensor, inputs included."""

    name: str
    source: str
    batch: int
    inputs: Mapping[str, TensorSpec]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names: set[str] = set()
        tensors = set(self.inputs)
        for node in self.nodes:
            if node.name in names or node.output in tensors:
                raise ShapeError(
                    f"graph {self.name}: expected unique names, got {node.name} twice (rename one of them)"
                )
            _check_known(self, node.name, node.inputs, tensors)
            names.add(node.name)
            tensors.add(node.output)
        _check_known(self, "outputs", self.outputs, tensors)

    def input_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Shapes of the tensors ``node`` reads, in order."""
        return tuple(self.shapes[name] for name in node.inputs)


def make_graph(
    name: str,
    *,
    source: str,
    inputs: Mapping[str, TensorSpec],
    nodes: tuple[Node, ...],
    outputs: tuple[str, ...],
    batch: int = 1,
    notes: tuple[str, ...] = (),
) -> Graph:
    """A graph whose ``shapes`` are gathered from its inputs and nodes.

    Raises
    ------
    ShapeError
        If a name is used twice, or a tensor is read before it is made.
    """
    shapes = {key: spec.shape for key, spec in inputs.items()} | {node.output: node.shape for node in nodes}
    return Graph(
        name=name,
        source=source,
        batch=batch,
        inputs=MappingProxyType(dict(inputs)),
        nodes=nodes,
        outputs=outputs,
        shapes=MappingProxyType(shapes),
        notes=notes,
    )


def shape_text(shape: Shape) -> str:
    """A shape as a person writes it.

    >>> shape_text((1, 3, 224, 224))
    '1x3x224x224'
    """
    return "x".join(map(str, shape)) if shape else "scalar"


def _check_known(graph: Graph, where: str, names: tuple[str, ...], tensors: set[str]) -> None:
    for name in names:
        if name not in tensors:
            raise ShapeError(
                f"graph {graph.name}: {where}: expected a tensor made before, got {name} (reorder)"
            )
