"""Scalars at plain byte addresses: what a hot loop reads beside its vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from simsparse.kernels.simd_emit import pointer

_ADDRESS = types.intp


def _peek(where: Any, numba_type: Any, llvm_type: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[0], signature.args[0], _ADDRESS)
        return builder.load(pointer(builder, place, llvm_type), align=1)

    return (numba_type(where), codegen) if isinstance(where, types.Integer) else None


@intrinsic  # type: ignore[untyped-decorator]
def address_of(typing: Any, array: Any) -> Any:  # noqa: ARG001
    """The address of an array's first element, as intp."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, context.get_value_type(_ADDRESS))

    return _ADDRESS(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def peek_f32(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The float32 at ``address``."""
    return _peek(address, types.float32, ir.FloatType())


@intrinsic  # type: ignore[untyped-decorator]
def peek_i64(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The int64 at ``address``."""
    return _peek(address, types.int64, ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def peek_i32(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The int32 at ``address``."""
    return _peek(address, types.int32, ir.IntType(32))


@intrinsic  # type: ignore[untyped-decorator]
def peek_u16(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The uint16 at ``address``."""
    return _peek(address, types.uint16, ir.IntType(16))


@intrinsic  # type: ignore[untyped-decorator]
def peek_u8(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The uint8 at ``address``."""
    return _peek(address, types.uint8, ir.IntType(8))
