"""Pooling of images (batch, channels, height, width) and means over whole images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from simsparse.measure.graph_products import same_padding
from simsparse.measure.op import Array, Call, Kind, Layout, Op, Setting, bound_op

Build = Callable[[Setting], Op | None]


def _max_pool(setting: Setting) -> Op | None:
    window = _window(setting)
    if window is None:
        return None
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.net_pool import max_pool
    from simsparse.kernels.simd import width

    one, two = width(1), width(2)

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        return bound(max_pool, one, two, _planes(inputs[0]), _planes(out), *window)

    return bound_op(bind, needs={0: Layout.ROWS})


def _average_pool(setting: Setting) -> Op | None:
    window = _window(setting)
    if window is None or window[3] != (1, 1):
        return None
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.net_pool import average_pool

    kernel, stride, pads, _ = window
    with_pads = bool(setting.node.attributes.get("count_include_pad", 0))
    if with_pads and setting.node.attributes.get("ceil_mode", 0):
        return None  # windows that hang over the end count what is in the padded image only

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        return bound(average_pool, _planes(inputs[0]), _planes(out), kernel, stride, pads, with_pads)

    return bound_op(bind, needs={0: Layout.ROWS})


def _planes(images: Array) -> Array:
    return images.reshape(-1, *images.shape[2:])


Pair = tuple[int, int]


def _window(setting: Setting) -> tuple[Pair, Pair, Pair, Pair] | None:
    """Kernel, stride, padding before (the end's follows from the result's size), dilation."""
    x = setting.inputs[0] if setting.inputs else None
    attributes = setting.node.attributes
    if x is None or not setting.is_float() or x.ndim != 4 or attributes.get("storage_order", 0):
        return None
    kernel = setting.integers("kernel_shape")
    stride, dilation = setting.integers("strides", (1, 1)), setting.integers("dilations", (1, 1))
    pads = setting.integers("pads", (0, 0, 0, 0))
    mode = attributes.get("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = (0, 0, 0, 0)
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_padding(x.shape[2:], kernel, stride, dilation, mode)
    if len(kernel) != 2 or min(pads) < 0 or x.size == 0:
        return None
    return _pair(kernel), _pair(stride), _pair(pads), _pair(dilation)


def _pair(numbers: Sequence[int]) -> Pair:
    return numbers[0], numbers[1]


def _mean(setting: Setting) -> Op | None:
    x = setting.inputs[0] if setting.inputs else None
    if x is None or not setting.is_float() or x.ndim < 3 or x.size == 0:
        return None
    return _means(x.shape[2:])


def _means(over: tuple[int, ...]) -> Op:
    """Means of the last axes, of sizes ``over``."""
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.net_pool import mean_rows
    from simsparse.kernels.simd import width

    two, size = width(2), math.prod(over)

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        return bound(mean_rows, two, inputs[0].reshape(-1, size), out.reshape(-1))

    return bound_op(bind, needs={0: Layout.ROWS})


def _reduce(function: Callable[..., object]) -> Build:
    def build(setting: Setting) -> Op | None:
        x = setting.inputs[0] if setting.inputs else None
        if x is None or x.dtype != np.float32 or not setting.has_out(np.float32) or x.size == 0:
            return None
        axes = setting.integers("axes")
        if len(setting.node.inputs) > 1 and setting.node.inputs[1]:
            given = setting.constant_input(1)
            if given is None:
                return None
            axes = tuple(int(axis) for axis in given.ravel())
        if not axes and setting.node.attributes.get("noop_with_empty_axes", 0):
            return None
        if function is np.mean and _are_last(axes, x):
            return _means(x.shape[x.ndim - len(axes) :])
        keep = bool(setting.node.attributes.get("keepdims", 1))

        def run(inputs: Sequence[Array], out: Array) -> None:
            function(inputs[0], axis=axes or None, keepdims=keep, out=out)

        return Op(kind=Kind.BUFFER, run=run)

    return build


def _are_last(axes: Sequence[int], x: Array) -> bool:
    """Whether what is reduced lies together in memory, some numbers of it."""
    first = x.ndim - len(axes)
    found = sorted(axis % x.ndim for axis in axes)
    return bool(axes) and found == [*range(first, x.ndim)] and x.flags.c_contiguous


POOLS: Mapping[str, Build] = MappingProxyType(
    {
        "MaxPool": _max_pool,
        "AveragePool": _average_pool,
        "GlobalAveragePool": _mean,
        "ReduceMean": _reduce(np.mean),
        "ReduceSum": _reduce(np.sum),
        "ReduceMax": _reduce(np.max),
        "ReduceMin": _reduce(np.min),
    }
)
