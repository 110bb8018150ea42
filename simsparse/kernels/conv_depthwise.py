"""Depthwise convolution: each channel with its own few taps, as a dense loop over a padded copy in L1.

A strip of a channel's rows is copied with +0 around it, columns sorted by their remainder modulo the stride:
then every tap of every output row reads consecutive floats, whatever kernel, stride, padding and dilation.
Four output rows at a time share each tap's broadcast. Rows end in whole vectors, whose surplus lanes the next
rows overwrite: panels go from right to left and rows downwards, and only the end of a plane is masked.

Limit. A 3x3 tap row costs nine FMAs and nine loads per vector of output, of which half straddle two cache
lines: 6.75 cycles, beside 1 to 2 for the copy.
"""

from __future__ import annotations

from typing import Any

from simsparse.kernels._jit import kernel
from simsparse.kernels.conv_flat import Floats, limits_of, put
from simsparse.kernels.conv_simd import evens, odds
from simsparse.kernels.simd_emit import apart, inner
from simsparse.kernels.simd_memory import load, load_first, load_splat, store
from simsparse.kernels.simd_ops import compile_apart, floats, fma, zeros
from simsparse.kernels.simd_scalar import address_of, peek_f32, peek_i32, peek_i64
from simsparse.kernels.spmm_tile import Epilogue

ROWS = 4
"""Output rows at a time."""

Geometry = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int]
"""Height, width; out height, out width; strides; padding above and left; output rows of a strip; floats from
row to row of the copy and from remainder to remainder; rows of W per channel; input rows of an output row."""


@inner
def copy_row(two: Any, source: int, target: int, width: int) -> None:
    """``width`` floats, then +0 to the end of the last vector."""
    step = floats(two)
    for x in range(0, width, step):
        if width - x >= step:
            store(target + 4 * x, load(two, source + 4 * x))
        else:
            store(target + 4 * x, load_first(two, source + 4 * x, width - x))


@inner
def split_row(two: Any, source: int, even: int, odd: int, width: int) -> None:
    """``width`` floats to two places by turns, then +0 to the end of the last vectors."""
    step = floats(two)
    for x in range(0, width, step):
        pair = load(two, source + 4 * x) if width - x >= step else load_first(two, source + 4 * x, width - x)
        store(even + 2 * x, evens(pair))
        store(odd + 2 * x, odds(pair))


@apart
def copy_strip(two: Any, plane: int, first: int, rows: int, geometry: Geometry, tile: Floats) -> None:
    """Rows ``first``.. of the padded plane into the tile; borders left and right are +0 already."""
    compile_apart()
    height, width, _, _, _, step, _, left, _, pitch, phase, _, _ = geometry
    scratch = address_of(tile)
    even_at = left % step * phase + left // step
    odd_at = (left + 1) % step * phase + (left + 1) // step
    for row in range(rows):
        source = plane + 4 * (first + row) * width
        target = scratch + 4 * row * pitch
        if first + row < 0 or first + row >= height:
            for remainder in range(step):
                for x in range(0, pitch, floats(two)):
                    store(target + 4 * (remainder * phase + x), zeros(two))
        elif step == 1:
            copy_row(two, source, target + 4 * left, width)
        elif step == 2:
            split_row(two, source, target + 4 * even_at, target + 4 * odd_at, width)
        else:
            for x in range(width):
                tile[(x + left) % step * phase + row * pitch + (x + left) // step] = peek_f32(source + 4 * x)


@inner
def sum_rows(w: Any, start: Any, source: int, pitch: int, tap: int, value: int, amount: int) -> Any:
    """``start`` plus the terms of four output rows, whose inputs are ``pitch`` bytes apart."""
    a, b, c, d = start, start, start, start
    for p in range(amount):
        weight, where = load_splat(w, value + 4 * p), source + peek_i32(tap + 4 * p)
        a = fma(load(w, where), weight, a)
        b = fma(load(w, where + pitch), weight, b)
        c = fma(load(w, where + 2 * pitch), weight, c)
        d = fma(load(w, where + 3 * pitch), weight, d)
    return a, b, c, d


@apart
def strip_panel(
    w: Any,
    column: int,
    first: int,
    last: int,
    shape: tuple[int, int],
    taps: tuple[int, int, int],
    tile: int,
    step: int,
    y: int,
    epilogue: Epilogue,
) -> None:
    """Output rows ``first``..``last`` from ``column`` on, of one row of W; inputs lie ``step`` bytes on."""
    compile_apart()
    height, width = shape
    amount, tap, value = taps
    bias, _, _, activation = epilogue
    valid, size = min(width - column, floats(w)), height * width
    start = load_splat(w, bias) if bias != 0 else zeros(w)
    limits = limits_of(activation)
    for row in range(first, last, ROWS):
        source, at = tile + (row - first) * step + 4 * column, row * width + column
        a, b, c, d = sum_rows(w, start, source, step, tap, value, amount)
        put(w, a, at, size, valid, y, epilogue, limits)
        if row + 1 < last:
            put(w, b, at + width, size, valid, y, epilogue, limits)
        if row + 2 < last:
            put(w, c, at + 2 * width, size, valid, y, epilogue, limits)
        if row + 3 < last:
            put(w, d, at + 3 * width, size, valid, y, epilogue, limits)


@kernel
def depthwise_share(
    wide: Any,
    narrow: Any,
    two: Any,
    low: int,
    high: int,
    panels: tuple[int, int],
    taps: tuple[int, int, int],
    geometry: Geometry,
    x: Floats,
    y: Floats,
    tile: Floats,
    bias: Floats,
    residual: Floats,
    activation: int,
) -> None:
    """Planes ``low``..``high`` of a batch (batch, channels, pixels); ``tile`` is +0 at its borders.

    ``panels``: wide and narrow ones of an output row. ``taps``: addresses of where each row's taps start, of
    their bytes into the tile and of their values.
    """
    compile_apart()
    _, _, out_height, out_width, down, _, top, _, strip, pitch, _, multiplier, deep = geometry
    channels, scratch, offset = x.shape[1], address_of(tile), panels[0] * floats(wide)
    ends, offsets, values = taps
    for plane in range(low, high):
        item, channel = plane // channels, plane % channels
        source = address_of(x) + item * x.strides[0] + channel * x.strides[1]
        for first in range(0, out_height, strip):
            last = min(first + strip, out_height)
            copy_strip(two, source, first * down - top, (last - first - 1) * down + deep, geometry, tile)
            for row in range(channel * multiplier, (channel + 1) * multiplier):
                target = address_of(y) + item * y.strides[0] + row * y.strides[1]
                beside = address_of(residual) + item * residual.strides[0] + row * residual.strides[1]
                shift = address_of(bias) + 4 * row if bias.size > 0 else 0
                epilogue = (shift, beside if residual.size > 0 else 0, 0, activation)
                begin = peek_i64(ends + 8 * row)
                own = (peek_i64(ends + 8 * row + 8) - begin, offsets + 4 * begin, values + 4 * begin)
                where = (
                    first,
                    last,
                    (out_height, out_width),
                    own,
                    scratch,
                    4 * pitch * down,
                    target,
                    epilogue,
                )
                for panel in range(panels[1] - 1, -1, -1):
                    strip_panel(narrow, offset + panel * floats(narrow), *where)
                for panel in range(panels[0] - 1, -1, -1):
                    strip_panel(wide, panel * floats(wide), *where)
