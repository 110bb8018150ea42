"""ONNX operators that are no products: priced by what they read, write and compute, or free views."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from simsparse.errors import ShapeError
from simsparse.load.graph import Attribute, Op, Shape
from simsparse.load.onnx_builder import GraphBuilder, Operator, RefusedError

Translate = Callable[[GraphBuilder, Operator], None]


def _first_input(builder: GraphBuilder, operator: Operator) -> str:
    if not operator.given(0):
        raise ShapeError(f"operator {operator.name} ({operator.type}): expected an input, got none")
    return builder.read(operator.inputs[0])


def _one(op: Op, **attributes: Attribute) -> Translate:
    """An operator of one activation; scales, slopes and statistics among its inputs stay on chip."""

    def translate(builder: GraphBuilder, operator: Operator) -> None:
        shape = builder.shape(operator.outputs[0])
        builder.add(
            operator.name,
            op,
            (_first_input(builder, operator),),
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


def _view(builder: GraphBuilder, operator: Operator) -> None:
    builder.view(
        _first_input(builder, operator), builder.shape(operator.outputs[0]), output=operator.outputs[0]
    )


def _copy(builder: GraphBuilder, operator: Operator) -> None:
    """Part of a tensor, or more than one copy of it; with several outputs, one part each."""
    source = _first_input(builder, operator)
    for index, output in enumerate(operator.outputs):
        if output and builder.readers(output):
            name = (
                operator.name if len(operator.outputs) == 1 else builder.part_name(operator.name, str(index))
            )
            shape = builder.shape(output)
            builder.add(name, Op.COPY, (source,), shape, output, shape=shape)


def _transpose(builder: GraphBuilder, operator: Operator) -> None:
    """A copy, unless only axes of size 1 move or the product beside it can read or write the other order."""
    source = _first_input(builder, operator)
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


def _gather(builder: GraphBuilder, operator: Operator) -> None:
    """Rows of a constant table by run-time indices are an embedding; otherwise a part is copied."""
    table, indices = operator.inputs[:2]
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
        _copy(builder, operator)


def _concat(builder: GraphBuilder, operator: Operator) -> None:
    """Tensors side by side; a model input called past or cache with new positions behind it is not copied."""
    names = [name for name in operator.inputs if name]
    shape, axis = builder.shape(operator.outputs[0]), operator.integer("axis", 0)
    if len(names) == 2 and len(shape) == 4 and axis in (-2, 2) and builder.is_cache(names[0]):
        _append(builder, operator, 1)
        return
    sources = tuple(builder.read(name) for name in names)
    builder.add(operator.name, Op.CONCAT, sources, shape, operator.outputs[0], axis=axis)


def _clip(builder: GraphBuilder, operator: Operator) -> None:
    """A clip to [0, 6] is a ReLU6; the bounds are constants (or attributes before opset 11)."""
    low, high = (builder.scalar(operator, index, key) for index, key in ((1, "min"), (2, "max")))
    _one(Op.RELU6)(builder, operator) if (low, high) == (0.0, 6.0) else _one(Op.POINTWISE, operations=2)(
        builder, operator
    )


def _pool(op: Op) -> Translate:
    def translate(builder: GraphBuilder, operator: Operator) -> None:
        source = _first_input(builder, operator)
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


def _append(builder: GraphBuilder, operator: Operator, index: int) -> None:
    """New positions, input ``index``, join a cache; only they are written."""
    if not operator.given(index):
        raise ShapeError(f"operator {operator.name}: expected new positions as input {index}, got none")
    shape = builder.shape(operator.outputs[0])
    if len(shape) < 2:
        raise ShapeError(f"operator {operator.name}: expected a cache of two axes or more, got {len(shape)}")
    source = builder.read(operator.inputs[index])
    builder.add(operator.name, Op.CACHE_APPEND, (source,), shape, operator.outputs[0], length=shape[-2])


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
        **_table(_view, "Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "CastLike"),
        "Transpose": _transpose,
        "Concat": _concat,
        "Gather": _gather,
        **_table(
            _copy,
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
        **_table(_copy, "Cast", "GatherElements", "GatherND", "Trilu", "ReverseSequence", "CenterCropPad"),
        **_table(_copy, "ScatterND", "ScatterElements", "Scatter", "Compress", "GridSample"),
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
        "CacheAppend": lambda builder, operator: _append(builder, operator, 1),
        "CacheStart": lambda builder, operator: _append(builder, operator, 0),
        "Copy": _copy,
    }
)
