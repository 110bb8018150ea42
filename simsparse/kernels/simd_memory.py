"""Loads and stores of SIMD values at plain byte addresses. Nothing is checked: the caller owns the bounds.

An address is ``address_of(array)`` plus bytes. No alignment is asked for, but a load that straddles two cache
lines costs double, so scratch tiles and packed weights start at multiples of 64 bytes.
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
    cgutils,
    iota,
    operation,
    parts,
    pointer,
    splat_vector,
    whole,
)

_ADDRESS = types.intp
_FLOAT_BYTES = 4
LINE_BYTES = 64


def _loader(of: Any, address: Any, emit: Any, *more: Any) -> Any:
    """An operation ``(width, address, *more)``; ``emit(builder, i, *addresses)`` makes vector i."""
    if not isinstance(of, WidthType) or not all(isinstance(a, types.Integer) for a in (address, *more)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = [
            context.cast(builder, a, t, _ADDRESS)
            for a, t in zip(arguments[1:], signature.args[1:], strict=True)
        ]
        return whole(builder, [emit(builder, i, *wide) for i in range(of.count)])

    return SimdType(of.lanes, of.count, of.isa)(of, address, *more), codegen


def _widened(of: Any, address: Any, element: Any, widen: Any) -> Any:
    """Load elements of a narrower LLVM type and widen each vector of them to float32."""

    def emit(builder: Any, i: int, place: Any) -> Any:
        narrow = ir.VectorType(element, of.lanes)
        size = element.width // 8
        raw = builder.load(pointer(builder, at(builder, place, i * of.lanes * size), narrow), align=size)
        return widen(builder, raw)

    return _loader(of, address, emit)


def _first_lanes(builder: Any, amount: Any, lanes: int, start: int) -> Any:
    """The mask of the lanes start, start + 1, … below ``amount``."""
    single = builder.trunc(amount, INT32)
    return builder.icmp_signed("<", iota(lanes, start), splat_vector(builder, single, lanes))


def _load_whole(builder: Any, of: Any, i: int, place: Any) -> Any:
    """Vector i, all of it."""
    where = at(builder, place, i * of.lanes * _FLOAT_BYTES)
    return builder.load(pointer(builder, where, vector_of(of)), align=_FLOAT_BYTES)


def emit_load_first(builder: Any, lanes: int, start: int, place: Any, count: Any) -> Any:
    """A vector of the floats start, start + 1, … at ``place``, as far as the first ``count`` go, then +0."""
    vector = ir.VectorType(ir.FloatType(), lanes)
    where = pointer(builder, at(builder, place, start * _FLOAT_BYTES), vector)
    mask = _first_lanes(builder, count, lanes, start)
    nothing = ir.Constant(vector, [0.0] * lanes)
    name = f"llvm.masked.load.v{lanes}f32.p0"
    return call(builder, name, vector, [where, ir.Constant(INT32, _FLOAT_BYTES), mask, nothing])


@operation
def load(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load(width, address)``: consecutive floats."""

    def emit(builder: Any, i: int, place: Any) -> Any:
        return _load_whole(builder, of, i, place)

    return _loader(of, address, emit)


@operation
def load_first(typing: Any, of: Any, address: Any, amount: Any) -> Any:  # noqa: ARG001
    """``load_first(width, address, amount)``: that many floats, then +0; memory beyond them is not read."""

    def emit(builder: Any, i: int, place: Any, count: Any) -> Any:
        return emit_load_first(builder, of.lanes, i * of.lanes, place, count)

    return _loader(of, address, emit, amount)


@operation
def load_ragged(typing: Any, of: Any, address: Any, amount: Any) -> Any:  # noqa: ARG001
    """``load_first`` for an ``amount`` that ends in the last vector: the others are loaded whole."""

    def emit(builder: Any, i: int, place: Any, count: Any) -> Any:
        if i < of.count - 1:
            return _load_whole(builder, of, i, place)
        return emit_load_first(builder, of.lanes, i * of.lanes, place, count)

    return _loader(of, address, emit, amount)


