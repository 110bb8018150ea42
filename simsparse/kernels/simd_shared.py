"""An operation on two SIMD values at once, vector by vector: a loaded vector is used twice and forgotten."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd import SimdType, WidthType, vector_of
from simsparse.kernels.simd_emit import at, call, operation, parts, pointer, splat_vector, whole

_ADDRESS = types.intp
_FLOAT_BYTES = 4


@operation
def add_to_both(typing: Any, of: Any, address: Any, weights: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``add_to_both(width, address, weights, a, b)``: a and b plus what is at ``address`` times two weights.

    The weights are consecutive floats. Loading the whole value first would take registers that there are not.
    """
    if not isinstance(of, WidthType) or not isinstance(a, SimdType) or a != b:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, pair = (context.cast(builder, arguments[i], signature.args[i], _ADDRESS) for i in (1, 2))
        splats = []
        for offset in (0, _FLOAT_BYTES):
            scalar = builder.load(
                pointer(builder, at(builder, pair, offset), ir.FloatType()), align=_FLOAT_BYTES
            )
            splats.append(splat_vector(builder, scalar, of.lanes))
        sums: list[list[Any]] = [[], []]
        vector = vector_of(of)
        for i, totals in enumerate(
            zip(parts(builder, arguments[3]), parts(builder, arguments[4]), strict=True)
        ):
            where = at(builder, source, i * of.lanes * _FLOAT_BYTES)
            x = builder.load(pointer(builder, where, vector), align=_FLOAT_BYTES)
            for found, splat, total in zip(sums, splats, totals, strict=True):
                found.append(call(builder, f"llvm.fmuladd.v{of.lanes}f32", vector, [x, splat, total]))
        return context.make_tuple(builder, signature.return_type, [whole(builder, each) for each in sums])

    two_values: Any = types.UniTuple
    return two_values(a, 2)(of, address, weights, a, b), codegen
