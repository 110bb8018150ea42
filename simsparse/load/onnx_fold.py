"""Shape arithmetic: the small integer tensors from which a model computes its own shapes.

Exporters write ``x.reshape(b, -1)`` as Shape, Gather, Concat and Reshape. With the input sizes known all of
this is constant. ONNX's shape inference follows the common operators; those it gives up on are evaluated
here, on at most ``MAX_VALUES`` numbers each.

Source: https://onnx.ai/onnx/operators/ (meaning of each operator).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Proto = Any
Array = NDArray[Any]
Values = Mapping[str, Any]
Evaluate = Callable[[Sequence[Array | None], Values], Array]

MAX_VALUES = 8192


_WRONG = (  # what NumPy raises for shapes, axes and types that do not fit
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _CannotFoldError(Exception):
    """The operator's value stays unknown."""


def fold(node: Proto, inputs: Sequence[Array | None]) -> Array | None:
    """The value that ``node`` makes of constant ``inputs``, or ``None`` if it is no small shape arithmetic.

    ``inputs`` has ``None`` for an optional input that is left out.
    """
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain not in ("", "ai.onnx"):
        return None
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(rule(inputs, attribute_values(node)))
    except (_CannotFoldError, *_WRONG):
        return None
    return value if value.size <= MAX_VALUES and value.dtype.kind in "iufb" else None


def attribute_values(node: Proto) -> dict[str, Any]:
    """Attributes of ``node`` as plain values; tensors as protobuf messages, graphs left out."""
    readers: Mapping[int, Callable[[Proto], Any]] = {
        1: lambda a: a.f,
        2: lambda a: a.i,
        3: lambda a: a.s.decode("utf-8", "replace"),
        4: lambda a: a.t,
        6: lambda a: tuple(a.floats),
        7: lambda a: tuple(a.ints),
    }
    return {a.name: readers[a.type](a) for a in node.attribute if a.type in readers}


def _bounded(*sizes: int) -> None:
    if math.prod(sizes) > MAX_VALUES:
        raise _CannotFoldError


def _given(inputs: Sequence[Array | None], index: int) -> Array:
    value = inputs[index]
    if value is None:
        raise _CannotFoldError
    return value


def _broadcast(function: Callable[..., Any]) -> Evaluate:
    def evaluate(inputs: Sequence[Array | None], values: Values) -> Array:
        del values
        arrays = [_given(inputs, index) for index in range(len(inputs))]
        _bounded(*np.broadcast_shapes(*(array.shape for array in arrays)))
        return np.asarray(function(*arrays))

    return evaluate


def _many(function: Callable[[Any, Any], Any]) -> Evaluate:
    def pairwise(*arrays: Array) -> Array:
        result = arrays[0]
        for array in arrays[1:]:
            result = function(result, array)
        return result

    return _broadcast(pairwise)


def _divide(a: Array, b: Array) -> Array:
    """Integer division rounds towards zero."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not b.all():
        raise _CannotFoldError
    quotient = np.abs(a) // np.abs(b)
    return np.asarray(np.where((a < 0) != (b < 0), -quotient, quotient), dtype=a.dtype)


def _cast(inputs: Sequence[Array | None], values: Values) -> Array:
    from onnx import helper

    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(values["to"]))
    if dtype.kind not in "iufb":
        raise _CannotFoldError
    return _given(inputs, 0).astype(dtype)


def _axes(inputs: Sequence[Array | None], values: Values) -> tuple[int, ...] | None:
    """Axes from the second input (opset 13 on) or the attribute."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in inputs[1].ravel())
    return tuple(values["axes"]) if "axes" in values else None


def _unsqueeze(inputs: Sequence[Array | None], values: Values) -> Array:
    axes = _axes(inputs, values) or ()
    if len(axes) > 8:
        raise _CannotFoldError
    return np.expand_dims(_given(inputs, 0), axes)