@operation
def load_splat(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_splat(width, address)``: one float in every lane."""

    def emit(builder: Any, i: int, place: Any) -> Any:  # noqa: ARG001
        scalar = builder.load(pointer(builder, place, ir.FloatType()), align=_FLOAT_BYTES)
        return splat_vector(builder, scalar, of.lanes)

    return _loader(of, address, emit)


@operation
def load_splats(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_splats(width, address)``: four consecutive floats, each in every lane of a value of its own.

    One load and four shuffles, which run beside the FMAs: four splat loads would take turns with loads of X.
    """
    if not isinstance(of, WidthType) or not isinstance(address, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.cast(builder, arguments[1], signature.args[1], _ADDRESS)
        four = builder.load(pointer(builder, place, ir.VectorType(ir.FloatType(), 4)), align=_FLOAT_BYTES)
        repeated = _shuffled(builder, four, [lane % 4 for lane in range(of.lanes)])
        if of.lanes > 4:  # else LLVM sees through the repetition, and takes two shuffles for each splat
            name = f"llvm.arithmetic.fence.v{of.lanes}f32"
            repeated = call(builder, name, repeated.type, [repeated])
        starts = range(0, of.lanes, 4)
        splats = [_shuffled(builder, repeated, [s + i for s in starts for _ in range(4)]) for i in range(4)]
        values = [whole(builder, [splat] * of.count) for splat in splats]
        return context.make_tuple(builder, signature.return_type, values)

    four_values: Any = types.UniTuple
    return four_values(SimdType(of.lanes, of.count, of.isa), 4)(of, address), codegen


def _shuffled(builder: Any, vector: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


@operation
def load_bf16(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_bf16(width, address)``: consecutive bfloat16, widened exactly by a shift."""

    def widen(builder: Any, raw: Any) -> Any:
        integers = ir.VectorType(INT32, of.lanes)
        shifted = builder.shl(builder.zext(raw, integers), ir.Constant(integers, [16] * of.lanes))
        return builder.bitcast(shifted, vector_of(of))

    return _widened(of, address, ir.IntType(16), widen)


@operation
def load_int8(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_int8(width, address)``: consecutive signed bytes as floats."""

    def widen(builder: Any, raw: Any) -> Any:
        return builder.sitofp(builder.sext(raw, ir.VectorType(INT32, of.lanes)), vector_of(of))

    return _widened(of, address, ir.IntType(8), widen)


def _storer(address: Any, value: Any, emit: Any, *more: Any) -> Any:
    if not isinstance(value, SimdType) or not all(isinstance(a, types.Integer) for a in (address, *more)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = [
            context.cast(builder, arguments[i], signature.args[i], _ADDRESS)
            for i in (0, *range(2, 2 + len(more)))
        ]
        for i, vector in enumerate(parts(builder, arguments[1])):
            where = at(builder, wide[0], i * value.lanes * _FLOAT_BYTES)
            emit(builder, i, pointer(builder, where, vector.type), vector, *wide[1:])
        return context.get_dummy_value()

    return types.void(address, value, *more), codegen


@operation
def store(typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    """``store(address, value)``: all lanes."""

    return _storer(address, value, _store_whole)


@operation
def store_first(typing: Any, address: Any, value: Any, amount: Any) -> Any:  # noqa: ARG001
    """``store_first(address, value, amount)``: that many floats; memory beyond them is not touched."""

    return _storer(address, value, emit_store_first, amount)


@operation
def store_ragged(typing: Any, address: Any, value: Any, amount: Any) -> Any:  # noqa: ARG001
    """``store_first`` for an ``amount`` that ends in the last vector: masked stores are slow on AMD."""

    def emit(builder: Any, i: int, where: Any, vector: Any, count: Any) -> None:
        (emit_store_first if i == value.count - 1 else _store_whole)(builder, i, where, vector, count)

    return _storer(address, value, emit, amount)


def _store_whole(builder: Any, i: int, where: Any, vector: Any, count: Any = None) -> None:  # noqa: ARG001
    builder.store(vector, where, align=_FLOAT_BYTES)


def emit_store_first(builder: Any, i: int, where: Any, vector: Any, count: Any) -> None:
    lanes = vector.type.count
    mask = _first_lanes(builder, count, lanes, i * lanes)
    name = f"llvm.masked.store.v{lanes}f32.p0"
    call(builder, name, ir.VoidType(), [vector, where, ir.Constant(INT32, _FLOAT_BYTES), mask])


@operation
def store_columns(typing: Any, address: Any, stride: Any, columns: Any) -> Any:  # noqa: ARG001
    """``store_columns(address, stride, (a, b, …))``: row r, which is lane r of 1, 2 or 4 values side by side,
    ``r * stride`` bytes behind the address.
    """
    if not isinstance(columns, types.UniTuple) or not isinstance(columns.dtype, SimdType):
        return None
    of = columns.dtype

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, step = (context.cast(builder, arguments[i], signature.args[i], _ADDRESS) for i in (0, 1))
        count = columns.count
        every = [parts(builder, value) for value in cgutils.unpack_tuple(builder, arguments[2], count)]
        for i in range(of.count):
            rows = _side_by_side(builder, [value[i] for value in every])
            for lane in range(of.lanes):
                row = _shuffled(builder, rows, [lane * count + j for j in range(count)])
                behind = builder.mul(step, ir.Constant(step.type, i * of.lanes + lane))
                where = pointer(builder, builder.add(place, behind), row.type)
                builder.store(row, where, align=_FLOAT_BYTES)
        return context.get_dummy_value()

    return types.void(address, stride, columns), codegen


def _side_by_side(builder: Any, vectors: list[Any]) -> Any:
    """Lane 0 of each vector, then lane 1 of each, … as one."""
    while len(vectors) > 1:
        half, size = len(vectors) // 2, vectors[0].type.count
        order = [lane + size * other for lane in range(size) for other in (0, 1)]
        mask = ir.Constant(ir.VectorType(INT32, len(order)), order)
        vectors = [builder.shuffle_vector(vectors[j], vectors[j + half], mask) for j in range(half)]
    return vectors[0]


@operation
def prefetch(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``prefetch(width, address)``: ask for the cache lines of that many floats; harmless at any address."""
    return _asker(of, address, 3)


@operation
def prefetch_far(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``prefetch``, but only as near as L2."""
    return _asker(of, address, 2)


def _asker(of: Any, address: Any, nearness: int) -> Any:
    if not isinstance(of, WidthType) or not isinstance(address, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = context.cast(builder, arguments[1], signature.args[1], _ADDRESS)
        read, keep, data = (ir.Constant(INT32, value) for value in (0, nearness, 1))
        for offset in range(0, of.lanes * of.count * _FLOAT_BYTES, LINE_BYTES):
            place = pointer(builder, at(builder, start, offset), ir.IntType(8))
            call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, read, keep, data])
        return context.get_dummy_value()

    return types.void(of, address), codegen
