"""Operators that move elements or only look at them in another shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from simsparse.measure.op import Array, Kind, Op, Order, Setting, order_of

Build = Callable[[Setting], Op | None]


def _view(function: Callable[[Setting], Callable[[Array], Array] | None]) -> Build:
    """An operator that gives the first input in another shape."""

    def build(setting: Setting) -> Op | None:
        if not setting.inputs or setting.inputs[0] is None or not setting.has_out():
            return None
        view = function(setting)
        if view is None:
            return None

        def run(inputs: Sequence[Array]) -> Array:
            return view(inputs[0])

        return Op(kind=Kind.VIEW, run=run)

    return build


def _to_out_shape(setting: Setting) -> Callable[[Array], Array]:
    shape = setting.out_shape
    return lambda x: x.reshape(shape)


def _transpose(setting: Setting) -> Callable[[Array], Array]:
    axes = setting.integers("perm") or None
    return lambda x: x.transpose(axes)


def _identity(setting: Setting) -> Callable[[Array], Array] | None:
    trains = setting.node.type == "Dropout" and len(setting.inputs) > 2
    return None if trains else lambda x: x


def _slice(setting: Setting) -> Callable[[Array], Array] | None:
    x = setting.inputs[0]
    assert x is not None
    if len(setting.node.inputs) > 1:
        parts = [setting.constant_input(index) for index in range(1, len(setting.node.inputs))]
        if any(p is None and setting.node.inputs[i + 1] for i, p in enumerate(parts)):
            return None
        lists = [None if part is None else part.ravel().tolist() for part in parts]
    else:
        lists = [list(setting.integers(key)) or None for key in ("starts", "ends", "axes")]
    lists += [None] * (4 - len(lists))
    starts, ends = lists[0] or [], lists[1] or []
    axes, steps = lists[2] or range(len(starts)), lists[3] or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = _bounded(start, end, step, x.shape[axis])
    key = tuple(index)
    return lambda x: x[key]


def _bounded(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's bounds as Python's: both are clamped, and an end before the beginning has no number."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step)


def _expand(setting: Setting) -> Callable[[Array], Array]:
    shape = setting.out_shape
    return lambda x: np.broadcast_to(x, shape)


def _split(setting: Setting) -> Op | None:
    x, names = setting.inputs[0], [name for name in setting.node.outputs if name]
    if x is None or any(name not in setting.graph.shapes for name in names) or len(names) == 0:
        return None
    axis = int(setting.node.attributes.get("axis", 0)) % max(1, x.ndim)
    sizes = [setting.graph.shapes[name][axis] for name in names]
    if len(names) != len(setting.node.outputs):
        return None
    cuts = np.cumsum(sizes)[:-1].tolist()

    def run(inputs: Sequence[Array]) -> list[Array]:
        return list(np.split(inputs[0], cuts, axis=axis))

    return Op(kind=Kind.FREE, run=run)


def _concat(setting: Setting) -> Op | None:
    if not setting.has_out() or any(x is None for x in setting.inputs):
        return None
    axis = int(setting.node.attributes.get("axis", 0))
    arrays = [x for x in setting.inputs if x is not None]
    dtype = setting.graph.dtypes[setting.node.outputs[0]]
    if dtype.hasobject or any(x.dtype != dtype for x in arrays):
        return None

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.concatenate(inputs, axis=axis, out=out)

    return Op(kind=Kind.BUFFER, run=run, order=_order_of_largest(setting))


def _order_of_largest(setting: Setting) -> Order | None:
    moving = [
        x for x, fixed in zip(setting.inputs, setting.constant, strict=True) if x is not None and not fixed
    ]
    if not moving:
        return None
    return order_of(max(moving, key=lambda x: x.size))


def _gather(setting: Setting) -> Op | None:
    x, indices = (*setting.inputs, None, None)[:2]
    if x is None or indices is None or not setting.has_out() or x.dtype.hasobject:
        return None
    axis = int(setting.node.attributes.get("axis", 0))
    size = x.shape[axis] if x.ndim else 0
    if setting.constant[1] and indices.ndim == 0 and -size <= int(indices) < size:
        place = (slice(None),) * (axis % x.ndim) + (int(indices),)
        return Op(kind=Kind.VIEW, run=lambda inputs: inputs[0][place])

    def run(inputs: Sequence[Array], out: Array) -> None:
        data, places = inputs
        if places.size and (places.min() < -size or places.max() >= size):
            raise IndexError(f"an index outside 0 to {size - 1}")
        np.take(data, np.where(places < 0, places + size, places), axis=axis, out=out, mode="clip")

    return Op(kind=Kind.BUFFER, run=run)


def _cast(setting: Setting) -> Op | None:
    x = setting.inputs[0] if setting.inputs else None
    plain = "iufb"
    if x is None or not setting.has_out() or x.dtype.kind not in plain:
        return None
    dtype = setting.graph.dtypes[setting.node.outputs[0]]
    if dtype.isbuiltin != 1 or x.dtype.isbuiltin != 1:
        return None  # float8 and the like saturate in ways of their own
    if dtype.kind not in plain or (x.dtype.kind == "f" and dtype.kind in "iu"):
        return None

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.copyto(out, inputs[0], casting="unsafe")

    return Op(kind=Kind.BUFFER, run=run, order=order_of(x))


def _pad(setting: Setting) -> Op | None:
    pads, value = setting.constant_input(1), setting.constant_input(2)
    mode = setting.node.attributes.get("mode", "constant")
    given = len(setting.node.inputs)
    if not setting.has_out() or mode != "constant" or pads is None or given > 3 or setting.inputs[0] is None:
        return None
    if given == 3 and setting.node.inputs[2] and value is None:
        return None
    begins = pads[: pads.size // 2].tolist()
    if pads.min(initial=0) < 0 or math.prod(setting.out_shape) == 0:
        return None
    inside = tuple(slice(b, b + n) for b, n in zip(begins, setting.inputs[0].shape, strict=True))
    fill = 0 if value is None else value.ravel()[0]

    def run(inputs: Sequence[Array], out: Array) -> None:
        out[...] = fill
        out[inside] = inputs[0]

    return Op(kind=Kind.BUFFER, run=run)


MOVEMENT: Mapping[str, Build] = MappingProxyType(
    {
        "Reshape": _view(_to_out_shape),
        "Flatten": _view(_to_out_shape),
        "Squeeze": _view(_to_out_shape),
        "Unsqueeze": _view(_to_out_shape),
        "Identity": _view(_identity),
        "Dropout": _view(_identity),
        "Transpose": _view(_transpose),
        "Slice": _view(_slice),
        "Expand": _view(_expand),
        "Split": _split,
        "Concat": _concat,
        "Gather": _gather,
        "Cast": _cast,
        "Pad": _pad,
    }
)
