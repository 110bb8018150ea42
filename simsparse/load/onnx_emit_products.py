"""Graph nodes that are matrix products as ONNX operators."""

from __future__ import annotations

import math

from simsparse.load.graph import Node
from simsparse.load.node_attributes import window
from simsparse.load.onnx_emitter import Array, Emitter


def conv(emitter: Emitter, node: Node, base: str) -> None:
    """A convolution; W is stored as it is."""
    image = emitter.shapes[node.inputs[0]]
    view = window(node.op, node.attributes, len(image) - 2)
    groups = node.integer("groups", 1)
    shape = (node.shape[1], image[1] // groups, *view.kernel)
    k = math.prod(shape[1:])
    weight = emitter.weight(node, base, shape[0], k, lambda values: values, shape)
    inputs = [node.inputs[0], weight, *emitter.bias(node, base, shape[0])]
    emitter.add(
        "Conv",
        inputs,
        node.output,
        node.name,
        kernel_shape=view.kernel,
        strides=view.stride,
        dilations=view.dilation,
        pads=(*view.begin, *view.end),
        group=groups,
    )


def conv_transpose(emitter: Emitter, node: Node, base: str) -> None:
    """A transposed convolution, whose weights ONNX stores with input channels first."""
    image = emitter.shapes[node.inputs[0]]
    axes = len(image) - 2
    view = window(node.op, node.attributes, axes)
    groups, out = node.integer("groups", 1), node.shape[1]
    rows, k = out // groups * math.prod(view.kernel), image[1] // groups

    def arrange(values: Array) -> Array:
        return values.reshape(groups, rows, k).transpose(0, 2, 1)

    weight = emitter.weight(node, base, groups * rows, k, arrange, (image[1], out // groups, *view.kernel))
    extra = node.attributes.get("output_padding", 0)
    emitter.add(
        "ConvTranspose",
        [node.inputs[0], weight, *emitter.bias(node, base, out)],
        node.output,
        node.name,
        kernel_shape=view.kernel,
        strides=view.stride,
        dilations=view.dilation,
        pads=(*view.begin, *view.end),
        group=groups,
        output_padding=extra if isinstance(extra, tuple) else (int(extra),) * axes,
    )


def linear(emitter: Emitter, node: Node, base: str) -> None:
    """A Gemm for matrices, which keeps W as it is; else a MatMul with Wᵀ and the bias added after it."""
    features, out = emitter.shapes[node.inputs[0]], node.shape[-1]
    k = features[-1]
    heads = node.integer("heads", 0)
    axis = str(node.attributes.get("head_axis", "m"))
    metadata = {"heads": str(heads), "head_axis": axis} if heads else None
    if len(features) == 2:
        weight = emitter.weight(node, base, out, k, lambda values: values, (out, k))
        inputs = [node.inputs[0], weight, *emitter.bias(node, base, out)]
        emitter.add("Gemm", inputs, node.output, node.name, metadata=metadata, transB=1)
        return
    weight = emitter.weight(node, base, out, k, lambda values: values.T, (k, out))
    bias = emitter.bias(node, base, out)
    product = f"{node.output}:product" if bias else node.output
    emitter.add("MatMul", [node.inputs[0], weight], product, node.name, metadata=metadata)
    if bias:
        emitter.add("Add", [product, *bias], node.output, f"{node.name}.bias")


def matmul(emitter: Emitter, node: Node, base: str) -> None:
    """A product of two activations, transposed by operators of their own."""
    del base
    operands = []
    for name, key in zip(node.inputs, ("transpose_a", "transpose_b"), strict=True):
        if node.integer(key, 0):
            rank = len(emitter.shapes[name])
            order = (*range(rank - 2), rank - 1, rank - 2)
            name = free_transpose(emitter, name, f"{node.output}:{key}", f"{node.name}.{key}", order)
        operands.append(name)
    emitter.add("MatMul", operands, node.output, node.name)


def free_transpose(emitter: Emitter, source: str, output: str, name: str, order: tuple[int, ...]) -> str:
    """A transposition that the neighbouring product does while it reads or writes."""
    return emitter.add("Transpose", [source], output, name, metadata={"free": "1"}, perm=order)
