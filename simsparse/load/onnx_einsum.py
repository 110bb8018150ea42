"""Einsum as the matrix product it most often is, Attention as the two products and the softmax inside."""

from __future__ import annotations

import math

from simsparse.errors import ShapeError
from simsparse.load.graph import Op
from simsparse.load.onnx_builder import GraphBuilder, Operator, RefusedError
from simsparse.load.onnx_linear import grouped, linear
from simsparse.load.onnx_weights import Step


def einsum(builder: GraphBuilder, operator: Operator) -> None:
    """A sum over letters that two operands share, when it is a (batched) matrix product."""
    terms, _, result = operator.text("equation", "").replace(" ", "").partition("->")
    letters = terms.split(",")
    if (
        len(letters) != 2
        or len(operator.inputs) != 2
        or not (terms.replace(",", "") + result).isalpha()
        or not result
    ):
        raise RefusedError("an Einsum other than a product of two tensors")
    left, right = letters
    shapes = [builder.shape(name) for name in operator.inputs]
    if any(
        len(set(term)) < len(term) or len(term) != len(shape)
        for term, shape in zip(letters, shapes, strict=True)
    ):
        raise RefusedError("an Einsum other than a product of two tensors")
    size = dict(zip(left, shapes[0], strict=True)) | dict(zip(right, shapes[1], strict=True))
    batch = [x for x in left if x in right and x in result]
    inner = [x for x in left if x in right and x not in result]
    rows, columns = [x for x in left if x not in right], [x for x in right if x not in left]
    if sorted(result) != sorted(batch + rows + columns):
        raise RefusedError("an Einsum other than a product of two tensors")
    b, r, i, c = (math.prod(size[x] for x in part) for part in (batch, rows, inner, columns))
    x, w = operator.inputs
    if w in builder.constants:
        order = tuple(right.index(letter) for letter in (*batch, *columns, *inner))
        _side_by_side(builder, operator, x, w, (b, r, i, c), Step(transpose=order))
    elif x in builder.constants:
        order = tuple(left.index(letter) for letter in (*batch, *rows, *inner))
        _side_by_side(builder, operator, w, x, (b, c, i, r), Step(transpose=order))
    else:
        inputs = builder.view(builder.read(x), (b, r, i)), builder.view(builder.read(w), (b, i, c))
        made = builder.add(operator.name, Op.MATMUL, inputs, (b, r, c))
        builder.view(made, builder.shape(operator.outputs[0]), output=operator.outputs[0])


def _side_by_side(
    builder: GraphBuilder,
    operator: Operator,
    x: str,
    weight: str,
    sizes: tuple[int, int, int, int],
    step: Step,
) -> None:
    batch, rows, inner, columns = sizes
    if batch == 1:
        linear(builder, operator, x, weight, rows, inner, columns, step)
    else:
        grouped(builder, operator, x, weight, sizes, step)


def attention(builder: GraphBuilder, operator: Operator) -> None:
    """Scaled dot-product attention as two products and a softmax; query heads may share keys and values."""
    if operator.given(4) or len(operator.outputs) > 1:
        raise RefusedError("Attention with a cache of its own")
    query, key, value = (builder.shape(name) for name in operator.first(3))
    if {len(query), len(key), len(value)} not in ({3}, {4}):
        raise ShapeError(f"operator {operator.name}: expected three tensors of 3 or 4 axes, got others")
    if len(query) == 3:
        heads, kv_heads = operator.integer("q_num_heads", 0), operator.integer("kv_num_heads", 0)
    else:
        heads, kv_heads = query[1], key[1]
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise ShapeError(
            f"operator {operator.name}: expected heads that share keys evenly, got {heads} and {kv_heads}"
        )
    batch, queries, keys = query[0], query[-2], key[-2]
    rows = heads // kv_heads * queries
    inner = math.prod(query) // (batch * heads * queries)
    columns = math.prod(value) // (batch * kv_heads * keys)
    q, k, v = (builder.read(name) for name in operator.first(3))
    lead = (batch, kv_heads)
    operands = builder.view(q, (*lead, rows, inner)), builder.view(k, (*lead, keys, inner))
    scores = builder.add(
        builder.part_name(operator.name, "scores"), Op.MATMUL, operands, (*lead, rows, keys), transpose_b=1
    )
    shares = builder.add(
        builder.part_name(operator.name, "softmax"), Op.SOFTMAX, (scores,), (*lead, rows, keys)
    )
    operands = shares, builder.view(v, (*lead, keys, columns))
    made = builder.add(builder.part_name(operator.name, "mix"), Op.MATMUL, operands, (*lead, rows, columns))
    builder.view(made, builder.shape(operator.outputs[0]), output=operator.outputs[0])
