"""Products of two activations, by BLAS: operands and result are strided views of token columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from simsparse.measure.op import Array, Kind, Op, Order, Setting, order_of

Build = Callable[[Setting], Op | None]


def _matmul(setting: Setting) -> Op | None:
    if not setting.is_float() or len(setting.inputs) != 2:
        return None
    a, b = setting.inputs
    if a is None or b is None or a.ndim < 2 or b.ndim < 2 or 0 in (a.size, b.size):
        return None

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.matmul(inputs[0], inputs[1], out=out)

    return Op(kind=Kind.BUFFER, run=run, order=_order_like(b, setting.out_shape))


def _order_like(b: Array, shape: Sequence[int]) -> Order | None:
    """Values whose tokens lie side by side give a context whose tokens do: what the next product reads."""
    if b.ndim != len(shape) or b.strides[-2] != b.itemsize or b.strides[-1] == b.itemsize or 1 in shape[-2:]:
        return None
    order = order_of(b)
    return order if order[-1] == len(shape) - 2 else None


def _gemm(setting: Setting) -> Op | None:
    """A Gemm whose matrices are both computed in the run."""
    if not setting.is_float() or len(setting.inputs) not in (2, 3):
        return None
    attributes = setting.node.attributes
    flip_a, flip_b = bool(attributes.get("transA", 0)), bool(attributes.get("transB", 0))
    alpha, beta = np.float32(attributes.get("alpha", 1.0)), np.float32(attributes.get("beta", 1.0))
    if any(x is None or x.ndim != 2 for x in setting.inputs[:2]) or len(set(setting.node.inputs)) < len(
        setting.node.inputs
    ):
        return None

    def run(inputs: Sequence[Array], out: Array) -> None:
        np.matmul(inputs[0].T if flip_a else inputs[0], inputs[1].T if flip_b else inputs[1], out=out)
        if alpha != 1:
            np.multiply(out, alpha, out=out)
        if len(inputs) > 2:
            np.add(out, inputs[2] * beta, out=out)

    return Op(kind=Kind.BUFFER, run=run)


ATTENTION: Mapping[str, Build] = MappingProxyType({"MatMul": _matmul, "Gemm": _gemm})
