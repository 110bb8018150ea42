"""Sparse × dense product over groups of four rows whose columns are sorted by which of the rows use them.

Per block of K a group stores 15 lengths, one per non-empty set of its rows, then its columns and values in
that order. Each set has a straight loop with exactly its FMAs: nothing is branched on inside, no zero is
multiplied, and a vector of X is loaded once for all the rows that use it. Columns used by all four rows
(blocks of output channels) run at the FMA peak: U loads and 4 broadcasts feed 4 · U FMAs. A column of one row
has only U independent sums, so on CPUs with 16 registers (U = 3) random patterns are better off as compressed
rows.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load_splat
from simsparse.kernels.simd_ops import compile_apart, fma, stay_rolled
from simsparse.kernels.simd_scalar import peek_i32, peek_i64, peek_u16
from simsparse.kernels.spmm_csr import tile_row
from simsparse.kernels.spmm_tile import Epilogue, ask_ahead, finish_row, start_row, write_row

GROUP = 4
"""Rows of a group."""

SETS = 16
"""Lengths stored per group and block, one per set of rows; in place of the empty set that of sets 1 to 14."""


@inner
def one_row(w: Any, amount: int, a: Any, column: int, value: int, tile: int) -> Any:
    """The columns that one row uses."""
    for p in range(amount):
        stay_rolled()
        a = fma(tile_row(w, column + 2 * p, tile), load_splat(w, value + 4 * p), a)
    return a


@inner
def two_rows(w: Any, amount: int, a: Any, b: Any, column: int, value: int, tile: int) -> Any:
    """The columns that two rows use."""
    for p in range(amount):
        stay_rolled()
        x = tile_row(w, column + 2 * p, tile)
        a = fma(x, load_splat(w, value + 8 * p), a)
        b = fma(x, load_splat(w, value + 8 * p + 4), b)
    return a, b


@inner
def three_rows(w: Any, amount: int, a: Any, b: Any, c: Any, column: int, value: int, tile: int) -> Any:
    """The columns that three rows use."""
    for p in range(amount):
        stay_rolled()
        x = tile_row(w, column + 2 * p, tile)
        a = fma(x, load_splat(w, value + 12 * p), a)
        b = fma(x, load_splat(w, value + 12 * p + 4), b)
        c = fma(x, load_splat(w, value + 12 * p + 8), c)
    return a, b, c


@inner
def four_rows(w: Any, amount: int, a: Any, b: Any, c: Any, d: Any, column: int, value: int, tile: int) -> Any:
    """The columns that all four rows use."""
    for p in range(amount):
        stay_rolled()
        x = tile_row(w, column + 2 * p, tile)
        a = fma(x, load_splat(w, value + 16 * p), a)
        b = fma(x, load_splat(w, value + 16 * p + 4), b)
        c = fma(x, load_splat(w, value + 16 * p + 8), c)
        d = fma(x, load_splat(w, value + 16 * p + 12), d)
    return a, b, c, d


@inner
def sum_group(
    w: Any, a: Any, b: Any, c: Any, d: Any, lengths: int, column: int, value: int, tile: int
) -> Any:
    """All columns of one group in one block: 15 loops, by set of rows (bit 0 is row a)."""
    if peek_u16(lengths) == 0:  # blocks of output channels: looking at 14 lengths would cost as much as a row
        n = peek_u16(lengths + 30)
        a, b, c, d = four_rows(w, n, a, b, c, d, column, value, tile)
        return a, b, c, d, column + 2 * n, value + 16 * n
    n = peek_u16(lengths + 2)
    a = one_row(w, n, a, column, value, tile)
    column, value, n = column + 2 * n, value + 4 * n, peek_u16(lengths + 4)
    b = one_row(w, n, b, column, value, tile)
    column, value, n = column + 2 * n, value + 4 * n, peek_u16(lengths + 6)
    a, b = two_rows(w, n, a, b, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 8)
    c = one_row(w, n, c, column, value, tile)
    column, value, n = column + 2 * n, value + 4 * n, peek_u16(lengths + 10)
    a, c = two_rows(w, n, a, c, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 12)
    b, c = two_rows(w, n, b, c, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 14)
    a, b, c = three_rows(w, n, a, b, c, column, value, tile)
    column, value, n = column + 2 * n, value + 12 * n, peek_u16(lengths + 16)
    d = one_row(w, n, d, column, value, tile)
    column, value, n = column + 2 * n, value + 4 * n, peek_u16(lengths + 18)
    a, d = two_rows(w, n, a, d, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 20)
    b, d = two_rows(w, n, b, d, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 22)
    a, b, d = three_rows(w, n, a, b, d, column, value, tile)
    column, value, n = column + 2 * n, value + 12 * n, peek_u16(lengths + 24)
    c, d = two_rows(w, n, c, d, column, value, tile)
    column, value, n = column + 2 * n, value + 8 * n, peek_u16(lengths + 26)
    a, c, d = three_rows(w, n, a, c, d, column, value, tile)
    column, value, n = column + 2 * n, value + 12 * n, peek_u16(lengths + 28)
    b, c, d = three_rows(w, n, b, c, d, column, value, tile)
    column, value, n = column + 2 * n, value + 12 * n, peek_u16(lengths + 30)
    a, b, c, d = four_rows(w, n, a, b, c, d, column, value, tile)
    return a, b, c, d, column + 2 * n, value + 16 * n


@inner
def finish_group_row(
    w: Any, total: Any, row: int, place: int, last: bool, valid: int, epilogue: Epilogue
) -> None:
    """Store one row, finished if this was its last block."""
    if last:
        total = finish_row(w, total, row, valid, epilogue)
    write_row(w, place, total, valid)


@apart
def grouped_block(
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
    """Add one block of K to the groups of a span (see ``pack_groups``)."""
    compile_apart()
    low, high = peek_i64(span), peek_i64(span + 8)
    column, value = columns + 2 * peek_i64(span + 16), values + 4 * peek_i64(span + 24)
    where = lengths + 2 * SETS * peek_i64(span + 32)
    for group in range(low, high):
        r0 = peek_i32(rows + 16 * group)
        r1 = peek_i32(rows + 16 * group + 4)
        r2 = peek_i32(rows + 16 * group + 8)
        r3 = peek_i32(rows + 16 * group + 12)
        y0, y1, y2, y3 = y + r0 * stride, y + r1 * stride, y + r2 * stride, y + r3 * stride
        for ahead in range(GROUP, 2 * GROUP):
            ask_ahead(w, peek_i32(rows + 16 * group + 4 * ahead), y, stride, first, origin, origin_stride)
        a = start_row(w, r0, origin, origin_stride, valid)
        b = start_row(w, r1, origin, origin_stride, valid)
        c = start_row(w, r2, origin, origin_stride, valid)
        d = start_row(w, r3, origin, origin_stride, valid)
        a, b, c, d, column, value = sum_group(w, a, b, c, d, where, column, value, tile)
        where += 2 * SETS
        # the last group repeats its first rows where there are none: written first, so the right sums stay
        finish_group_row(w, d, r3, y3, last, valid, epilogue)
        finish_group_row(w, c, r2, y2, last, valid, epilogue)
        finish_group_row(w, b, r1, y1, last, valid, epilogue)
        finish_group_row(w, a, r0, y0, last, valid, epilogue)
