"""Sparse × dense product over compressed rows in blocks of K, with the block's tile of X in L1.

Limit. A weight costs U vector loads of X and U FMAs for a panel of U vectors, and a quarter of a load: four
weights are loaded at once and spread by shuffles. A core that loads two vectors and does two FMAs a cycle
needs (U + 1 / 4) / 2 cycles where U / 2 would be the FMA peak: 97 % at U = 8, which also is just enough
independent sums for two FMAs a cycle of 4 cycles latency. Narrow panels keep several sums per row apart
instead. Beside it a row costs about 50 cycles per block: loads and stores of Y, which come from L2 and go
there (26, measured without weights), and the rest, mostly the end of its loop. The copy of X takes 2 · U
accesses per row of K: blocks grow as weights thin out.

Rows of a block are sorted by how many weights they have, so that the loop's end is foreseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_splat, load_splats
from simsparse.kernels.simd_ops import add, compile_apart, floats, fma, stay_rolled, zeros
from simsparse.kernels.simd_scalar import peek_i32, peek_i64, peek_u16
from simsparse.kernels.spmm_tile import AHEAD, Epilogue, ask_ahead, finish_row, start_row, write_row


@inner
def tile_row(w: Any, column: int, tile: int) -> Any:
    """The row of the tile whose number is stored at ``column``."""
    return load(w, tile + peek_u16(column) * (floats(w) * 4))


@inner
def term(w: Any, column: int, value: int, tile: int, total: Any) -> Any:
    """``total + weight · row of the tile``."""
    return fma(tile_row(w, column, tile), load_splat(w, value), total)


def sum_row(w: Any, total: Any, column: int, value: int, amount: int, tile: int) -> Any:
    """``total`` plus ``amount`` terms; kernels only."""
    raise NotImplementedError


@overload(sum_row, strict=False, jit_options={"forceinline": True})
def _sum_row(w: Any, total: Any, column: Any, value: Any, amount: Any, tile: Any) -> Callable[..., Any]:  # noqa: ARG001
    if w.count >= 5:
        return _one_sum
    return _two_sums if w.count >= 3 else _four_sums


def _one_sum(w: Any, total: Any, column: int, value: int, amount: int, tile: int) -> Any:
    for p in range(0, amount - 3, 4):
        v0, v1, v2, v3 = load_splats(w, value + 4 * p)
        total = fma(tile_row(w, column + 2 * p, tile), v0, total)
        total = fma(tile_row(w, column + 2 * p + 2, tile), v1, total)
        total = fma(tile_row(w, column + 2 * p + 4, tile), v2, total)
        total = fma(tile_row(w, column + 2 * p + 6, tile), v3, total)
    for p in range(amount - amount % 4, amount):
        stay_rolled()
        total = term(w, column + 2 * p, value + 4 * p, tile, total)
    return total


def _two_sums(w: Any, total: Any, column: int, value: int, amount: int, tile: int) -> Any:
    other = zeros(w)
    for p in range(0, amount - 3, 4):
        v0, v1, v2, v3 = load_splats(w, value + 4 * p)
        total = fma(tile_row(w, column + 2 * p, tile), v0, total)
        other = fma(tile_row(w, column + 2 * p + 2, tile), v1, other)
        total = fma(tile_row(w, column + 2 * p + 4, tile), v2, total)
        other = fma(tile_row(w, column + 2 * p + 6, tile), v3, other)
    for p in range(amount - amount % 4, amount):
        stay_rolled()
        total = term(w, column + 2 * p, value + 4 * p, tile, total)
    return add(total, other)


def _four_sums(w: Any, total: Any, column: int, value: int, amount: int, tile: int) -> Any:
    second, third, fourth = zeros(w), zeros(w), zeros(w)
    for p in range(0, amount - 3, 4):
        v0, v1, v2, v3 = load_splats(w, value + 4 * p)
        total = fma(tile_row(w, column + 2 * p, tile), v0, total)
        second = fma(tile_row(w, column + 2 * p + 2, tile), v1, second)
        third = fma(tile_row(w, column + 2 * p + 4, tile), v2, third)
        fourth = fma(tile_row(w, column + 2 * p + 6, tile), v3, fourth)
    for p in range(amount - amount % 4, amount):
        stay_rolled()
        total = term(w, column + 2 * p, value + 4 * p, tile, total)
    return add(add(total, second), add(third, fourth))


@apart
def csr_block(
    w: Any,
    first: bool,
    last: bool,
    origin: int,
    origin_stride: int,
    span: int,
    rows: int,
    ends: int,
    columns: int,
    values: int,
    tile: int,
    y: int,
    stride: int,
    valid: int,
    epilogue: Epilogue,
) -> None:
    """Add one block of K to the rows between two places in ``rows``; ``ends`` has one entry more.

    Sums begin at the rows of ``origin``, at 0 if that is 0.
    """
    compile_apart()
    low, high = peek_i64(span), peek_i64(span + 8)
    begin = peek_i64(ends + 8 * low)
    for i in range(low, high):
        row = peek_i32(rows + 4 * i)
        place = y + row * stride
        ask_ahead(w, peek_i32(rows + 4 * (i + AHEAD)), y, stride, first, origin, origin_stride)
        total = start_row(w, row, origin, origin_stride, valid)
        end = peek_i64(ends + 8 * i + 8)
        total = sum_row(w, total, columns + 2 * begin, values + 4 * begin, end - begin, tile)
        begin = end
        if last:
            total = finish_row(w, total, row, valid, epilogue)
        write_row(w, place, total, valid)
