"""Sparse × dense product over pairs of rows: a vector of X that both use is loaded once.

Limit. A compressed row needs one load per FMA, and both at two a cycle: loads of weights, indices and Y, and
every conflict in L1, come on top. Of two rows at density d the share d of the weights stands in columns that
both use: at .5 a step takes .75 loads per FMA, and the FMAs are the limit again. Columns of both rows come
first, then two columns of each row's own in turn, so that all steps feed 2 · U independent sums; what one row
has more follows alone. Rows of N:M weights have equally many in a block of K, and nothing is left over.

Measured on one Zen 3 core, U = 6, blocks of 128, tile in L1: 454 cycles a pair, 440 without loads
of Y, where 64 weights of each row take 384. Below a density of about .4 rows share too little.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load_splats
from simsparse.kernels.simd_ops import compile_apart, floats, fma, stay_rolled
from simsparse.kernels.simd_scalar import peek_i32, peek_i64, peek_u16
from simsparse.kernels.simd_shared import add_to_both
from simsparse.kernels.spmm_csr import term, tile_row
from simsparse.kernels.spmm_tile import Epilogue, ask_ahead, finish_row, start_row, write_row

PAIR_LENGTHS = 4
"""Lengths per pair and block: columns of both rows, turns of two columns of each, what each row has left."""

PAIRS_AHEAD = 2
"""How many pairs of rows of Y ahead are asked for."""


@inner
def both_rows(w: Any, amount: int, a: Any, b: Any, column: int, value: int, tile: int) -> Any:
    """The columns that both rows use."""
    for p in range(amount):
        stay_rolled()
        a, b = add_to_both(w, tile + peek_u16(column + 2 * p) * (floats(w) * 4), value + 8 * p, a, b)
    return a, b


@inner
def rows_in_turn(w: Any, amount: int, a: Any, b: Any, column: int, value: int, tile: int) -> Any:
    """Columns that one row uses, two of each row per turn."""
    for p in range(amount):
        stay_rolled()
        v0, v1, v2, v3 = load_splats(w, value + 16 * p)
        a = fma(tile_row(w, column + 8 * p, tile), v0, a)
        b = fma(tile_row(w, column + 8 * p + 2, tile), v1, b)
        a = fma(tile_row(w, column + 8 * p + 4, tile), v2, a)
        b = fma(tile_row(w, column + 8 * p + 6, tile), v3, b)
    return a, b


@inner
def row_alone(w: Any, amount: int, a: Any, column: int, value: int, tile: int) -> Any:
    """The columns that one row has more than the other."""
    for p in range(amount):
        stay_rolled()
        a = term(w, column + 2 * p, value + 4 * p, tile, a)
    return a


@inner
def sum_pair(w: Any, a: Any, b: Any, lengths: int, column: int, value: int, tile: int) -> Any:
    """All columns of one pair in one block."""
    n = peek_u16(lengths)
    a, b = both_rows(w, n, a, b, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 2)
    a, b = rows_in_turn(w, n, a, b, column, value, tile)
    column, value, n = column + 8 * n, value + 16 * n, peek_u16(lengths + 4)
    a = row_alone(w, n, a, column, value, tile)
    column, value, n = column + 2 * n, value + 4 * n, peek_u16(lengths + 6)
    b = row_alone(w, n, b, column, value, tile)
    return a, b, column + 2 * n, value + 4 * n


@apart
def pairs_block(
    w: Any,
    first: bool,
    last: bool,
    origin: int,
    origin_stride: int,
    span: int,
    rows: int,
    lengths: int,
    columns: int,
    values: int,
    tile: int,
    y: int,
    stride: int,
    valid: int,
    epilogue: Epilogue,
) -> None:
    """Add one block of K to the pairs of a span (see ``packed.tiled_pairs``)."""
    compile_apart()
    low, high = peek_i64(span), peek_i64(span + 8)
    column, value = columns + 2 * peek_i64(span + 16), values + 4 * peek_i64(span + 24)
    for pair in range(low, high):
        here, ahead = rows + 8 * pair, rows + 8 * (pair + PAIRS_AHEAD)
        r0, r1 = peek_i32(here), peek_i32(here + 4)
        y0, y1 = y + r0 * stride, y + r1 * stride
        ask_ahead(w, peek_i32(ahead), y, stride, first, origin, origin_stride)
        ask_ahead(w, peek_i32(ahead + 4), y, stride, first, origin, origin_stride)
        a = start_row(w, r0, origin, origin_stride, valid)
        b = start_row(w, r1, origin, origin_stride, valid)
        a, b, column, value = sum_pair(w, a, b, lengths + 2 * PAIR_LENGTHS * pair, column, value, tile)
        # an odd last row is paired with itself, without weights: written first, so the right sums stay
        if last:
            b = finish_row(w, b, r1, valid, epilogue)
        write_row(w, y1, b, valid)
        if last:
            a = finish_row(w, a, r0, valid, epilogue)
        write_row(w, y0, a, valid)
