"""The SIMD operations that only a matrix-vector product needs: typed loads, spreading, picking, gathering.

A kernel here takes its packed weights as an array and an element number, so the element type says how to
widen: float32 as it is, uint16 as bfloat16, int8 as a signed number. Nothing is checked: the caller owns the
bounds.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from simsparse.kernels.simd import SimdType, WidthType, host_isa, vector_of
from simsparse.kernels.simd_emit import INT32, call, operation, parts, splat_vector, whole

_BYTE, _HALF, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_FLOAT = ir.FloatType()

AHEAD_BYTES = 2048
"""How far ahead kernels prefetch weights; 1 to 4 KB measured alike."""


WIDTHS = {1: (4, 1), 2: (8, 1), 3: (16, 1), 4: (8, 2)}
"""Lanes and vectors that a tag of so many dimensions stands for."""


@functools.cache
def tag(dimensions: int) -> NDArray[np.int8]:
    """An empty array that carries a small number in its type, for kernels that are compiled once for each."""
    return np.empty((0,) * dimensions, np.int8)


@operation
def width_of(typing: Any, tag: Any) -> Any:  # noqa: ARG001
    """The ``Width`` that an array's *number of dimensions* stands for in ``WIDTHS``; see ``tag``.

    An array argument is recognised in a tenth of a microsecond when a kernel is called, a ``Width`` in 30.
    """
    if not isinstance(tag, types.Array) or tag.ndim not in WIDTHS:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return context.get_dummy_value()

    lanes, count = WIDTHS[tag.ndim]
    return WidthType(lanes, count, "avx512" if lanes == 16 else "avx2")(tag), codegen


def _element(context: Any, builder: Any, signature: Any, arguments: Any, array: int, index: int) -> Any:
    """The typed pointer to one element of an array argument."""
    data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
    place = context.cast(builder, arguments[index], signature.args[index], types.intp)
    return builder.gep(data, [place])


def _widen(builder: Any, raw: Any, element: Any, integers: Any, floats: Any) -> Any:
    """Stored numbers as float32, lane by lane or one alone."""
    if element == types.float32:
        return raw
    if element == types.uint16:
        shift = ir.Constant(integers, [16] * raw.type.count if isinstance(raw.type, ir.VectorType) else 16)
        return builder.bitcast(builder.shl(builder.zext(raw, integers), shift), floats)
    return builder.sitofp(builder.sext(raw, integers), floats)


def _load_vector(builder: Any, place: Any, element: Any, lanes: int, first: int) -> Any:
    bits = element.bitwidth
    stored = ir.VectorType({32: _FLOAT, 16: _HALF, 8: _BYTE}[bits], lanes)
    at = builder.gep(place, [ir.Constant(_WORD, first)]) if first else place
    raw = builder.load(builder.bitcast(at, stored.as_pointer()), align=bits // 8)
    return _widen(builder, raw, element, ir.VectorType(INT32, lanes), ir.VectorType(_FLOAT, lanes))


@operation
def load_weights(typing: Any, of: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    """``load_weights(width, array, index)``: consecutive stored weights as floats."""
    if not isinstance(of, WidthType) or not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature, arguments, 1, 2)
        starts = range(0, of.lanes * of.count, of.lanes)
        return whole(builder, [_load_vector(builder, place, array.dtype, of.lanes, i) for i in starts])

    return SimdType(of.lanes, of.count, of.isa)(of, array, index), codegen


@operation
def weight(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    """One stored weight as float32."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        raw = builder.load(_element(context, builder, signature, arguments, 0, 1))
        return _widen(builder, raw, array.dtype, INT32, _FLOAT)

    return types.float32(array, index), codegen


@operation
def number(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    """One element of an array of unsigned integers, as int64; without the wrap-around of Numba's indexing."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        raw = builder.load(_element(context, builder, signature, arguments, 0, 1))
        return raw if raw.type == _WORD else builder.zext(raw, _WORD)

    return types.int64(array, index), codegen


@operation
def prefetch(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    """Ask for the cache line of an element, which may lie beyond the array: it is never a fault."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.bitcast(_element(context, builder, signature, arguments, 0, 1), _BYTE.as_pointer())
        read, keep, data = (ir.Constant(INT32, n) for n in (0, 3, 1))
        call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, index), codegen


