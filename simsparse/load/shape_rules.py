"""Shape inference: the shape a node makes out of the shapes it reads.

One small rule per operation, in one table. The rules know nothing of files: their messages say what is wrong
with a node, and the caller says where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from simsparse.errors import ShapeError
from simsparse.load.graph import Attributes, Node, Op, Shape, shape_text
from simsparse.load.node_attributes import axis_of, integer, integers, positive, spatial, texts, window

Rule = Callable[[Op, tuple[Shape, ...], Attributes], Shape]


def infer_shape(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    """The shape of the tensor that ``op`` makes.

    Raises
    ------
    ShapeError
        If the inputs do not fit the operation or each other, an attribute is missing or out of range, or the
        result would be empty. The message is one line and starts with the operation.

    >>> infer_shape(Op.CONV, ((1, 3, 8, 8),), {"out_channels": 64, "kernel": 7, "stride": 2, "padding": 3})
    (1, 64, 4, 4)
    """
    least, most, rank = *_ARITY.get(op, (1, 1)), _RANK.get(op, 0)
    if not least <= len(inputs) <= most:
        wanted = f"{least}" if least == most else f"{least} or more"
        raise ShapeError(f"{op}: expected {wanted} inputs, got {len(inputs)} (name them in order)")
    for shape in inputs:
        if min(shape, default=1) < 1:
            raise ShapeError(f"{op}: expected input sizes >= 1, got {shape_text(shape)}")
        if len(shape) < rank:
            raise ShapeError(f"{op}: expected an input of {rank} axes or more, got {shape_text(shape)}")
    result = _RULES.get(op, _same)(op, inputs, attributes)
    if min(result, default=1) < 1:
        raise ShapeError(f"{op}: expected a result of sizes >= 1, got {shape_text(result)}")
    return result


def make_node(
    name: str,
    op: Op,
    inputs: tuple[str, ...],
    shapes: Mapping[str, Shape],
    attributes: Attributes | None = None,
    *,
    output: str | None = None,
    count: int = 1,
) -> Node:
    """A node with its shape inferred from ``shapes``, which has at least the tensors of ``inputs``.

    The tensor it makes is named like the node unless ``output`` says otherwise.
    """
    values = MappingProxyType(dict(attributes or {}))
    return Node(
        name=name,
        op=op,
        inputs=inputs,
        output=output or name,
        attributes=values,
        shape=infer_shape(op, tuple(shapes[key] for key in inputs), values),
        count=count,
    )


def broadcast(op: Op, shapes: tuple[Shape, ...]) -> Shape:
    """The shape that ``shapes`` broadcast to, by NumPy's rule."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    for sizes in zip(*padded, strict=True):
        if any(size not in (1, max(sizes)) for size in sizes):
            raise ShapeError(f"{op}: expected shapes that broadcast, got {texts(shapes)}")
    return result


def matmul_operands(a: Shape, b: Shape, attributes: Attributes) -> tuple[Shape, Shape]:
    """Operand shapes ``(…, rows, inner)`` and ``(…, inner, columns)``, transpositions applied."""
    if attributes.get("transpose_a", 0):
        a = (*a[:-2], a[-1], a[-2])
    if attributes.get("transpose_b", 0):
        b = (*b[:-2], b[-1], b[-2])
    return a, b


