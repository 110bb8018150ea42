"""Loads under a mask of lanes: what a convolution's input needs at the borders of the image.

A mask is a SIMD value whose lanes are all ones or all zeros. Memory behind a lane of zeros is never read, and
the lane is +0: a NaN beyond the border stays where it is.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd import SimdType, WidthType, vector_of
from simsparse.kernels.simd_emit import (
    INT32,
    at,
    call,
    elementwise,
    operation,
    parts,
    pointer,
    splat_vector,
    whole,
)

_ADDRESS = types.intp
_MASK_BITS = ir.IntType(16)
_FLOAT_BYTES = 4


def _integers(lanes: int) -> ir.VectorType:
    return ir.VectorType(INT32, lanes)


def _kept(builder: Any, mask: Any) -> Any:
    """A mask as a vector of booleans: the sign bits, which is all that AVX2 looks at."""
    integers = _integers(mask.type.count)
    return builder.icmp_signed("<", builder.bitcast(mask, integers), ir.Constant(integers, None))


@operation
def lanes_where(typing: Any, of: Any, bits: Any) -> Any:  # noqa: ARG001
    """``lanes_where(width, bits)``: masks from one uint16 per vector at an address, bit 0 for lane 0."""
    if not isinstance(of, WidthType) or not isinstance(bits, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[1], signature.args[1], _ADDRESS)
        integers = _integers(of.lanes)
        powers = ir.Constant(integers, [1 << lane for lane in range(of.lanes)])
        masks = []
        for i in range(of.count):
            word = builder.load(pointer(builder, at(builder, place, 2 * i), _MASK_BITS), align=2)
            wide = splat_vector(builder, builder.zext(word, INT32), of.lanes)
            chosen = builder.icmp_signed("==", builder.and_(wide, powers), powers)
            masks.append(builder.bitcast(builder.sext(chosen, integers), vector_of(of)))
        return whole(builder, masks)

    return SimdType(of.lanes, of.count, of.isa)(of, bits), codegen


def _masked(address: Any, mask: Any, emit: Any, *more: Any) -> Any:
    """An operation on addresses and a mask; ``emit(builder, i, mask, *addresses)`` makes vector i."""
    if not isinstance(mask, SimdType) or not all(isinstance(a, types.Integer) for a in (address, *more)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        cast = [
            context.cast(builder, a, t, _ADDRESS) if isinstance(t, types.Integer) else a
            for a, t in zip(arguments, signature.args, strict=True)
        ]
        *addresses, masks = cast
        vectors = enumerate(parts(builder, masks))
        return whole(builder, [emit(builder, i, vector, *addresses) for i, vector in vectors])

    return mask(address, *more, mask), codegen


@operation
def load_where(typing: Any, address: Any, mask: Any) -> Any:  # noqa: ARG001
    """``load_where(address, mask)``: consecutive floats where the mask is set, else +0."""

    def emit(builder: Any, i: int, vector: Any, place: Any) -> Any:
        return _load_under(builder, at(builder, place, i * vector.type.count * _FLOAT_BYTES), vector)

    return _masked(address, mask, emit)


def _load_under(builder: Any, place: Any, mask: Any) -> Any:
    lanes = mask.type.count
    name = f"llvm.masked.load.v{lanes}f32.p0"
    arguments = [pointer(builder, place, mask.type), ir.Constant(INT32, _FLOAT_BYTES)]
    return call(builder, name, mask.type, [*arguments, _kept(builder, mask), ir.Constant(mask.type, None)])


@operation
def lanes_kept(typing: Any, a: Any, mask: Any) -> Any:  # noqa: ARG001
    """``a`` where the mask is set, else +0."""

    def emit(builder: Any, x: Any, bits: Any) -> Any:
        integers = _integers(x.type.count)
        both = builder.and_(builder.bitcast(x, integers), builder.bitcast(bits, integers))
        return builder.bitcast(both, x.type)

    return elementwise(emit, a, mask)


@operation
def gather_where(typing: Any, base: Any, indices: Any, mask: Any) -> Any:  # noqa: ARG001
    """``gather_where(base, indices, mask)``: the floats base[i], for the int32 numbers at ``indices``.

    Where the mask is not set the lane is +0 and its number must be one that may be read.
    """

    def emit(builder: Any, i: int, vector: Any, source: Any, numbers: Any) -> Any:
        lanes = vector.type.count
        place = at(builder, numbers, i * lanes * 4)
        picked = builder.load(pointer(builder, place, _integers(lanes)), align=4)
        return emit_gather(builder, source, picked, vector)

    if not isinstance(mask, SimdType):
        return None
    emit_gather = _GATHERS.get((mask.isa, mask.lanes), _gather_scalars)
    return _masked(base, mask, emit, indices)


def _gather_avx512(builder: Any, base: Any, picked: Any, mask: Any) -> Any:
    nothing, scale = ir.Constant(mask.type, None), ir.Constant(INT32, 4)
    arguments = [nothing, pointer(builder, base, ir.IntType(8)), picked, _kept(builder, mask), scale]
    return call(builder, "llvm.x86.avx512.mask.gather.dps.512", mask.type, arguments)


def _gather_avx2(builder: Any, base: Any, picked: Any, mask: Any) -> Any:
    nothing, scale = ir.Constant(mask.type, None), ir.Constant(ir.IntType(8), 4)
    arguments = [nothing, pointer(builder, base, ir.IntType(8)), picked, mask, scale]
    return call(builder, "llvm.x86.avx2.gather.d.ps.256", mask.type, arguments)


def _gather_scalars(builder: Any, base: Any, picked: Any, mask: Any) -> Any:
    vector = ir.Constant(mask.type, ir.Undefined)
    four = ir.Constant(base.type, 4)
    for lane in range(mask.type.count):
        number = builder.sext(builder.extract_element(picked, ir.Constant(INT32, lane)), base.type)
        place = pointer(builder, builder.add(base, builder.mul(number, four)), ir.FloatType())
        vector = builder.insert_element(vector, builder.load(place, align=4), ir.Constant(INT32, lane))
    return builder.select(_kept(builder, mask), vector, ir.Constant(mask.type, None))


_GATHERS = {("avx512", 16): _gather_avx512, ("avx2", 8): _gather_avx2, ("avx512", 8): _gather_avx2}


def _every_other(a: Any, first: int) -> Any:
    """The lanes first, first + 2, … of a value of two vectors, as one vector."""
    if not isinstance(a, SimdType) or a.count != 2:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        low, high = parts(builder, arguments[0])
        picks = ir.Constant(_integers(a.lanes), list(range(first, 2 * a.lanes, 2)))
        return whole(builder, [builder.shuffle_vector(low, high, picks)])

    return SimdType(a.lanes, 1, a.isa)(a), codegen


@operation
def evens(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """The lanes 0, 2, 4, … of a value of two vectors, as one vector."""
    return _every_other(a, 0)


@operation
def odds(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """The lanes 1, 3, 5, … of a value of two vectors, as one vector."""
    return _every_other(a, 1)


def _halves(a: Any, b: Any, first: int, second: int) -> Any:
    """Of every 128 bits the floats first, first + 2 of ``a`` and second, second + 2 of ``b``: one shuffle."""
    if not isinstance(a, SimdType) or a != b or a.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        (one,), (other,) = parts(builder, arguments[0]), parts(builder, arguments[1])
        picks = [
            start + place
            for start in range(0, a.lanes, 4)
            for place in (first, first + 2, a.lanes + second, a.lanes + second + 2)
        ]
        return whole(builder, [builder.shuffle_vector(one, other, ir.Constant(_integers(a.lanes), picks))])

    return a(a, b), codegen


@operation
def halves_even(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """The lanes 0, 2, 4, … of ``a``, then of ``b``, in an order that ``in_order`` undoes."""
    return _halves(a, b, 0, 0)


@operation
def halves_odd(typing: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """The lanes 1, 3, 5, … of ``a``, then of ``b``, in that order too."""
    return _halves(a, b, 1, 1)


@operation
def in_order(typing: Any, a: Any) -> Any:  # noqa: ARG001
    """What ``halves_…`` made, lanes in order."""
    if not isinstance(a, SimdType) or a.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        (vector,) = parts(builder, arguments[0])
        pairs = [*range(0, a.lanes, 4), *range(2, a.lanes, 4)]
        picks = ir.Constant(_integers(a.lanes), [lane for pair in pairs for lane in (pair, pair + 1)])
        return whole(builder, [builder.shuffle_vector(vector, vector, picks)])

    return a(a), codegen
