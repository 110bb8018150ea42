"""Gather and expand: the two SIMD loads made for sparse data, one vector at a time.

AVX-512 has both as instructions. AVX2 gathers with one instruction and expands by a table of 256 permutations
(2 KB: it stays in L1). Otherwise both are scalar loads. The form follows ``Width.isa`` when compiled.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from simsparse.kernels.simd import SimdType, WidthType, vector_of
from simsparse.kernels.simd_emit import INT32, at, call, cgutils, operation, pointer, splat_vector, whole

_ADDRESS = types.intp
_BYTE = ir.IntType(8)


@operation
def gather(typing: Any, of: Any, base: Any, indices: Any) -> Any:  # noqa: ARG001
    """``gather(width, base, indices)``: the floats base[i] for the int32 element numbers at ``indices``."""
    if not isinstance(of, WidthType) or of.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, numbers = (context.cast(builder, arguments[i], signature.args[i], _ADDRESS) for i in (1, 2))
        form = {("avx512", 16): _gather_avx512, ("avx2", 8): _gather_avx2, ("avx512", 8): _gather_avx2}
        emit = form.get((of.isa, of.lanes), _gather_scalars)
        return whole(builder, [emit(builder, source, numbers, of)])

    return SimdType(of.lanes, of.count, of.isa)(of, base, indices), codegen


def _numbers(builder: Any, address: Any, lanes: int) -> Any:
    return builder.load(pointer(builder, address, ir.VectorType(INT32, lanes)), align=4)


def _gather_avx512(builder: Any, base: Any, indices: Any, of: Any) -> Any:
    vector = vector_of(of)
    every = ir.Constant(ir.VectorType(ir.IntType(1), 16), [1] * 16)
    arguments = [
        ir.Constant(vector, [0.0] * 16),
        pointer(builder, base, _BYTE),
        _numbers(builder, indices, 16),
        every,
        ir.Constant(INT32, 4),
    ]
    return call(builder, "llvm.x86.avx512.mask.gather.dps.512", vector, arguments)


def _gather_avx2(builder: Any, base: Any, indices: Any, of: Any) -> Any:
    vector = vector_of(of)
    every = builder.bitcast(ir.Constant(ir.VectorType(INT32, 8), [-1] * 8), vector)
    arguments = [
        ir.Constant(vector, [0.0] * 8),
        pointer(builder, base, _BYTE),
        _numbers(builder, indices, 8),
        every,
        ir.Constant(_BYTE, 4),
    ]
    return call(builder, "llvm.x86.avx2.gather.d.ps.256", vector, arguments)


def _gather_scalars(builder: Any, base: Any, indices: Any, of: Any) -> Any:
    vector = ir.Constant(vector_of(of), ir.Undefined)
    four = ir.Constant(base.type, 4)
    for lane in range(of.lanes):
        number = builder.load(pointer(builder, at(builder, indices, 4 * lane), INT32), align=4)
        place = builder.add(base, builder.mul(builder.sext(number, base.type), four))
        scalar = builder.load(pointer(builder, place, ir.FloatType()), align=4)
        vector = builder.insert_element(vector, scalar, ir.Constant(INT32, lane))
    return vector


@operation
def expand(typing: Any, of: Any, address: Any, mask: Any) -> Any:  # noqa: ARG001
    """``expand(width, address, mask)``: the next packed float in each lane whose bit is set, +0 elsewhere.

    May read ``lanes`` floats from ``address`` whatever the mask: packed arrays end in that much padding.
    """
    if not isinstance(of, WidthType) or of.count != 1:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, bits = (context.cast(builder, arguments[i], signature.args[i], _ADDRESS) for i in (1, 2))
        form = {("avx512", 16): _expand_avx512, ("avx2", 8): _expand_avx2, ("avx512", 8): _expand_avx2}
        emit = form.get((of.isa, of.lanes), _expand_scalars)
        return whole(builder, [emit(builder, source, bits, of)])

    return SimdType(of.lanes, of.count, of.isa)(of, address, mask), codegen


def _bit_mask(builder: Any, bits: Any, lanes: int) -> Any:
    """``bits`` as a vector of booleans."""
    wide = splat_vector(builder, builder.trunc(bits, INT32), lanes)
    powers = ir.Constant(ir.VectorType(INT32, lanes), [1 << i for i in range(lanes)])
    return builder.icmp_unsigned("!=", builder.and_(wide, powers), ir.Constant(powers.type, [0] * lanes))


def _expand_avx512(builder: Any, address: Any, bits: Any, of: Any) -> Any:
    vector = vector_of(of)
    mask = builder.bitcast(builder.trunc(bits, ir.IntType(16)), ir.VectorType(ir.IntType(1), 16))
    arguments = [pointer(builder, address, ir.FloatType()), mask, ir.Constant(vector, [0.0] * 16)]
    return call(builder, "llvm.masked.expandload.v16f32", vector, arguments)


def _expand_avx2(builder: Any, address: Any, bits: Any, of: Any) -> Any:
    vector = vector_of(of)
    table = _permutations(builder.module)
    byte = builder.and_(bits, ir.Constant(bits.type, 255))
    entry = builder.load(builder.gep(table, [ir.Constant(bits.type, 0), byte]), align=8)
    places = builder.zext(entry, ir.VectorType(INT32, 8))
    packed = builder.load(pointer(builder, address, vector), align=4)
    spread = call(builder, "llvm.x86.avx2.permps", vector, [packed, places])
    return builder.select(_bit_mask(builder, byte, 8), spread, ir.Constant(vector, [0.0] * 8))


def _permutations(module: Any) -> Any:
    """Per 8-bit mask, the packed place that each lane takes: how many bits are set below it."""
    name, bytes8 = "simsparse.expand.places", ir.VectorType(_BYTE, 8)
    known = module.globals.get(name)
    if known is not None:
        return known
    rows = [[(mask & ((1 << i) - 1)).bit_count() for i in range(8)] for mask in range(256)]
    constant = ir.Constant(ir.ArrayType(bytes8, 256), [ir.Constant(bytes8, row) for row in rows])
    table = cgutils.add_global_variable(module, constant.type, name)
    table.initializer, table.global_constant, table.linkage, table.align = constant, True, "internal", 64
    return table


def _expand_scalars(builder: Any, address: Any, bits: Any, of: Any) -> Any:
    vector = ir.Constant(vector_of(of), [0.0] * of.lanes)
    one, zero, place = ir.Constant(bits.type, 1), ir.Constant(ir.FloatType(), 0.0), address
    for lane in range(of.lanes):
        taken = builder.and_(builder.lshr(bits, ir.Constant(bits.type, lane)), one)
        loaded = builder.load(pointer(builder, place, ir.FloatType()), align=4)
        kept = builder.select(builder.icmp_unsigned("!=", taken, ir.Constant(bits.type, 0)), loaded, zero)
        vector = builder.insert_element(vector, kept, ir.Constant(INT32, lane))
        place = builder.add(place, builder.shl(taken, ir.Constant(bits.type, 2)))
    return vector
