"""ONNX operators that are no products: priced by what they read, write and compute, or free views."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from simsparse.errors import ShapeError
from simsparse.load.graph import Attribute, Op
from simsparse.load.onnx_builder import GraphBuilder, Operator, RefusedError
from simsparse.load.onnx_movement import append, concat, copy, first_input, gather, transpose, view

Translate = Callable[[GraphBuilder, Operator], None]


def _one(op: Op, **attributes: Attribute) -> Translate:
    """An operator of one activation; scales, slopes and statistics among its inputs stay on chip."""

    def translate(builder: GraphBuilder, operator: Operator) -> None:
        shape = builder.shape(operator.outputs[0])
        builder.add(
            operator.name,
            op,
            (first_input(builder, operator),),
            shape,
            operator.outputs[0],
            **attributes,
        )

    return translate


def _pointwise(operations: int) -> Translate:
    """A function of one element, or of several broadcast ones, of so many operations."""

    def translate(builder: GraphBuilder, operator: Operator) -> None:
        sources = tuple(
            builder.read(name) for name in operator.inputs if name and not _is_scalar(builder, name)
        )
        shape = builder.shape(operator.outputs[0])
        stated = operator.metadata.get("simsparse.operations", "")
        count = int(stated) if stated.isdecimal() and len(stated) < 4 else operations
        builder.add(operator.name, Op.POINTWISE, sources, shape, operator.outputs[0], operations=count)

    return translate


def _is_scalar(builder: GraphBuilder, name: str) -> bool:
    return name in builder.constants and math.prod(builder.shape(name)) == 1


def _arithmetic(op: Op) -> Translate:
    """Addition and its like; a constant scalar costs no traffic, a bias after a product nothing at all."""

    def translate(builder: GraphBuilder, operator: Operator) -> None:
        shape, output = builder.shape(operator.outputs[0]), operator.outputs[0]
        names = [name for name in operator.inputs if name and not _is_scalar(builder, name)]
        if op is Op.ADD and len(operator.inputs) == 2 and _is_bias(builder, operator):
            source = next(name for name in operator.inputs if name not in builder.constants)
            builder.view(builder.read(source), shape, output=output)
        elif len(names) < 2:
            sources = tuple(builder.read(name) for name in names[:1])
            builder.add(operator.name, Op.SCALE, sources, shape, output)
        else:
            builder.add(operator.name, op, tuple(builder.read(name) for name in names), shape, output)

    return translate


def _is_bias(builder: GraphBuilder, operator: Operator) -> bool:
    """Whether one number per output channel is added to a product that nothing else reads."""
    constants = [name for name in operator.inputs if name in builder.constants]
    sources = [name for name in operator.inputs if name not in builder.constants]
    if len(constants) != 1 or len(sources) != 1 or builder.readers(sources[0]) != 1:
        return False
    producer, shape = builder.producers.get(sources[0]), builder.shape(sources[0])
    if producer is None or producer.op not in (Op.LINEAR, Op.CONV, Op.CONV_TRANSPOSE):
        return False
    axis = -1 if producer.op is Op.LINEAR else 1 - len(shape)
    bias = (1,) * (len(shape) - len(builder.shape(constants[0]))) + builder.shape(constants[0])
    return len(bias) == len(shape) and math.prod(bias) == bias[axis] == shape[axis]


def _clip(builder: GraphBuilder, operator: Operator) -> None:
    """A clip to [0, 6] is a ReLU6; the bounds are constants (or attributes before opset 11)."""
    low, high = (builder.scalar(operator, index, key) for index, key in ((1, "min"), (2, "max")))
    _one(Op.RELU6)(builder, operator) if (low, high) == (0.0, 6.0) else _one(Op.POINTWISE, operations=2)(
        builder, operator
    )


def _pool(op: Op) -> Translate:
    def translate(builder: GraphBuilder, operator: Operator) -> None:
        source = first_input(builder, operator)
        axes = len(builder.shape(source)) - 2
        kernel = operator.integers("kernel_shape", ())
        if axes < 1 or len(kernel) != axes or min(kernel) < 1:
            raise ShapeError(
                f"operator {operator.name}: expected a kernel of {axes} sizes >= 1, got {kernel}"
            )
        if len([name for name in operator.outputs[1:] if builder.readers(name)]):
            raise RefusedError("pooling that also returns positions")
        shape = builder.shape(operator.outputs[0])
        builder.add(operator.name, op, (source,), shape, operator.outputs[0], kernel=kernel)

    return translate


def _lrn(builder: GraphBuilder, operator: Operator) -> None:
    _one(Op.LRN, size=operator.integer("size", 5))(builder, operator)


def _table(translate: Translate, *types: str) -> dict[str, Translate]:
    return dict.fromkeys(types, translate)


OPERATORS: Mapping[str, Translate] = MappingProxyType(
    {
        "BatchNormalization": _one(Op.BATCH_NORM),
        "LayerNormalization": _one(Op.LAYER_NORM),
        "RMSNormalization": _one(Op.RMS_NORM),
        "SimplifiedLayerNormalization": _one(Op.RMS_NORM),
        "GroupNormalization": _one(Op.GROUP_NORM),
        **_table(_one(Op.INSTANCE_NORM), "InstanceNormalization", "MeanVarianceNormalization"),
        "LpNormalization": _one(Op.RMS_NORM),
        "LRN": _lrn,
        "Relu": _one(Op.RELU),
        **_table(_one(Op.LEAKY_RELU), "LeakyRelu", "PRelu", "ThresholdedRelu"),
        "Gelu": _one(Op.GELU),
        "Swish": _one(Op.SILU),
        "Sigmoid": _one(Op.SIGMOID),
        "Tanh": _one(Op.TANH),
        "HardSwish": _one(Op.HARD_SWISH),
        "HardSigmoid": _one(Op.HARD_SIGMOID),
        **_table(_one(Op.SOFTMAX), "Softmax", "LogSoftmax"),
        "Clip": _clip,
        "RotaryEmbedding": _one(Op.ROTARY),
        **_table(_arithmetic(Op.ADD), "Add", "Sum"),
        "Sub": _arithmetic(Op.SUB),
        "Mul": _arithmetic(Op.MUL),
        "Div": _arithmetic(Op.DIV),
        **_table(
            _pointwise(1),
            "Pow",
            "Min",
            "Max",
            "Mean",
            "Where",
            "Mod",
            "BitShift",
            "CumSum",
            "Not",
            "And",
            "Or",
            "Xor",
        ),
        **_table(
            _pointwise(1),
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "IsNaN",
            "IsInf",
            "Sign",
        ),
        **_table(
            _pointwise(1), "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Erf"
        ),
        **_table(
            _pointwise(1),
            "Sin",
            "Cos",
            "Tan",
            "Asin",
            "Acos",
            "Atan",
            "Sinh",
            "Cosh",
            "Asinh",
            "Acosh",
            "Atanh",
        ),
        **_table(_pointwise(2), "QuantizeLinear", "DequantizeLinear", "Elu", "Shrink", "Softsign", "Celu"),
        **_table(_pointwise(3), "Selu", "Softplus", "DynamicQuantizeLinear"),
        **_table(_pointwise(6), "Mish"),
        "MaxPool": _pool(Op.MAX_POOL),
        **_table(_pool(Op.AVG_POOL), "AveragePool", "LpPool"),
        **_table(_one(Op.GLOBAL_AVG_POOL), "GlobalAveragePool", "GlobalLpPool"),
        "GlobalMaxPool": _one(Op.GLOBAL_MAX_POOL),
        **_table(
            _one(Op.REDUCE), "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"
        ),
        **_table(
            _one(Op.REDUCE),
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ArgMax",
            "ArgMin",
        ),
        **_table(view, "Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "CastLike"),
        "Transpose": transpose,
        "Concat": concat,
        "Gather": gather,
        **_table(
            copy,
            "Slice",
            "Split",
            "Pad",
            "Expand",
            "Tile",
            "Resize",
            "Upsample",
            "DepthToSpace",
            "SpaceToDepth",
        ),
        **_table(copy, "Cast", "GatherElements", "GatherND", "Trilu", "ReverseSequence", "CenterCropPad"),
        **_table(copy, "ScatterND", "ScatterElements", "Scatter", "Compress", "GridSample"),
    }
)
FUNCTIONS: Mapping[str, Translate] = MappingProxyType(
    {
        "Silu": _one(Op.SILU),
        "Gelu": _one(Op.GELU),
        "HardSwish": _one(Op.HARD_SWISH),
        "Mish": _one(Op.POINTWISE, operations=6),
        "LayerNorm": _one(Op.LAYER_NORM),
        "RmsNorm": _one(Op.RMS_NORM),
        "Rotary": _one(Op.ROTARY),
        "CacheAppend": lambda builder, operator: append(builder, operator, 1),
        "CacheStart": lambda builder, operator: append(builder, operator, 0),
        "Copy": copy,
    }
)
