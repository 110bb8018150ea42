"""Attention by a kernel of its own, other products of two activations by BLAS.

Operands and results are strided views of token columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from simsparse.measure.graph_attention import ATTEND
from simsparse.measure.op import Array, Call, Kind, Op, Order, Setting, bound_op, order_of
from simsparse.packed.arrays import aligned

Build = Callable[[Setting], Op | None]
_NO_MASK = np.empty((0, 0, 0, 0), np.float32)


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


def _attend(setting: Setting) -> Op | None:
    """Softmax of scaled scores times values, in whatever layout; the context has features before tokens."""
    from simsparse.kernels.net_attention import attend, spare_floats
    from simsparse.kernels.net_entry import bound
    from simsparse.kernels.simd import width

    wide, scale = width(2), float(setting.node.attributes["scale"])

    def bind(inputs: Sequence[Array], out: Array) -> Call:
        q, k, v, *masks = map(_four_axes, inputs)
        mask, refresh = _mask(masks[0], q.shape, k.shape[3]) if masks else (_NO_MASK, None)
        spare = aligned(spare_floats(wide, q.shape[3], k.shape[3]), np.float32)
        turned = (part.transpose(0, 1, 3, 2) for part in (v, _four_axes(out)))
        run = bound(attend, wide, q.transpose(0, 1, 3, 2), k, *turned, mask, scale, spare)
        if refresh is None:
            return run

        def masked() -> None:
            refresh()
            run()

        return masked

    rank, values = len(setting.out_shape), setting.inputs[2]
    order = None if values is None else _order_like(values, setting.out_shape)
    return bound_op(bind, order=order or (*range(rank - 2), rank - 1, rank - 2))


def _mask(mask: Array, queries: Sequence[int], keys: int) -> tuple[Array, Call | None]:
    """A mask (…, queries or 1, keys) as (batch, heads, keys, queries or 1), and what to do before a run."""
    turned = mask.transpose(0, 1, 3, 2)
    if mask.shape[2] == 1:
        return np.broadcast_to(turned, (*queries[:2], keys, 1)), None
    # rows along queries, as scores are
    held = np.empty((*mask.shape[:2], keys, queries[2]), np.float32)
    return np.broadcast_to(held, (*queries[:2], *held.shape[2:])), lambda: np.copyto(held, turned)


def _four_axes(array: Array) -> Array:
    return array.reshape((1,) * (4 - array.ndim) + array.shape) if array.ndim < 4 else array


ATTENTION: Mapping[str, Build] = MappingProxyType({"MatMul": _matmul, "Gemm": _gemm, ATTEND: _attend})
