"""Graph nodes that are matrix products, as layers ``Y[m, n] = W[m, k] · X[k, n]``.

Which operand is W in a product of two activations ``A·B``: the right one, transposed, because then n counts
the rows of A as it counts positions elsewhere. For attention scores ``Q·Kᵀ``: m = keys, k = head size, n =
queries. For the weighted sum ``P·V``: m = head size, k = keys, n = queries. Batch and heads are ``groups``.
"""

from __future__ import annotations

import math
from dataclasses import replace

from simsparse.ir import ConvShape, Layer, LayerKind, conv_layer
from simsparse.load.graph import Node, Op, Shape
from simsparse.load.node_attributes import window
from simsparse.load.shape_rules import broadcast, matmul_operands


def conv(node: Node, image: Shape) -> Layer:
    """A convolution; one over a single axis has height 1."""
    view = window(node.op, node.attributes, len(image) - 2)
    in_height, in_width = _two(image[2:])
    out_height, out_width = _two(node.shape[2:])
    kernel_height, kernel_width = _two(view.kernel)
    (top, left), (bottom, right) = _two(view.begin, 0), _two(view.end, 0)
    shape = ConvShape(
        batch=image[0],
        in_channels=image[1],
        in_height=in_height,
        in_width=in_width,
        kernel_height=kernel_height,
        kernel_width=kernel_width,
        out_height=out_height,
        out_width=out_width,
        stride=_two(view.stride),
        padding=(top, left, bottom, right),
        dilation=_two(view.dilation),
    )
    layer = conv_layer(node.name, shape, node.shape[1], groups=node.integer("groups", 1))
    return replace(layer, count=node.count)


def conv_transpose(node: Node, image: Shape) -> Layer:
    """The product inside a transposed convolution: every input position makes a whole kernel of outputs.

    m = output channels × kernel positions, k = input channels per group, n = input positions × batch. Its
    results still have to be added where kernels overlap.
    """
    positions = math.prod(window(node.op, node.attributes, len(image) - 2).kernel)
    groups, m, n = node.integer("groups", 1), node.shape[1] * positions, image[0] * math.prod(image[2:])
    return Layer(
        name=node.name,
        kind=LayerKind.LINEAR,
        m=m,
        k=image[1] // groups,
        n=n,
        groups=groups,
        count=node.count,
        input_elements=math.prod(image),
        output_elements=m * n,
    )


def linear(node: Node, features: Shape) -> Layer:
    """A linear layer over the last axis; all other axes together are n."""
    return Layer(
        name=node.name,
        kind=LayerKind.LINEAR,
        m=node.shape[-1],
        k=features[-1],
        n=math.prod(features[:-1]),
        count=node.count,
        input_elements=math.prod(features),
        output_elements=math.prod(node.shape),
        heads=node.integer("heads", 0),
        head_axis=str(node.attributes.get("head_axis", "m")),
    )


def matmul(node: Node, left: Shape, right: Shape) -> Layer:
    """A product of two activations; W is the right operand, transposed.

    Where one operand is shared by all leading axes, those axes lengthen the other one and there is one group.
    """
    a, b = matmul_operands(left, right, node.attributes)
    rows, inner, columns = a[-2], a[-1], b[-1]
    groups = math.prod(broadcast(Op.MATMUL, (a[:-2], b[:-2])))
    if math.prod(b[:-2]) == 1:
        rows, groups = rows * groups, 1
    shared_x = math.prod(a[:-2]) == 1
    return Layer(
        name=node.name,
        kind=LayerKind.MATMUL,
        m=columns * groups,
        k=inner,
        n=rows,
        groups=1 if shared_x else groups,
        count=node.count,
        input_elements=math.prod(left) + math.prod(right),
        output_elements=math.prod(node.shape),
    )


def _two(entries: tuple[int, ...], first: int = 1) -> tuple[int, int]:
    return (entries[0], entries[1]) if len(entries) == 2 else (first, entries[0])