def _slice(inputs: Sequence[Array | None], values: Values) -> Array:
    data = _given(inputs, 0)
    parts = (
        list(inputs[1:])
        if len(inputs) > 1
        else [np.array(values[k]) for k in ("starts", "ends", "axes") if k in values]
    )
    lists = [None if part is None else [int(number) for number in part.ravel()] for part in parts] + [
        None
    ] * 4
    starts, ends = lists[0] or [], lists[1] or []
    axes, steps = lists[2] or range(len(starts)), lists[3] or [1] * len(starts)
    index: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(index)]


def _reshape(inputs: Sequence[Array | None], values: Values) -> Array:
    data, shape = _given(inputs, 0), [int(size) for size in _given(inputs, 1)]
    if not values.get("allowzero"):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return data.reshape(shape)


def _expand(inputs: Sequence[Array | None], values: Values) -> Array:
    del values
    data = _given(inputs, 0)
    shape = np.broadcast_shapes(data.shape, tuple(int(size) for size in _given(inputs, 1)))
    _bounded(*shape)
    return np.broadcast_to(data, shape)


def _constant_of_shape(inputs: Sequence[Array | None], values: Values) -> Array:
    from onnx import numpy_helper

    shape = tuple(int(size) for size in _given(inputs, 0))
    _bounded(*shape)
    fill = values.get("value")
    return np.full(shape, np.float32(0) if fill is None else numpy_helper.to_array(fill).ravel()[0])


def _range(inputs: Sequence[Array | None], values: Values) -> Array:
    del values
    start, limit, delta = (_given(inputs, index).ravel()[0] for index in range(3))
    _bounded(max(0, math.ceil((float(limit) - float(start)) / float(delta))))
    return np.arange(start, limit, delta, dtype=start.dtype)


def _reduce(function: Callable[..., Any]) -> Evaluate:
    def evaluate(inputs: Sequence[Array | None], values: Values) -> Array:
        axes = _axes(inputs, values)
        return np.asarray(function(_given(inputs, 0), axis=axes, keepdims=bool(values.get("keepdims", 1))))

    return evaluate


_RULES: Mapping[str, Evaluate] = MappingProxyType(
    {
        "Add": _broadcast(np.add),
        "Sub": _broadcast(np.subtract),
        "Mul": _broadcast(np.multiply),
        "Div": _broadcast(_divide),
        "Mod": _broadcast(np.mod),
        "Min": _many(np.minimum),
        "Max": _many(np.maximum),
        "Equal": _broadcast(np.equal),
        "Greater": _broadcast(np.greater),
        "GreaterOrEqual": _broadcast(np.greater_equal),
        "Less": _broadcast(np.less),
        "LessOrEqual": _broadcast(np.less_equal),
        "And": _broadcast(np.logical_and),
        "Or": _broadcast(np.logical_or),
        "Not": _broadcast(np.logical_not),
        "Where": _broadcast(np.where),
        "Neg": _broadcast(np.negative),
        "Abs": _broadcast(np.abs),
        "Floor": _broadcast(np.floor),
        "Ceil": _broadcast(np.ceil),
        "Sqrt": _broadcast(np.sqrt),
        "Identity": _broadcast(lambda a: a),
        "Cast": _cast,
        "Concat": lambda i, v: np.concatenate([_given(i, n) for n in range(len(i))], axis=v["axis"]),
        "Gather": lambda i, v: np.take(_given(i, 0), _given(i, 1), axis=v.get("axis", 0)),
        "Squeeze": lambda i, v: np.squeeze(_given(i, 0), axis=_axes(i, v)),
        "Unsqueeze": _unsqueeze,
        "Slice": _slice,
        "Reshape": _reshape,
        "Expand": _expand,
        "ConstantOfShape": _constant_of_shape,
        "Range": _range,
        "ReduceSum": _reduce(np.sum),
        "ReduceProd": _reduce(np.prod),
        "ReduceMax": _reduce(np.max),
        "ReduceMin": _reduce(np.min),
        "Transpose": lambda i, v: np.transpose(_given(i, 0), v.get("perm")),
    }
)