def _same(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del op, attributes
    return inputs[0]


def _image(op: Op, shape: Shape) -> Shape:
    if len(shape) not in (3, 4):
        raise ShapeError(f"{op}: expected (batch, channels, height, width), got {shape_text(shape)}")
    return shape[2:]


def _windows(op: Op, image: Shape, attributes: Attributes) -> Shape:
    """Output sizes of a sliding window; with ``ceil`` the last may hang over the end, not start past it."""
    view = window(op, attributes, len(image))
    sizes = []
    for axis, size in enumerate(image):
        stride = view.stride[axis]
        reach = view.dilation[axis] * (view.kernel[axis] - 1) + 1
        room = size + view.begin[axis] + view.end[axis] - reach
        if room < 0:
            raise ShapeError(
                f"{op}: expected a kernel that fits the padded image, "
                f"got {shape_text(view.kernel)} on {shape_text(image)} (pad more or shrink the kernel)"
            )
        count = room // stride + 1
        hangs_over = room % stride > 0 and count * stride < size + view.begin[axis]
        sizes.append(count + 1 if attributes.get("ceil", 0) and hangs_over else count)
    return tuple(sizes)


def _out_channels(op: Op, in_channels: int, attributes: Attributes) -> int:
    out, groups = positive(op, attributes, "out_channels"), positive(op, attributes, "groups", 1)
    if in_channels % groups or out % groups:
        raise ShapeError(
            f"{op}: expected channels divisible by groups={groups}, got {in_channels} in, {out} out"
        )
    return out


def _conv(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    image = _image(op, inputs[0])
    batch, channels = inputs[0][:2]
    return (batch, _out_channels(op, channels, attributes), *_windows(op, image, attributes))


def _conv_transpose(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    image = _image(op, inputs[0])
    batch, channels = inputs[0][:2]
    view = window(op, attributes, len(image))
    extra = spatial(op, attributes, "output_padding", len(image), 0)
    sizes = [
        (size - 1) * view.stride[axis]
        + view.dilation[axis] * (view.kernel[axis] - 1)
        + 1
        + extra[axis]
        - view.begin[axis]
        - view.end[axis]
        for axis, size in enumerate(image)
    ]
    return (batch, _out_channels(op, channels, attributes), *sizes)


def _linear(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    out_features, heads = positive(op, attributes, "out_features"), integer(op, attributes, "heads", 0)
    axis = attributes.get("head_axis", "m")
    if axis not in ("m", "k"):
        raise ShapeError(f'{op}: expected head_axis "m" (outputs) or "k" (inputs), got {axis!r}')
    size = out_features if axis == "m" else inputs[0][-1]
    if heads < 0 or (heads and size % heads):
        raise ShapeError(f"{op}: expected {size} features divisible by heads, got heads={heads}")
    return (*inputs[0][:-1], out_features)


def _matmul(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    a, b = matmul_operands(inputs[0], inputs[1], attributes)
    if a[-1] != b[-2]:
        raise ShapeError(
            f"{op}: expected equal inner sizes, got {texts((a, b))} (see transpose_a and transpose_b)"
        )
    return (*broadcast(op, (a[:-2], b[:-2])), a[-2], b[-1])


def _broadcast_all(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del attributes
    return broadcast(op, inputs)


def _rotary(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del attributes
    if inputs[0][-1] % 2:
        raise ShapeError(f"{op}: expected an even last axis, got {shape_text(inputs[0])}")
    return inputs[0]


def _reduce(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape = inputs[0]
    gone = {axis_of(op, axis, len(shape)) for axis in integers(op, attributes, "axes")}
    if attributes.get("keepdims", 0):
        return tuple(1 if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _pool(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    return (*inputs[0][:2], *_windows(op, _image(op, inputs[0]), attributes))


def _global_pool(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del attributes
    return (*inputs[0][:2], *(1 for _ in _image(op, inputs[0])))


def _lrn(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    positive(op, attributes, "size", 5)
    return inputs[0]


def _concat(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    first = inputs[0]
    axis = axis_of(op, integer(op, attributes, "axis"), len(first))
    if len({(*shape[:axis], 0, *shape[axis + 1 :]) for shape in inputs}) != 1:
        raise ShapeError(f"{op}: expected shapes that differ in axis {axis} only, got {texts(inputs)}")
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def _transpose(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape, axes = inputs[0], integers(op, attributes, "axes")
    order = tuple(axis_of(op, axis, len(shape)) for axis in axes)
    if sorted(order) != list(range(len(shape))):
        raise ShapeError(f"{op}: expected each of {len(shape)} axes once, got {list(axes)}")
    return tuple(shape[axis] for axis in order)


def _slice(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape = inputs[0]
    axis = axis_of(op, integer(op, attributes, "axis"), len(shape))
    size, step = shape[axis], integer(op, attributes, "step", 1)
    if step == 0:
        raise ShapeError(f"{op}: expected a step other than 0, got 0")
    start, stop = integer(op, attributes, "start", 0), integer(op, attributes, "stop", size)
    return (*shape[:axis], len(range(*slice(start, stop, step).indices(size))), *shape[axis + 1 :])


def _select(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape = inputs[0]
    axis, index = axis_of(op, integer(op, attributes, "axis"), len(shape)), integer(op, attributes, "index")
    if not -shape[axis] <= index < shape[axis]:
        raise ShapeError(f"{op}: expected an index below {shape[axis]}, got {index}")
    return (*shape[:axis], *shape[axis + 1 :])


def _embedding(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    positive(op, attributes, "vocab")
    return (*inputs[0], positive(op, attributes, "dim"))


def _cache_append(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape, length = inputs[0], positive(op, attributes, "length")
    if length < shape[-2]:
        raise ShapeError(f"{op}: expected a length that holds {shape[-2]} new positions, got {length}")
    return (*shape[:-2], length, shape[-1])


def _given(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del inputs
    return integers(op, attributes, "shape")


def _flatten(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape, axis = inputs[0], integer(op, attributes, "axis", 1)
    at = axis if axis == len(shape) else axis_of(op, axis, len(shape))
    return (math.prod(shape[:at]), math.prod(shape[at:]))


def _reshape(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape, wanted = inputs[0], integers(op, attributes, "shape")
    if min(wanted, default=1) < -1 or 0 in wanted[len(shape) :]:
        raise ShapeError(f"{op}: expected sizes >= 1, one -1, or 0 to keep an axis, got {list(wanted)}")
    sizes = [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    known, total = math.prod(size for size in sizes if size != -1), math.prod(shape)
    if sizes.count(-1) > 1 or total % known or (-1 not in sizes and total != known):
        raise ShapeError(f"{op}: expected {total} elements as in {shape_text(shape)}, got {list(wanted)}")
    return tuple(total // known if size == -1 else size for size in sizes)


def _split_heads(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    shape, heads = inputs[0], positive(op, attributes, "heads")
    if len(shape) != 3 or shape[-1] % heads:
        raise ShapeError(
            f"{op}: expected (batch, seq, features) with features divisible by heads={heads}, "
            f"got {shape_text(shape)}"
        )
    batch, seq, features = shape
    return (batch, heads, seq, features // heads)


def _merge_heads(op: Op, inputs: tuple[Shape, ...], attributes: Attributes) -> Shape:
    del attributes
    if len(inputs[0]) != 4:
        raise ShapeError(f"{op}: expected (batch, heads, seq, features), got {shape_text(inputs[0])}")
    batch, heads, seq, features = inputs[0]
    return (batch, seq, heads * features)


_MANY = 10_000
_ARITY: dict[Op, tuple[int, int]] = {
    Op.MATMUL: (2, 2),
    Op.ADD: (2, _MANY),
    Op.SUB: (2, 2),
    Op.MUL: (2, _MANY),
    Op.DIV: (2, 2),
    Op.POINTWISE: (1, _MANY),
    Op.CONCAT: (1, _MANY),
    Op.COPY: (1, _MANY),
    Op.LEARNED: (0, 0),
}
_RANK: dict[Op, int] = {
    Op.LINEAR: 1,
    Op.MATMUL: 2,
    Op.BATCH_NORM: 2,
    Op.LAYER_NORM: 1,
    Op.RMS_NORM: 1,
    Op.GROUP_NORM: 2,
    Op.INSTANCE_NORM: 3,
    Op.LRN: 2,
    Op.SOFTMAX: 1,
    Op.ROTARY: 1,
    Op.CACHE_APPEND: 2,
}
_RULES: dict[Op, Rule] = {
    Op.CONV: _conv,
    Op.CONV_TRANSPOSE: _conv_transpose,
    Op.LINEAR: _linear,
    Op.MATMUL: _matmul,
    Op.ADD: _broadcast_all,
    Op.SUB: _broadcast_all,
    Op.MUL: _broadcast_all,
    Op.DIV: _broadcast_all,
    Op.POINTWISE: _broadcast_all,
    Op.ROTARY: _rotary,
    Op.REDUCE: _reduce,
    Op.MAX_POOL: _pool,
    Op.AVG_POOL: _pool,
    Op.GLOBAL_AVG_POOL: _global_pool,
    Op.GLOBAL_MAX_POOL: _global_pool,
    Op.LRN: _lrn,
    Op.CONCAT: _concat,
    Op.TRANSPOSE: _transpose,
    Op.SLICE: _slice,
    Op.SELECT: _select,
    Op.EMBEDDING: _embedding,
    Op.CACHE_APPEND: _cache_append,
    Op.COPY: _given,
    Op.FLATTEN: _flatten,
    Op.RESHAPE: _reshape,
    Op.SPLIT_HEADS: _split_heads,
    Op.MERGE_HEADS: _merge_heads,
    Op.LEARNED: _given,
}
