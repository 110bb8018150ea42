"""ONNX operators that are matrix products: convolutions, Gemm, MatMul, Einsum, Attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from simsparse.errors import ShapeError
from simsparse.load.graph import Attribute, Op, Shape, shape_text
from simsparse.load.onnx_builder import GraphBuilder, Operator, RefusedError
from simsparse.load.onnx_einsum import attention, einsum
from simsparse.load.onnx_linear import expect_inner, expect_shape, flip_steps, grouped, linear
from simsparse.load.onnx_weights import Step
from simsparse.load.shape_rules import infer_shape

Translate = Callable[[GraphBuilder, Operator], None]


def _convolution(builder: GraphBuilder, operator: Operator) -> None:
    image, kernel = _image_and_kernel(builder, operator)
    axes = len(image) - 2
    stride, dilation = operator.integers("strides", (1,) * axes), operator.integers("dilations", (1,) * axes)
    groups = operator.integer("group", 1)
    if groups < 1 or kernel[1] * groups != image[1]:
        raise ShapeError(
            f"operator {operator.name}: expected weights for {image[1]} input channels, "
            f"got {shape_text(kernel)} in {groups} groups"
        )
    out = builder.shape(operator.outputs[0])
    padding = operator.integers("pads", (0,) * 2 * axes)
    if operator.text("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [
            max((out[2 + i] - 1) * stride[i] + dilation[i] * (kernel[2 + i] - 1) + 1 - image[2 + i], 0)
            for i in range(axes)
        ]
        padding = _same_padding(wanted, operator.text("auto_pad", ""))
    attributes: dict[str, Attribute] = {
        "out_channels": kernel[0],
        "kernel": kernel[2:],
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": int(operator.given(2)),
    }
    if min(padding) < 0:
        raise RefusedError("negative padding")
    expect_shape(operator, infer_shape(Op.CONV, (image,), attributes), out)
    builder.add(
        operator.name,
        Op.CONV,
        (builder.read(operator.inputs[0]),),
        out,
        operator.outputs[0],
        **attributes,
    )
    builder.set_weight(operator.name, operator.inputs[1], Step(reshape=(kernel[0], math.prod(kernel[1:]))))


def _transposed_convolution(builder: GraphBuilder, operator: Operator) -> None:
    image, kernel = _image_and_kernel(builder, operator)
    out, groups = builder.shape(operator.outputs[0]), operator.integer("group", 1)
    if kernel[0] != image[1] or groups < 1 or image[1] % groups or out[1] != kernel[1] * groups:
        raise ShapeError(
            f"operator {operator.name}: expected weights for {image[1]} input channels in {groups} groups, "
            f"got {shape_text(kernel)}"
        )
    builder.add(
        operator.name,
        Op.CONV_TRANSPOSE,
        (builder.read(operator.inputs[0]),),
        out,
        operator.outputs[0],
        out_channels=out[1],
        kernel=kernel[2:],
        groups=groups,
    )
    rows, k = kernel[1] * math.prod(kernel[2:]), kernel[0] // groups
    steps = Step(reshape=(groups, k, rows)), Step(transpose=(0, 2, 1)), Step(reshape=(groups * rows, k))
    builder.set_weight(operator.name, operator.inputs[1], *steps)


def _image_and_kernel(builder: GraphBuilder, operator: Operator) -> tuple[Shape, Shape]:
    image, kernel = (builder.shape(name) for name in operator.first(2))
    if operator.inputs[1] not in builder.constants:
        raise RefusedError("its weights are computed while the model runs")
    if len(image) not in (3, 4):
        raise RefusedError(f"a convolution over {len(image) - 2} axes (one and two are simulated)")
    if len(kernel) != len(image):
        raise ShapeError(
            f"operator {operator.name}: expected weights of {len(image)} axes, got {shape_text(kernel)}"
        )
    return image, kernel


def _same_padding(total: list[int], mode: str) -> tuple[int, ...]:
    """Padding that keeps the size; the odd one goes to the end for SAME_UPPER."""
    small, large = tuple(size // 2 for size in total), tuple(size - size // 2 for size in total)
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)


def _gemm(builder: GraphBuilder, operator: Operator) -> None:
    a, b = operator.first(2)
    flip_a, flip_b = bool(operator.integer("transA", 0)), bool(operator.integer("transB", 0))
    a_shape, b_shape = builder.shape(a), builder.shape(b)
    if len(a_shape) != 2 or len(b_shape) != 2:
        raise ShapeError(
            f"operator {operator.name}: expected matrices, got {shape_text(a_shape)}, {shape_text(b_shape)}"
        )
    rows, inner = a_shape[::-1] if flip_a else a_shape
    b_inner, columns = b_shape[::-1] if flip_b else b_shape
    expect_inner(operator, inner, b_inner)
    out = builder.shape(operator.outputs[0])
    expect_shape(operator, (rows, columns), out)
    alpha = operator.number("alpha", 1.0)
    scale = () if alpha == 1.0 else (Step(factor=alpha),)
    if b in builder.constants:
        linear(builder, operator, a, b, rows, inner, columns, *flip_steps(not flip_b), *scale)
    elif a in builder.constants:
        linear(builder, operator, b, a, columns, inner, rows, *flip_steps(flip_a), *scale)
    else:
        builder.add(
            operator.name,
            Op.MATMUL,
            (builder.read(a), builder.read(b)),
            out,
            operator.outputs[0],
            transpose_a=int(flip_a),
            transpose_b=int(flip_b),
        )


def _matmul(builder: GraphBuilder, operator: Operator) -> None:
    a, b = operator.first(2)
    left, right = builder.shape(a), builder.shape(b)
    if not left or not right:
        raise ShapeError(f"operator {operator.name}: expected vectors or matrices, got a scalar")
    left, right = (left if len(left) > 1 else (1, *left)), (right if len(right) > 1 else (*right, 1))
    rows, inner, columns = left[-2], left[-1], right[-1]
    expect_inner(operator, inner, right[-2])
    out = builder.shape(operator.outputs[0])
    batch = math.prod(out) // (rows * columns)
    if b in builder.constants:
        _one_sided(builder, operator, a, b, (left[:-2], right[:-2], batch), (rows, inner, columns), flip=True)
    elif a in builder.constants:
        _one_sided(
            builder, operator, b, a, (right[:-2], left[:-2], batch), (columns, inner, rows), flip=False
        )
    else:
        inputs = builder.view(builder.read(a), left), builder.view(builder.read(b), right)
        made = builder.add(operator.name, Op.MATMUL, inputs, infer_shape(Op.MATMUL, (left, right), {}))
        builder.view(made, out, output=operator.outputs[0])


def _one_sided(
    builder: GraphBuilder,
    operator: Operator,
    x: str,
    weight: str,
    leading: tuple[Shape, Shape, int],
    sizes: tuple[int, int, int],
    *,
    flip: bool,
) -> None:
    """A product with constant weights on one side; ``flip`` where they are stored as (inner, columns)."""
    x_leading, w_leading, batch = leading
    rows, inner, columns = sizes
    if math.prod(w_leading) == 1:
        two = Step(reshape=(inner, columns) if flip else (columns, inner))
        linear(builder, operator, x, weight, rows * batch, inner, columns, two, *flip_steps(flip))
        return
    three = Step(
        reshape=(math.prod(w_leading), inner, columns) if flip else (math.prod(w_leading), columns, inner)
    )
    steps = (three, Step(transpose=(0, 2, 1))) if flip else (three,)
    if math.prod(x_leading) == 1:
        linear(builder, operator, x, weight, rows, inner, batch * columns, *steps)
    elif math.prod(x_leading) == math.prod(w_leading) == batch:
        grouped(builder, operator, x, weight, (batch, rows, inner, columns), *steps)
    else:
        raise RefusedError("a product with several weight matrices that are repeated by broadcasting")


PRODUCTS: Mapping[str, Translate] = MappingProxyType(
    {
        "Conv": _convolution,
        "ConvTranspose": _transposed_convolution,
        "Gemm": _gemm,
        "MatMul": _matmul,
        "Einsum": einsum,
        "Attention": attention,
    }
)
