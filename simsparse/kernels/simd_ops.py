"""Arithmetic on SIMD values. All operands of one call have the same width."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd import SimdType, WidthType
from simsparse.kernels.simd_emit import (
    INT32,
    call,
    constant_vectors,
    elementwise,
    operation,
    parts,
    splat_vector,
    whole,
)


@operation
def zeros(typing: Any, of: Any) -> Any:  # noqa: ARG001
    """``zeros(width)``: +0 in every lane."""
    if not isinstance(of, WidthType):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return constant_vectors(of, 0.0)

    return SimdType(of.lanes, of.count, of.isa)(of), codegen


@operation
def splat(typing: Any, of: Any, scalar: Any) -> Any:  # noqa: ARG001
    """``splat(width, scalar)``: a number, as float32, in every lane."""
    if not isinstance(of, WidthType) or not isinstance(scalar, types.Number):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = context.cast(builder, arguments[1], signature.args[1], types.float32)
        return whole(builder, [splat_vector(builder, single, of.lanes)] * of.count)

    return SimdType(of.lanes, of.count, of.isa)(of, scalar), codegen


@operation
def add(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``a + b``."""
    return elementwise(lambda builder, x, y: builder.fadd(x, y), a, b)


@operation
def sub(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``a - b``."""
    return elementwise(lambda builder, x, y: builder.fsub(x, y), a, b)


@operation
def mul(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``a * b``."""
    return elementwise(lambda builder, x, y: builder.fmul(x, y), a, b)


@operation
def div(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``a / b``."""
    return elementwise(lambda builder, x, y: builder.fdiv(x, y), a, b)


@operation
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    """``a * b + c``, rounded once where the CPU can."""

    def emit(builder: Any, x: Any, y: Any, z: Any) -> Any:
        # llvm.fma would call libm, lane by lane, on a CPU without the instruction
        return call(builder, f"llvm.fmuladd.v{x.type.count}f32", x.type, [x, y, z])

    return elementwise(emit, a, b, c)


@operation
def maximum(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """The larger; ``a`` where either is NaN, as is wanted of ``maximum(x, zeros)``: a NaN stays."""
    return elementwise(lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), y, x), a, b)


@operation
def minimum(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """The smaller; ``a`` where either is NaN."""
    return elementwise(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), y, x), a, b)


@operation
def magnitude(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """``|a|``."""
    return elementwise(lambda builder, x: call(builder, f"llvm.fabs.v{x.type.count}f32", x.type, [x]), a)


@operation
def square_root(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """The square root, exactly rounded."""
    return elementwise(lambda builder, x: call(builder, f"llvm.sqrt.v{x.type.count}f32", x.type, [x]), a)


@operation
def copysign(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """``|a|`` with the sign of ``b``."""
    return elementwise(
        lambda builder, x, y: call(builder, f"llvm.copysign.v{x.type.count}f32", x.type, [x, y]), a, b
    )


@operation
def nearest_integer(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """``a`` rounded to an integer, ties to even."""
    return elementwise(lambda builder, x: call(builder, f"llvm.rint.v{x.type.count}f32", x.type, [x]), a)


@operation
def power_of_two(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """``2 ** a`` for integral ``a`` in -126..127, put together from exponent bits."""

    def emit(builder: Any, x: Any) -> Any:
        integers = ir.VectorType(INT32, x.type.count)
        name = f"llvm.fptosi.sat.v{x.type.count}i32.v{x.type.count}f32"  # defined for NaN, unlike fptosi
        exponent = builder.add(
            call(builder, name, integers, [x]), ir.Constant(integers, [127] * x.type.count)
        )
        return builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * x.type.count)), x.type)

    return elementwise(emit, a)


@operation
def total(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """The sum of all lanes as one float32, added pairwise."""
    if not isinstance(a, SimdType):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        vectors = parts(builder, arguments[0])
        while len(vectors) > 1:
            half = len(vectors) // 2
            pairs = zip(vectors[:half], vectors[half : 2 * half], strict=True)
            vectors = [builder.fadd(x, y) for x, y in pairs] + vectors[2 * half :]
        return _halve(builder, vectors[0])

    return types.float32(a), codegen


def _halve(builder: Any, vector: Any) -> Any:
    lanes = vector.type.count
    if lanes == 1:
        return builder.extract_element(vector, ir.Constant(INT32, 0))
    half = lanes // 2
    picks = [ir.Constant(ir.VectorType(INT32, half), list(range(i, i + half))) for i in (0, half)]
    low, high = (builder.shuffle_vector(vector, vector, pick) for pick in picks)
    return _halve(builder, builder.fadd(low, high))


@operation
def lane(typing: Any, a: Any, index: Any) -> Any:  # noqa: ARG001
    """Lane ``index`` (a run-time integer) of a value of one vector, as float32."""
    if not isinstance(a, SimdType) or a.count != 1 or not isinstance(index, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[1], signature.args[1], types.int32)
        return builder.extract_element(parts(builder, arguments[0])[0], place)

    return types.float32(a, index), codegen


@operation
def floats(typing: Any, of: Any) -> Any:  # noqa: ARG001
    """``floats(width)``: lanes × count, a constant in compiled code."""
    if not isinstance(of, WidthType):
        return None
    amount = of.lanes * of.count

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return context.get_constant(types.intp, amount)

    return types.intp(of), codegen


@operation
def compile_apart(typing: Any) -> Any:  # noqa: ARG001
    """Keep the function that calls this out of its callers, which would else compile its code once more."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@operation
def stay_rolled(typing: Any) -> Any:  # noqa: ARG001
    """Keep the loop around this from being unrolled: an empty instruction that must not be copied.

    For loops that are wide enough as they are: unrolling them takes a quarter more time to compile.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        nothing = ir.FunctionType(ir.VoidType(), [])
        builder.call(ir.InlineAsm(nothing, "", "", side_effect=True), [], attrs=("convergent",))
        return context.get_dummy_value()

    return types.void(), codegen
