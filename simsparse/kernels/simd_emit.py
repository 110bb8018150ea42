"""How SIMD operations are written: one LLVM instruction per vector of a value, as Numba intrinsics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic, register_jitable

from simsparse.kernels.simd import SimdType, array_of, vector_of

INT32 = ir.IntType(32)

cgutils: Any = _cgutils
apart: Any = register_jitable(forceinline=False)
"""A function of kernels only, compiled as a part of each and never for itself, which saves time."""
inner: Any = register_jitable(forceinline=True)
"""Such a function, always inlined: calls return their values through memory, as slow as a row."""
operation: Any = intrinsic
"""Numba's decorator without its type, which keeps the first parameter that calls leave out."""


def parts(builder: Any, value: Any) -> list[Any]:
    """The vectors of a value."""
    return [builder.extract_value(value, i) for i in range(value.type.count)]


def whole(builder: Any, vectors: list[Any]) -> Any:
    """The value of these vectors."""
    value = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, i)
    return value


def splat_vector(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with ``scalar`` in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def iota(lanes: int, start: int = 0) -> ir.Constant:
    """The vector start, start + 1, …"""
    return ir.Constant(ir.VectorType(INT32, lanes), list(range(start, start + lanes)))


def pointer(builder: Any, address: Any, to: Any) -> Any:
    """``address`` as a pointer to an LLVM type."""
    return builder.inttoptr(address, ir.PointerType(to))


def call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call the LLVM intrinsic ``name``."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


def at(builder: Any, address: Any, offset: int) -> Any:
    """``address`` plus a constant number of bytes."""
    return builder.add(address, ir.Constant(address.type, offset)) if offset else address


def elementwise(
    emit: Callable[..., Any], *values: SimdType
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]] | None:
    """Signature and code of an operation on equal SIMD values: ``emit(builder, *vectors)`` per vector."""
    if not all(isinstance(value, SimdType) and value == values[0] for value in values):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        vectors = zip(*(parts(builder, argument) for argument in arguments), strict=True)
        return whole(builder, [emit(builder, *each) for each in vectors])

    return values[0](*values), codegen


def constant_vectors(of: Any, value: float) -> ir.Constant:
    """A value with the same float in every lane."""
    vector = ir.Constant(vector_of(of), [value] * of.lanes)
    return ir.Constant(array_of(of), [vector] * of.count)
