"""The operators: which builder binds a node, and ``onnx.reference`` for all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from simsparse.measure.op import Kind, Op, Setting
from simsparse.measure.ops_attention import ATTENTION
from simsparse.measure.ops_conv_transpose import conv_transpose
from simsparse.measure.ops_elementwise import ELEMENTWISE
from simsparse.measure.ops_movement import MOVEMENT
from simsparse.measure.ops_norm import NORMS
from simsparse.measure.ops_pool import POOLS
from simsparse.measure.ops_reference import reference

Build = Callable[[Setting], Op | None]

NATIVE: Mapping[str, Build] = MappingProxyType(
    {**ELEMENTWISE, **MOVEMENT, **NORMS, **POOLS, **ATTENTION, "ConvTranspose": conv_transpose}
)
"""By operator type; a builder gives None for a form that it does not know."""


def build_op(setting: Setting) -> Op:
    """The operator of a node that is no product with constant weights.

    Raises
    ------
    UnsupportedError
        If nobody implements it.
    """
    node = setting.node
    builder = NATIVE.get(node.type) if node.is_standard else None
    native = builder(setting) if builder is not None else None
    if native is not None:
        return native
    return Op(kind=Kind.FREE, run=reference(node, setting.graph))