@operation
def count_bits(typing: Any, bits: Any) -> Any:  # noqa: ARG001
    """The number of set bits of an int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return (types.int64(bits), codegen) if bits == types.int64 else None


@operation
def spread(typing: Any, value: Any, bits: Any, places: Any) -> Any:  # noqa: ARG001
    """``spread(value, bits, places)``: the first lanes in order to the lanes whose bit is set, +0 elsewhere.

    ``places`` is ``spread_places()``; only AVX2 reads it.
    """
    if not isinstance(value, SimdType) or value.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        packed = parts(builder, arguments[0])[0]
        if value.lanes == 16:
            return whole(builder, [_expand(builder, packed, arguments[1])])
        row = builder.shl(arguments[1], ir.Constant(_WORD, 3))
        data = context.make_array(signature.args[2])(context, builder, arguments[2]).data
        entry = builder.bitcast(builder.gep(data, [row]), ir.VectorType(_BYTE, 8).as_pointer())
        lanes = builder.sext(builder.load(entry, align=8), ir.VectorType(INT32, 8))
        moved = call(builder, "llvm.x86.avx2.permps", packed.type, [packed, lanes])
        # the sign of a place says "kept": one blend masks, where LLVM makes three instructions of a select
        nothing = ir.Constant(packed.type, [0.0] * 8)
        kept = [nothing, moved, builder.bitcast(lanes, packed.type)]
        return whole(builder, [call(builder, "llvm.x86.avx.blendv.ps.256", packed.type, kept)])

    return value(value, bits, places), codegen


def _expand(builder: Any, packed: Any, bits: Any) -> Any:
    if host_isa() != "avx512":  # only in tests, which run the path of 16 lanes on any host
        return _expand_lanes(builder, packed, bits)
    mask = builder.bitcast(builder.trunc(bits, _HALF), ir.VectorType(ir.IntType(1), 16))
    nothing = ir.Constant(packed.type, [0.0] * 16)
    return call(builder, "llvm.x86.avx512.mask.expand.v16f32", packed.type, [packed, nothing, mask])


def _expand_lanes(builder: Any, packed: Any, bits: Any) -> Any:
    """The same lane by lane."""
    spread_out = ir.Constant(packed.type, [0.0] * packed.type.count)
    for lane in range(packed.type.count):
        below = builder.ctpop(builder.and_(bits, ir.Constant(_WORD, (1 << lane) - 1)))
        kept = builder.trunc(builder.lshr(bits, ir.Constant(_WORD, lane)), ir.IntType(1))
        value = builder.extract_element(packed, builder.trunc(below, INT32))
        chosen = builder.select(kept, value, ir.Constant(_FLOAT, 0.0))
        spread_out = builder.insert_element(spread_out, chosen, ir.Constant(INT32, lane))
    return spread_out


@operation
def gather_near(typing: Any, of: Any, x: Any, indices: Any, index: Any) -> Any:  # noqa: ARG001
    """``gather_near(width, x, indices, index)``: the floats of ``x`` that consecutive ``indices`` name.

    Scalar loads, with the indices read eight bytes at a time: on Zen 2 to 4 the gather instruction takes
    longer than the loads it stands for.
    """
    if not isinstance(of, WidthType) or of.count != 1 or not isinstance(indices, types.Array):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(x)(context, builder, arguments[1]).data
        words = builder.bitcast(_element(context, builder, signature, arguments, 2, 3), ir.PointerType(_WORD))
        bits = indices.dtype.bitwidth
        per_word = 64 // bits
        vector = ir.Constant(vector_of(of), ir.Undefined)
        for lane in range(of.lanes):
            if lane % per_word == 0:
                number = ir.Constant(_WORD, lane // per_word)
                word = builder.load(builder.gep(words, [number]), align=bits // 8)
            place = builder.lshr(word, ir.Constant(_WORD, bits * (lane % per_word)))
            place = builder.and_(place, ir.Constant(_WORD, (1 << bits) - 1))
            scalar = builder.load(builder.gep(source, [place]), align=4)
            vector = builder.insert_element(vector, scalar, ir.Constant(INT32, lane))
        return whole(builder, [vector])

    return SimdType(of.lanes, of.count, of.isa)(of, x, indices, index), codegen


@operation
def scatter(typing: Any, y: Any, rows: Any, index: Any, value: Any) -> Any:  # noqa: ARG001
    """``scatter(y, rows, index, value)``: lane j to ``y[rows[index + j]]``."""
    if not isinstance(value, SimdType) or value.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.make_array(y)(context, builder, arguments[0]).data
        numbers = _element(context, builder, signature, arguments, 1, 2)
        vector = parts(builder, arguments[3])[0]
        for lane in range(value.lanes):
            row = builder.load(builder.gep(numbers, [ir.Constant(_WORD, lane)]))
            place = builder.gep(target, [builder.zext(row, _WORD)])
            builder.store(builder.extract_element(vector, ir.Constant(INT32, lane)), place)
        return context.get_dummy_value()

    return types.void(y, rows, index, value), codegen


PICKS = {1: (4, 4, 2), 2: (2, 4, 2), 4: (2, 8, 1)}
"""For N of 1:4, 2:4, 4:8: vectors of x per vector of picks, group size, vectors of picks per control word."""

SOURCES = {1: (0, 1, 2, 3, 0, 1, 2, 3), 2: (0, 0, 1, 1, 0, 0, 1, 1), 4: (0, 0, 0, 0, 1, 1, 1, 1)}
"""For N of 1:4, 2:4, 4:8: the vector of x that each lane of a vector of picks comes from."""


@operation
def pick(typing: Any, form: Any, x: Any, index: Any, word: Any) -> Any:  # noqa: ARG001
    """``pick(form, x, index, word)``: for each stored slot the float of ``x`` that its position names.

    ``form`` is the ``tag`` of N: it says 1:4, 2:4 or 4:8. A slot takes 2 bits of ``word`` (3 for
    4:8), and slots stand in the order that ``SOURCES`` implies. The result has two vectors
    (one for 4:8).
    """
    keep = form.ndim if isinstance(form, types.Array) else 0
    if keep not in PICKS:
        return None
    sources, group, vectors = PICKS[keep]
    position_bits = 2 if group == 4 else 3

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature, arguments, 1, 2)
        wide = splat_vector(builder, builder.trunc(arguments[3], INT32), 8)
        picked = []
        for vector in range(vectors):
            amounts = [position_bits * (8 * vector + lane) for lane in range(8)]
            lanes = builder.lshr(wide, ir.Constant(wide.type, amounts))
            start = 8 * sources * vector
            loaded = [_load_vector(builder, place, types.float32, 8, start + 8 * i) for i in range(sources)]
            picked.append(
                _merged(builder, [_permuted(builder, v, lanes, group) for v in loaded], SOURCES[keep])
            )
        return whole(builder, picked)

    return SimdType(8, vectors, "avx2")(form, x, index, word), codegen


def _permuted(builder: Any, vector: Any, lanes: Any, group: int) -> Any:
    """Each lane of ``vector`` by its number: inside groups of four lanes, or among all eight."""
    if group == 4:
        return call(builder, "llvm.x86.avx.vpermilvar.ps.256", vector.type, [vector, lanes])
    return call(builder, "llvm.x86.avx2.permps", vector.type, [vector, lanes])


def _merged(builder: Any, vectors: list[Any], sources: tuple[int, ...]) -> Any:
    """Lane j of vector ``sources[j]``."""
    merged = vectors[0]
    for source in range(1, len(vectors)):
        lanes = [j + 8 if sources[j] == source else j for j in range(8)]
        merged = builder.shuffle_vector(merged, vectors[source], ir.Constant(ir.VectorType(INT32, 8), lanes))
    return merged
