"""Normalisations and softmax. Kernels take tokens as rows or as columns, whichever way they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from simsparse.measure.op import Array, Call, Kind, Layout, Op, Setting, bound_op
from simsparse.packed.arrays import aligned

Build = Callable[[Setting], Op | None]


def _softmax(setting: Setting) -> Op | None:
    x = setting.inputs[0] if setting.inputs else None
    old = setting.graph.version < 13  # then all axes from `axis` on are one
    axis = int(setting.node.attributes.get("axis", 1 if old else -1))
    if x is None or not setting.is_float() or x.ndim == 0 or x.size == 0:
        return None
    axis %= x.ndim
    length = math.prod(x.shape[axis:]) if old else x.shape[axis]
    if not old and axis != x.ndim - 1:
        return None
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.net_softmax import softmax_rows
    from simsparse.kernels.simd import width

    wide = width(1)

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        return bound(softmax_rows, wide, inputs[0].reshape(-1, length), out.reshape(-1, length))

    return bound_op(bind, needs={0: Layout.ROWS}, in_place=(0,))


def _layer_norm(setting: Setting) -> Op | None:
    x = setting.inputs[0] if setting.inputs else None
    if x is None or not setting.is_float() or x.ndim < 1 or x.size == 0:
        return None
    if int(setting.node.attributes.get("axis", -1)) % x.ndim != x.ndim - 1:
        return None
    features, epsilon = x.shape[-1], float(setting.node.attributes.get("epsilon", 1e-5))
    if any(part is None or part.shape != (features,) for part in setting.inputs[1:]):
        return None
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.net_norm import normalise_columns, normalise_rows
    from simsparse.kernels.simd import width

    columns = (x.ndim - 1, *range(x.ndim - 1))
    zeros = np.zeros(features, np.float32)
    one = width(1)
    if x.flags.c_contiguous or not x.transpose(columns).flags.c_contiguous:

        def by_rows(inputs: Sequence[Array], out: Array) -> Call:
            shift = inputs[2] if len(inputs) > 2 else zeros
            source, target = inputs[0].reshape(-1, features), out.reshape(-1, features)
            return bound(normalise_rows, one, source, target, inputs[1], shift, epsilon)

        return bound_op(by_rows, needs={0: Layout.ROWS}, in_place=(0,))
    spare = aligned(2 * (x.size // features + one.floats), np.float32)

    def by_columns(inputs: Sequence[Array], out: Array) -> Call:
        shift = inputs[2] if len(inputs) > 2 else zeros
        source, target = (array.reshape(-1, features).T for array in (inputs[0], out))
        return bound(normalise_columns, one, source, target, inputs[1], shift, epsilon, spare)

    return bound_op(by_columns, order=columns, in_place=(0,))


def _batch_norm(setting: Setting) -> Op | None:
    x = setting.inputs[0] if setting.inputs else None
    if x is None or not setting.is_float() or len(setting.inputs) != 5 or x.ndim < 2:
        return None
    if setting.node.attributes.get("training_mode", 0) or not all(setting.constant[1:]):
        return None
    gamma, beta, mean, variance = (part.astype(np.float64) for part in setting.inputs[1:] if part is not None)
    factor = gamma / np.sqrt(variance + setting.node.attributes.get("epsilon", 1e-5))
    shape = (-1, *(1,) * (x.ndim - 2))
    scale = factor.astype(np.float32).reshape(shape)
    shift = (beta - mean * factor).astype(np.float32).reshape(shape)

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.multiply(inputs[0], scale, out=out)
        np.add(out, shift, out=out)

    return Op(kind=Kind.BUFFER, run=run, in_place=(0,))


def _lrn(setting: Setting) -> Op | None:
    """Each value by a power of the squares of its neighbours in ``size`` channels."""
    x = setting.inputs[0] if setting.inputs else None
    if x is None or not setting.is_float() or x.ndim < 3:
        return None
    attributes = setting.node.attributes
    size, beta = int(attributes["size"]), float(attributes.get("beta", 0.75))
    factor = np.float32(attributes.get("alpha", 1e-4) / size)
    bias = np.float32(attributes.get("bias", 1.0))
    before, after = (size - 1) // 2, size // 2
    squares = np.empty(x.shape, np.float32)

    def run(inputs: Sequence[Array], out: Array) -> None:
        values, channels = inputs[0], inputs[0].shape[1]
        np.multiply(values, values, out=squares)
        np.copyto(out, squares)
        for shift in range(1, max(before, after) + 1):
            if shift <= before:
                out[:, shift:] += squares[:, : channels - shift]
            if shift <= after:
                out[:, : channels - shift] += squares[:, shift:]
        np.multiply(out, factor, out=out)
        np.add(out, bias, out=out)
        if beta == 0.75:  # two square roots are ten times as fast as a power
            np.sqrt(out, out=out)
            np.sqrt(out, out=squares)
            np.multiply(out, squares, out=out)
        else:
            np.power(out, np.float32(beta), out=out)
        np.divide(values, out, out=out)

    return Op(kind=Kind.BUFFER, run=run, needs={0: Layout.ROWS})


NORMS: Mapping[str, Build] = MappingProxyType(
    {
        "Softmax": _softmax,
        "LayerNormalization": _layer_norm,
        "BatchNormalization": _batch_norm,
        "LRN": _lrn,
    }
)
