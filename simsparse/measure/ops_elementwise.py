"""Operators that work element by element, in whatever order their input lies in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from simsparse.measure.graph_fuse import activation_of
from simsparse.measure.op import Array, Kind, Layout, Op, Order, Setting, order_of

Ufunc = Callable[..., Any]
Run = Callable[[Sequence[Array], Array], None]


def _binary(function: Ufunc) -> Callable[[Setting], Op | None]:
    def build(setting: Setting) -> Op | None:
        if not setting.is_float() or len(setting.inputs) != 2:
            return None
        order, needs = shared_order(setting)

        def run(inputs: Sequence[Array], out: Array) -> None:
            function(inputs[0], inputs[1], out=out)

        return Op(kind=Kind.BUFFER, run=run, order=order, needs=needs, in_place=_whole(setting))

    return build


def _sum(setting: Setting) -> Op | None:
    if not setting.is_float():
        return None
    order, needs = shared_order(setting)

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.copyto(out, inputs[0])
        for other in inputs[1:]:
            np.add(out, other, out=out)

    return Op(kind=Kind.BUFFER, run=run, order=order, needs=needs)


def shared_order(setting: Setting) -> tuple[Order | None, dict[int, Layout]]:
    """The result's order, that of the first input of its size, and what is asked of the other inputs."""
    shape = setting.out_shape
    whole = _whole(setting)
    moving = [index for index in whole if not setting.constant[index]] or list(whole)
    if not moving or len(shape) < 2:
        return None, {}
    first = setting.inputs[moving[0]]
    assert first is not None
    order = order_of(first)
    columns = (len(shape) - 1, *range(len(shape) - 1))
    if first.transpose(columns).flags.c_contiguous and not first.flags.c_contiguous:
        return columns, dict.fromkeys((index for index in whole if index != moving[0]), Layout.COLUMNS)
    if first.flags.c_contiguous:
        return None, dict.fromkeys((index for index in whole if index != moving[0]), Layout.ROWS)
    return order, {}


def _whole(setting: Setting) -> tuple[int, ...]:
    """Inputs of the result's shape."""
    return tuple(i for i, x in enumerate(setting.inputs) if x is not None and x.shape == setting.out_shape)


def _unary(function: Callable[[Setting], Run | None]) -> Callable[[Setting], Op | None]:
    def build(setting: Setting) -> Op | None:
        if not setting.inputs or not setting.has_out(np.float32):
            return None
        x = setting.inputs[0]
        if x is None or x.dtype != np.float32 or x.shape != setting.out_shape:
            return None
        run = function(setting)
        return None if run is None else Op(kind=Kind.BUFFER, run=run, order=_dense_order(x), in_place=(0,))

    return build


def _dense_order(x: Array) -> Order | None:
    order = order_of(x)
    return None if x.flags.c_contiguous or order == tuple(range(x.ndim)) else order


def _ufunc(function: Ufunc) -> Callable[[Setting], Op | None]:
    def run(inputs: Sequence[Array], out: Array) -> None:
        function(inputs[0], out=out)

    return _unary(lambda setting: run)  # noqa: ARG005


def flat(array: Array) -> Array | None:
    """The elements as one contiguous vector in the order of memory, None where there are gaps."""
    placed = array.transpose(order_of(array))
    return placed.reshape(-1) if placed.flags.c_contiguous else None


def _mapped(name: str) -> Callable[[Setting], Op | None]:
    """A function of ``kernels.net_map``, over memory as it lies."""

    def start(setting: Setting) -> Run:  # noqa: ARG001
        from simsparse.kernels.net_map import FUNCTIONS, map_floats
        from simsparse.kernels.simd import width

        number, one = FUNCTIONS[name], width(1)

        def run(inputs: Sequence[Array], out: Array) -> None:
            target = flat(out)
            assert target is not None
            source = flat(inputs[0])
            if source is None or order_of(inputs[0]) != order_of(out):
                np.copyto(out, inputs[0])
                source = target
            map_floats(one, source, target, number)

        return run

    return _unary(start)


def _clip(setting: Setting) -> Run | None:
    name = activation_of(setting.node, setting.graph)
    bounds = []
    for index, key in ((1, "min"), (2, "max")):
        given = index < len(setting.node.inputs) and setting.node.inputs[index]
        value = setting.constant_input(index) if given else setting.node.attributes.get(key)
        if given and value is None:
            return None
        bounds.append(None if value is None else np.float32(np.asarray(value).ravel()[0]))
    low, high = bounds
    del name

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.copyto(out, inputs[0])
        if low is not None:
            np.maximum(out, low, out=out)
        if high is not None:
            np.minimum(out, high, out=out)

    return run


def _relu(setting: Setting) -> Run:  # noqa: ARG001
    zero = np.float32(0)

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.maximum(inputs[0], zero, out=out)

    return run


def _leaky_relu(setting: Setting) -> Run:
    slope = np.float32(setting.node.attributes.get("alpha", 0.01))

    def run(inputs: Sequence[Array], out: Array) -> None:
        x = inputs[0]
        np.copyto(out, np.where(x < 0, x * slope, x))

    return run


def _activation(setting: Setting) -> Op | None:
    names = {"gelu": "gelu", "silu": "silu"}
    of = setting.node.attributes["of"]
    if of in names:
        return _mapped(names[of])(setting)
    return _unary(lambda setting: _formula(setting.node.attributes["of"]))(setting)


def _formula(of: str) -> Run:
    functions: dict[str, Callable[[Array], Array]] = {
        "gelu-tanh": lambda x: (
            np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x**3)))
        ),
        "hard-swish": lambda x: x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1),
        "mish": lambda x: x * np.tanh(np.logaddexp(np.float32(0), x)),
    }
    function = functions[of]

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.copyto(out, function(inputs[0]))

    return run


def _gelu(setting: Setting) -> Op | None:
    if setting.node.attributes.get("approximate", "none") == "none":
        return _mapped("gelu")(setting)
    return _unary(lambda _: _formula("gelu-tanh"))(setting)


def _where(setting: Setting) -> Op | None:
    if len(setting.inputs) != 3 or not setting.has_out() or any(x is None for x in setting.inputs):
        return None
    if any(x is not None and x.dtype.hasobject for x in setting.inputs):
        return None

    def run(inputs: Sequence[Array], out: Array) -> None:
        condition, yes, no = inputs
        np.copyto(out, no)
        np.copyto(out, yes, where=condition)

    return Op(kind=Kind.BUFFER, run=run)


ELEMENTWISE: Mapping[str, Callable[[Setting], Op | None]] = MappingProxyType(
    {
        "Add": _binary(np.add),
        "Sub": _binary(np.subtract),
        "Mul": _binary(np.multiply),
        "Div": _binary(np.divide),
        "Sum": _sum,
        "Sqrt": _ufunc(np.sqrt),
        "Exp": _ufunc(np.exp),
        "Log": _ufunc(np.log),
        "Neg": _ufunc(np.negative),
        "Abs": _ufunc(np.absolute),
        "Tanh": _ufunc(np.tanh),
        "Reciprocal": _ufunc(np.reciprocal),
        "Sigmoid": _mapped("sigmoid"),
        "Erf": _mapped("erf"),
        "Gelu": _gelu,
        "Relu": _unary(_relu),
        "LeakyRelu": _unary(_leaky_relu),
        "Clip": _unary(_clip),
        "Activation": _activation,
        "Where": _where,
    }
)
