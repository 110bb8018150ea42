"""Scalars at plain byte addresses: what a hot loop reads beside its vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd_emit import operation, pointer

_ADDRESS = types.intp


def _peek(where: Any, numba_type: Any, llvm_type: Any, widen: str = "") -> Any:
    """Load a scalar; ``widen`` names the instruction that makes an address-sized integer of a narrow one."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[0], signature.args[0], _ADDRESS)
        value = builder.load(pointer(builder, place, llvm_type), align=1)
        return getattr(builder, widen)(value, context.get_value_type(numba_type)) if widen else value

    return (numba_type(where), codegen) if isinstance(where, types.Integer) else None


@operation
def address_of(typing: Any, array: Any) -> Any:  # noqa: ARG001
    """The address of an array's first element, as intp."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, context.get_value_type(_ADDRESS))

    return _ADDRESS(array), codegen


@operation
def peek_f32(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The float32 at ``address``."""
    return _peek(address, types.float32, ir.FloatType())


@operation
def peek_i64(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The int64 at ``address``."""
    return _peek(address, types.int64, ir.IntType(64))


@operation
def peek_i32(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The int32 at ``address``, as intp."""
    return _peek(address, _ADDRESS, ir.IntType(32), "sext")


@operation
def peek_u16(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The uint16 at ``address``, as intp: unsigned and signed would mix to float."""
    return _peek(address, _ADDRESS, ir.IntType(16), "zext")


@operation
def peek_u8(typing: Any, address: Any) -> Any:  # noqa: ARG001
    """The uint8 at ``address``, as intp."""
    return _peek(address, _ADDRESS, ir.IntType(8), "zext")


@operation
def poke_f32(typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    """Store a float32 at ``address``."""
    if not isinstance(address, types.Integer) or value != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[0], signature.args[0], _ADDRESS)
        builder.store(arguments[1], pointer(builder, place, ir.FloatType()), align=1)
        return context.get_dummy_value()

    return types.void(address, value), codegen
