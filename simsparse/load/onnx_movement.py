"""ONNX operators that move tensors: views are free, copies cost what they read and write."""

from __future__ import annotations

import math

from simsparse.errors import ShapeError
from simsparse.load.graph import Op, Shape
from simsparse.load.onnx_builder import GraphBuilder, Operator


def first_input(builder: GraphBuilder, operator: Operator) -> str:
    """The graph tensor of the first input."""
    return builder.read(operator.first(1)[0])


def view(builder: GraphBuilder, operator: Operator) -> None:
    """The same elements in the same order: free."""
    builder.view(
        first_input(builder, operator), builder.shape(operator.outputs[0]), output=operator.outputs[0]
    )


def copy(builder: GraphBuilder, operator: Operator) -> None:
    """Part of a tensor, or more than one copy of it; with several outputs, one part each."""
    source = first_input(builder, operator)
    for index, output in enumerate(operator.outputs):
        if output and builder.readers(output):
            name = (
                operator.name if len(operator.outputs) == 1 else builder.part_name(operator.name, str(index))
            )
            shape = builder.shape(output)
            builder.add(name, Op.COPY, (source,), shape, output, shape=shape)


def transpose(builder: GraphBuilder, operator: Operator) -> None:
    """A copy, unless only axes of size 1 move or the product beside it can read or write the other order."""
    source = first_input(builder, operator)
    shape, out = builder.shape(source), builder.shape(operator.outputs[0])
    axes = operator.integers("perm", tuple(range(len(shape)))[::-1])
    is_free = operator.metadata.get("simsparse.free") == "1" or _keeps_order(shape, axes)
    if is_free or _joins_product(builder, operator, axes):
        builder.view(source, out, output=operator.outputs[0])
    else:
        builder.add(operator.name, Op.TRANSPOSE, (source,), out, operator.outputs[0], axes=axes)


def _joins_product(builder: GraphBuilder, operator: Operator, axes: tuple[int, ...]) -> bool:
    """Whether it splits or merges heads beside a product, or only products of activations read it."""
    producer = builder.producers.get(operator.inputs[0])
    after = producer is not None and producer.op in (Op.LINEAR, Op.MATMUL) and axes == (0, 2, 1, 3)
    joins = after or (2 < len(axes) < 5 and builder.feeds_products(operator.outputs[0]))
    builder.free_transposes += joins
    return joins


def _keeps_order(shape: Shape, axes: tuple[int, ...]) -> bool:
    """Whether only axes of size 1 change places."""
    moved = [axis for axis in axes if 0 <= axis < len(shape) and shape[axis] > 1]
    return moved == sorted(moved)


def gather(builder: GraphBuilder, operator: Operator) -> None:
    """Rows of a constant table by run-time indices are an embedding; otherwise a part is copied."""
    table, indices = operator.first(2)
    out, output = builder.shape(operator.outputs[0]), operator.outputs[0]
    if table in builder.constants and indices not in builder.constants and operator.integer("axis", 0) == 0:
        sizes = builder.shape(table)
        builder.add(
            operator.name,
            Op.EMBEDDING,
            (builder.read(indices),),
            out,
            output,
            vocab=sizes[0],
            dim=math.prod(sizes[1:]),
        )
    else:
        copy(builder, operator)


def concat(builder: GraphBuilder, operator: Operator) -> None:
    """Tensors side by side; a model input called past or cache with new positions behind it is not copied."""
    names = [name for name in operator.inputs if name]
    shape, axis = builder.shape(operator.outputs[0]), operator.integer("axis", 0)
    if len(names) == 2 and len(shape) == 4 and axis in (-2, 2) and builder.is_cache(names[0]):
        append(builder, operator, 1)
        return
    sources = tuple(builder.read(name) for name in names)
    builder.add(operator.name, Op.CONCAT, sources, shape, operator.outputs[0], axis=axis)


def append(builder: GraphBuilder, operator: Operator, index: int) -> None:
    """New positions, input ``index``, join a cache; only they are written."""
    new = operator.first(index + 1)[index]
    shape = builder.shape(operator.outputs[0])
    if len(shape) < 2:
        raise ShapeError(f"operator {operator.name}: expected a cache of two axes or more, got {len(shape)}")
    builder.add(
        operator.name, Op.CACHE_APPEND, (builder.read(new),), shape, operator.outputs[0], length=shape[-2]
    )
