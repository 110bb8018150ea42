"""Squares of floats, rows as columns: values of as many vectors as these have lanes.

Rows come as blocks of four floats that one vector collects, so that nothing but the two cheap shuffles inside
128 bits is left to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd import SimdType, WidthType, vector_of
from simsparse.kernels.simd_emit import INT32, at, operation, parts, pointer, whole
from simsparse.kernels.simd_memory import emit_load_first, emit_store_first

_ADDRESS = types.intp
_FLOAT_BYTES = 4
_BLOCK = 4
"""Floats of 128 bits."""
_FOUR = ir.VectorType(ir.FloatType(), _BLOCK)


def _rows(builder: Any, place: Any, count: int) -> list[Any]:
    """Addresses of ``count`` rows; those behind the last one are the last."""
    address, stride, last = place
    found = []
    for row in range(count):
        number = ir.Constant(last.type, row)
        nearer = builder.select(builder.icmp_signed("<", number, last), number, last)
        found.append(builder.add(address, builder.mul(nearer, stride)))
    return found


def _integers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """All operands that are integers, as wide as addresses."""
    return [
        context.cast(builder, argument, kind, _ADDRESS)
        for argument, kind in zip(arguments, signature.args, strict=True)
        if isinstance(kind, types.Integer)
    ]


def _loader(of: Any, operands: tuple[Any, ...], emit_block: Callable[..., Any]) -> Any:
    """An operation (width, address, stride, last, …); ``emit_block(builder, address, start, *more)``."""
    if not isinstance(of, WidthType) or of.count != of.lanes or of.lanes % _BLOCK:
        return None
    if not all(isinstance(one, types.Integer) for one in operands):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _integers(context, builder, signature, arguments)
        rows = _rows(builder, place[:3], of.lanes)
        columns = []
        for start in range(0, of.lanes, _BLOCK):
            blocks = [emit_block(builder, row, start, *place[3:]) for row in rows]
            columns += _turn_fours(builder, [_joined(builder, blocks[i::_BLOCK]) for i in range(_BLOCK)])
        return whole(builder, columns)

    return SimdType(of.lanes, of.count, of.isa)(of, *operands), codegen


@operation
def load_columns(typing: Any, of: Any, address: Any, stride: Any, last: Any) -> Any:  # noqa: ARG001
    """``load_columns(width, address, stride, last)``: lane i of vector j is float j of row min(i, last).

    Rows are ``stride`` bytes apart.
    """

    def emit(builder: Any, row: Any, start: int) -> Any:
        place = at(builder, row, _FLOAT_BYTES * start)
        return builder.load(pointer(builder, place, _FOUR), align=_FLOAT_BYTES)

    return _loader(of, (address, stride, last), emit)


@operation
def load_columns_first(typing: Any, of: Any, address: Any, stride: Any, last: Any, amount: Any) -> Any:  # noqa: ARG001
    """``load_columns`` of ``amount`` floats of each row, then +0; memory beyond them is not read."""

    def emit(builder: Any, row: Any, start: int, count: Any) -> Any:
        return emit_load_first(builder, _BLOCK, start, row, count)

    return _loader(of, (address, stride, last, amount), emit)


def _storer(value: Any, operands: tuple[Any, ...], emit: Callable[..., None]) -> Any:
    """An operation (value, address, stride, last, …); ``emit(builder, pointer, vector, *more)`` per row."""
    if not isinstance(value, SimdType) or not all(isinstance(one, types.Integer) for one in operands):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _integers(context, builder, signature, arguments)
        rows, vectors = _rows(builder, place[:3], value.count), parts(builder, arguments[0])
        for row, vector in zip(reversed(rows), reversed(vectors), strict=True):  # what lasts comes last
            emit(builder, pointer(builder, row, vector.type), vector, *place[3:])
        return context.get_dummy_value()

    return types.void(value, *operands), codegen


@operation
def store_rows(typing: Any, value: Any, address: Any, stride: Any, last: Any) -> Any:  # noqa: ARG001
    """``store_rows(value, address, stride, last)``: the vectors 0..last, ``stride`` bytes apart."""

    def emit(builder: Any, where: Any, vector: Any) -> None:
        builder.store(vector, where, align=_FLOAT_BYTES)

    return _storer(value, (address, stride, last), emit)


@operation
def store_rows_first(typing: Any, value: Any, address: Any, stride: Any, last: Any, amount: Any) -> Any:  # noqa: ARG001
    """``store_rows`` of ``amount`` floats of each; memory beyond them is not touched."""

    def emit(builder: Any, where: Any, vector: Any, count: Any) -> None:
        emit_store_first(builder, 0, where, vector, count)

    return _storer(value, (address, stride, last, amount), emit)


@operation
def load_repeated(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_repeated(width, address)``: the same consecutive floats in every vector."""
    if not isinstance(of, WidthType) or not isinstance(address, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (place,) = _integers(context, builder, signature, arguments)
        vector = builder.load(pointer(builder, place, vector_of(of)), align=_FLOAT_BYTES)
        return whole(builder, [vector] * of.count)

    return SimdType(of.lanes, of.count, of.isa)(of, address), codegen


@operation
def load_every_second(typing: Any, of: Any, address: Any) -> Any:  # noqa: ARG001
    """``load_every_second(width, address)``: the first, third, … of consecutive vectors."""
    if not isinstance(of, WidthType) or not isinstance(address, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (place,) = _integers(context, builder, signature, arguments)
        steps = range(0, 2 * of.count * of.lanes * _FLOAT_BYTES, 2 * of.lanes * _FLOAT_BYTES)
        places = [pointer(builder, at(builder, place, step), vector_of(of)) for step in steps]
        return whole(builder, [builder.load(one, align=_FLOAT_BYTES) for one in places])

    return SimdType(of.lanes, of.count, of.isa)(of, address), codegen


def _joined(builder: Any, blocks: list[Any]) -> Any:
    """Blocks of four floats one behind the other."""
    while len(blocks) > 1:
        pairs = zip(blocks[::2], blocks[1::2], strict=True)
        blocks = [_shuffled(builder, a, b, range(2 * a.type.count)) for a, b in pairs]
    return blocks[0]


def _turn_fours(builder: Any, rows: list[Any]) -> list[Any]:
    """Of four vectors all squares of four by four, by shuffles inside 128 bits."""
    a, b, c, d = rows
    lanes = a.type.count
    starts = range(0, lanes, _BLOCK)

    def mixed(one: Any, other: Any, *picks: int) -> Any:
        return _shuffled(builder, one, other, [start + pick for start in starts for pick in picks])

    low, high = (0, lanes, 1, lanes + 1), (2, lanes + 2, 3, lanes + 3)
    ab, cd, ef, gh = mixed(a, b, *low), mixed(c, d, *low), mixed(a, b, *high), mixed(c, d, *high)
    low, high = (0, 1, lanes, lanes + 1), (2, 3, lanes + 2, lanes + 3)
    return [mixed(ab, cd, *low), mixed(ab, cd, *high), mixed(ef, gh, *low), mixed(ef, gh, *high)]


def _shuffled(builder: Any, a: Any, b: Any, picks: Any) -> Any:
    chosen = list(picks)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(chosen)), chosen))
